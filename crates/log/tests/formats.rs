//! Files of released formats: what this code writes is what that format says, and they read back.

use bytes::Bytes;
use log::{Body, KIND_PREPARE, Log, Options};
use std::path::Path;
use world::{Access, Disk, Simulation};

/// Two segments of format 1, up to the last byte that is not zero: a log of these records, closed.
const FORMAT_1: [(&str, &[u8]); 2] = [
    ("/log/00000000000000000000.log", include_bytes!("data/format-1-a.log")),
    ("/log/00000000000000000512.log", include_bytes!("data/format-1-b.log")),
];

fn options() -> Options {
    Options { segment_bytes: 512, record_bytes_max: 300, group_bytes_max: 1, ..Options::default() }
}

fn records() -> Vec<(u8, Bytes, Bytes)> {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    vec![(0, text(""), text("")), (7, text("head"), text("body of seven")), (KIND_PREPARE, text("x"), vec![0xAB; 290].into())]
}

#[test]
fn format_1_is_written() {
    let simulation = Simulation::new(1);
    let (log, _) = Log::open(&simulation.world(), Path::new("/log"), options()).unwrap();
    for (kind, head, body) in records() {
        log.append(kind, head, Body::new(vec![body]), |answer| assert!(answer.is_ok()));
    }
    log.close(|answer| assert!(answer.is_ok()));
    simulation.runner.run_until_idle();
    let files = simulation.disk.files();
    assert_eq!(files.len(), FORMAT_1.len());
    for ((path, len), (name, expect)) in files.iter().zip(FORMAT_1) {
        assert_eq!(path, Path::new(name));
        let mut bytes = vec![0; *len as usize];
        simulation.disk.open(path, Access::Read).unwrap().read_at(0, &mut bytes).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        assert!(bytes[..used] == *expect, "{name} differs: a new layout needs a new format number");
    }
}

#[test]
fn format_1_is_read() {
    let simulation = Simulation::new(2);
    simulation.disk.make_dir(Path::new("/log")).unwrap();
    for (path, bytes) in FORMAT_1 {
        let file = simulation.disk.create(Path::new(path)).unwrap();
        file.write_at(0, &[bytes]).unwrap();
        file.reserve(512).unwrap();
    }
    let (_log, replay) = Log::open(&simulation.world(), Path::new("/log"), options()).unwrap();
    let read: Vec<_> = replay.map(|record| record.unwrap()).map(|record| (record.kind, record.head, record.body)).collect();
    assert_eq!(read, records());
}
