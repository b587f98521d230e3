//! Bytes of any sort against the readers: they answer, and never panic.

use crate::block::BLOCK_ROWS;
use crate::checkpoint::push_run;
use crate::files::{HEAD_BYTES, Head, What};
use crate::kind_table::KindTable;
use crate::led::{Kept, Producers};
use crate::manifest::{BlockPlace, Manifest};
use crate::packed::unpack;
use crate::record::{self, Joiner, Write, apply, put_delete};
use crate::row::RowWriter;
use crate::table::Table;
use protocol::tags::{ChainHash, Point};
use storage::wire::put_varint;
use types::{Epoch, Kind, Limits, Origin, ProducerId, Sequence, TagDefinition};
use world::SeededRandom;

fn definition(i: u64) -> TagDefinition {
    TagDefinition {
        description: "d".repeat((i % 3) as usize),
        unit: "kV".to_owned(),
        states: if i.is_multiple_of(5) { vec!["off".to_owned(), "on".to_owned()] } else { Vec::new() },
        labels: vec![("a".to_owned(), (i % 4).to_string()), ("b".to_owned(), "x".repeat((i % 5) as usize))],
        limits: Limits { low: Some(1.0), ..Limits::default() },
        ..TagDefinition::new(format!("tag.{i}"), if i.is_multiple_of(5) { Kind::State } else { Kind::F64 })
    }
}

fn run(range: std::ops::Range<u64>, numbered: bool) -> Vec<u8> {
    let mut rows = RowWriter::default();
    for i in range {
        if numbered {
            put_varint(&mut rows.out, i);
        }
        rows.put_definition(&definition(i), 5, 6);
    }
    rows.out
}

fn create(first: u64, count: u64) -> Vec<u8> {
    let rows = run(first..first + count, false);
    let mut out = Vec::new();
    [first, 1, count, rows.len() as u64].into_iter().for_each(|number| put_varint(&mut out, number));
    out.extend(rows);
    out
}

/// Flips, cuts, doubles and inserts.
fn spoil(bytes: &mut Vec<u8>, random: &SeededRandom) {
    for _ in 0..=random.between(0, 3) {
        let at = random.between(0, bytes.len().max(1) as u64 - 1) as usize;
        match random.between(0, 4) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.between(0, 7),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => bytes.insert(at, random.next() as u8),
            _ => bytes.extend_from_within(at..),
        }
    }
}

#[test]
fn writes_of_any_bytes_are_applied_or_refused() {
    let random = SeededRandom::new(11);
    let mut change = vec![4];
    change.extend(run(2..6, true));
    let writes = [
        (record::KIND_CREATE, create(20, 9)),
        (record::KIND_CHANGE, change),
        (record::KIND_DELETE, put_delete([3, 7, 8].into_iter())),
    ];
    let (mut applied, mut refused) = (0, 0);
    for round in 0..6_000 {
        let (mut table, kinds) = (Table::new(1, 0), KindTable::new());
        let first = Write { kind: record::KIND_CREATE, sequence: 1, time: 0, bytes: create(0, 20) };
        assert_eq!(apply(&first, &mut table, &kinds), Ok(()));
        let (kind, mut bytes) = writes[round % 3].clone();
        if round >= 3 {
            spoil(&mut bytes, &random);
        }
        match apply(&Write { kind, sequence: 2, time: 0, bytes }, &mut table, &kinds) {
            Ok(()) => applied += 1,
            Err(_) => refused += 1,
        }
        assert!(round >= 3 || applied == round + 1, "the whole ones are taken");
    }
    assert!(applied > 100 && refused > 1_000, "{applied} applied, {refused} refused");
}

