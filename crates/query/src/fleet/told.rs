//! Errors across the network: our own form of them, whatever the engine beneath makes of errors, in a node on top of
//! what each data node does.
//!
//! Promises: what failed on a data node is told here with the same SQLSTATE, message, detail and hint.

use crate::error::{Error, Report, from_datafusion};
use crate::passing::{passing, shown_by_name};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::StreamExt;
use std::sync::Arc;

/// What such a text begins with. No message of anybody else's does.
const MARK: &str = "\u{1}meridian error ";

/// An error as the text that crosses the network.
pub(crate) fn text(error: &Error) -> String {
    let Report { message, detail, hint, node, .. } = error.report();
    let fields = serde_json::json!([error.sqlstate(), message, detail, hint, node]);
    format!("{MARK}{fields}")
}

/// The same as the engine's own error.
pub(crate) fn written(error: &Error) -> DataFusionError {
    DataFusionError::Execution(text(error))
}

/// The error that such a text is.
pub(crate) fn read(text: &str) -> Option<Error> {
    let at = text.find(MARK)?;
    let fields: serde_json::Value = serde_json::from_str(text[at + MARK.len()..].lines().next()?).ok()?;
    let field = |index: usize| fields.get(index).and_then(|field| field.as_str()).map(str::to_owned);
    let report = Report {
        message: field(1).unwrap_or_default(),
        detail: field(2),
        hint: field(3),
        node: field(4),
        position: None,
        trace: None,
    };
    Error::of_state(&field(0)?, report)
}

/// The node.
#[derive(Debug)]
pub(crate) struct Told {
    input: Arc<dyn ExecutionPlan>,
}

impl Told {
    pub(crate) fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Told { input })
    }
}

shown_by_name!(Told);

impl ExecutionPlan for Told {
    passing!("Told", Told::over);

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let tell = |error: DataFusionError| written(&from_datafusion(&error, ""));
        let batches = self.input.execute(partition, context).map_err(tell)?;
        let batches = batches.map(move |batch| batch.map_err(tell));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::raise;

    #[test]
    fn an_error_comes_back_from_its_text() {
        let error = raise(Error::Stale, "slice 3 is at epoch 9\nhere").with_hint("again").with_detail("\"quoted\"");
        let DataFusionError::Execution(text) = written(&error) else { panic!("an error of execution") };
        assert_eq!(read(&text), Some(error.clone()));
        assert_eq!(read(&format!("Execution error: {text}\nand more")), Some(error));
        assert_eq!(read("division by zero"), None);
    }
}
