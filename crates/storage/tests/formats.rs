//! The manifest's format: manifests written before are read.
#![allow(clippy::unwrap_used, reason = "a test stops at any error")]

use std::path::{Path, PathBuf};
use storage::{EpochStart, FileMeta, FileNumber, FilePlace, Manifest, Opaque, Producer, StoreId, inspect_manifest};
use types::{CommitNumber, Epoch, Period, ProducerId, Sequence, SliceId, TagId, TimeRange, Timestamp, Version};
use world::{Access, Disk, RealDisk};

fn golden() -> Manifest {
    let version = |epoch, sequence| Version { epoch: Epoch(epoch), sequence: Sequence(sequence) };
    let mut manifest = Manifest::new(StoreId(0x0123_4567_89AB_CDEF_0011_2233_4455_6677), SliceId(7));
    manifest.epochs =
        vec![EpochStart { epoch: Epoch(1), after: Sequence(0) }, EpochStart { epoch: Epoch(2), after: Sequence(900) }];
    manifest.flushed = version(2, 1_000);
    manifest.commit = CommitNumber(1_700_000_000_000_123);
    manifest.log_position = 1 << 33;
    manifest.next_file = FileNumber(20);
    manifest.latest = Some(FileNumber(19));
    let file = |number, place| FileMeta {
        number: FileNumber(number),
        place,
        periods: vec![(Period(-2), Period(-2)), (Period(5), Period(9))],
        level: 3,
        bytes: 123_456,
        rows: 99,
        tags: 4,
        tag_range: (TagId(1), TagId(u64::MAX)),
        range: TimeRange { first: Timestamp(i64::MIN), last: Timestamp(i64::MAX) },
        versions: (version(1, 1), version(2, 1_000)),
        checksum: 0xCAFE_F00D,
    };
    manifest.files = vec![file(3, FilePlace::Mixed), file(18, FilePlace::Period(Period(-2)))];
    manifest.groups = [(Period(-2), version(1, 5)), (Period(7), version(2, 1_000))].into();
    manifest.producers = vec![Producer { id: ProducerId(u128::MAX - 1), number: 77, last_used: CommitNumber(3) }];
    manifest.opaque = vec![Opaque { kind: 0, bytes: vec![] }, Opaque { kind: 255, bytes: vec![1, 2, 3] }];
    manifest
}

#[test]
fn manifests_of_format_1_are_read() {
    let path = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
        .join("tests/golden/manifest-format-1");
    let (manifest, number) = inspect_manifest(&RealDisk, &path).unwrap();
    assert_eq!((manifest, number), (golden(), 42));
    // The same manifest is written as the same bytes today.
    let file = RealDisk.open(Path::new(&path), Access::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    assert_eq!(storage::encode_manifest(&golden(), 42), bytes);
    let described = storage::describe_manifest(&golden(), 42, 1);
    assert!(described.facts.contains(&("number", "42".to_owned())));
    assert_eq!((described.tables[1].rows.len(), described.tables[1].rows_omitted), (1, 1));
}
