//! Moments and what clocks show of them: `timezone(zone, time)`, which is what `time AT TIME ZONE zone`
//! means, and the two ways between `timestamptz` and `timestamp` in the session's zone.

use super::typed::{Typed, call};
use crate::schema::{local_type, time_type};
use crate::time::Zone;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

static LOCAL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Typed {
        name: "local_time",
        aliases: &[],
        takes: |_| Some(vec![time_type()]),
        gives: |_| local_type(),
        body: |args, zone| Ok(shifted(&args[0], |us| zone.local(us), false)),
    }
    .udf()
});

static MOMENT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Typed {
        name: "moment",
        aliases: &[],
        takes: |_| Some(vec![local_type()]),
        gives: |_| time_type(),
        body: |args, zone| Ok(shifted(&args[0], |us| zone.moment(us), true)),
    }
    .udf()
});

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 2] {
    [&LOCAL, &MOMENT].map(|function| Arc::clone(function))
}

/// What the session's clocks show at a moment.
pub(crate) fn local(moment: Expr) -> Expr {
    call(&LOCAL, vec![moment])
}

/// The moment at which the session's clocks show a time.
pub(crate) fn moment(local: Expr) -> Expr {
    call(&MOMENT, vec![local])
}

/// Whether a type is `timestamptz`.
pub(crate) fn is_moment(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, Some(_)))
}

fn shifted(times: &ArrayRef, shift: impl Fn(i64) -> i64, moments: bool) -> ArrayRef {
    let shifted = times.as_primitive::<TimestampMicrosecondType>().unary::<_, TimestampMicrosecondType>(shift);
    typed(shifted, moments)
}

fn typed(times: TimestampMicrosecondArray, moments: bool) -> ArrayRef {
    if moments { Arc::new(times.with_timezone("UTC")) } else { Arc::new(times.with_timezone_opt(None::<Arc<str>>)) }
}

fn time_zone(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let (zones, times) = (args[0].as_string::<i32>(), args[1].as_primitive::<TimestampMicrosecondType>());
    let from_moments = is_moment(args[1].data_type());
    let mut known: Option<(&str, Zone)> = None;
    let mut out = TimestampMicrosecondArray::builder(times.len());
    for row in 0..times.len() {
        if zones.is_null(row) || times.is_null(row) {
            out.append_null();
            continue;
        }
        let name = zones.value(row);
        let zone = match known {
            Some((last, zone)) if last == name => zone,
            _ => Zone::parse(name)?,
        };
        known = Some((name, zone));
        out.append_value(if from_moments { zone.local(times.value(row)) } else { zone.moment(times.value(row)) });
    }
    Ok(typed(out.finish(), !from_moments))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let time_zone = Typed {
        name: "timezone",
        aliases: &[],
        takes: |given| {
            let [_, time] = given else { return None };
            let local = matches!(time, DataType::Timestamp(_, None));
            Some(vec![DataType::Utf8, if local { local_type() } else { time_type() }])
        },
        gives: |given| if is_moment(&given[1]) { local_type() } else { time_type() },
        body: time_zone,
    };
    vec![time_zone.udf().as_ref().clone()]
}
