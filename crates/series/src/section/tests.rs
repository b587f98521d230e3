//! Sections against the batches that they were gathered from, and against damaged bytes.

use super::*;
use crate::Placement;
use crate::dice::Dice;
use std::collections::BTreeMap;
use types::{DistributionRule, Kind, Kinds, Samples, SliceId, TextColumn, TextSamples};

struct Every;

impl Kinds for Every {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        match tag.0 {
            u64::MAX => None,
            tag => Some(Kind::ALL[(tag % 7) as usize]),
        }
    }
}

type Row = (TagId, Timestamp, Result<u64, Vec<u8>>, u8);

fn time(dice: &mut Dice, shape: u64) -> i64 {
    match shape {
        0 => 1_000_000 + dice.below(5_000) as i64,
        1 => dice.below(3_000_000_000) as i64 * 1_000,
        2 => -(dice.below(3_000_000_000) as i64) * 1_000_000,
        3 => dice.next() as i64,
        _ => [i64::MIN, -1, 0, 1, i64::MAX][dice.below(5) as usize],
    }
}

fn rows(dice: &mut Dice, count: u64, text: bool) -> Vec<Row> {
    let (shape, wide, good) = (dice.below(5), dice.one_in(4), dice.below(3));
    let mut tag = dice.below(1_000);
    (0..count)
        .map(|_| {
            tag = if dice.one_in(5) { dice.below(if wide { u64::MAX / 7 } else { 5_000 }) } else { tag + 1 };
            let id = if text { tag / 7 * 7 + 6 } else { tag / 7 * 7 + 4 - 2 * (tag & 1) };
            let value = if text { Err("é".repeat(dice.below(4) as usize).into_bytes()) } else { Ok(dice.next()) };
            let quality = if good == 0 || (good == 1 && !dice.one_in(20)) { 192 } else { dice.next() as u8 };
            (TagId(id), Timestamp(time(dice, shape)), value, quality)
        })
        .collect()
}

fn gathered(rule: &DistributionRule, numeric: &[Row], textual: &[Row], cut: usize) -> Vec<(SliceId, Section)> {
    let tags = |rows: &[Row]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    let times = |rows: &[Row]| rows.iter().map(|row| row.1).collect::<Vec<_>>();
    let qualities = |rows: &[Row]| rows.iter().map(|row| row.3).collect::<Vec<_>>();
    let bits: Vec<u64> = numeric.iter().map(|row| *row.2.as_ref().unwrap()).collect();
    let mut texts = TextColumn::new();
    textual.iter().for_each(|row| texts.push(row.2.as_ref().unwrap_err()));
    let (a, b, c) = (tags(numeric), times(numeric), qualities(numeric));
    let (d, e, f) = (tags(textual), times(textual), qualities(textual));
    let part = |from: usize, to: usize| Samples::new(&a[from..to], &b[from..to], &bits[from..to], Some(&c[from..to])).unwrap();
    let samples = [part(0, cut), part(cut, a.len())];
    let text_samples = [TextSamples::new(&d, &e, &texts, Some(&f)).unwrap()];
    gather(&Placement::new(rule), &Every, &samples, &text_samples).unwrap()
}

fn read(section: &Section) -> Vec<Row> {
    (0..section.rows())
        .map(|row| {
            let value = if section.is_text() { Err(section.text(row).to_vec()) } else { Ok(section.bits()[row]) };
            (section.tag(row), section.time(row), value, section.quality(row).0)
        })
        .collect()
}

