//! From a batch to drafts: cut by slice into bodies by whoever takes it from its client, read back and checked by whoever leads.
//!
//! ```text
//!   scheduler   batch ──> `compose`: a body for each slice, without a commit number
//!   primary     body ──> `led_draft`: copied once, numbered, checked; the record's own when nothing is thinned
//! ```
//! Promises: values are checked against their tags' kinds by `compose`, against the tag table of whoever composes; a draft's
//! samples lie in its slice, and all of its tags are known here. May not know who leads.

use super::deciding::{Draft, deleting};
use super::format;
use crate::commit::Body;
use crate::core::{Core, split_deletion};
use crate::record::PartKind;
use crate::thinning::{THINNED_PART_BYTES, THINNED_ROW_BYTES};
use crate::{Deletion, Error, Kernel, Write};
use bytes::Bytes;
use hashbrown::HashMap;
use series::{Placement, Section};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{CommitNumber, Compression, DistributionRule, Kinds, SliceId, TagId};

/// The most that a record has in the log besides its body.
const RECORD_HEAD_BYTES: u64 = 128;

/// Cuts a batch by slice: a body for each that it concerns, in order of slice, each to be handed to whoever leads it.
/// Deletions hide what earlier records brought, never the samples beside them.
///
/// # Errors
/// Of `Kernel::write`, what is wrong with the samples.
pub fn compose(
    rule: &DistributionRule,
    kinds: &dyn Kinds,
    write: &Write<'_>,
    deletions: &[Deletion],
) -> Result<Vec<(SliceId, Bytes)>, Error> {
    let sections = series::gather(&Placement::new(rule), kinds, write.samples, write.texts)?;
    let mut parts: BTreeMap<SliceId, Vec<(PartKind, Bytes)>> = BTreeMap::new();
    for (slice, deletion) in deletions.iter().flat_map(|deletion| split_deletion(rule, deletion.clone())) {
        let body = deleting(deletion);
        parts.entry(slice).or_default().push((body.kind(), body.log_bytes()));
    }
    for (slice, section) in sections {
        parts.entry(slice).or_default().push((PartKind::Samples, section.bytes()));
    }
    let body = |(slice, parts): (SliceId, Vec<(PartKind, Bytes)>)| {
        let bytes = format::body_bytes(parts.iter().map(|(_, bytes)| bytes.len() as u64));
        // What no node takes, whatever its memory.
        let limit = u64::from(u32::MAX);
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        Ok((slice, format::encode_body(CommitNumber::default(), &parts)))
    };
    parts.into_iter().map(body).collect()
}

impl Kernel {
    /// A draft of what was composed for a slice, or of a record's body from elsewhere: it gets a commit number of this node's.
    /// `thinned` says how tags of it are thinned, those that are.
    ///
    /// # Errors
    /// `Error::Led` where it is no body, or something of it is not the slice's; `Error::UnknownTag`; `Error::TooLarge`.
    pub fn led_draft(&self, slice: SliceId, body: &[u8], thinned: &[(TagId, Compression)]) -> Result<Draft, Error> {
        self.core.led_draft(slice, body, thinned)
    }

    /// Drafts of a batch, where it is composed and led in one place.
    ///
    /// # Errors
    /// Of `compose` and `led_draft`.
    pub fn led_drafts(
        &self,
        write: Write<'_>,
        deletions: &[Deletion],
        thinned: &[(TagId, Compression)],
    ) -> Result<Vec<(SliceId, Draft)>, Error> {
        let bodies = compose(&self.rule(), &*self.core.kinds, &write, deletions)?;
        bodies.into_iter().map(|(slice, body)| Ok((slice, self.led_draft(slice, &body, thinned)?))).collect()
    }
}

impl Core {
    fn led_draft(&self, slice: SliceId, body: &[u8], thinned: &[(TagId, Compression)]) -> Result<Draft, Error> {
        let wrong = |what: String| Error::Led { slice, what };
        let ground = self.ground();
        let commit = self.next_commit();
        let whole = format::numbered_body(body, commit).map_err(wrong)?;
        let (_, bodies) = format::decode_body(&whole, ground.period_us).map_err(wrong)?;
        let mut rows = 0;
        for section in sections(&bodies).map_err(wrong)? {
            rows += section.rows() as u64;
            if let Some(row) = section.first_stray(&ground.placement, slice) {
                return Err(wrong(format!("a sample of tag {} is of another slice", section.tag(row))));
            }
            // Tags are made known in order, so all below it are known as well.
            let last = section.tags().1;
            self.kinds.kind(last).ok_or(Error::UnknownTag(last))?;
        }
        let thins = |(tag, how): &&(TagId, Compression)| self.kinds.kind(*tag).is_some_and(|kind| how.thins(kind));
        let thinned: HashMap<_, _> = thinned.iter().filter(thins).copied().collect();
        self.check_size(whole.len() as u64, &bodies, rows, !thinned.is_empty())?;
        Ok(Draft::new(commit, bodies, rows, Arc::new(thinned), whole))
    }

    /// Whatever is decided of it fits a record.
    fn check_size(&self, whole: u64, bodies: &[Body], rows: u64, thins: bool) -> Result<(), Error> {
        let added = if thins { rows * THINNED_ROW_BYTES + bodies.len() as u64 * THINNED_PART_BYTES } else { 0 };
        // The record's head goes along with it.
        let (bytes, limit) = (whole + added, self.write_bytes_max().saturating_sub(RECORD_HEAD_BYTES));
        if bytes > limit { Err(Error::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

/// The sections of a body that may become a record: behind its deletions, and nothing held back, which is decided here.
fn sections(bodies: &[Body]) -> Result<Vec<&Section>, String> {
    let mut sections = Vec::new();
    for body in bodies {
        match body {
            Body::Samples { section, .. } => sections.push(section),
            Body::Deletion { .. } if sections.is_empty() => {}
            Body::Deletion { .. } => return Err("a deletion stands behind samples".to_owned()),
            Body::Held { .. } => return Err("it holds samples back, which is for whoever leads to decide".to_owned()),
        }
    }
    Ok(sections)
}
