//! What lies in the redb file, and how it is read and changed within a transaction.
//!
//! ```text
//!   about    text -> u64            "format" 1, "revision", "id-high", "id-low"
//!   entries  key -> (modified revision u64, lease u64 or 0, value)
//!   leases   lease -> milliseconds that it lasts
//!   leased   (lease, key) -> ()     the keys that end with a lease
//! ```
//! Promises: `leased` holds exactly the entries that have a lease; revisions as etcd counts them: one
//! a change of the store, none where nothing changed. May not know who waits for an answer.

use crate::{Entry, Key, LeaseId, MetaId, Range, Revision, Swap, Swapped, Write};
use bytes::Bytes;
use redb::{Error, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

/// The layout's number.
pub(super) const FORMAT: u64 = 1;

const ABOUT: TableDefinition<&str, u64> = TableDefinition::new("about");
const ENTRIES: TableDefinition<&str, (u64, u64, &[u8])> = TableDefinition::new("entries");
const LEASES: TableDefinition<u64, u64> = TableDefinition::new("leases");
const LEASED: TableDefinition<(u64, &str), ()> = TableDefinition::new("leased");

/// Makes the tables of an empty meta.
pub(super) fn make(transaction: &WriteTransaction, id: MetaId) -> Result<(), Error> {
    let mut about = transaction.open_table(ABOUT)?;
    for (name, number) in [("format", FORMAT), ("revision", 1), ("id-high", (id.0 >> 64) as u64), ("id-low", id.0 as u64)] {
        about.insert(name, number)?;
    }
    transaction.open_table(ENTRIES)?;
    transaction.open_table(LEASES)?;
    transaction.open_table(LEASED)?;
    Ok(())
}

/// The file's layout.
pub(super) fn format(transaction: &ReadTransaction) -> Result<Option<u64>, Error> {
    Ok(transaction.open_table(ABOUT)?.get("format")?.map(|number| number.value()))
}

/// Which meta it is.
pub(super) fn id(transaction: &ReadTransaction) -> Result<MetaId, Error> {
    let (high, low) = (about(transaction, "id-high")?, about(transaction, "id-low")?);
    Ok(MetaId(u128::from(high) << 64 | u128::from(low)))
}

/// The store's revision.
pub(super) fn revision(transaction: &ReadTransaction) -> Result<Revision, Error> {
    about(transaction, "revision").map(Revision)
}

fn about(transaction: &ReadTransaction, name: &str) -> Result<u64, Error> {
    let number = transaction.open_table(ABOUT)?.get(name)?.map(|number| number.value());
    number.ok_or_else(|| damaged("a number about the store is missing"))
}

/// All leases, and how many milliseconds each lasts.
pub(super) fn leases(transaction: &ReadTransaction) -> Result<Vec<(LeaseId, u64)>, Error> {
    let table = transaction.open_table(LEASES)?;
    table
        .iter()?
        .map(|row| row.map(|(lease, ms)| (LeaseId(lease.value()), ms.value())))
        .collect::<Result<_, _>>()
        .map_err(Error::from)
}

/// What stands under a key.
pub(super) fn entry(transaction: &ReadTransaction, key: &Key) -> Result<Option<Entry>, Error> {
    found(&transaction.open_table(ENTRIES)?, key)
}

/// The first up to `limit` entries of a range.
pub(super) fn entries(transaction: &ReadTransaction, range: &Range, limit: usize) -> Result<Vec<Entry>, Error> {
    if range.from() >= range.to() {
        return Ok(Vec::new());
    }
    let table = transaction.open_table(ENTRIES)?;
    let mut out = Vec::new();
    for row in table.range(range.from()..range.to())?.take(limit) {
        let (key, value) = row?;
        let key = Key::new(key.value()).map_err(|_| damaged("a key breaks the limit"))?;
        out.push(made(&key, value.value()));
    }
    Ok(out)
}

fn found(table: &impl ReadableTable<&'static str, (u64, u64, &'static [u8])>, key: &Key) -> Result<Option<Entry>, Error> {
    Ok(table.get(key.text())?.map(|value| made(key, value.value())))
}

fn made(key: &Key, (modified, lease, value): (u64, u64, &[u8])) -> Entry {
    let lease = (lease != 0).then_some(LeaseId(lease));
    Entry { key: key.clone(), value: Bytes::copy_from_slice(value), modified: Revision(modified), lease }
}

