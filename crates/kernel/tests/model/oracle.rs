//! The oracle: what a kernel must answer, by an ordered map and no cleverness.
//!
//! It promises to be plain enough to be believed. It may not know how a kernel does anything.

use kernel::{AggregateRequest, Datum, Deletion, Direction, Reading, ScanRequest, TagSelection};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::{Kind, Origin, ProducerId, Quality, TagId, TimeRange, Timestamp};

/// One row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub tag: TagId,
    pub time: Timestamp,
    pub value: Datum,
    pub quality: Quality,
}

/// What changes a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Write { rows: Vec<Row>, origin: Option<Origin> },
    Delete(Deletion),
}

impl Change {
    /// Where it comes from, where it is numbered.
    pub fn origin(&self) -> Option<Origin> {
        if let Change::Write { origin, .. } = self { *origin } else { None }
    }

    /// Whether it asks for nothing at all.
    pub fn is_nothing(&self) -> bool {
        match self {
            Change::Write { rows, origin } => rows.is_empty() && origin.is_none(),
            Change::Delete(Deletion::Range { range, .. }) => range.is_empty(),
            Change::Delete(Deletion::Points(points)) => points.is_empty(),
        }
    }
}

/// Numbers of producers.
pub type Origins = HashMap<ProducerId, BTreeSet<u64>>;

/// Whether this number is among them.
pub fn holds(origins: &Origins, origin: Origin) -> bool {
    origins.get(&origin.producer).is_some_and(|numbers| numbers.contains(&origin.number))
}

/// All of a store's content.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub rows: BTreeMap<(TagId, Timestamp), (Datum, Quality)>,
    /// The numbers of each producer that were applied.
    pub origins: Origins,
}

/// The aggregate of a (tag, bin).
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub count: u64,
    pub sum: f64,
    pub integer_sum: i128,
    pub min: u64,
    pub max: u64,
    pub first: (Timestamp, u64),
    pub last: (Timestamp, u64),
}

impl Aggregate {
    /// Adds another part of the same (tag, bin).
    pub fn add(&mut self, kind: Kind, other: &Aggregate) {
        self.count += other.count;
        self.sum += other.sum;
        self.integer_sum += other.integer_sum;
        if less(kind, other.min, self.min) {
            self.min = other.min;
        }
        if less(kind, self.max, other.max) {
            self.max = other.max;
        }
        if other.first.0 < self.first.0 {
            self.first = other.first;
        }
        if other.last.0 > self.last.0 {
            self.last = other.last;
        }
    }

    /// Whether it says the same; sums of floats may be added up in another order.
    pub fn is_like(&self, kind: Kind, other: &Aggregate) -> bool {
        let bits = |of: u64| if kind.is_integer() { of } else { any_nan(kind, of).to_bits() };
        let exact = |a: &Aggregate| (a.count, a.integer_sum, bits(a.min), bits(a.max), a.first, a.last);
        let close = self.sum == other.sum || (self.sum - other.sum).abs() <= 1e-9 * (1.0 + self.sum.abs());
        exact(self) == exact(other) && (kind.is_integer() || close || (self.sum.is_nan() && other.sum.is_nan()))
    }

    /// The same of many tags: of several that have a sample at the first or last moment any one counts, and large values
    /// may have gone against each other.
    pub fn is_like_merged(&self, kind: Kind, other: &Aggregate) -> bool {
        let (first, last) = ((self.first.0, other.first.1), (self.last.0, other.last.1));
        let largest = kind.bits_to_f64(self.min).abs().max(kind.bits_to_f64(self.max).abs());
        let close = (self.sum - other.sum).abs() <= 1e-9 * largest * self.count as f64;
        let sum = if close { other.sum } else { self.sum };
        Aggregate { first, last, sum, ..self.clone() }.is_like(kind, other)
    }
}

impl Oracle {
    /// Applies a change that may have been applied before.
    pub fn apply(&mut self, change: &Change) {
        if !change.origin().is_some_and(|origin| holds(&self.origins, origin)) {
            self.force(change);
        }
    }

