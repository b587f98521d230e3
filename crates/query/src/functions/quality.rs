//! `quality(name)`, `quality_name(byte)` and `is_good(byte)`.

use super::simple::Simple;
use crate::rewrite::quality_of;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int16Array, StringArray};
use arrow::datatypes::{DataType, Int16Type, Int64Type};
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use std::sync::Arc;
use types::Quality;

/// A function of a quality's byte: a smallint as the tables have it, or a number as it is written, which is a bigint.
fn of_byte(
    name: &'static str,
    gives: DataType,
    body: impl Fn(&mut dyn Iterator<Item = Option<Option<Quality>>>) -> ArrayRef + Send + Sync + 'static,
) -> ScalarUDF {
    let takes = [DataType::Int16, DataType::Int64].map(|kind| TypeSignature::Exact(vec![kind]));
    let signature = Signature::one_of(takes.to_vec(), Volatility::Immutable);
    Simple::any_of(name, signature, gives, move |args, _| {
        let byte = |number: i64| u8::try_from(number).ok().map(Quality);
        Ok(match args[0].data_type() {
            DataType::Int16 => {
                body(&mut args[0].as_primitive::<Int16Type>().iter().map(|number| number.map(i64::from).map(byte)))
            }
            _ => body(&mut args[0].as_primitive::<Int64Type>().iter().map(|number| number.map(byte))),
        })
    })
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let of_name = Simple::make("quality", vec![DataType::Utf8], DataType::Int16, Volatility::Immutable, |args, _| {
        let names = args[0].as_string::<i32>().iter();
        let bytes = names.map(|name| name.map(|name| quality_of(name).map(|quality| i16::from(quality.0))).transpose());
        Ok(Arc::new(bytes.collect::<Result<Int16Array, _>>()?))
    });
    let name = of_byte("quality_name", DataType::Utf8, |bytes| {
        Arc::new(bytes.map(|byte| byte.flatten().map(|quality| quality.to_string())).collect::<StringArray>())
    });
    let good = of_byte("is_good", DataType::Boolean, |bytes| {
        Arc::new(bytes.map(|byte| byte.map(|byte| byte.is_some_and(Quality::is_good))).collect::<BooleanArray>())
    });
    vec![of_name, name, good]
}
