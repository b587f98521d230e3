//! A disk that fails reads: what can't be read is told with its SQLSTATE, never left out; what needs no reading answers.
use crate::fixture::House;
use kernel::Deletion;
use std::sync::Arc;
use types::{TagId, Timestamp};
use world::{Faults, SimulatedDisk};

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_value_that_cannot_be_read_is_an_error_and_hides_no_other() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let house = House::made(Some(disk.clone()), kernel::Settings::default(), |_| {});
    house.tag("INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('b', 'f64')").await;
    house.tag("INSERT INTO samples VALUES ('a', '2026-01-01', 1), ('a', '2026-01-02', 2), ('b', '2026-01-01', 10)").await;
    house.rows("SELECT meridian_flush()").await;
    disk.set_faults(Faults { read_error_one_in: 1, ..Faults::NONE });
    let newest = (TagId(0), Timestamp(1_767_312_000_000_000));
    house.engine.local().unwrap().delete(Deletion::Points(vec![newest])).wait().unwrap().unwrap();
    for sql in [
        "SELECT value FROM latest WHERE tag = 'a'",
        "SELECT value FROM latest WHERE tag = ANY(ARRAY['a', 'b'])",
        "SELECT tag, value FROM latest",
    ] {
        let error = house.error(sql).await;
        assert_eq!(error.sqlstate(), "58030", "{sql}: {error}");
        assert!(error.to_string().contains("ordinal 0") && error.to_string().contains(".series"), "{sql}: {error}");
    }
    assert_eq!(house.rows("SELECT value FROM latest WHERE tag = 'b'").await, ["10.0"]);
    disk.set_faults(Faults::NONE);
    assert_eq!(house.rows("SELECT tag, value FROM latest ORDER BY tag").await, ["a|1.0", "b|10.0"]);
}
