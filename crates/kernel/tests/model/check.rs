//! What a kernel answers, held against the oracle.
//!
//! Promises: every face of reading is looked at (scan, aggregate, values at a time, snapshot values, ranges
//! of time); an answer that is an error naming the disk or a damage passes only where faults are on.

use crate::oracle::{Aggregate, Oracle, Row};
use kernel::{
    AggregateBatch, AggregateRequest, Bins, Datum, Direction, Error, Kernel, Projection, Reading, ScanRequest, Snapshot,
    TagSelection,
};
use std::collections::BTreeMap;
use types::{Kind, Quality, TagId, TimeRange, Timestamp};
use world::SeededRandom;

/// How many tags there are.
pub const TAGS: u64 = 14;

/// The kind of a tag.
pub fn kind(tag: TagId) -> Kind {
    [Kind::F64, Kind::I64, Kind::Text, Kind::Bool, Kind::F32, Kind::I32, Kind::State][tag.0 as usize % 7]
}

/// All rows of both sorts.
fn scan_all(snapshot: &Snapshot, request: &ScanRequest, parts: usize) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for mut part in snapshot.scan(request, parts) {
        let mut last: Option<TagId> = None;
        while let Some(batch) = part.next_batch()? {
            let mut at = 0;
            for run in &batch.runs {
                assert!(last.is_none_or(|last| last <= run.tag), "tags rise within a part");
                last = Some(run.tag);
                assert_eq!(run.kind, kind(run.tag));
                for row in at..at + run.rows as usize {
                    let value = match (request.projection.values, request.texts) {
                        (false, _) => Datum::Bits(0),
                        (true, true) => Datum::Text(batch.texts.get(row).into()),
                        (true, false) => Datum::Bits(batch.bits[row]),
                    };
                    let quality = Quality(batch.qualities.as_ref().map_or(192, |column| column[row]));
                    rows.push(Row { tag: run.tag, time: batch.times[row], value, quality });
                }
                at += run.rows as usize;
            }
            assert_eq!(at, batch.rows(), "runs sum to the rows");
        }
    }
    Ok(rows)
}

/// Everything that a snapshot holds.
pub fn content(snapshot: &Snapshot) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for texts in [false, true] {
        rows.extend(scan_all(snapshot, &everything(texts), 1)?);
    }
    rows.sort_by_key(|row| (row.tag, row.time));
    Ok(rows)
}

fn everything(texts: bool) -> ScanRequest {
    ScanRequest {
        tags: TagSelection::All,
        texts,
        range: TimeRange::ALL,
        projection: Projection::ALL,
        direction: Direction::Ascending,
        rows_per_tag_max: None,
        batch_rows: 7,
    }
}

/// The oracle's rows, as `content` gives a kernel's.
pub fn expected(oracle: &Oracle) -> Vec<Row> {
    let row = |((tag, time), (value, quality)): (&(TagId, Timestamp), &(Datum, Quality))| Row {
        tag: *tag,
        time: *time,
        value: value.clone(),
        quality: *quality,
    };
    oracle.rows.iter().map(row).collect()
}

fn some_range(dice: &SeededRandom, times: &[Timestamp]) -> TimeRange {
    if dice.one_in(3) || times.is_empty() {
        return TimeRange::ALL;
    }
    let pick = || times[dice.between(0, times.len() as u64 - 1) as usize];
    let (a, b) = (pick(), pick());
    TimeRange { first: a.min(b), last: a.max(b) }
}

fn some_tags(dice: &SeededRandom) -> TagSelection {
    if dice.one_in(2) {
        return TagSelection::All;
    }
    TagSelection::of((0..dice.between(1, 5)).map(|_| TagId(dice.between(0, TAGS + 1))).collect())
}

/// What is found and not wanted, or wanted and not found.
pub fn differences(found: &[Row], wanted: &[Row]) -> Vec<String> {
    let extra = found.iter().filter(|row| !wanted.contains(row)).map(|row| format!("found {row:?}"));
    let missing = wanted.iter().filter(|row| !found.contains(row)).map(|row| format!("wanted {row:?}"));
    let twice = found.windows(2).filter(|rows| rows[0] == rows[1]).map(|rows| format!("twice {:?}", rows[0]));
    extra.chain(missing).chain(twice).collect()
}

/// Holds a snapshot against the oracle.
pub fn check_snapshot(snapshot: &Snapshot, oracle: &Oracle, ignores_time: bool, dice: &SeededRandom) -> Result<(), Error> {
    let differences = differences(&content(snapshot)?, &expected(oracle));
    assert!(differences.is_empty(), "at commit {}: {differences:#?}", snapshot.commit());
    let times: Vec<Timestamp> = oracle.rows.keys().map(|(_, time)| *time).collect();
    for _ in 0..3 {
        let mut request = everything(dice.one_in(2));
        request.tags = some_tags(dice);
        request.range = some_range(dice, &times);
        if dice.one_in(2) {
            request.direction = Direction::Descending;
        }
        if ignores_time && dice.one_in(2) {
            request.rows_per_tag_max = Some(dice.between(0, 4));
        }
        request.batch_rows = dice.between(1, 9) as usize;
        let parts = dice.between(1, 4) as usize;
        let mut found = scan_all(snapshot, &request, parts)?;
        let mut wanted = oracle.scan(&request);
        if !ignores_time {
            found.sort_by_key(|row| (row.tag, row.time));
            wanted.sort_by_key(|row| (row.tag, row.time));
        }
        found.sort_by_key(|row| row.tag);
        assert_eq!(found, wanted, "{request:?} in {parts} parts");
        let ranges = snapshot.time_ranges(&request.tags, request.range);
        assert!(ranges.is_sorted_by(|a, b| a.first > b.last), "newest first and apart: {ranges:?}");
        assert!(wanted.iter().all(|row| ranges.iter().any(|range| range.contains(row.time))), "{ranges:?} hold every row");
    }
    check_aggregate(snapshot, oracle, &times, dice)
}

