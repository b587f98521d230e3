//! Functions beside DataFusion's own: quality, labels, time and the session's own facts.

mod ages;
mod aggregates;
mod arithmetic;
mod bins;
mod calendar;
pub(crate) mod clients;
mod configuration;
mod dressed;
mod keyed;
mod keywords;
mod labels;
mod maintenance;
mod moving;
mod node;
mod numbers;
mod operating;
mod operators;
mod ordered_set;
mod patterns;
mod quality;
mod quoting;
mod scaled;
mod series;
mod shown;
mod simple;
mod sleeping;
mod span_totals;
mod spans;
mod time;
mod to_char;
mod typed;
mod unordered;
mod values_at;
pub(crate) mod vectors;
mod waiting;
mod zones;

use crate::catalogue::{self, Catalogue};
use crate::engine::Engine;
use crate::session::{SessionSettings, State};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};

pub(crate) use aggregates::{MAX, MIN};
pub(crate) use arithmetic::{checked, is_one_nan, negated, one_nan, one_nan_of, one_zero, rounded};
pub(crate) use labels::JSON_TEXT;
pub(crate) use operators::{AS_TYPE, Operators};
pub(crate) use patterns::SUBSTRING_BY;
pub(crate) use series::SERIES;
pub(crate) use shown::{TIME_AT_RUN, read_local, read_time, shown};
pub(crate) use spans::{interval_key, moved};
pub(crate) use zones::{is_moment, local, moment};

/// Registers those that need nothing of a session or of the tag table: the ones that a fleet's nodes know too.
pub(crate) fn register_everywhere(context: &SessionContext) {
    // A function is a handle of what computes it, so that all sessions share that.
    static SHARED: LazyLock<Vec<ScalarUDF>> = LazyLock::new(everywhere);
    for function in SHARED.iter() {
        context.register_udf(function.clone());
    }
    context.register_udf(AS_TYPE.as_ref().clone());
    unordered::register(context);
    for function in aggregates::all() {
        context.register_udaf(function);
    }
}

fn everywhere() -> Vec<ScalarUDF> {
    let plain = [quality::all(), labels::everywhere(), time::all(), calendar::all(), zones::all(), to_char::all()];
    let texts = [arithmetic::all(), ages::all(), numbers::all(), patterns::all(), quoting::all(), vectors::all()];
    plain.into_iter().chain(texts).flatten().collect()
}

/// Registers those that only our rules put into plans: nodes of a fleet must know them, users need not.
pub(crate) fn register_of_rules(context: &SessionContext) {
    let all = arithmetic::of_rules().into_iter().chain(shown::of_rules()).chain(spans::of_rules()).chain(zones::of_rules());
    for function in all {
        context.register_udf(function.as_ref().clone());
    }
}

/// Registers them in a session's context.
pub(crate) fn register(
    context: &SessionContext,
    engine: &Arc<Engine>,
    id: i32,
    settings: &SessionSettings,
    state: &Arc<Mutex<State>>,
) {
    register_everywhere(context);
    let own = [
        labels::all(engine),
        node::all(engine, id, settings),
        maintenance::all(engine),
        configuration::all(state),
        sleeping::all(),
        operating::all(engine),
    ];
    for function in own.into_iter().flatten() {
        context.register_udf(function);
    }
    context.register_udf(shown::READ_TIME_AT_RUN.as_ref().clone());
    context.register_udtf(SERIES, Arc::new(series::Series));
    context.register_udtf("values_at", Arc::new(values_at::ValuesAt::new(engine)));
}

/// The names of all functions and their sorts, as the catalogue tells of them.
pub(crate) fn names(context: &SessionContext) -> Vec<(String, &'static str)> {
    let state = context.state();
    let named = |names: Vec<&String>, sort: &'static str| names.into_iter().map(|name| (name.clone(), sort)).collect::<Vec<_>>();
    let mut all = named(state.scalar_functions().keys().collect(), "f");
    all.extend(named(state.aggregate_functions().keys().collect(), "a"));
    all.extend(named(state.window_functions().keys().collect(), "w"));
    all.extend(named(state.table_functions().keys().collect(), "f"));
    // Those that ask the catalogue are named by one that is empty.
    let empty = Arc::new(Catalogue::of(&[], &[]));
    let clients = clients::of_all(&empty).into_iter().chain(clients::names(&empty, ""));
    all.extend(clients.map(|function| (function.name().to_owned(), "f")));
    all
}

/// Registers those that ask PostgreSQL's catalogue.
pub(crate) fn register_clients(context: &SessionContext, shared: &catalogue::Shared, user: &str) {
    let of_all = shared.functions.get_or_init(|| clients::of_all(&shared.catalogue));
    for function in of_all.iter().cloned().chain(clients::names(&shared.catalogue, user)) {
        context.register_udf(function);
    }
    context.register_udtf("pg_get_keywords", Arc::new(keywords::Keywords));
}
