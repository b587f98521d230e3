//! Parameters from text.

use crate::error::{Error, raise};
use crate::time::{Zone, parse as parse_time};
use crate::write::array_items;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

/// The value of a type that a text stands for.
pub(crate) fn parse(wanted: &DataType, text: &str, zone: Zone) -> Result<ScalarValue, Error> {
    let shown = || text.chars().take(64).collect::<String>();
    Ok(match wanted {
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Timestamp(_, Some(_)) => ScalarValue::TimestampMicrosecond(Some(parse_time(text, zone)?), Some("UTC".into())),
        DataType::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "on" | "yes" | "y" | "1" => ScalarValue::Boolean(Some(true)),
            "f" | "false" | "off" | "no" | "n" | "0" => ScalarValue::Boolean(Some(false)),
            _ => return Err(raise(Error::InvalidText, format!("invalid input syntax for type boolean: \"{}\"", shown()))),
        },
        DataType::List(item) => {
            let items = array_items(text)
                .ok_or_else(|| raise(Error::InvalidText, format!("malformed array literal: \"{}\"", shown())))?;
            let values = items.iter().map(|text| {
                if text == "NULL" { Ok(ScalarValue::try_from(item.data_type())?) } else { parse(item.data_type(), text, zone) }
            });
            let values = values.collect::<Result<Vec<_>, Error>>()?;
            ScalarValue::List(ScalarValue::new_list_nullable(&values, item.data_type()))
        }
        other => ScalarValue::try_from_string(text.trim().to_owned(), other)?,
    })
}
