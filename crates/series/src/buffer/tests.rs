//! Buffers against an ordered map: random writes, deletions, sorts, seals and releases.

use super::*;
use crate::dice::Dice;
use crate::rows::Order;
use crate::{Datum, Deletion, Placement, Reading, SeriesColumns, TagSelection, gather};
use std::collections::BTreeMap;
use types::{DistributionRule, Epoch, Kind, Kinds, Quality, Samples, TagId, TextColumn, TextSamples, TimeRange, Timestamp};

/// Tags of 100 and above hold text.
pub(crate) struct ByNumber;

impl Kinds for ByNumber {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        Some(if tag.0 % 200 >= 100 { Kind::Text } else { Kind::F64 })
    }
}

pub(crate) type Row = (TagId, Timestamp, Datum, Quality);

#[derive(Clone)]
pub(crate) enum Write {
    Rows(Vec<Row>),
    /// Held samples, one a tag.
    Hold(Vec<Row>),
    Delete(Tombstone),
}

pub(crate) fn sections(rows: &[Row]) -> Vec<Section> {
    let placement = Placement::new(&DistributionRule { buckets: 1, ..DistributionRule::default() });
    let part = |text: bool| rows.iter().filter(move |row| matches!(row.2, Datum::Text(_)) == text);
    let columns = |text: bool| {
        let tags: Vec<_> = part(text).map(|row| row.0).collect();
        let times: Vec<_> = part(text).map(|row| row.1).collect();
        (tags, times, part(text).map(|row| row.3.0).collect::<Vec<_>>())
    };
    let bits: Vec<u64> = part(false).map(|row| if let Datum::Bits(bits) = row.2 { bits } else { 0 }).collect();
    let mut texts = TextColumn::new();
    part(true).for_each(|row| {
        if let Datum::Text(text) = &row.2 {
            texts.push(text)
        }
    });
    let ((a, b, c), (d, e, f)) = (columns(false), columns(true));
    let samples = Samples::new(&a, &b, &bits, Some(&c)).unwrap();
    let text_samples = TextSamples::new(&d, &e, &texts, Some(&f)).unwrap();
    gather(&placement, &ByNumber, &[samples], &[text_samples]).unwrap().into_iter().map(|(_, section)| section).collect()
}

pub(crate) fn time(dice: &mut Dice, at: i64) -> Timestamp {
    Timestamp(match dice.below(12) {
        0 => [i64::MIN, i64::MAX][dice.below(2) as usize],
        1..4 => dice.below(60) as i64,
        _ => at,
    })
}

pub(crate) fn write(dice: &mut Dice, at: i64, strewn: bool) -> Write {
    let tag = |dice: &mut Dice| {
        let tag = dice.below(12) + 100 * dice.below(2);
        TagId(if strewn { tag + (dice.below(3) << 40) * 200 } else { tag })
    };
    let version = Version { epoch: Epoch(1), sequence: Sequence(at as u64) };
    if dice.one_in(8) {
        let (first, tags) =
            (time(dice, at), if dice.one_in(2) { TagSelection::All } else { TagSelection::of(vec![tag(dice), tag(dice)]) });
        let range = TimeRange { first, last: Timestamp(first.0.saturating_add(dice.below(30) as i64)) };
        let points = (0..3).map(|_| (tag(dice), time(dice, at))).collect();
        let deletion = if dice.one_in(2) { Deletion::Range { tags, range } } else { Deletion::Points(points) };
        return Write::Delete(Tombstone::new(version, deletion));
    }
    if dice.one_in(4) {
        let row = |dice: &mut Dice| {
            let (value, quality) = (Datum::Bits(dice.next()), Quality(if dice.one_in(6) { 0 } else { 192 }));
            (TagId(dice.below(12)), time(dice, at), value, quality)
        };
        let rows: BTreeMap<TagId, Row> = (0..1 + dice.below(5)).map(|_| row(dice)).map(|row| (row.0, row)).collect();
        return Write::Hold(rows.into_values().collect());
    }
    let in_order = dice.one_in(2);
    let count = 1 + dice.below(20);
    Write::Rows(
        (0..count)
            .map(|row| {
                let tag = if in_order { TagId(row % 12) } else { tag(dice) };
                let text = ByNumber.kind(tag) == Some(Kind::Text);
                let value =
                    if text { Datum::Text(format!("{:x}", dice.next()).as_bytes().into()) } else { Datum::Bits(dice.next()) };
                let time = if in_order { Timestamp(at * 20 + row as i64) } else { time(dice, at) };
                (tag, time, value, Quality(if dice.one_in(6) { dice.next() as u8 } else { 192 }))
            })
            .collect(),
    )
}

pub(crate) type Model = BTreeMap<(TagId, Timestamp), (Datum, Quality)>;

