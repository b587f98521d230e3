//! Functions beside DataFusion's own: quality, labels, time and the session's own facts.

mod ages;
mod aggregates;
mod arithmetic;
mod bins;
mod bytes;
mod calendar;
mod chain;
pub(crate) mod clients;
mod configuration;
mod decimal_mean;
mod domains;
mod dressed;
mod floats;
mod from_char;
mod guarded;
mod joined;
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
mod privileges;
mod quality;
mod quotients;
mod quoting;
mod retention;
mod scaled;
mod series;
mod shown;
mod simple;
mod sizes;
mod sleeping;
mod span_totals;
mod spans;
mod spread;
mod time;
mod to_char;
mod typed;
mod unknowns;
mod unordered;
mod values_at;
pub(crate) mod vectors;
mod waiting;
mod zones;

use crate::access::Access;
use crate::catalogue::{self, Catalogue};
use crate::engine::Engine;
use crate::session::State;
use datafusion::logical_expr::{Documentation, ScalarUDF};
use datafusion::prelude::SessionContext;
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};

pub(crate) use aggregates::{MAX, MIN};
pub(crate) use arithmetic::{checked, is_one_nan, negated, one_nan, one_nan_of, one_zero, rounded};
pub(crate) use bytes::read_bytes;
pub(crate) use floats::{narrowed, read_float};
pub(crate) use joined::joined;
pub(crate) use labels::JSON_TEXT;
pub(crate) use operators::{AS_TYPE, Operators};
pub(crate) use patterns::SUBSTRING_BY;
pub(crate) use quotients::{divided, is_decimal};
pub(crate) use series::SERIES;
pub(crate) use shown::{TIME_AT_RUN, read_local, read_time, shown};
pub(crate) use spans::{interval_key, moved, shift_one};
pub(crate) use spread::{is_long, spread};
pub(crate) use unknowns::{UNKNOWN, is_text, settled, together};
pub(crate) use values_at::is_values_at;
pub(crate) use zones::{is_moment, local, moment};

/// Registers those that need nothing of a session or of the tag table: the ones that a fleet's nodes know too.
pub(crate) fn register_everywhere(context: &SessionContext) {
    // A function is a handle of what computes it, so that all sessions share that.
    static SHARED: LazyLock<Vec<ScalarUDF>> = LazyLock::new(everywhere);
    for function in SHARED.iter() {
        context.register_udf(function.clone());
    }
    context.register_udf(AS_TYPE.as_ref().clone());
    context.register_udf(unknowns::FUNCTION.as_ref().clone());
    unordered::register(context);
    guarded::register(context);
    for function in aggregates::all() {
        context.register_udaf(function);
    }
}

fn everywhere() -> Vec<ScalarUDF> {
    let plain =
        [quality::all(), labels::everywhere(), time::all(), calendar::all(), zones::all(), to_char::all(), from_char::all()];
    let texts = [arithmetic::all(), ages::all(), numbers::all(), patterns::all(), quoting::all(), vectors::all(), bytes::all()];
    plain.into_iter().chain(texts).flatten().collect()
}

/// Registers those that only our rules put into plans: nodes of a fleet must know them, users need not.
pub(crate) fn register_of_rules(context: &SessionContext) {
    let all = arithmetic::of_rules().into_iter().chain(shown::of_rules()).chain(spans::of_rules()).chain(zones::of_rules());
    let all = all.chain(chain::of_rules()).chain(quotients::of_rules()).chain(floats::of_rules());
    for function in all.chain(bytes::of_rules()).chain(joined::of_rules()) {
        context.register_udf(function.as_ref().clone());
    }
}

/// Registers them in a session's context.
pub(crate) fn register(context: &SessionContext, engine: &Arc<Engine>, id: i32, state: &Arc<Mutex<State>>, access: &Arc<Access>) {
    register_everywhere(context);
    let own = [
        labels::all(engine, access, state),
        node::all(engine, id, access, state),
        maintenance::all(engine, state),
        retention::all(engine, id, access, state),
        configuration::all(state),
        sleeping::all(),
        operating::all(engine, id, access, state),
        privileges::all(engine, access),
    ];
    for function in own.into_iter().flatten() {
        context.register_udf(function);
    }
    context.register_udf(shown::READ_TIME_AT_RUN.as_ref().clone());
    context.register_udtf(SERIES, Arc::new(series::Series));
    context.register_udtf("values_at", Arc::new(values_at::ValuesAt::new(engine, access)));
}

/// All functions as the catalogue tells of them: by name, with sort and the first sentence of what is said of each.
pub(crate) fn names(context: &SessionContext, access: &Arc<Access>) -> Vec<catalogue::Function> {
    let state = context.state();
    let told = |of: Option<&Documentation>| {
        let first = of.and_then(|of| of.description.trim().split(". ").next().map(str::to_owned));
        first.filter(|text| !text.is_empty())
    };
    let mut all: Vec<catalogue::Function> = Vec::new();
    all.extend(state.scalar_functions().iter().map(|(name, of)| (name.clone(), "f", told(of.documentation()))));
    all.extend(state.aggregate_functions().iter().map(|(name, of)| (name.clone(), "a", told(of.documentation()))));
    all.extend(state.window_functions().iter().map(|(name, of)| (name.clone(), "w", told(of.documentation()))));
    all.extend(state.table_functions().keys().map(|name| (name.clone(), "f", None)));
    // Those that ask the catalogue are named by one that is empty.
    let empty = Arc::new(Catalogue::of(&[], &[]));
    let clients = clients::of_all(&empty).into_iter().chain(clients::names(&empty, access));
    all.extend(clients.map(|function| (function.name().to_owned(), "f", None)));
    all
}

/// Registers those that ask PostgreSQL's catalogue.
pub(crate) fn register_clients(context: &SessionContext, shared: &catalogue::Shared, access: &Arc<Access>) {
    let of_all = shared.functions.get_or_init(|| clients::of_all(&shared.catalogue));
    for function in of_all.iter().cloned().chain(clients::names(&shared.catalogue, access)) {
        context.register_udf(function);
    }
    context.register_udtf("pg_get_keywords", Arc::new(keywords::Keywords));
}
