//! What an operator tells the fleet, by SQL: functions, each of which answers a text that says what was done (docs/fleet.md).
//!
//! Promises: every function can be asked twice without harm, and what it asks for lives on in meta. May not know how anything is
//! carried out.

use super::admin::{names, told};
use crate::config::ReplicationSetting;
use arrow::datatypes::DataType;
use cluster::manager::{Admin, AdminError, Checked, CopyState, ForceLoss, Placement, Replication};
use protocol::Mode;
use query::{Error, OperatorFunction, Report, ScalarValue};
use types::{NodeId, SliceId};

/// All of them.
pub fn functions() -> Vec<OperatorFunction> {
    let function = |(name, arguments, optional): &(&'static str, &[DataType], usize)| OperatorFunction {
        name,
        arguments: arguments.to_vec(),
        optional: *optional,
        // Of all slices, where none is named.
        strict: *name != "meridian_check",
    };
    FUNCTIONS.iter().map(function).collect()
}

/// The functions, the types of their arguments, and how many of the last ones may be left out.
const FUNCTIONS: [(&str, &[DataType], usize); 11] = [
    ("meridian_drain", &[DataType::Int64], 0),
    ("meridian_undrain", &[DataType::Int64], 0),
    ("meridian_remove", &[DataType::Int64], 0),
    ("meridian_move", &[DataType::Int64, DataType::Utf8], 0),
    ("meridian_switch", &[DataType::Int64, DataType::Int64], 0),
    ("meridian_cancel", &[DataType::Int64], 0),
    ("meridian_force", &[DataType::Int64, DataType::Int64, DataType::Boolean], 1),
    ("meridian_check", &[DataType::Int64], 0),
    ("meridian_even", &[DataType::Boolean], 0),
    ("meridian_place", &[], 0),
    ("meridian_set_replication", &[DataType::Utf8, DataType::Int64, DataType::Int64], 2),
];

fn number(argument: &ScalarValue) -> Result<u64, Error> {
    let wrong = || {
        let report = Report { message: format!("{argument} is no number of a node or slice"), ..Report::default() };
        Error::InvalidParameter(Box::new(report))
    };
    match argument {
        ScalarValue::Int64(Some(value)) => u64::try_from(*value).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn slice(argument: &ScalarValue) -> Result<SliceId, Error> {
    let value = number(argument)?;
    u32::try_from(value).map(SliceId).map_err(|_| {
        Error::InvalidParameter(Box::new(Report { message: format!("there is no slice {value}"), ..Report::default() }))
    })
}

fn text(argument: &ScalarValue) -> Option<&str> {
    match argument {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)) => Some(text),
        _ => None,
    }
}

/// Nodes as `'3,1,2'`, the primary first.
fn list(argument: &ScalarValue) -> Result<Vec<NodeId>, Error> {
    let wrong = || AdminError::Invalid(format!("{argument} is no list of nodes: write '3,1', the primary first"));
    let text = text(argument).ok_or_else(|| told(wrong()))?;
    let parts = text.split(',').map(|part| part.trim().parse().map(NodeId));
    parts
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| told(AdminError::Invalid(format!("\"{text}\" is no list of nodes: write '3,1', the primary first"))))
}

/// `'sync'`, or by how many records copies may be behind.
fn replication(argument: &ScalarValue) -> Result<Mode, Error> {
    ReplicationSetting::mode_of(text(argument).unwrap_or_default()).map_err(|problem| told(AdminError::Invalid(problem)))
}

/// Calls one.
///
/// # Errors
/// `Error::InvalidParameter`, `Error::CantChange`, `Error::Unavailable`.
pub async fn call(admin: &Admin, function: &str, arguments: &[ScalarValue]) -> Result<String, Error> {
    match (function, arguments) {
        ("meridian_drain", [node]) => {
            let node = NodeId(number(node)?);
            admin.drain(node).await.map_err(told)?;
            Ok(format!("node {node} is being emptied; meridian.operations shows how far it is"))
        }
        ("meridian_undrain", [node]) => {
            let node = NodeId(number(node)?);
            admin.undrain(node).await.map_err(told)?;
            Ok(format!("node {node} takes slices again"))
        }
        ("meridian_remove", [node]) => {
            let node = NodeId(number(node)?);
            Ok(match admin.remove(node).await.map_err(told)? {
                true => format!("node {node} is no more of the fleet"),
                false => format!("there is no node {node}: it was removed before, or never was; nothing is changed"),
            })
        }
        ("meridian_move", [of, nodes]) => {
            let (of, nodes) = (slice(of)?, list(nodes)?);
            admin.move_slice(of, &nodes).await.map_err(told)?;
            Ok(format!("slice {of} is on its way; meridian.operations shows how far it is"))
        }
        ("meridian_switch", [of, node]) => {
            let (of, node) = (slice(of)?, NodeId(number(node)?));
            admin.switch_primary(of, node).await.map_err(told)?;
            Ok(format!("slice {of} will be led by node {node}"))
        }
        ("meridian_cancel", [of]) => {
            let of = slice(of)?;
            admin.cancel(of).await.map_err(told)?;
            Ok(format!("slice {of} stays as it is now"))
        }
        ("meridian_force", [of, node, rest @ ..]) => {
            let (of, node) = (slice(of)?, NodeId(number(node)?));
            force(admin, of, node, !matches!(rest, [ScalarValue::Boolean(Some(false))])).await
        }
        ("meridian_check", [of]) if of.is_null() => check(admin, None).await,
        ("meridian_check", [of]) => check(admin, Some(slice(of)?)).await,
        ("meridian_even", [ScalarValue::Boolean(Some(run))]) => even(admin, *run).await,
        ("meridian_set_replication", [mode, rest @ ..]) => {
            let count = |at: usize| rest.get(at).map(number).transpose();
            let small = |count: Option<u64>| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let change = Replication { mode: Some(replication(mode)?), copies: small(count(0)?), min_in_sync: small(count(1)?) };
            let record = admin.set_replication(change).await.map_err(told)?;
            let (copies, min) = (record.copies, record.policy.min_in_sync);
            Ok(format!(
                "slices are brought in step one after another: {copies} copies, {min} in sync at least; meridian.operations shows how far they are"
            ))
        }
        ("meridian_place", []) => {
            let placed = admin.place(&Placement::Modulus).await.map_err(told)?;
            Ok(format!("{placed} slices were placed"))
        }
        _ => Err(told(AdminError::Invalid(format!("{function} has no such arguments")))),
    }
}