/// What is there when `flushed` writes were released: `writes` begins with them, for what they held stays.
pub(crate) fn model(writes: &[Write], flushed: usize) -> Model {
    let (mut map, mut held) = (Model::new(), Model::new());
    for (at, write) in writes.iter().enumerate() {
        match write {
            Write::Rows(rows) => {
                held.retain(|(tag, time), _| !rows.iter().any(|row| (row.0, row.1) == (*tag, *time)));
                map.extend(rows.iter().map(|row| ((row.0, row.1), (row.2.clone(), row.3))));
            }
            Write::Hold(rows) => {
                held.retain(|(tag, _), _| !rows.iter().any(|row| row.0 == *tag));
                held.extend(rows.iter().map(|row| ((row.0, row.1), (row.2.clone(), row.3))));
            }
            Write::Delete(tombstone) => {
                map.retain(|(tag, time), _| !tombstone.hides(*tag, *time));
                held.retain(|(tag, time), _| !tombstone.hides(*tag, *time));
            }
        }
        if at + 1 == flushed {
            map.clear();
        }
    }
    map.extend(held);
    map
}

/// Puts a write into a buffer.
pub(crate) fn apply(buffer: &mut Buffer, version: Version, write: &Write) {
    let commit = CommitNumber(version.sequence.0);
    match write {
        Write::Rows(rows) => sections(rows).into_iter().for_each(|section| buffer.push(version, commit, section)),
        Write::Hold(rows) => sections(rows).iter().for_each(|section| buffer.hold(version, commit, section, |_| ())),
        Write::Delete(tombstone) => buffer.delete(commit, tombstone.clone()),
    }
}

fn check(view: &BufferView, expected: &Model, dice: &mut Dice, context: &str) {
    for _ in 0..6 {
        let tag = TagId(dice.below(12) + 100 * dice.below(2));
        let text = tag.0 >= 100;
        let at = time(dice, 30);
        let found = view.newest_until(tag, at, text);
        let wanted = expected.range((tag, Timestamp::MIN)..=(tag, at)).next_back().map(|((_, time), (value, quality))| Reading {
            time: *time,
            value: value.clone(),
            quality: *quality,
        });
        assert_eq!(found, wanted, "{context}: newest of {tag} until {at}");
        let range = TimeRange { first: at, last: time(dice, 50) };
        let mut rows = SeriesColumns::default();
        view.tag_rows(tag, &range, text, &mut Order::default(), &mut rows);
        let qualities = rows.qualities.clone().unwrap_or(vec![192; rows.len()]);
        let found: Vec<_> = (0..rows.len())
            .map(|row| {
                let value = if text { Datum::Text(rows.texts.get(row).into()) } else { Datum::Bits(rows.bits[row]) };
                (rows.times[row], value, qualities[row])
            })
            .collect();
        let wanted: Vec<_> = expected
            .iter()
            .filter(|((other, time), _)| *other == tag && range.contains(*time))
            .map(|((_, time), (value, quality))| (*time, value.clone(), quality.0))
            .collect();
        assert_eq!(found, wanted, "{context}: rows of {tag} in {range:?}");
    }
}

fn check_runs(view: &BufferView, expected: &Model, context: &str) {
    for text in [false, true] {
        let tags: Vec<TagId> = expected.keys().map(|key| key.0).filter(|tag| (tag.0 % 200 >= 100) == text).collect();
        let found = view.tags(text);
        assert!(tags.iter().all(|tag| found.binary_search(tag).is_ok()), "{context}: every tag with rows is named");
        for (run, _) in view.runs(text) {
            assert!(run.tags.is_sorted_by(|a, b| a < b), "{context}");
            for place in 0..run.tags.len() {
                assert!(run.columns.times[run.rows_at(place)].is_sorted_by(|a, b| a < b), "{context}");
            }
        }
    }
}

#[test]
fn a_buffer_is_an_ordered_map_however_it_is_sorted() {
    let (mut sorts, mut releases) = (0, 0);
    for seed in 0..1_500 {
        let dice = &mut Dice(seed);
        let strewn = dice.one_in(5);
        let mut buffer = Buffer::new();
        let (mut writes, mut released, mut sealed, mut working) = (Vec::new(), 0_usize, None, None);
        for at in 1..60_i64 {
            let next = write(dice, at, strewn);
            let version = Version { epoch: Epoch(1), sequence: Sequence(at as u64) };
            apply(&mut buffer, version, &next);
            writes.push(next);
            let context = format!("seed {seed} at {at}");
            match dice.below(12) {
                0 => working = buffer.sort_work().map(SortWork::run),
                1 | 2 => {
                    if let Some(done) = working.take().or_else(|| buffer.sort_work().map(SortWork::run)) {
                        sorts += 1;
                        buffer.install(done);
                    }
                }
                3 if sealed.is_none() => sealed = buffer.seal().map(|view| (at as usize, view)),
                4 => {
                    if let Some((until, view)) = sealed.take() {
                        check(&view, &model(&writes[..until], released), dice, &format!("{context}, sealed"));
                        if dice.one_in(4) {
                            buffer.unseal();
                        } else {
                            buffer.release(Sequence(until as u64));
                            released = until;
                            releases += 1;
                            let unflushed = at as usize > released;
                            assert_eq!(buffer.first().map(|first| first.sequence.0 as usize), unflushed.then_some(released + 1));
                        }
                    }
                }
                5..8 => {
                    let expected = model(&writes, released);
                    let view = buffer.view();
                    check(&view, &expected, dice, &context);
                    if dice.one_in(3) {
                        check_runs(&view, &expected, &context);
                        check(&view, &expected, dice, &format!("{context}, runs made"));
                    }
                }
                _ => {}
            }
        }
    }
    assert!(sorts > 1_000 && releases > 500, "{sorts} sorts, {releases} releases");
}
