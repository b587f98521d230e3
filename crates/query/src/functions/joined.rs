//! `a || b` of texts, refused (54000) where it would be longer than a value may be (`sizes.rs`).

use super::sizes::{Arg, bounded_total};
use super::typed::{Typed, call};
use crate::time::Zone;
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::concat_elements::concat_elements_utf8;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

static JOINED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 2).then(|| vec![DataType::Utf8, DataType::Utf8]);
    Typed { name: "text_joined", aliases: &[], takes, gives: |_| DataType::Utf8, body: join }.udf()
});

fn join(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let values: Vec<ColumnarValue> = args.iter().map(|arg| ColumnarValue::Array(Arc::clone(arg))).collect();
    let sizes: Vec<Arg<'_>> = values.iter().map(Arg::of).collect::<Result<_>>()?;
    bounded_total("||", &sizes, args[0].len())?;
    let (left, right) = (cast(&args[0], &DataType::Utf8)?, cast(&args[1], &DataType::Utf8)?);
    Ok(Arc::new(concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>())?))
}

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 1] {
    [Arc::clone(&JOINED)]
}

/// One text behind the other.
pub(crate) fn joined(left: Expr, right: Expr) -> Expr {
    call(&JOINED, vec![left, right])
}
