//! What a query spilled when its server was killed is gone once the store is open again.

use futures::StreamExt;
use std::path::Path;
use tests::{Directory, Server};

/// Files of spilled data; a server makes directories for them before it has any.
fn files(dir: &Path) -> usize {
    let entries =
        std::fs::read_dir(dir).expect("a directory can be listed").map(|entry| entry.expect("as can its entries").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_servers_spilled_data_is_removed() {
    let directory = Directory::new("spill");
    let flags = ["--query-bytes-max", "16MiB", "--spill-bytes-max", "1GiB"];
    let spill = directory.path().join("store").join("spill");
    let server = Server::start(directory.path(), &flags);
    let client = server.connect().await.expect("the server takes connections");
    let sql = "SELECT v * 7919 % 400000 AS k, lpad(CAST(v AS text), 64, 'x') FROM generate_series(0, 399999) AS g(v) ORDER BY k";
    let parameters: [&str; 0] = [];
    let mut rows = Box::pin(client.query_raw(sql, parameters).await.expect("the query starts"));
    rows.next().await.expect("there is a row").expect("the first row comes once everything is sorted");
    assert!(files(&spill) > 0, "the sort has spilled");
    server.kill();
    assert!(files(&spill) > 0, "a killed server removes nothing");
    let server = Server::start(directory.path(), &flags);
    assert_eq!(files(&spill), 0);
    assert!(server.stop().success());
}
