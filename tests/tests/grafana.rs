//! The dashboards in `docs/grafana` against a real server and a real fleet: every panel is answered.

use tests::{Directory, Fleet, Server, in_package, python};

fn check(server: &Server, dashboards: &[&str]) {
    let place = in_package("../docs/grafana").display().to_string();
    let words: Vec<&str> = std::iter::once(place.as_str()).chain(dashboards.iter().copied()).collect();
    python(server, "grafana.py", &words);
}

#[test]
fn dashboards_of_a_node() {
    let directory = Directory::new("grafana");
    let server = Server::start(directory.path(), &[]);
    check(&server, &["tags", "node"]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

#[test]
fn dashboard_of_a_fleet() {
    let fleet = Fleet::start("grafana-fleet", "self", 1, 2, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let client = fleet.door(0).connect().await.expect("a door answers");
        fleet.until_in_step(&client).await;
    });
    check(fleet.door(0), &["fleet"]);
}
