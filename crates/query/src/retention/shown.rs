//! `meridian.retention`: the policies, and what was done by them.

use super::due::{due, next_us};
use super::policy::{Policy, Rows, Rule};
use crate::engine::Engine;
use crate::store::NodeReport;
use arrow::array::{ArrayRef, Int64Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray};
use std::collections::HashMap;
use std::sync::Arc;

type Column = (&'static str, ArrayRef);

/// The columns; what is not known of a policy is NULL.
pub(crate) fn columns(engine: &Engine, reports: &[NodeReport]) -> Vec<Column> {
    let roster = engine.roles().roster();
    let (now_us, period_us) = (engine.settings.clock.wall_us(), reports.iter().map(|report| report.period_us).max());
    let all: Vec<&Policy> = roster.policies().values().map(AsRef::as_ref).collect();
    let due = due(roster.policies(), &engine.catalog, now_us, period_us.unwrap_or(1)).unwrap_or_default();
    let counts: HashMap<Arc<str>, i64> = due.into_iter().map(|due| (due.policy, due.tags.len() as i64)).collect();
    let rules = || all.iter().map(|policy| policy.rule.as_ref());
    let done = |rule: &Rule| (rule.done.at_us != 0).then_some(rule.done);
    let texts = |of: &dyn Fn(&Rule) -> Option<String>| -> ArrayRef {
        Arc::new(rules().map(|rule| rule.and_then(of)).collect::<StringArray>())
    };
    let times = |of: &dyn Fn(&Rule) -> Option<i64>| -> ArrayRef {
        Arc::new(rules().map(|rule| rule.and_then(of)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let keeps: IntervalMonthDayNanoArray = rules().map(|rule| rule.map(|rule| rule.keep.interval())).collect();
    let matching: Int64Array = all.iter().map(|policy| counts.get(&policy.name).copied()).collect();
    let removed: Int64Array = rules().map(|rule| rule.map(|rule| i64::try_from(rule.done.rows).unwrap_or(i64::MAX))).collect();
    vec![
        ("name", Arc::new(all.iter().map(|policy| Some(policy.name.to_string())).collect::<StringArray>()) as ArrayRef),
        ("tags", texts(&|rule| Some(rule.tags.to_string()))),
        ("rows", texts(&|rule| rule.rows.map(Rows::name).map(str::to_owned))),
        ("keep", Arc::new(keeps)),
        ("matching_tags", Arc::new(matching)),
        ("created", times(&|rule| Some(rule.created_us))),
        ("creator", texts(&|rule| Some(roster.name_of(rule.creator)))),
        ("rows_removed", Arc::new(removed)),
        ("removed_before", times(&|rule| done(rule).map(|done| done.before_us))),
        ("last_removal", times(&|rule| done(rule).map(|done| done.at_us))),
        ("next_removal", times(&|rule| period_us.map(|period_us| next_us(rule, now_us, period_us)))),
    ]
}