#[test]
fn what_was_gathered_comes_back_by_slice_in_order() {
    for seed in 0..600 {
        let dice = &mut Dice(seed);
        let w2 = (dice.below(3) as u32).saturating_sub(1);
        let rule =
            DistributionRule { w1: 1, b1: 1 + dice.below(100), w2, b2: 2, buckets: 1 + dice.below(9) as u32, day_us: 77_000 };
        let (numeric, textual) = (dice.below(200), dice.below(30));
        let numeric = rows(dice, numeric, false);
        let textual = rows(dice, textual, true);
        let mut expected: BTreeMap<(bool, u32), Vec<Row>> = BTreeMap::new();
        for row in numeric.iter().chain(&textual) {
            expected.entry((row.2.is_err(), rule.slice(row.0, row.1).0)).or_default().push(row.clone());
        }
        let cut = dice.below(numeric.len() as u64 + 1) as usize;
        let sections = gathered(&rule, &numeric, &textual, cut);
        assert_eq!(sections.len(), expected.len(), "seed {seed}");
        for ((slice, section), ((text, number), rows)) in sections.iter().zip(&expected) {
            assert_eq!((section.is_text(), slice.0), (*text, *number));
            assert_eq!(&read(section), rows, "seed {seed}");
            let mut shifted = vec![0_u8; 1];
            shifted.extend_from_slice(&section.bytes());
            let back = Section::parse(Bytes::from(shifted).slice(1..)).unwrap();
            assert_eq!(&read(&back), rows, "seed {seed}: parsed back");
            let mut periods: Vec<_> = rows.iter().map(|row| Period::of(row.1, 1_000_000)).collect();
            periods.sort_unstable();
            periods.dedup();
            assert_eq!(section.periods(1_000_000), periods);
            let placement = Placement::new(&rule);
            for of in (0..rule.buckets).map(SliceId) {
                assert_eq!(section.first_stray(&placement, of), (of != *slice).then_some(0), "seed {seed}");
            }
            if !text {
                // As it would be where another rule held.
                let moved = DistributionRule { b1: 1 + dice.below(100), ..rule };
                let stray = rows.iter().position(|row| moved.slice(row.0, row.1) != *slice);
                assert_eq!(section.first_stray(&Placement::new(&moved), *slice), stray, "seed {seed}");
            }
        }
    }
}

#[test]
fn damaged_bytes_are_refused_or_read_without_panic() {
    let mut refused = 0;
    for seed in 0..4_000 {
        let dice = &mut Dice(seed);
        let count = 1 + dice.below(40);
        let text = dice.one_in(2);
        let rows = rows(dice, count, text);
        let rule = DistributionRule { buckets: 1, ..DistributionRule::default() };
        let sections = if text { gathered(&rule, &[], &rows, 0) } else { gathered(&rule, &rows, &[], 0) };
        let mut bytes = sections[0].1.bytes().to_vec();
        for _ in 0..1 + dice.below(3) {
            match dice.below(4) {
                0 => bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize),
                1 => bytes.extend_from_slice(&dice.next().to_le_bytes()),
                _ if bytes.is_empty() => {}
                2 => {
                    let at = dice.below(bytes.len() as u64) as usize;
                    bytes[at] = dice.next() as u8;
                }
                _ => {
                    let at = dice.below(bytes.len().min(56) as u64) as usize;
                    bytes[at] ^= 1 << dice.below(8);
                }
            }
        }
        match Section::parse(Bytes::from(bytes)) {
            Ok(section) => {
                read(&section);
                let _ = section.periods(1_000);
            }
            Err(Error::SectionDamaged { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 2_000, "most damage is seen: {refused}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_made() {
    let placement = Placement::new(&DistributionRule::default());
    let check = |tag: u64, bits: u64| {
        let (tags, times, bits) = ([TagId(3), TagId(tag)], [Timestamp(0); 2], [1, bits]);
        gather(&placement, &Every, &[Samples::new(&tags, &times, &bits, None).unwrap()], &[]).unwrap_err()
    };
    assert!(matches!(check(u64::MAX, 0), Error::UnknownTag(TagId(u64::MAX))));
    assert!(matches!(check(7, 2), Error::WrongKind { tag: TagId(7), kind: Kind::Bool }));
    assert!(matches!(check(6, 2), Error::WrongKind { kind: Kind::Text, .. }));
    let mut texts = TextColumn::new();
    texts.push(&[0xFF]);
    let text = TextSamples::new(&[TagId(6)], &[Timestamp(0)], &texts, None).unwrap();
    assert!(matches!(gather(&placement, &Every, &[], &[text]).unwrap_err(), Error::TextNotUtf8 { .. }));
}
