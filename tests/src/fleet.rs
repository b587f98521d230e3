//! A fleet of real processes: managers, schedulers and data nodes, over a lone manager or a real etcd.
//!
//! It promises that `start` returns once all slices are placed and every copy is in step; that every process lies in a directory
//! of its own and ends with the value.

use crate::{Directory, Server, meridian};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Few slices, so that every node has some and each test is quick; a block of four tags lies together.
const RULE: [&str; 3] = ["--rule-buckets=8", "--rule-b1=4", "--memory-bytes=256MiB"];
const PATIENCE: Duration = Duration::from_secs(90);

/// A fleet.
pub struct Fleet {
    directory: Directory,
    join: String,
    flags: Vec<String>,
    /// Managers that are schedulers, too. The first one keeps what is agreed, where no etcd does.
    pub doors: Vec<Option<Server>>,
    /// Data nodes, numbered from 100 on.
    pub data: Vec<Option<Server>>,
}

impl Fleet {
    /// Starts so many of each. `join` is an etcd's, or "self".
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(name: &str, join: &str, doors: usize, data: usize, flags: &[&str]) -> Fleet {
        let directory = Directory::new(name);
        let certificates = directory.path().join("certificates").display().to_string();
        for words in [vec!["cert", "authority", "--dir", &certificates], vec!["cert", "node", "node", "--dir", &certificates]] {
            let made = meridian(&words);
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        // Every one of them gets its share.
        let all = format!("--data-nodes-min={data}");
        let flags = RULE.iter().chain([&all.as_str()]).chain(flags).map(|flag| (*flag).to_owned()).collect();
        let mut fleet = Fleet { directory, join: join.to_owned(), flags, doors: Vec::new(), data: Vec::new() };
        for number in 0..doors {
            fleet.doors.push(None);
            fleet.start_door(number);
        }
        for number in 0..data {
            fleet.data.push(None);
            fleet.start_data(number);
        }
        fleet
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory can be made");
        path
    }

    fn spawn(&self, name: &str, role: &str, node: usize, own: &[String], doors: &[&str]) -> Server {
        let certificates = self.directory.path().join("certificates").display().to_string();
        let number = node.to_string();
        let mut flags = vec!["--role", role, "--join", &self.join, "--fleet-certificates", &certificates, "--node", &number];
        flags.extend(own.iter().chain(&self.flags).map(String::as_str));
        Server::try_start_with(&self.directory(name), &flags, doors).unwrap_or_else(|message| panic!("{name}: {message}"))
    }

    /// Starts a door, again on the port that it had.
    pub fn start_door(&mut self, number: usize) {
        let at = self.port_of(&format!("door-{number}"));
        let door = self.spawn(&format!("door-{number}"), "manager,scheduler", number, &[at], &["pg", "flight", "fleet"]);
        if self.join == "self" {
            self.join = format!("https://{}", door.fleet);
            // Whoever keeps what is agreed goes on to do so.
            self.remember("door-0", &door.fleet);
            self.doors[number] = Some(door);
            return;
        }
        self.remember(&format!("door-{number}"), &door.fleet);
        self.doors[number] = Some(door);
    }

    /// Starts a data node, again on the port that it had.
    pub fn start_data(&mut self, number: usize) {
        if self.data.len() <= number {
            self.data.resize_with(number + 1, || None);
        }
        let at = self.port_of(&format!("data-{number}"));
        let node = self.spawn(&format!("data-{number}"), "data", 100 + number, &[at], &["fleet"]);
        self.remember(&format!("data-{number}"), &node.fleet);
        self.data[number] = Some(node);
    }

    fn remember(&self, name: &str, address: &str) {
        std::fs::write(self.directory(name).join("address"), address).expect("a file can be written");
    }

    fn port_of(&self, name: &str) -> String {
        let address = std::fs::read_to_string(self.directory(name).join("address")).unwrap_or_else(|_| "127.0.0.1:0".to_owned());
        format!("--fleet={address}")
    }

    /// A door.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn door(&self, number: usize) -> &Server {
        self.doors[number].as_ref().expect("the door runs")
    }

    /// kill -9 of a data node.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_data(&mut self, number: usize) {
        self.data[number].take().expect("the node runs").kill();
    }

    /// Ends a data node in order; how many files of samples it leaves.
    ///
    /// # Panics
    /// When it does not run, or does not end well.
    pub fn stop_data(&mut self, number: usize) -> usize {
        assert!(self.data[number].take().expect("the node runs").stop().success(), "it ends in order");
        let mut places = vec![self.directory(&format!("data-{number}")).join("store/slices")];
        let mut files = 0;
        while let Some(place) = places.pop() {
            for entry in std::fs::read_dir(place).expect("a directory").map(|entry| entry.expect("an entry").path()) {
                if entry.is_dir() {
                    places.push(entry);
                } else if entry.extension().is_some_and(|of| of == "series") {
                    files += 1;
                }
            }
        }
        files
    }

    /// kill -9 of a door.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill_door(&mut self, number: usize) {
        self.doors[number].take().expect("the door runs").kill();
    }

    /// Waits until a query at a door answers one row with `t`.
    ///
    /// # Panics
    /// When it does not within 90 s.
    pub async fn until(&self, client: &Client, sql: &str) {
        let begun = Instant::now();
        loop {
            let last = match client.query_one(sql, &[]).await {
                Ok(row) if row.get::<_, bool>(0) => return,
                Ok(_) => "it answers f".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {sql}: {last}; {}", self.directory.path().display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all eight slices are placed and every copy is in step.
    pub async fn until_in_step(&self, client: &Client) {
        let sql = "SELECT count(*) = 8 FROM meridian.slice_map WHERE array_length(members) = array_length(backups) + 1";
        self.until(client, sql).await;
    }
}
