//! Point questions of a fleet: no plan either, but the answers come from the store, node by node.

use super::gathered::Gathered;
use super::operands::{array, names, rows_limit};
use super::question::{Plan, Question, Tags};
use super::resolved::{Many, Pairs, moments};
use super::run::{PointAnswer, shown_pairs};
use super::{PointPlan, RowSink};
use crate::access::{Access, Rights};
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
        let mut gathered = Gathered::new(&self.schema)?;
        match self.answer_far(params, asker, &mut gathered).await? {
            PointAnswer::Done(_) => self.rows(gathered).map(Some),
            PointAnswer::TooLong => Ok(None),
        }
    }

    /// Puts the rows into a sink; none where a plan must find them.
    pub(crate) async fn answer_far(
        &self,
        params: &[ScalarValue],
        asker: &Asker,
        sink: &mut impl RowSink,
    ) -> Result<PointAnswer, Error> {
        self.inner.answer_far(params, asker, sink).await
    }
}

impl Plan {
    async fn answer_far(&self, params: &[ScalarValue], asker: &Asker, sink: &mut impl RowSink) -> Result<PointAnswer, Error> {
        const NOTHING: Result<PointAnswer, Error> = Ok(PointAnswer::Done(0));
        let store = &self.engine.store;
        let bound = self.bound()?;
        let rights = bound.as_deref();
        match &self.question {
            Question::Latest(tag) => {
                let Some((name, tag, _)) = self.tag(tag, params, rights)? else { return NOTHING };
                let one = Many::one(name, tag);
                self.many(&store.latest_many(one.tags.clone(), asker).await?, &one, sink)
            }
            Question::LatestMany(tags) => {
                let Some(names) = names(tags, params)? else { return NOTHING };
                let many = Many::of(&self.engine, rights, self.table, names);
                self.many(&store.latest_many(many.tags.clone(), asker).await?, &many, sink)
            }
            Question::ValuesAt { tags, times } => {
                let pairs = Pairs::of(&self.engine, rights, array(tags, params)?, array(times, params)?)?;
                let Some(pairs) = pairs else { return NOTHING };
                self.answers(&store.values_at(pairs.questions.clone(), asker).await?, &pairs, sink)
            }
            Question::Totals(_) => Ok(PointAnswer::TooLong),
            Question::Range(asked) => {
                let Tags::One(tag) = &asked.tags else { return Ok(PointAnswer::TooLong) };
                let Some((name, tag, _)) = self.tag(tag, params, rights)? else { return NOTHING };
                let Some(range) = self.within(&asked.lows, &asked.highs, params)? else { return NOTHING };
                let newest = rows_limit(asked.limit.as_ref(), params)? == Some(1) && asked.order.is_newest_first();
                if !newest || range.first != Timestamp::MIN {
                    return Ok(PointAnswer::TooLong);
                }
                let one = Many::one(name, tag);
                self.many(&store.values_at(vec![(tag, range.last)], asker).await?, &one, sink)
            }
        }
    }
}

/// The rows of `values_at`, for a plan.
pub(crate) async fn far_value_rows(
    engine: &Arc<Engine>,
    (access, rights): (&Arc<Access>, &Rights),
    tags: ArrayRef,
    times: &ArrayRef,
    zone: Zone,
    asker: &Asker,
) -> Result<RecordBatch, Error> {
    let pairs = Pairs::of(engine, Some(rights), Some(tags), Some(moments(times, zone)?))?.unwrap_or_default();
    let columns = engine.store.values_at(pairs.questions.clone(), asker).await?;
    shown_pairs(engine, access, &columns, &pairs)
}
