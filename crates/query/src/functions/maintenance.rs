//! `meridian_flush()` and `meridian_merge()`: write buffers to files, and merge files, now.
//!
//! Promises: the answer comes when the work is done (true), or says why it failed. A waiting statement keeps no thread; one that
//! is cancelled waits no longer, and the work goes on, since it is the store's own and useful either way.

use crate::engine::Engine;
use crate::error::Error;
use crate::ingest::wait;
use crate::store::Store;
use arrow::array::BooleanArray;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use world::Ticket;

type Work = fn(&dyn Store) -> Ticket<std::result::Result<(), Error>>;

struct Maintenance {
    name: &'static str,
    work: Work,
    store: Arc<dyn Store>,
    signature: Signature,
}

impl fmt::Debug for Maintenance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl PartialEq for Maintenance {
    fn eq(&self, other: &Maintenance) -> bool {
        self.name == other.name
    }
}

impl Eq for Maintenance {}

impl Hash for Maintenance {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Maintenance {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} waits, and so is not called", self.name)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Maintenance {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        wait((self.work)(&*self.store)).await?;
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(vec![true; args.number_rows]))))
    }
}

fn function(engine: &Arc<Engine>, name: &'static str, work: Work) -> ScalarUDF {
    let signature = Signature::new(TypeSignature::Nullary, Volatility::Volatile);
    let store = Arc::clone(&engine.store);
    AsyncScalarUDF::new(Arc::new(Maintenance { name, work, store, signature })).into_scalar_udf()
}

pub(super) fn all(engine: &Arc<Engine>) -> Vec<ScalarUDF> {
    vec![function(engine, "meridian_flush", |store| store.flush()), function(engine, "meridian_merge", |store| store.merge())]
}
