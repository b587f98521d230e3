//! What series of the line protocol were found to be, by their bytes as lines write them.
//!
//! They stand in the order in which they were first seen, since clients send them in one order again and again: the series of the
//! next line is most often the next one here, and is compared before it is looked up.
//! Promises: it holds at most `FIELDS_MAX` fields and `BYTES_MAX` bytes, and is begun anew beyond; whatever is in it holds
//! for as long as the catalog's `unnamed` is what it was when it was found.

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use types::{Kind, TagId};

/// Fields remembered before the memory of them is begun anew.
const FIELDS_MAX: usize = 1 << 20;
/// Bytes of names remembered before that.
const BYTES_MAX: usize = 256 << 20;
/// Fields of a series that are looked through one by one; with more of them their names are looked up.
const LOOKED_THROUGH: usize = 16;

/// A field's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tag: TagId,
    pub(crate) kind: Kind,
}

/// A field of a series.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<[u8]>,
    pub(crate) target: Target,
}

/// A series: its fields, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) key: Box<[u8]>,
    fields: Vec<Field>,
    places: HashMap<Box<[u8]>, usize>,
}

/// The series.
#[derive(Debug, Default)]
pub(crate) struct Series {
    in_order: Vec<Known>,
    by_key: HashTable<u32>,
    hasher: DefaultHashBuilder,
    fields: usize,
    bytes: usize,
    /// The catalog's `unnamed` for which it holds.
    unnamed: u64,
}

impl Known {
    /// The field at a place.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&Field> {
        self.fields.get(place)
    }

    /// The field of a name, and its place.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(usize, Target)> {
        let place = if self.fields.len() <= LOOKED_THROUGH {
            self.fields.iter().position(|field| *field.name == *name)
        } else {
            self.places.get(name).copied()
        };
        place.map(|place| (place, self.fields[place].target))
    }

    fn add(&mut self, name: &[u8], target: Target) {
        self.fields.push(Field { name: name.into(), target });
        if self.fields.len() == LOOKED_THROUGH + 1 {
            self.places = self.fields.iter().enumerate().map(|(place, field)| (field.name.clone(), place)).collect();
        } else if self.fields.len() > LOOKED_THROUGH {
            self.places.insert(name.into(), self.fields.len() - 1);
        }
    }
}

impl Series {
    /// The series at a place.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> Option<&Known> {
        self.in_order.get(place)
    }

    /// The place of a series, as lines write it.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let found = self.by_key.find(self.hasher.hash_one(key), |place| *self.in_order[*place as usize].key == *key);
        found.map(|place| *place as usize)
    }

    /// Whether it holds for a catalog whose `unnamed` is this.
    pub(crate) fn holds(&self, unnamed: u64) -> bool {
        self.unnamed == unnamed
    }

    /// Forgets all, to hold for another state of the catalog.
    pub(crate) fn begin(&mut self, unnamed: u64) {
        *self = Series { unnamed, ..Series::default() };
    }

    /// Remembers what a field of a series was found to be.
    pub(crate) fn learn(&mut self, key: &[u8], field: &[u8], target: Target) {
        let bytes = key.len() + 2 * field.len() + 128;
        if self.fields >= FIELDS_MAX || self.bytes + bytes > BYTES_MAX {
            self.begin(self.unnamed);
        }
        let place = self.find(key).unwrap_or_else(|| self.push(key));
        let known = &mut self.in_order[place];
        // Another request may have been first.
        if known.find(field).is_none() {
            known.add(field, target);
            self.fields += 1;
            self.bytes += bytes;
        }
    }

    fn push(&mut self, key: &[u8]) -> usize {
        let Series { in_order, by_key, hasher, .. } = self;
        in_order.push(Known { key: key.into(), ..Known::default() });
        let place = in_order.len() - 1;
        // `FIELDS_MAX` fits.
        by_key.insert_unique(hasher.hash_one(key), place as u32, |place| hasher.hash_one(&*in_order[*place as usize].key));
        place
    }

    /// How many fields it holds.
    pub(crate) fn len(&self) -> usize {
        self.fields
    }
}
