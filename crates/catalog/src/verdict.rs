//! Whether changes and deletions fit the table as it stands. Asked by the one write under way, so
//! that nothing moves between the question and the record.

use crate::Error;
use crate::core::Core;
use crate::record::put_delete;
use crate::row::RowWriter;
use crate::rules::{self, invalid};
use crate::table::Table;
use rustc_hash::{FxHashMap, FxHashSet};
use storage::wire::put_varint;
use types::{TagDefinition, TagId, Timestamp};

impl Core {
    /// The bytes of a change's record, if it fits.
    pub fn check_change(&self, changes: &[(TagId, TagDefinition)], now: Timestamp) -> Result<Vec<u8>, Error> {
        let mut out = RowWriter::with_capacity(changes.len() * 64);
        put_varint(&mut out.out, changes.len() as u64);
        for (id, definition) in changes {
            rules::check(definition)?;
            put_varint(&mut out.out, id.0);
            out.put_definition(definition, now.0, now.0);
        }
        let table = self.table.read();
        let visible = self.kinds.visible();
        let mut seen = FxHashSet::default();
        // Names that this call gives away, and takes.
        let (mut given, mut taken) = (FxHashSet::default(), FxHashMap::default());
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
                given.insert(id.0);
                if taken.insert(definition.name.as_str(), id.0).is_some() {
                    return Err(Error::Exists(definition.name.clone()));
                }
            } else if taken.contains_key(definition.name.as_str()) {
                return Err(Error::Exists(definition.name.clone()));
            }
        }
        for name in taken.keys() {
            if table.find(name).is_some_and(|holder| !given.contains(&holder)) {
                return Err(Error::Exists((*name).to_owned()));
            }
        }
        Ok(out.out)
    }

    /// The bytes of a deletion's record, if it fits.
    pub fn check_delete(&self, tags: &[TagId]) -> Result<Vec<u8>, Error> {
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
        Ok(put_delete(sorted.into_iter()))
    }
}

fn name_of(table: &Table, ordinal: u64) -> String {
    table.place(ordinal).map(|(block, at)| block.name_text(at).to_owned()).unwrap_or_default()
}
