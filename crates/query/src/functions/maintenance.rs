//! `meridian_flush()` and `meridian_merge()`: write buffers to files, and merge files, now. `meridian_set_rule(..)`: which slice
//! a sample lies in, before the first tag.
//!
//! Promises: the answer comes when the work is done (true), or says why it failed. A waiting statement keeps no thread; one that
//! is cancelled waits no longer, and the work goes on, since it is the store's own and useful either way.

use super::waiting::{self, Takes};
use crate::engine::Engine;
use crate::error::{Error, Report};
use crate::ingest::wait;
use crate::schema::span_type;
use crate::session::State;
use crate::store::Store;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ScalarUDF;
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;
use types::DistributionRule;
use world::Ticket;

type Work = fn(&dyn Store) -> Ticket<Result<(), Error>>;

fn function(engine: &Arc<Engine>, state: &Arc<Mutex<State>>, name: &'static str, work: Work) -> ScalarUDF {
    let (store, state) = (Arc::clone(&engine.store), Arc::clone(state));
    waiting::make(name, Takes::with_optional(&[], 0, true), DataType::Boolean, move |_| {
        let admitted = state.lock().admit_acting(name);
        let done = admitted.map(|()| work(&*store));
        async move { wait(done?).await.map(|()| ScalarValue::Boolean(Some(true))) }.boxed()
    })
}

/// `meridian_set_rule(w1, b1, w2, b2, buckets [, day])`.
fn set_rule(engine: &Arc<Engine>, state: &Arc<Mutex<State>>) -> ScalarUDF {
    let (engine, state) = (Arc::clone(engine), Arc::clone(state));
    let takes: Vec<DataType> = std::iter::repeat_n(DataType::Int64, 5).chain([span_type()]).collect();
    waiting::make("meridian_set_rule", Takes::with_optional(&takes, 1, true), DataType::Boolean, move |arguments| {
        let engine = Arc::clone(&engine);
        let admitted = state.lock().admit_acting("meridian_set_rule");
        async move {
            admitted?;
            let rule = rule_of(&arguments)?;
            let tags = engine.catalog.ordinals();
            if tags > 0 && engine.store.rule() != rule {
                let report = Report {
                    message: format!("the distribution rule can't be set any more: {tags} tags were made already"),
                    hint: Some("it is set before the first tag; make another store, and copy the data".to_owned()),
                    ..Report::default()
                };
                return Err(Error::CantChange(Box::new(report)));
            }
            engine.store.set_rule(rule).await.map(|()| ScalarValue::Boolean(Some(true)))
        }
        .boxed()
    })
}

fn rule_of(arguments: &[ScalarValue]) -> Result<DistributionRule, Error> {
    let wrong = |what: &str| Error::InvalidParameter(Box::new(Report { message: what.to_owned(), ..Report::default() }));
    let [w1, b1, w2, b2, buckets, rest @ ..] = arguments else {
        return Err(wrong("a rule has w1, b1, w2, b2 and buckets"));
    };
    let wide = |name: &str, value: &ScalarValue| match value {
        ScalarValue::Int64(Some(value)) => {
            u64::try_from(*value).map_err(|_| wrong(&format!("{name} is {value}, which is below zero")))
        }
        _ => Err(wrong(&format!("{name} is a number"))),
    };
    let narrow = |name: &str, value: &ScalarValue| {
        u32::try_from(wide(name, value)?).map_err(|_| wrong(&format!("{name} is above {}", u32::MAX)))
    };
    let day_us = match rest {
        [] => DistributionRule::default().day_us,
        [ScalarValue::IntervalMonthDayNano(Some(span))] if span.months == 0 => {
            i64::from(span.days).saturating_mul(DAY_US).saturating_add(span.nanoseconds / 1_000)
        }
        _ => return Err(wrong("a day of the rule is a span of days or less, without months: INTERVAL '8 hours'")),
    };
    let rule = DistributionRule {
        w1: narrow("w1", w1)?,
        b1: wide("b1", b1)?,
        w2: narrow("w2", w2)?,
        b2: wide("b2", b2)?,
        buckets: narrow("buckets", buckets)?,
        day_us,
    };
    rule.check().map_err(|fault| wrong(&fault.to_string()))?;
    Ok(rule)
}

/// Microseconds of a day of 24 hours.
const DAY_US: i64 = 86_400_000_000;

pub(super) fn all(engine: &Arc<Engine>, state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    vec![
        function(engine, state, "meridian_flush", |store| store.flush()),
        function(engine, state, "meridian_merge", |store| store.merge()),
        set_rule(engine, state),
    ]
}
