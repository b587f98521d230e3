//! What clients ask a server about itself, and cancelling.

use super::simple::Simple;
use super::typed::Typed;
use crate::access::{Access, Signal, admit_signal};
use crate::context::DATABASE;
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::schema::time_type;
use crate::session::State;
use crate::time::Zone;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int32Builder, Int64Array, ListBuilder, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use parking_lot::Mutex;
use std::sync::Arc;

fn text(name: &'static str, value: String) -> ScalarUDF {
    Simple::make(name, Vec::new(), DataType::Utf8, Volatility::Stable, move |_, rows| {
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&value, rows))))
    })
}

fn nothing(name: &'static str, takes: Vec<DataType>) -> ScalarUDF {
    Simple::make(name, takes, DataType::Utf8, Volatility::Stable, |_, rows| Ok(Arc::new(StringArray::new_null(rows))))
}

/// A role's name, as it is when it is asked for.
fn role(name: &'static str, access: &Arc<Access>, of: fn(&Access) -> Arc<str>) -> ScalarUDF {
    let access = Arc::clone(access);
    Simple::make(name, Vec::new(), DataType::Utf8, Volatility::Stable, move |_, rows| {
        Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*of(&access), rows))))
    })
}

/// What is done to a session by its number. A number as it is written is a bigint; smaller ones become one.
fn signal(
    name: &'static str,
    takes: &[&[DataType]],
    (engine, access, state): (&Arc<Engine>, &Arc<Access>, &Arc<Mutex<State>>),
    signal: Signal,
) -> ScalarUDF {
    let (engine, access, state) = (Arc::clone(engine), Arc::clone(access), Arc::clone(state));
    let signature = TypeSignature::OneOf(takes.iter().map(|types| TypeSignature::Exact(types.to_vec())).collect());
    Simple::any_of(name, Signature::new(signature, Volatility::Volatile), DataType::Boolean, move |args, _| {
        // Numbers of sessions have 32 bits; no other names one.
        let done = |id: i64| -> datafusion::error::Result<bool> {
            // Transactions that only read may do so, as in PostgreSQL; who is asked for reading alone may not.
            if state.lock().only_reads {
                return Err(raise(Error::ReadOnly, format!("cannot execute {name} where nothing may be changed")).into());
            }
            let Ok(id) = i32::try_from(id) else { return Ok(false) };
            if let Some(owner) = engine.owner(id) {
                admit_signal(&access, &owner, signal)?;
            }
            Ok(match signal {
                Signal::Cancel => engine.cancel(id),
                Signal::Terminate => engine.terminate(id),
            })
        };
        let ids = args[0].as_primitive::<Int64Type>().iter();
        let all = ids.map(|id| id.map(done).transpose()).collect::<datafusion::error::Result<Vec<_>>>()?;
        Ok(Arc::new(BooleanArray::from(all)))
    })
}

pub(super) fn all(engine: &Arc<Engine>, id: i32, access: &Arc<Access>, state: &Arc<Mutex<State>>) -> Vec<ScalarUDF> {
    let of = (engine, access, state);
    let release = format!("PostgreSQL 16.0 (Meridian {})", engine.settings.release);
    let mut out = vec![
        text("version", release),
        text("current_database", DATABASE.to_owned()),
        text("current_catalog", DATABASE.to_owned()),
        text("current_schema", "public".to_owned()),
        role("current_user", access, Access::current_user),
        role("user", access, Access::current_user),
        role("session_user", access, Access::session_user),
        text("inet_server_addr", String::new()),
        Simple::make("pg_backend_pid", Vec::new(), DataType::Int32, Volatility::Stable, move |_, rows| {
            Ok(Arc::new(Int32Array::from_value(id, rows)))
        }),
        signal("pg_cancel_backend", &[&[DataType::Int64]], of, Signal::Cancel),
        // The second argument is how long to wait for the end, in ms: it comes at once.
        signal("pg_terminate_backend", &[&[DataType::Int64], &[DataType::Int64, DataType::Int64]], of, Signal::Terminate),
    ];
    out.push(database_size(engine));
    out.extend(times(engine));
    out.extend(catalogue());
    out
}