fn check_aggregate(snapshot: &Snapshot, oracle: &Oracle, times: &[Timestamp], dice: &SeededRandom) -> Result<(), Error> {
    let bins = Bins { origin: Timestamp(dice.between(0, 50) as i64 - 25), width_us: dice.between(1, 40) as i64 };
    let request = AggregateRequest {
        tags: some_tags(dice),
        range: some_range(dice, times),
        bins: dice.one_in(2).then_some(bins),
        good_only: dice.one_in(2),
    };
    let mut found: BTreeMap<(TagId, Timestamp), Aggregate> = BTreeMap::new();
    for mut part in snapshot.aggregate(&request, dice.between(1, 4) as usize) {
        while let Some(batch) = part.next_batch()? {
            for row in 0..batch.tags.len() {
                let one = aggregate_at(&batch, row);
                let key = (batch.tags[row], batch.bins[row]);
                match found.get_mut(&key) {
                    Some(held) => held.add(kind(key.0), &one),
                    None => drop(found.insert(key, one)),
                }
            }
        }
    }
    let wanted = oracle.aggregate(&request, kind);
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{request:?}");
    for (key, wanted) in &wanted {
        assert!(found[key].is_like(kind(key.0), wanted), "{request:?} {key:?}: {:?} instead of {wanted:?}", found[key]);
    }
    check_merged(snapshot, &request, &wanted)
}

/// The same with all tags of a kind as one, but for some that are left out.
fn check_merged(
    snapshot: &Snapshot,
    request: &AggregateRequest,
    by_tag: &BTreeMap<(TagId, Timestamp), Aggregate>,
) -> Result<(), Error> {
    // Nothing is drawn: seeds that once failed lead to what they led to then.
    let chance = by_tag.len() as u64;
    let (left_out, parts) = (chance % (TAGS + 1), 1 + chance as usize % 4);
    let keep = |tag: TagId| tag.0 != left_out;
    let add = |all: &mut BTreeMap<(Kind, Timestamp), Aggregate>, key: (Kind, Timestamp), one: &Aggregate| match all.get_mut(&key)
    {
        Some(held) => held.add(key.0, one),
        None => drop(all.insert(key, one.clone())),
    };
    let (mut wanted, mut found) = (BTreeMap::new(), BTreeMap::new());
    by_tag.iter().filter(|((tag, _), _)| keep(*tag)).for_each(|((tag, bin), one)| add(&mut wanted, (kind(*tag), *bin), one));
    for mut part in snapshot.aggregate(request, parts) {
        while let Some(batch) = part.next_merged(|batch, kept| kept.extend(batch.tags.iter().map(|tag| keep(*tag))))? {
            (0..batch.tags.len())
                .for_each(|row| add(&mut found, (batch.kinds[row], batch.bins[row]), &aggregate_at(&batch, row)));
        }
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{request:?} without {left_out}");
    for (key, wanted) in &wanted {
        assert!(found[key].is_like_merged(key.0, wanted), "{request:?} {key:?}: {:?} instead of {wanted:?}", found[key]);
    }
    Ok(())
}

fn aggregate_at(batch: &AggregateBatch, row: usize) -> Aggregate {
    Aggregate {
        count: batch.counts[row],
        sum: batch.sums[row],
        integer_sum: batch.integer_sums[row],
        min: batch.mins[row],
        max: batch.maxs[row],
        first: (batch.first_times[row], batch.firsts[row]),
        last: (batch.last_times[row], batch.lasts[row]),
    }
}

/// Holds point reads of the newest commit against the oracle. Each tag is asked for alone first: one that can't be
/// read hides no other.
pub fn check_points(kernel: &Kernel, oracle: &Oracle, dice: &SeededRandom) -> Result<(), Error> {
    let tags: Vec<TagId> = (0..TAGS).map(TagId).collect();
    let mut unreadable = None;
    for tag in &tags {
        match kernel.latest(*tag) {
            Ok(found) => assert_eq!(found, oracle.newest_until(*tag, Timestamp::MAX), "snapshot value of tag {tag}"),
            Err(fault) => {
                let text = fault.to_string();
                assert!(text.contains(&format!("ordinal {tag}:")) && text.contains("/slices/"), "it names tag and file: {text}");
                unreadable.get_or_insert(fault);
            }
        }
    }
    unreadable.map_or(Ok(()), Err)?;
    let many = kernel.latest_many(&tags)?;
    let found: Vec<bool> = tags.iter().map(|tag| oracle.newest_until(*tag, Timestamp::MAX).is_some()).collect();
    assert_eq!(many.found, found);
    let questions: Vec<(TagId, Timestamp)> =
        (0..20).map(|_| (TagId(dice.between(0, TAGS - 1)), Timestamp(dice.between(0, 240) as i64 - 120))).collect();
    let answers = kernel.values_at(&questions)?;
    for (row, (tag, time)) in questions.iter().enumerate() {
        let wanted = oracle.newest_until(*tag, *time);
        assert_eq!(kernel.value_at(*tag, *time)?, wanted, "value of tag {tag} at {time}");
        assert_eq!(answers.found[row], wanted.is_some());
        if let Some(Reading { time, value, quality }) = wanted {
            assert_eq!((answers.times[row], answers.qualities[row]), (time, quality.0));
            match value {
                Datum::Bits(bits) => assert_eq!(answers.bits[row], bits),
                Datum::Text(text) => {
                    assert!(answers.texts.iter().any(|(other, found)| *other as usize == row && *found == text));
                }
            }
        }
    }
    Ok(())
}