/// Says what a forced epoch loses, and, with `run`, begins it.
async fn force(admin: &Admin, slice: SliceId, node: NodeId, run: bool) -> Result<String, Error> {
    let ForceLoss { has, heard, lacks } = admin.force_loss(slice, node).await.map_err(told)?;
    let mut said = vec![format!("node {node} has slice {slice} up to {has}")];
    said.extend(heard.iter().map(|(node, version, ms, member)| {
        let how = if *member { "in sync" } else { "not in sync" };
        format!("node {node}, {how}, was heard {} s ago with {version}", ms / 1_000)
    }));
    said.push(match lacks {
        Some(0) => "no write is known that it lacks; what was written after the others were last heard may be lost".to_owned(),
        Some(count) => format!("it lacks {count} writes that others are known to have had, and what they took after that"),
        None => "how much it lacks is not known: no manager heard of a copy in sync since it began".to_owned(),
    });
    said.push(if run {
        let epoch = admin.force(slice, node).await.map_err(told)?;
        format!(
            "slice {slice} begins epoch {epoch} at node {node}; writes that only other stores had are set aside when those come back: meridian.set_aside"
        )
    } else {
        format!("nothing is changed: SELECT meridian_force({slice}, {node}) does")
    });
    Ok(said.join("\n"))
}

async fn check(admin: &Admin, slice: Option<SliceId>) -> Result<String, Error> {
    let checked = admin.check(slice).await.map_err(told)?;
    let well = |copy: &&Checked| matches!(copy.state, CopyState::Primary | CopyState::InStep);
    let (all, fit) = (checked.len(), checked.iter().filter(well).count());
    let mut said = vec![format!("{fit} of {all} copies have what counts; the others are brought in step by their primaries")];
    said.extend(checked.iter().filter(|copy| !well(copy)).map(|copy| {
        let Checked { slice, node, state, version, lag_records, differs } = copy;
        let version = version.map_or_else(String::new, |version| format!(", at {version}"));
        let lag = lag_records.map_or_else(String::new, |lag| format!(", {lag} records behind"));
        let differs = differs.as_ref().map_or_else(String::new, |differs| format!(": {differs}"));
        format!("slice {slice} on node {node}: {}{version}{lag}{differs}", word(*state))
    }));
    Ok(said.join("\n"))
}

/// How a copy stands, in a word.
pub fn word(state: CopyState) -> &'static str {
    match state {
        CopyState::Primary => "primary",
        CopyState::InStep => "in step",
        CopyState::Behind => "behind",
        CopyState::Differs => "differs",
        CopyState::Missing => "missing",
        CopyState::Silent => "silent",
        CopyState::Unknown => "unknown",
    }
}

/// How unevenly data may lie before it is worth moving, in thousandths of a node's fair share.
const TOLERANCE_PERMILLE: u32 = 50;

async fn even(admin: &Admin, run: bool) -> Result<String, Error> {
    let plan = admin.plan(TOLERANCE_PERMILLE).await.map_err(told)?;
    let (changes, bytes, least) = (plan.changes.len(), plan.bytes, plan.bytes_least);
    let mut said = vec![format!("{changes} slices change hands, {bytes} bytes are moved; no even plan moves less than {least}")];
    said.extend(plan.changes.iter().map(|change| {
        let (before, after) = (names(change.before.iter().copied()).join(","), names(change.after.iter().copied()).join(","));
        format!("slice {}: {before} -> {after}, {} bytes a copy", change.slice, change.bytes)
    }));
    if run {
        let begun = admin.execute(&plan).await.map_err(told)?;
        said.push(format!("{begun} of them are under way; meridian.operations shows how far they are"));
    } else {
        said.push("nothing is moved: SELECT meridian_even(true) does".to_owned());
    }
    Ok(said.join("\n"))
}