    /// Applies a change that is known to have been applied.
    pub fn force(&mut self, change: &Change) {
        match change {
            Change::Write { rows, origin } => {
                for row in rows {
                    self.rows.insert((row.tag, row.time), (row.value.clone(), row.quality));
                }
                if let Some(origin) = origin {
                    self.origins.entry(origin.producer).or_default().insert(origin.number);
                }
            }
            Change::Delete(Deletion::Range { tags, range }) => {
                self.rows.retain(|(tag, time), _| !(tags.contains(*tag) && range.contains(*time)));
            }
            Change::Delete(Deletion::Points(points)) => {
                for key in points {
                    self.rows.remove(key);
                }
            }
        }
    }

    pub fn newest_until(&self, tag: TagId, time: Timestamp) -> Option<Reading> {
        let ((_, time), (value, quality)) = self.rows.range((tag, Timestamp::MIN)..=(tag, time)).next_back()?;
        Some(Reading { time: *time, value: value.clone(), quality: *quality })
    }

    fn by_tag(&self, tags: &TagSelection, range: TimeRange, texts: bool) -> BTreeMap<TagId, Vec<(Timestamp, Datum, Quality)>> {
        let mut by_tag: BTreeMap<TagId, Vec<(Timestamp, Datum, Quality)>> = BTreeMap::new();
        for ((tag, time), (value, quality)) in &self.rows {
            if tags.contains(*tag) && range.contains(*time) && matches!(value, Datum::Text(_)) == texts {
                by_tag.entry(*tag).or_default().push((*time, value.clone(), *quality));
            }
        }
        by_tag
    }

    /// A scan's rows, tags rising.
    pub fn scan(&self, request: &ScanRequest) -> Vec<Row> {
        let mut out = Vec::new();
        for (tag, mut rows) in self.by_tag(&request.tags, request.range, request.texts) {
            if request.direction == Direction::Descending {
                rows.reverse();
            }
            rows.truncate(request.rows_per_tag_max.map_or(usize::MAX, |max| max as usize));
            out.extend(rows.into_iter().map(|(time, value, quality)| Row { tag, time, value, quality }));
        }
        out
    }

    /// An aggregate's rows by (tag, bin).
    pub fn aggregate(&self, request: &AggregateRequest, kind: impl Fn(TagId) -> Kind) -> BTreeMap<(TagId, Timestamp), Aggregate> {
        let mut out: BTreeMap<(TagId, Timestamp), Aggregate> = BTreeMap::new();
        for (tag, rows) in self.by_tag(&request.tags, request.range, false) {
            let kind = kind(tag);
            for (time, value, quality) in rows {
                if request.good_only && !quality.is_good() {
                    continue;
                }
                let Datum::Bits(bits) = value else { continue };
                let bin = request.bins.map_or(Timestamp::MIN, |bins| {
                    let (width, origin) = (i128::from(bins.width_us), i128::from(bins.origin.0));
                    let bin = origin + (i128::from(time.0) - origin).div_euclid(width) * width;
                    Timestamp(bin.max(i64::MIN.into()) as i64)
                });
                let fresh = Aggregate {
                    count: 0,
                    sum: 0.0,
                    integer_sum: 0,
                    min: bits,
                    max: bits,
                    first: (time, bits),
                    last: (time, bits),
                };
                let entry = out.entry((tag, bin)).or_insert(fresh);
                entry.count += 1;
                entry.sum += kind.bits_to_f64(bits);
                if kind.is_integer() {
                    entry.integer_sum += i128::from(bits as i64);
                }
                if less(kind, bits, entry.min) {
                    entry.min = bits;
                }
                if less(kind, entry.max, bits) {
                    entry.max = bits;
                }
                entry.last = (time, bits);
            }
        }
        out
    }
}

fn less(kind: Kind, a: u64, b: u64) -> bool {
    if kind.is_integer() { (a as i64) < (b as i64) } else { any_nan(kind, a).total_cmp(&any_nan(kind, b)).is_lt() }
}

/// The value; for every NaN one and the same, which stands above all others.
fn any_nan(kind: Kind, bits: u64) -> f64 {
    let value = kind.bits_to_f64(bits);
    if value.is_nan() { f64::NAN.copysign(1.0) } else { value }
}
