//! Parameters from text.

use crate::array_text;
use crate::error::{Error, raise};
use crate::time::{Zone, parse as parse_time};
use crate::value::{parse_double, parse_real};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

/// The value of a type that a text stands for.
pub(crate) fn parse(wanted: &DataType, text: &str, zone: Zone) -> Result<ScalarValue, Error> {
    let shown = || text.chars().take(64).collect::<String>();
    if text.contains('\0') {
        return Err(raise(Error::Encoding, "invalid byte sequence for encoding \"UTF8\": 0x00"));
    }
    Ok(match wanted {
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Timestamp(_, Some(_)) => ScalarValue::TimestampMicrosecond(Some(parse_time(text, zone)?), Some("UTC".into())),
        DataType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "y" | "1" => ScalarValue::Boolean(Some(true)),
            "f" | "false" | "off" | "no" | "n" | "0" => ScalarValue::Boolean(Some(false)),
            _ => return Err(raise(Error::InvalidText, format!("invalid input syntax for type boolean: \"{}\"", shown()))),
        },
        DataType::List(_) => {
            let items = array_text::items(text)?;
            return array_text::list(&items, wanted, &mut |kind, text| parse(kind, text, zone));
        }
        DataType::Float64 => ScalarValue::Float64(Some(parse_double(text)?)),
        DataType::Float32 => ScalarValue::Float32(Some(parse_real(text)?)),
        other => ScalarValue::try_from_string(text.trim().to_owned(), other)?,
    })
}
