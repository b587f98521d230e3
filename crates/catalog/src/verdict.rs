//! Whether changes and deletions fit the table as it stands. Asked by the one write under way, so
//! that nothing moves between the question and the record.

use crate::Error;
use crate::core::Core;
use crate::rules::{self, invalid};
use crate::table::Table;
use rustc_hash::{FxHashMap, FxHashSet};
use types::{TagDefinition, TagId};

/// What the calls of a write touch: tags, and names that they give up or take.
#[derive(Default)]
pub struct Claims {
    tags: FxHashSet<u64>,
    names: FxHashSet<String>,
}

/// Whether a call can be part of a write.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It fits the table; what it touches is claimed.
    Fits,
    /// It touches what another call of the write touches: whether it fits is known when that one is made.
    Waits,
}

impl Core {
    /// Whether a change fits.
    pub fn check_change(&self, changes: &[(TagId, TagDefinition)], claims: &mut Claims) -> Result<Verdict, Error> {
        changes.iter().try_for_each(|(_, definition)| rules::check(definition))?;
        if changes.iter().any(|(id, definition)| claims.tags.contains(&id.0) || claims.names.contains(&definition.name)) {
            return Ok(Verdict::Waits);
        }
        let table = self.table.read();
        let visible = self.kinds.visible();
        let mut seen = FxHashSet::default();
        // Names that this call gives away, and takes.
        let (mut given, mut taken) = (FxHashMap::default(), FxHashMap::default());
        for (id, definition) in changes {
            let (block, at) = table.place(id.0).filter(|_| id.0 < visible).ok_or(Error::Unknown(*id))?;
            let kind = self.kinds.get(*id).ok_or(Error::Unknown(*id))?;
            if kind != definition.kind {
                let (old, new) = (kind.name(), definition.kind.name());
                let text = format!("its kind is {old} and can't be changed to {new}; create a new tag instead");
                return Err(invalid(&definition.name, text));
            }
            if !seen.insert(id.0) {
                return Err(invalid(&definition.name, format!("tag {id} is changed twice in one call")));
            }
            if block.name(at) != definition.name.as_bytes() {
                given.insert(id.0, block.name_text(at));
                if taken.insert(definition.name.as_str(), id.0).is_some() {
                    return Err(Error::Exists(definition.name.clone()));
                }
            } else if taken.contains_key(definition.name.as_str()) {
                return Err(Error::Exists(definition.name.clone()));
            }
        }
        for name in taken.keys() {
            if table.find(name).is_some_and(|holder| !given.contains_key(&holder)) {
                return Err(Error::Exists((*name).to_owned()));
            }
        }
        claims.names.extend(given.into_values().chain(taken.into_keys()).map(str::to_owned));
        claims.tags.extend(seen);
        Ok(Verdict::Fits)
    }

    /// Whether a deletion fits.
    pub fn check_delete(&self, tags: &[TagId], claims: &mut Claims) -> Result<Verdict, Error> {
        if tags.iter().any(|tag| claims.tags.contains(&tag.0)) {
            return Ok(Verdict::Waits);
        }
        let mut sorted: Vec<u64> = tags.iter().map(|tag| tag.0).collect();
        sorted.sort_unstable();
        let table = self.table.read();
        let visible = self.kinds.visible();
        for (index, ordinal) in sorted.iter().enumerate() {
            let known = *ordinal < visible && table.place(*ordinal).is_some();
            if !known {
                return Err(Error::Unknown(TagId(*ordinal)));
            }
            if index > 0 && sorted[index - 1] == *ordinal {
                return Err(invalid(&name_of(&table, *ordinal), format!("tag {ordinal} is deleted twice in one call")));
            }
        }
        claims.tags.extend(sorted);
        Ok(Verdict::Fits)
    }
}

fn name_of(table: &Table, ordinal: u64) -> String {
    table.place(ordinal).map(|(block, at)| block.name_text(at).to_owned()).unwrap_or_default()
}