fn damaged(what: &str) -> Error {
    Error::Corrupted(what.to_owned())
}

/// The tables of a group of changes, open, and what they changed.
pub(super) struct Changes<'a> {
    entries: Table<'a, &'static str, (u64, u64, &'static [u8])>,
    leases: Table<'a, u64, u64>,
    leased: Table<'a, (u64, &'static str), ()>,
    about: Table<'a, &'static str, u64>,
    /// The store's revision, with what was changed so far.
    pub revision: Revision,
    /// Keys that were changed.
    pub changed: Vec<Key>,
}

/// A swap was not made because a lease that it names is not there.
pub(super) struct NoLease(pub LeaseId);

impl<'a> Changes<'a> {
    /// Opens the tables.
    pub fn begin(transaction: &'a WriteTransaction, revision: Revision) -> Result<Changes<'a>, Error> {
        Ok(Changes {
            entries: transaction.open_table(ENTRIES)?,
            leases: transaction.open_table(LEASES)?,
            leased: transaction.open_table(LEASED)?,
            about: transaction.open_table(ABOUT)?,
            revision,
            changed: Vec::new(),
        })
    }

    /// Writes the revision. The last step.
    pub fn end(mut self) -> Result<(Revision, Vec<Key>), Error> {
        self.about.insert("revision", self.revision.0)?;
        Ok((self.revision, self.changed))
    }

    /// A swap that passed `Swap::check`.
    pub fn swap(&mut self, swap: &Swap) -> Result<Result<Swapped, NoLease>, Error> {
        let mut holds = true;
        for (key, is) in &swap.conditions {
            let value = self.entries.get(key.text())?;
            let found = value.as_ref().map(|value| value.value());
            holds &= is.holds(found.map(|(modified, _, value)| (value, Revision(modified))));
        }
        if !holds {
            let found = swap.conditions.iter().map(|(key, _)| found(&self.entries, key)).collect::<Result<_, _>>()?;
            return Ok(Ok(Swapped::Conflict { revision: self.revision, found }));
        }
        for (_, write) in &swap.writes {
            if let Write::Put(_, Some(lease)) = write
                && self.leases.get(lease.0)?.is_none()
            {
                return Ok(Err(NoLease(*lease)));
            }
        }
        let next = Revision(self.revision.0 + 1);
        let mut changed = false;
        for (key, write) in &swap.writes {
            changed |= match write {
                Write::Put(value, lease) => self.put(key, value, *lease, next)?,
                Write::Delete => self.delete(key)?,
            };
        }
        if changed {
            self.revision = next;
        }
        Ok(Ok(Swapped::Done { revision: self.revision }))
    }

    /// Begins a lease.
    pub fn grant(&mut self, lease: LeaseId, lasts_ms: u64) -> Result<(), Error> {
        self.leases.insert(lease.0, lasts_ms)?;
        Ok(())
    }

    /// Ends a lease and deletes its keys, at one revision. Whether there was such a lease.
    pub fn end_lease(&mut self, lease: LeaseId) -> Result<bool, Error> {
        if self.leases.remove(lease.0)?.is_none() {
            return Ok(false);
        }
        let mut keys = Vec::new();
        for row in self.leased.range((lease.0, "")..(lease.0 + 1, ""))? {
            keys.push(Key::new(row?.0.value().1).map_err(|_| damaged("a key breaks the limit"))?);
        }
        for key in &keys {
            self.delete(key)?;
        }
        if !keys.is_empty() {
            self.revision.0 += 1;
        }
        Ok(true)
    }

    fn put(&mut self, key: &Key, value: &[u8], lease: Option<LeaseId>, revision: Revision) -> Result<bool, Error> {
        let lease = lease.map_or(0, |lease| lease.0);
        let before = self.entries.insert(key.text(), (revision.0, lease, value))?.map_or(0, |before| before.value().1);
        if before != lease {
            if before != 0 {
                self.leased.remove((before, key.text()))?;
            }
            if lease != 0 {
                self.leased.insert((lease, key.text()), ())?;
            }
        }
        self.changed.push(key.clone());
        Ok(true)
    }

    fn delete(&mut self, key: &Key) -> Result<bool, Error> {
        let Some(lease) = self.entries.remove(key.text())?.map(|before| before.value().1) else { return Ok(false) };
        if lease != 0 {
            self.leased.remove((lease, key.text()))?;
        }
        self.changed.push(key.clone());
        Ok(true)
    }
}
