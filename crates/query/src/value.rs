//! Values between the kernel's 64-bit form and SQL's types, never rounding.

use crate::error::{Error, raise};
use types::Kind;

/// The largest magnitude up to which every integer is a double.
pub(crate) const EXACT_MAX: i64 = 1 << 53;

/// The bits as a double.
///
/// # Errors
/// `Error::OutOfRange` for an integer that a double can't hold.
#[inline]
pub(crate) fn double(kind: Kind, bits: u64) -> Result<f64, Error> {
    if kind == Kind::I64 && !(-EXACT_MAX..=EXACT_MAX).contains(&(bits as i64)) {
        return Err(beyond(bits as i64));
    }
    Ok(kind.bits_to_f64(bits))
}

#[cold]
fn beyond(value: i64) -> Error {
    raise(Error::OutOfRange, format!("integer {value} is beyond 2^53: as a double it would be rounded"))
        .with_hint("read it from table integers (tag, time, value bigint, quality), which is exact")
}
