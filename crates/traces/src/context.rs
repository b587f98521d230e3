//! Where one is in a trace: which trace, and which span of it, as W3C Trace Context writes it.
//!
//! Promises: what is read is a trace and a span that there can be; anything else is none.

use std::fmt;
use std::str::FromStr;

/// Bytes of a context between processes: trace and span, big-endian, and the flags.
pub const CONTEXT_BYTES: usize = 25;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// A trace's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The span that is gone on from.
    pub span: u64,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

/// A text that is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "a traceparent is 00-TRACE-SPAN-FLAGS: 32, 16 and 2 hexadecimal digits in lower case, the first two not all zero",
        )
    }
}

impl std::error::Error for Malformed {}

fn hexadecimal(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

impl FromStr for Context {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Context, Malformed> {
        let bytes = text.trim().as_bytes();
        let parsed = || {
            let version = hexadecimal(bytes.get(..2)?)?;
            // Later versions may say more behind what this one knows.
            let ends = if version == 0 { bytes.len() == 55 } else { bytes.get(55).is_none_or(|next| *next == b'-') };
            let dashed = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
            let (trace, span) = (hexadecimal(bytes.get(3..35)?)?, hexadecimal(bytes.get(36..52)?)?);
            let flags = hexadecimal(bytes.get(53..55)?)?;
            let there_is = version != 0xFF && ends && dashed && trace != 0 && span != 0;
            there_is.then_some(Context {
                trace: TraceId(trace),
                span: u64::try_from(span).ok()?,
                sampled: flags & u128::from(SAMPLED) != 0,
            })
        };
        parsed().ok_or(Malformed)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "00-{}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl Context {
    /// What a message between processes carries.
    #[must_use]
    pub fn to_bytes(self) -> [u8; CONTEXT_BYTES] {
        let mut bytes = [0; CONTEXT_BYTES];
        bytes[..16].copy_from_slice(&self.trace.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span.to_be_bytes());
        bytes[24] = u8::from(self.sampled);
        bytes
    }

    /// What a message carried; none where it carried none, or nothing that there can be.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Context> {
        let trace = u128::from_be_bytes(bytes.get(..16)?.try_into().ok()?);
        let span = u64::from_be_bytes(bytes.get(16..24)?.try_into().ok()?);
        let flags = *bytes.get(24)?;
        (trace != 0 && span != 0).then_some(Context { trace: TraceId(trace), span, sampled: flags & SAMPLED != 0 })
    }

    /// The context that a comment of a statement names, as sqlcommenter writes it: `/*traceparent='00-..'*/`, beside other keys.
    #[must_use]
    pub fn in_comment(sql: &str) -> Option<Context> {
        const KEY: &str = "traceparent='";
        let (_, rest) = sql.rsplit_once(KEY)?;
        let before = &sql[..sql.len() - rest.len() - KEY.len()];
        let (value, after) = rest.split_once('\'')?;
        // It counts within a comment alone: one that was opened last, and is closed behind it.
        let opened = before.rfind("/*")?;
        let inside = !before[opened..].contains("*/") && after.contains("*/");
        inside.then(|| value.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read() {
        let context: Context = TEXT.parse().expect("it is one");
        assert_eq!((context.to_string().as_str(), context.sampled), (TEXT, true));
        assert_eq!(Context::from_bytes(&context.to_bytes()), Some(context));
        let not: Context = TEXT.replace("-01", "-00").parse().expect("it is one");
        assert!(!not.sampled && not.trace == context.trace);
        assert!(format!("cc{}-later", &TEXT[2..]).parse::<Context>().is_ok(), "a later version says more");
    }

    #[test]
    fn what_is_none_is_refused() {
        let zero = TEXT.replace("b7ad6b7169203331", "0000000000000000");
        for text in ["", "00", &TEXT[..54], &format!("{TEXT}-x"), &TEXT.to_uppercase(), &format!("ff{}", &TEXT[2..]), &zero] {
            assert_eq!(text.parse::<Context>(), Err(Malformed), "{text}");
        }
        for bytes in [&[][..], &[1; 24], &[0; 25]] {
            assert_eq!(Context::from_bytes(bytes), None);
        }
    }

    #[test]
    fn a_comment_names_it() {
        let context = Some(TEXT.parse().expect("it is one"));
        for (sql, found) in [
            (format!("SELECT 1 /*traceparent='{TEXT}'*/"), context),
            (format!("/* app='x',traceparent='{TEXT}',tracestate='y' */ SELECT 1"), context),
            (format!("SELECT 'traceparent=''{TEXT}'''"), None),
            (format!("SELECT 1 /* a */ traceparent='{TEXT}' /* b */"), None),
            ("SELECT 1 /*traceparent='nothing'*/".to_owned(), None),
            ("SELECT 1".to_owned(), None),
        ] {
            assert_eq!(Context::in_comment(&sql), found, "{sql}");
        }
    }
}
