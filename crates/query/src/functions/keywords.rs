//! `pg_get_keywords()`: the words of the language, which clients quote or colour.

use crate::catalogue::keywords;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::catalog::{MemTable, TableFunctionImpl, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Keywords;

fn sort(code: &str) -> &'static str {
    match code {
        "C" => "unreserved (cannot be function or type name)",
        "R" => "reserved",
        "T" => "reserved (can be function or type name)",
        _ => "unreserved",
    }
}

impl TableFunctionImpl for Keywords {
    fn call(&self, _: &[Expr]) -> Result<Arc<dyn TableProvider>> {
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let bare = |label: bool| if label { "can be bare label" } else { "requires AS" };
        let batch = RecordBatch::try_from_iter([
            ("word", texts(keywords().map(|(word, ..)| word).collect())),
            ("catcode", texts(keywords().map(|(_, code, _)| code).collect())),
            ("barelabel", Arc::new(keywords().map(|(.., label)| Some(label)).collect::<BooleanArray>()) as ArrayRef),
            ("catdesc", texts(keywords().map(|(_, code, _)| sort(code)).collect())),
            ("baredesc", texts(keywords().map(|(.., label)| bare(label)).collect())),
        ])?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}
