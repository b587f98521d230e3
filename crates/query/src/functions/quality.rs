//! `quality(name)`, `quality_name(byte)` and `is_good(byte)`.

use super::simple::Simple;
use crate::rewrite::quality_of;
use arrow::array::{AsArray, BooleanArray, Int16Array, StringArray};
use arrow::datatypes::{DataType, Int16Type};
use datafusion::logical_expr::{ScalarUDF, Volatility};
use std::sync::Arc;
use types::Quality;

fn byte(number: i16) -> Option<Quality> {
    u8::try_from(number).ok().map(Quality)
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let of_name = Simple::make("quality", vec![DataType::Utf8], DataType::Int16, Volatility::Immutable, |args, _| {
        let names = args[0].as_string::<i32>().iter();
        let bytes = names.map(|name| name.map(|name| quality_of(name).map(|quality| i16::from(quality.0))).transpose());
        Ok(Arc::new(bytes.collect::<Result<Int16Array, _>>()?))
    });
    let name = Simple::make("quality_name", vec![DataType::Int16], DataType::Utf8, Volatility::Immutable, |args, _| {
        let bytes = args[0].as_primitive::<Int16Type>().iter();
        let names = bytes.map(|number| number.and_then(byte).map(|quality| quality.to_string()));
        Ok(Arc::new(names.collect::<StringArray>()))
    });
    let good = Simple::make("is_good", vec![DataType::Int16], DataType::Boolean, Volatility::Immutable, |args, _| {
        let bytes = args[0].as_primitive::<Int16Type>().iter();
        Ok(Arc::new(
            bytes.map(|number| number.map(|number| byte(number).is_some_and(Quality::is_good))).collect::<BooleanArray>(),
        ))
    });
    vec![of_name, name, good]
}