/// Moments that the node knows, and what it is of a fleet.
fn times(engine: &Arc<Engine>) -> Vec<ScalarUDF> {
    let moment = |name, volatility, us: Box<dyn Fn() -> i64 + Send + Sync>| {
        Simple::make(name, Vec::new(), time_type(), volatility, move |_, rows| {
            Ok(Arc::new(TimestampMicrosecondArray::from_value(us(), rows).with_timezone("UTC")))
        })
    };
    let (started_us, now, commit) = (engine.started_us, Arc::clone(engine), Arc::clone(engine));
    let number = move |_: &[ArrayRef], rows: usize| -> datafusion::error::Result<ArrayRef> {
        // Commits of a fleet are numbered by the clock.
        let clock = || u64::try_from(commit.settings.clock.wall_us()).unwrap_or(0);
        let visible = commit.local.as_ref().map_or_else(clock, |kernel| kernel.status().visible.0);
        let visible = i64::try_from(visible).unwrap_or(i64::MAX);
        Ok(Arc::new(Int64Array::from_value(visible, rows)))
    };
    vec![
        moment("clock_timestamp", Volatility::Volatile, Box::new(move || now.settings.clock.wall_us())),
        moment("pg_postmaster_start_time", Volatility::Stable, Box::new(move || started_us)),
        moment("pg_conf_load_time", Volatility::Stable, Box::new(move || started_us)),
        Simple::make("txid_current", Vec::new(), DataType::Int64, Volatility::Stable, number.clone()),
        Simple::make("pg_current_xact_id", Vec::new(), DataType::Int64, Volatility::Stable, number),
        Simple::make("pg_is_in_recovery", Vec::new(), DataType::Boolean, Volatility::Stable, |_, rows| {
            Ok(Arc::new(BooleanArray::from(vec![false; rows])))
        }),
    ]
}

/// One of several lists of types.
fn one_of(lists: &[&[DataType]]) -> Signature {
    Signature::one_of(lists.iter().map(|types| TypeSignature::Exact(types.to_vec())).collect(), Volatility::Stable)
}

/// The type of a value, by the name that SQL has for it.
fn type_names() -> ScalarUDF {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| given.to_vec());
    let body = |args: &[ArrayRef], _: Zone| -> datafusion::error::Result<ArrayRef> {
        let name = crate::catalogue::type_name_of(args[0].data_type());
        Ok(Arc::new(StringArray::from(vec![name; args[0].len()])))
    };
    Typed { name: "pg_typeof", aliases: &[], takes, gives: |_| DataType::Utf8, body }.udf().as_ref().clone()
}

/// `pg_size_pretty(bytes)`: a size that people read.
fn sizes() -> ScalarUDF {
    let pretty = |bytes: i64| {
        let (mut size, mut at) = (bytes, 0);
        let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
        // As PostgreSQL: a unit is left for the next from 10 kB, 10 MB .. on, rounded to the nearest.
        while size.abs() >= 10 * 1024 && at + 1 < units.len() {
            size = (size + size.signum() * 512) / 1024;
            at += 1;
        }
        format!("{size} {}", units[at])
    };
    Simple::make("pg_size_pretty", vec![DataType::Int64], DataType::Utf8, Volatility::Immutable, move |args, _| {
        let sizes = args[0].as_primitive::<Int64Type>().iter();
        Ok(Arc::new(sizes.map(|bytes| bytes.map(pretty)).collect::<StringArray>()))
    })
}

/// `pg_database_size(name)`: what the log and all files take. A fleet's are in `meridian.files`, by node.
fn database_size(engine: &Arc<Engine>) -> ScalarUDF {
    let engine = Arc::clone(engine);
    Simple::any_of("pg_database_size", one_of(&[&[DataType::Utf8], &[DataType::Int64]]), DataType::Int64, move |_, rows| {
        let Some(kernel) = &engine.local else { return Ok(new_null_array(&DataType::Int64, rows)) };
        let files: u64 = kernel.slices().iter().map(|slice| slice.file_bytes).sum();
        let bytes = files.saturating_add(kernel.status().log_bytes);
        Ok(Arc::new(Int64Array::from_value(i64::try_from(bytes).unwrap_or(i64::MAX), rows)))
    })
}

/// `pg_blocking_pids(pid)`: nobody's, since no statement holds a lock that another one waits for.
fn blocking() -> ScalarUDF {
    let takes = one_of(&[&[DataType::Int32], &[DataType::Int64]]);
    Simple::any_of("pg_blocking_pids", takes, DataType::new_list(DataType::Int32, true), |_, rows| {
        let mut out = ListBuilder::new(Int32Builder::new());
        (0..rows).for_each(|_| out.append(true));
        Ok(Arc::new(out.finish()))
    })
}

/// What is asked beside the tables of `pg_catalog`.
fn catalogue() -> Vec<ScalarUDF> {
    vec![
        // There are no advisory locks to be unlocked: pools ask so when they take a connection back.
        nothing("pg_advisory_unlock_all", Vec::new()),
        nothing("inet_client_addr", Vec::new()),
        nothing("inet_client_port", Vec::new()),
        nothing("inet_server_port", Vec::new()),
        blocking(),
        type_names(),
        sizes(),
    ]
}
