//! What a block's own queries no longer see of what is stored: samples that it wrote anew or deleted, tags that it changed or dropped.
//!
//! It is a condition of the plan, a function of the rows' keys, so that everything beneath it is planned as ever.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt64Type};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use kernel::Deletion;
use rustc_hash::FxHashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use types::{TagId, Timestamp};

/// What is hidden.
pub(super) enum Hidden {
    /// Samples, by ordinal and time.
    Samples(FxHashSet<(u64, i64)>),
    /// Samples that a deletion takes, by ordinal and time.
    Deleted(Deletion),
    /// What belongs to tags, by ordinal.
    Tags(FxHashSet<u64>),
    /// Snapshot values, by name.
    Names(FxHashSet<String>),
}

impl Hidden {
    /// A condition that holds of what is still seen; `keys` are the columns that it is found by. It holds `room` as long as it lives.
    pub(super) fn not(self, keys: Vec<Expr>, room: Arc<MemoryReservation>) -> Expr {
        let signature = Signature::any(keys.len(), Volatility::Immutable);
        let function = Still { hidden: Arc::new(self), signature, _room: room };
        ScalarUDF::new_from_impl(function).call(keys)
    }

    fn has_sample(&self, tag: u64, time: i64) -> bool {
        match self {
            Hidden::Samples(keys) => keys.contains(&(tag, time)),
            Hidden::Deleted(Deletion::Range { tags, range }) => tags.contains(TagId(tag)) && range.contains(Timestamp(time)),
            Hidden::Deleted(Deletion::Points(keys)) => keys.binary_search(&(TagId(tag), Timestamp(time))).is_ok(),
            Hidden::Tags(_) | Hidden::Names(_) => false,
        }
    }

    fn still(&self, keys: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let still = |hides: &dyn Fn(usize) -> bool| (0..rows).map(|row| Some(!hides(row))).collect();
        Ok(match (self, keys) {
            (Hidden::Samples(_) | Hidden::Deleted(_), [tags, times]) => {
                let (tags, times) = (tags.as_primitive::<UInt64Type>(), times.as_primitive::<TimestampMicrosecondType>());
                still(&|row| self.has_sample(tags.value(row), times.value(row)))
            }
            (Hidden::Tags(ordinals), [tags]) if *tags.data_type() == DataType::UInt64 => {
                still(&|row| ordinals.contains(&tags.as_primitive::<UInt64Type>().value(row)))
            }
            (Hidden::Tags(ordinals), [tags]) => {
                still(&|row| ordinals.contains(&(tags.as_primitive::<Int64Type>().value(row) as u64)))
            }
            (Hidden::Names(names), [tags]) => still(&|row| names.contains(tags.as_string_view().value(row))),
            _ => return exec_err!("what a transaction block hides is asked of other columns"),
        })
    }
}

/// The function.
struct Still {
    hidden: Arc<Hidden>,
    signature: Signature,
    _room: Arc<MemoryReservation>,
}

impl fmt::Debug for Still {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

// It is made once a scan.
impl PartialEq for Still {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.hidden, &other.hidden)
    }
}

impl Eq for Still {}

impl Hash for Still {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.hidden).hash(state);
    }
}

impl ScalarUDFImpl for Still {
    fn name(&self) -> &str {
        "not_replaced_in_this_block"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let keys = args.args.iter().map(|key| key.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(self.hidden.still(&keys, args.number_rows)?)))
    }
}
