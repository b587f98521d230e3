//! The rest of a fleet's backup, by the scheduler that was asked for it: the tag table, roles, and, once all nodes have told what
//! they copied, the head.
//!
//! Promises: a part of the tag table that an earlier backup has is named, not copied. A part of a node that can't be read here is
//! told: every process must reach the same repository. Whatever fails leaves the repository with the backups that it had.

use super::{FleetHead, NodePart, SliceHead, TablePoint, part_key, part_path};
use crate::copying::{Meter, put, put_own};
use crate::head::{FORMAT_FLEET, FileEntry, Head, key, list, name, own, shared};
use crate::place::Place;
use crate::pruning::forget;
use crate::sealed::put_sealed;
use crate::{Error, Report};
use catalog::WholeTable;
use types::DistributionRule;

/// What is told of a fleet's backup besides its slices.
pub struct FleetSource {
    /// The name of the backup.
    pub id: String,
    /// Which fleet it is of.
    pub fleet: u128,
    /// Its rule.
    pub rule: DistributionRule,
    /// Length of a period in microseconds.
    pub period_us: i64,
    /// The tag table, not older than the slices.
    pub tags: WholeTable,
    /// Files beside it: path, and bytes.
    pub beside: Vec<(String, Vec<u8>)>,
    /// The nodes that copied slices.
    pub nodes: Vec<u64>,
    /// The moment, in microseconds since 1970.
    pub moment_us: i64,
    /// The release that writes it.
    pub release: String,
}

/// The fleet's name in a head.
pub(super) fn words(fleet: u128) -> String {
    format!("{fleet:032x}")
}

/// Begins a backup of a fleet: its name, and the backups that there are of it, newest first.
///
/// # Errors
/// `Error::Foreign` where another store's backups are there, `Error::Place`.
pub fn begin_fleet(place: &dyn Place, fleet: u128, moment_us: i64, random: u64) -> Result<(String, Vec<String>), Error> {
    let heads = list(place)?;
    if let Some(other) = heads.iter().find(|head| head.store != words(fleet)) {
        return Err(Error::Foreign { place: place.name(), found: other.store.clone() });
    }
    Ok((name(moment_us, random), heads.into_iter().map(|head| head.id).collect()))
}

/// Takes away what a backup that failed has written.
pub fn forget_fleet(place: &dyn Place, id: &str) {
    forget(place, id);
}

/// Ends it: all that is said of it is whole then. Where it fails nothing of it stays.
///
/// # Errors
/// `Error::Place`, `Error::Store` where a node's part can't be read here, `Error::Cancelled`.
pub fn take_fleet(place: &dyn Place, source: FleetSource, report: Report<'_>) -> Result<Head, Error> {
    let (id, nodes) = (source.id.clone(), source.nodes.clone());
    let taken = whole(place, source, report).and_then(|head| {
        put_sealed(place, &key(&id), &head)?;
        Ok(head)
    });
    match &taken {
        // The head says it.
        Ok(_) => nodes.iter().for_each(|node| drop(place.remove(&part_key(&id, *node)))),
        Err(_) => forget(place, &id),
    }
    taken
}

fn whole(place: &dyn Place, source: FleetSource, report: Report<'_>) -> Result<Head, Error> {
    let FleetSource { id, fleet, rule, period_us, tags, beside, nodes, moment_us, release } = source;
    let (mut files, mut slices) = (Vec::new(), Vec::<SliceHead>::new());
    for node in nodes {
        let part = NodePart::read(place, &id, node)?.ok_or_else(|| not_here(place, node))?;
        files.extend(part.files);
        slices.extend(part.slices);
    }
    slices.sort_unstable_by_key(|slice| slice.slice);
    let earlier = list(place)?.into_iter().next();
    let meter = Meter::new(0, report);
    for number in 0..tags.parts() {
        files.push(tag_part(place, &id, earlier.as_ref(), tags.part(number), &meter)?);
    }
    for (path, bytes) in beside {
        files.push(put_own(place, &own(&id), &path, &bytes, &meter)?);
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let brought = |file: &&FileEntry| file.key.starts_with(&own(&id)) || file.key.starts_with(&shared(&id));
    let new_bytes = files.iter().filter(brought).map(|file| file.bytes).sum();
    let bytes = files.iter().map(|file| file.bytes).sum();
    let point = TablePoint::from(tags.point.unwrap_or_default());
    let fleet_head = FleetHead { rule: rule.into(), period_us, point, slices };
    Ok(Head {
        format: FORMAT_FLEET,
        id,
        store: words(fleet),
        release,
        moment_us,
        commit: 0,
        closed: 0,
        last: 0,
        line: None,
        new_bytes,
        bytes,
        tags: tags.tags,
        files,
        logs: Vec::new(),
        fleet: Some(fleet_head),
    })
}

/// What a node wrote can't be read by whoever ends the work.
pub(super) fn not_here(place: &dyn Place, node: u64) -> Error {
    Error::Store(format!(
        "what node {node} wrote to {} is not there for this scheduler: the repository must be one place for all processes, a directory \
         that all machines share, or s3://",
        place.name()
    ))
}

/// How the key of a part of the tag table ends.
fn part_name(number: u64, hash: u128) -> String {
    format!("{number:08}-{hash:032x}")
}

impl Head {
    /// A part of the tag table, where it says what one of that hash says.
    #[must_use]
    pub fn part(&self, number: u64, hash: u128) -> Option<&FileEntry> {
        self.file(&part_path(number)).filter(|entry| entry.key.ends_with(&part_name(number, hash)))
    }
}

/// A part, or, where an earlier backup has one that says the same, that one.
fn tag_part(
    place: &dyn Place,
    id: &str,
    earlier: Option<&Head>,
    (hash, part): (u128, protocol::tags::Part),
    meter: &Meter<'_>,
) -> Result<FileEntry, Error> {
    match earlier.and_then(|head| head.part(part.number, hash)) {
        Some(entry) => Ok(entry.clone()),
        None => put_part(place, &shared(id), (hash, part), meter),
    }
}

/// A part, under a key that begins so.
pub(super) fn put_part(
    place: &dyn Place,
    prefix: &str,
    (hash, part): (u128, protocol::tags::Part),
    meter: &Meter<'_>,
) -> Result<FileEntry, Error> {
    let key = format!("{prefix}tags/{}", part_name(part.number, hash));
    put(place, (part_path(part.number), key), part.body.len() as u64, &mut &part.body[..], meter)
}