#[test]
fn parts_in_any_order_make_only_whole_writes() {
    let random = SeededRandom::new(12);
    for _ in 0..20_000 {
        let mut joiner = Joiner::default();
        let (mut complete, mut run) = (0, (0, 0));
        for _ in 0..12 {
            let (mark, part, parts) = (random.between(0, 1), random.between(0, 3) as u32, random.between(0, 3) as u32);
            let mut head = record::head(1, mark, part, parts, 0).to_vec();
            if random.one_in(30) {
                spoil(&mut head, &random);
            }
            // The last `run.1` records were parts 0.. of mark `run.0`, of three.
            let three = head[..] == record::head(1, mark, part, 3, 0)[..];
            run = if three && part == 0 {
                (mark, 1)
            } else if three && run.1 > 0 && part == run.1 && mark == run.0 {
                (mark, part + 1)
            } else {
                (0, 0)
            };
            let whole = run.1 == 3;
            let taken = joiner.take(record::KIND_DELETE, &head, &[part as u8]);
            if let Ok(Some(write)) = &taken
                && write.bytes.len() == 3
            {
                assert!(whole && write.bytes == [0, 1, 2]);
                complete += 1;
            }
            assert!(!whole || matches!(taken, Ok(Some(_))));
            if whole {
                run = (0, 0);
            }
        }
        assert!(complete <= 4);
    }
}

#[test]
fn blocks_and_manifests_of_any_bytes_are_read_or_refused() {
    let random = SeededRandom::new(13);
    let rows = run(0..40, false);
    let mut block = 39_u16.to_le_bytes().to_vec();
    block.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    zstd::stream::copy_encode(&rows[..], &mut block, 1).unwrap();
    let place = BlockPlace { file: 3, offset: 99, bytes: 1 << 20 };
    let mut producers = Producers::default();
    for (number, outcome) in [(1, Ok(3..9)), (2, Err(crate::Error::Exists("a".to_owned())))] {
        producers.note(Origin { producer: ProducerId(number), number: 5 }, Sequence(4), outcome);
    }
    let kept =
        Kept { epoch: Epoch(3), point: Some(Point { sequence: Sequence(4), hash: ChainHash(1 << 99) }), next: 9, producers };
    let alone =
        Manifest { sequence: 9, position: 1 << 30, rows: BLOCK_ROWS as u64 + 1, next_file: 4, blocks: vec![place; 2], led: None };
    let torn = Manifest { led: Some(Kept { point: None, ..kept.clone() }), ..alone.clone() };
    let led = Manifest { led: Some(kept), ..alone.clone() };
    let all = [alone, torn, led].map(|manifest| {
        let bytes = manifest.encode(7, 1);
        let payload = bytes[HEAD_BYTES + 12..].to_vec();
        assert_eq!(Manifest::parse(&payload), Some(manifest.clone()));
        let head = Head { what: What::Manifest, format: manifest.head_format(), log: 7, number: 1 };
        assert_eq!(Manifest::decode(&bytes, 1, std::path::Path::new("m")), Ok((manifest, head)));
        (bytes, payload)
    });
    let read = |block: &[u8]| {
        let (rows, run) = unpack(block)?;
        if rows != 40 {
            return Err("it has not as many rows as it should");
        }
        let (mut table, kinds) = (Table::new(1, 0), KindTable::new());
        push_run(&run, rows, &mut table, &kinds, |table, row| table.push(row, &kinds, 0))
    };
    assert_eq!(read(&block), Ok(()));
    let mut refused = 0;
    for round in 0..4_000 {
        let (bytes, payload) = &all[round % 3];
        let mut spoiled = block.clone();
        spoil(&mut spoiled, &random);
        refused += u32::from(read(&spoiled).is_err());
        let mut spoiled = payload.to_vec();
        spoil(&mut spoiled, &random);
        drop(Manifest::parse(&spoiled));
        let mut spoiled = bytes.clone();
        spoil(&mut spoiled, &random);
        assert!(spoiled == *bytes || Manifest::decode(&spoiled, 1, std::path::Path::new("m")).is_err());
    }
    assert!(refused > 3_000, "{refused} refused");
}
