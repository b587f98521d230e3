//! Point questions of a fleet: no plan either, but the answers come from the store, node by node.

use super::gathered::Gathered;
use super::operands::{array, range, rows_limit};
use super::resolved::{Many, Pairs, moments};
use super::run::{Plan, Question, shown_pairs};
use super::{PointPlan, RowSink};
use crate::engine::Engine;
use crate::error::Error;
use crate::outcome::Rows;
use crate::store::Asker;
use crate::time::Zone;
use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use types::Timestamp;

impl PointPlan {
    /// The rows; None where a plan must find them.
    pub(crate) async fn collect_far(&self, params: &[ScalarValue], asker: &Asker) -> Result<Option<Rows>, Error> {
        let mut gathered = Gathered::new(&self.schema);
        if !self.inner.collect_far(params, asker, &mut gathered).await? {
            return Ok(None);
        }
        self.rows(gathered).map(Some)
    }
}

impl Plan {
    /// Whether the rows went to the sink.
    async fn collect_far(&self, params: &[ScalarValue], asker: &Asker, sink: &mut impl RowSink) -> Result<bool, Error> {
        let store = &self.engine.store;
        match &self.question {
            Question::Latest(tag) => {
                let Some((name, tag, _)) = self.tag(tag, params)? else { return Ok(true) };
                let one = Many::one(name, tag);
                let columns = store.latest_many(one.tags.clone(), asker).await?;
                self.many(&columns, &one, sink)?;
            }
            Question::LatestMany(tags) => {
                let Some(many) = Many::of(&self.engine, array(tags, params)?)? else { return Ok(true) };
                let columns = store.latest_many(many.tags.clone(), asker).await?;
                self.many(&columns, &many, sink)?;
            }
            Question::ValuesAt { tags, times } => {
                let pairs = Pairs::of(&self.engine, array(tags, params)?, array(times, params)?)?;
                let Some(pairs) = pairs else { return Ok(true) };
                let columns = store.values_at(pairs.questions.clone(), asker).await?;
                self.answers(&columns, &pairs, sink)?;
            }
            Question::Range { tag, lows, highs, descending, limit } => {
                let Some((name, tag, _)) = self.tag(tag, params)? else { return Ok(true) };
                let Some(range) = range(lows, highs, params)? else { return Ok(true) };
                let newest = rows_limit(limit.as_ref(), params)? == Some(1) && *descending;
                if !newest || range.first != Timestamp::MIN {
                    return Ok(false);
                }
                let one = Many::one(name, tag);
                let columns = store.values_at(vec![(tag, range.last)], asker).await?;
                self.many(&columns, &one, sink)?;
            }
        }
        Ok(true)
    }
}

/// The rows of `values_at`, for a plan.
pub(crate) async fn far_value_rows(
    engine: &Arc<Engine>,
    tags: ArrayRef,
    times: &ArrayRef,
    zone: Zone,
    asker: &Asker,
) -> Result<RecordBatch, Error> {
    let pairs = Pairs::of(engine, Some(tags), Some(moments(times, zone)?))?.unwrap_or_default();
    let columns = engine.store.values_at(pairs.questions.clone(), asker).await?;
    shown_pairs(engine, &columns, &pairs)
}
