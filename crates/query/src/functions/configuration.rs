//! `current_setting(name [, missing_ok])` and `set_config(name, value, local)`: the session's settings as functions.

use super::simple::Simple;
use crate::error::{Error, raise};
use crate::session::State;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use parking_lot::Mutex;
use std::sync::Arc;

fn current(state: &Mutex<State>, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let names = args[0].as_string::<i32>();
    let lenient = args.get(1).map(|flags| flags.as_boolean());
    let state = state.lock();
    let one = |row: usize| -> std::result::Result<Option<String>, Error> {
        let name = names.value(row);
        match state.variables.shown(name) {
            Some(value) => Ok(Some(value)),
            None if lenient.is_some_and(|flags| flags.value(row)) => Ok(None),
            None => Err(raise(Error::UnknownObject, format!("unrecognized configuration parameter \"{name}\""))),
        }
    };
    Ok(Arc::new((0..rows).map(one).collect::<std::result::Result<StringArray, Error>>()?))
}

fn set(state: &Mutex<State>, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (names, values) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let mut state = state.lock();
    let mut one = |row: usize| -> std::result::Result<Option<String>, Error> {
        let told = state.variables.set(names.value(row), Some(values.value(row)))?;
        state.changes.extend(told);
        Ok(state.variables.shown(names.value(row)))
    };
    Ok(Arc::new((0..rows).map(&mut one).collect::<std::result::Result<StringArray, Error>>()?))
}

pub(super) fn all(state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    let (of_current, of_set) = (Arc::clone(state), Arc::clone(state));
    let text = || TypeSignature::Exact(vec![DataType::Utf8]);
    let lenient = TypeSignature::Exact(vec![DataType::Utf8, DataType::Boolean]);
    vec![
        Simple::any_of(
            "current_setting",
            Signature::one_of(vec![text(), lenient], Volatility::Stable),
            DataType::Utf8,
            move |args, rows| current(&of_current, args, rows),
        ),
        Simple::make(
            "set_config",
            vec![DataType::Utf8, DataType::Utf8, DataType::Boolean],
            DataType::Utf8,
            Volatility::Volatile,
            move |args, rows| set(&of_set, args, rows),
        ),
    ]
}
