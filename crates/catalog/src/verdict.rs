//! Whether changes and deletions fit the table as it stands. Asked by the one write under way, so
//! that nothing moves between the question and the record.

use crate::Error;
use crate::core::Core;
use crate::kind_table::KindTable;
use crate::rules::{self, invalid};
use crate::table::Table;
use rustc_hash::{FxHashMap, FxHashSet};
use types::{Kind, TagDefinition, TagId};

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
        let rows = changes.iter().map(|(id, definition)| (*id, definition.name.as_str(), definition.kind));
        let Moves { given, taken, seen } = fits_change(&table, &self.kinds, rows)?;
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
        fits_deletion(&self.table.read(), &self.kinds, &sorted)?;
        claims.tags.extend(sorted);
        Ok(Verdict::Fits)
    }
}

/// What a change touches.
pub struct Moves<'t, 'c> {
    /// Names that it gives away, by ordinal.
    given: FxHashMap<u64, &'t str>,
    /// Names that it takes, and for which ordinal.
    taken: FxHashMap<&'c str, u64>,
    /// Its tags.
    seen: FxHashSet<u64>,
}

/// Whether a change fits the table: ids, names and kinds. The error follows from the two alone.
pub fn fits_change<'t, 'c>(
    table: &'t Table,
    kinds: &KindTable,
    rows: impl Iterator<Item = (TagId, &'c str, Kind)> + Clone,
) -> Result<Moves<'t, 'c>, Error> {
    let visible = kinds.visible();
    let mut seen = FxHashSet::default();
    let (mut given, mut taken) = (FxHashMap::default(), FxHashMap::default());
    for (id, name, kind_next) in rows.clone() {
        let (block, at) = table.place(id.0).filter(|_| id.0 < visible).ok_or(Error::Unknown(id))?;
        let kind = kinds.get(id).ok_or(Error::Unknown(id))?;
        if kind != kind_next {
            let (old, new) = (kind.name(), kind_next.name());
            return Err(invalid(name, format!("its kind is {old} and can't be changed to {new}; create a new tag instead")));
        }
        if !seen.insert(id.0) {
            return Err(invalid(name, format!("tag {id} is changed twice in one call")));
        }
        if block.name(at) != name.as_bytes() {
            given.insert(id.0, block.name_text(at));
            if taken.insert(name, id.0).is_some() {
                return Err(Error::Exists(name.to_owned()));
            }
        } else if taken.contains_key(name) {
            return Err(Error::Exists(name.to_owned()));
        }
    }
    for (_, name, _) in rows.filter(|(id, name, _)| taken.get(name) == Some(&id.0)) {
        if table.find(name).is_some_and(|holder| !given.contains_key(&holder)) {
            return Err(Error::Exists(name.to_owned()));
        }
    }
    Ok(Moves { given, taken, seen })
}

/// Whether a deletion fits the table; the ordinals rise.
pub fn fits_deletion(table: &Table, kinds: &KindTable, sorted: &[u64]) -> Result<(), Error> {
    let visible = kinds.visible();
    for (index, ordinal) in sorted.iter().enumerate() {
        let known = *ordinal < visible && table.place(*ordinal).is_some();
        if !known {
            return Err(Error::Unknown(TagId(*ordinal)));
        }
        if index > 0 && sorted[index - 1] == *ordinal {
            return Err(invalid(&name_of(table, *ordinal), format!("tag {ordinal} is deleted twice in one call")));
        }
    }
    Ok(())
}

fn name_of(table: &Table, ordinal: u64) -> String {
    table.place(ordinal).map(|(block, at)| block.name_text(at).to_owned()).unwrap_or_default()
}
