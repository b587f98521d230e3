//! Which tags a filter names: by the index where names are given, else by reading the columns.
//!
//! What it promises: it reads the table as it was at one moment, without holding anyone up; blocks that
//! can't hold what is asked for are passed over; labels are compared by number, names byte by byte, and the
//! regular expression comes last.

use crate::block::{BLOCK_BITS, BLOCK_ROWS, Block};
use crate::core::Core;
use crate::dictionary::Dictionary;
use crate::filter::{LabelCondition, TagFilter};
use crate::profile::{label_bytes, read_label};
use std::sync::Arc;
use types::TagId;

/// A condition on labels, as numbers of the dictionary.
enum Needs {
    /// The tag has this label.
    One(u32),
    /// The tag has one of the labels whose bit is set (`true`), or none of them.
    Any(Vec<u64>, bool),
}

impl Core {
    /// The tags that a filter names, in rising order.
    pub fn select(&self, filter: &TagFilter) -> Vec<TagId> {
        let (blocks, rows, needs, named) = {
            let table = self.table.read();
            let rows = self.kinds.visible();
            let Some(needs) = needs(filter, table.label_dictionary()) else { return Vec::new() };
            let named = filter.names.as_ref().map(|names| {
                let mut ordinals: Vec<u64> = names.iter().filter_map(|name| table.find(name)).filter(|o| *o < rows).collect();
                ordinals.sort_unstable();
                ordinals.dedup();
                ordinals
            });
            let blocks: Vec<Arc<Block>> = match &named {
                Some(_) => Vec::new(),
                None => table.blocks().to_vec(),
            };
            let found = named.map(|mut ordinals| {
                ordinals.retain(|ordinal| table.place(*ordinal).is_some_and(|(block, at)| fits(block, at, filter, &needs)));
                ordinals.into_iter().map(TagId).collect()
            });
            (blocks, rows, needs, found)
        };
        if let Some(found) = named {
            return found;
        }
        let mut out = Vec::new();
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| may_fit(block, filter, &needs)) {
            let first = (index as u64) << BLOCK_BITS;
            let end = rows.saturating_sub(first).min(BLOCK_ROWS as u64) as usize;
            out.extend(
                (0..end).filter(|at| block.is_live(*at) && fits(block, *at, filter, &needs)).map(|at| TagId(first + at as u64)),
            );
        }
        out
    }
}

/// Whether some row of a block can fit.
fn may_fit(block: &Block, filter: &TagFilter, needs: &[Needs]) -> bool {
    filter.prefix.as_ref().is_none_or(|prefix| block.may_have_prefix(prefix.as_bytes()))
        && needs.iter().all(|needs| match needs {
            Needs::One(label) => block.may_have_label(|other| other == label),
            Needs::Any(set, true) => block.may_have_label(|label| is_in(set, *label)),
            Needs::Any(_, false) => true,
        })
}

#[inline]
fn is_in(set: &[u64], label: u32) -> bool {
    set.get(label as usize / 64).is_some_and(|word| word >> (label % 64) & 1 == 1)
}

#[inline]
fn fits(block: &Block, at: usize, filter: &TagFilter, needs: &[Needs]) -> bool {
    filter.prefix.as_ref().is_none_or(|prefix| block.name(at).starts_with(prefix.as_bytes()))
        && needs.iter().all(|needs| needs.met_by(block.labels(at)))
        && filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(block.name_text(at)))
}

impl Needs {
    #[inline]
    fn met_by(&self, labels: &[u32]) -> bool {
        match self {
            Needs::One(label) => labels.contains(label),
            // Labels that came after the condition was worked out have no bit: they are of later writes.
            Needs::Any(set, wanted) => labels.iter().any(|label| is_in(set, *label)) == *wanted,
        }
    }
}

/// The conditions by number; None where a label that is needed is nowhere.
fn needs(filter: &TagFilter, labels: &Dictionary) -> Option<Vec<Needs>> {
    let mut out = Vec::new();
    for condition in &filter.conditions {
        out.push(match condition {
            LabelCondition::Present(key) => Needs::Any(with_key(labels, key, |_| true), true),
            LabelCondition::Absent(key) => Needs::Any(with_key(labels, key, |_| true), false),
            LabelCondition::NotOneOf(key, values) => {
                Needs::Any(with_key(labels, key, |value| !values.iter().any(|other| other == value)), true)
            }
            LabelCondition::OneOf(key, values) => {
                let found: Vec<u32> = values.iter().filter_map(|value| labels.find(&label_bytes(key, value))).collect();
                match found[..] {
                    [] => return None,
                    [label] => Needs::One(label),
                    _ => {
                        let mut set = vec![0; labels.len().div_ceil(64)];
                        found.iter().for_each(|label| set[*label as usize / 64] |= 1 << (label % 64));
                        Needs::Any(set, true)
                    }
                }
            }
        });
    }
    Some(out)
}

/// A bit for every label of that key whose value is wanted.
fn with_key(labels: &Dictionary, key: &str, wanted: impl Fn(&str) -> bool) -> Vec<u64> {
    let mut set = vec![0_u64; labels.len().div_ceil(64)];
    for label in 0..labels.len() {
        if let Some((found, value)) = read_label(labels.get(label as u32))
            && found == key
            && wanted(value)
        {
            set[label / 64] |= 1 << (label % 64);
        }
    }
    set
}
