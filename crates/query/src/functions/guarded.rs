//! Functions of DataFusion's that can make much of little, refused before they do (`sizes.rs`), and a few whose
//! arguments PostgreSQL refuses and DataFusion does not.

use super::sizes::{self, Arg, bounded, bounded_total};
use crate::error::{Error, raise};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// What is checked of a call.
#[derive(Clone, Copy, Debug)]
enum Guard {
    /// The bytes of what a row becomes.
    Row(fn(&[Arg<'_>], usize) -> u64),
    /// As long as all arguments together.
    Total,
    /// As long as all, and what stands between.
    Separated,
    /// An argument that can't be.
    Refused(fn(&[Arg<'_>], usize) -> std::result::Result<(), Error>),
}

const GUARDS: &[(&str, Guard)] = &[
    ("repeat", Guard::Row(sizes::repeated)),
    ("lpad", Guard::Row(sizes::padded)),
    ("rpad", Guard::Row(sizes::padded)),
    ("replace", Guard::Row(sizes::replaced)),
    ("regexp_replace", Guard::Row(sizes::replaced_by_pattern)),
    ("array_to_string", Guard::Row(sizes::strung)),
    ("array_repeat", Guard::Row(sizes::items_repeated)),
    ("array_resize", Guard::Row(sizes::items_repeated)),
    ("range", Guard::Row(sizes::ranged)),
    ("generate_series", Guard::Row(sizes::ranged)),
    ("concat", Guard::Total),
    ("concat_ws", Guard::Separated),
    ("overlay", Guard::Total),
    ("array_append", Guard::Total),
    ("array_prepend", Guard::Total),
    ("array_concat", Guard::Total),
    ("array_union", Guard::Total),
    ("chr", Guard::Refused(no_null_character)),
    ("make_date", Guard::Refused(no_year_zero)),
];

fn no_null_character(args: &[Arg<'_>], row: usize) -> std::result::Result<(), Error> {
    if args[0].number(row) == Some(0) { Err(raise(Error::TooLarge, "null character not permitted")) } else { Ok(()) }
}

fn no_year_zero(args: &[Arg<'_>], row: usize) -> std::result::Result<(), Error> {
    let zero = args[0].number(row) == Some(0);
    if zero { Err(raise(Error::TimeOverflow, "date field value out of range: there is no year 0")) } else { Ok(()) }
}

/// Puts them in the place of DataFusion's.
pub(super) fn register(context: &SessionContext) {
    for (at, (name, _)) in GUARDS.iter().enumerate() {
        if let Ok(inner) = context.udf(name) {
            context.register_udf(ScalarUDF::new_from_impl(Guarded { inner, at }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    inner: Arc<ScalarUDF>,
    /// Which of the guards.
    at: usize,
}

impl Guarded {
    fn check(&self, call: &ScalarFunctionArgs) -> Result<()> {
        let (name, guard) = GUARDS[self.at];
        let one = call.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if one { 1 } else { call.number_rows };
        let args = call.args.iter().map(Arg::of).collect::<Result<Vec<_>>>()?;
        match guard {
            Guard::Row(size) if args.len() > 1 || name == "range" || name == "generate_series" => {
                bounded(name, rows, |row| size(&args, row))
            }
            Guard::Total => bounded_total(name, &args, rows),
            Guard::Separated if !args.is_empty() => {
                bounded_total(name, &args, rows)?;
                bounded(name, rows, |row| sizes::separated(&args, row))
            }
            Guard::Refused(check) if !args.is_empty() => {
                (0..rows).try_for_each(|row| check(&args, row))?;
                Ok(())
            }
            // The function says itself what is missing.
            _ => Ok(()),
        }
    }
}

impl ScalarUDFImpl for Guarded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(given)
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        self.inner.return_type(given)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
