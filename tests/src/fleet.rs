//! A fleet of real processes: managers, schedulers and data nodes, over a lone manager or a real etcd, each at a place of a network.
//!
//! It promises that every process lies in a directory of its own and ends with the value, that one which is started again is
//! where it was, and that `until_in_step` returns once all slices are placed and every copy is in step.

use crate::disk::SmallDisk;
use crate::{Directory, Network, Place, Server, meridian};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::Client;

/// Few slices, so that every node has some and each test is quick; a block of four tags lies together.
const RULE: [&str; 3] = ["--rule-buckets=8", "--rule-b1=4", "--memory-bytes=256MiB"];
const PATIENCE: Duration = Duration::from_secs(90);

/// An authority in a directory, and a certificate of it for processes called "node".
///
/// # Panics
/// When they can't be made.
pub fn make_certificates(directory: &Path) {
    let directory = directory.display().to_string();
    for words in [vec!["cert", "authority", "--dir", &directory], vec!["cert", "node", "node", "--dir", &directory]] {
        let made = meridian(&words);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

/// A fleet.
pub struct Fleet {
    /// Managers that are schedulers, too. The first one keeps what is agreed, where no etcd does.
    pub doors: Vec<Option<Server>>,
    /// Data nodes, numbered from 100 on.
    pub data: Vec<Option<Server>>,
    /// What lies between them: processes are called door-0, data-0 and so on.
    pub network: Network,
    join: String,
    flags: Vec<String>,
    connections: Arc<Mutex<Vec<String>>>,
    disks: Vec<(String, SmallDisk)>,
    clocks: Vec<String>,
    /// Variables of all processes that are started from now on.
    pub variables: Vec<(&'static str, String)>,
    // The last to go: processes write into it.
    directory: Directory,
}

impl Fleet {
    /// Starts so many of each on loopback. `join` is an etcd's, or "self".
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(name: &str, join: &str, doors: usize, data: usize, flags: &[&str]) -> Fleet {
        let mut fleet = Fleet::new(name, Network::loopback(), join, data, flags);
        fleet.start_all(doors, data);
        fleet
    }

    /// A fleet on a network that is meant to have so many data nodes; nothing of it runs yet.
    ///
    /// # Panics
    /// When no certificates can be made.
    #[must_use]
    pub fn new(name: &str, network: Network, join: &str, data: usize, flags: &[&str]) -> Fleet {
        let directory = Directory::new(name);
        make_certificates(&directory.path().join("certificates"));
        // Every one of them gets its share.
        let all = format!("--data-nodes-min={data}");
        let flags = RULE.iter().chain([&all.as_str()]).chain(flags).map(|flag| (*flag).to_owned()).collect();
        Fleet {
            doors: Vec::new(),
            data: Vec::new(),
            network,
            join: join.to_owned(),
            flags,
            connections: Arc::default(),
            disks: Vec::new(),
            clocks: Vec::new(),
            variables: Vec::new(),
            directory,
        }
    }

    /// Starts so many of each.
    ///
    /// # Panics
    /// When they don't come up.
    pub fn start_all(&mut self, doors: usize, data: usize) {
        (0..doors).for_each(|number| self.start_door(number));
        (0..data).for_each(|number| self.start_data(number));
    }

    /// Where its logs lie: `NAME/server.err` of each process.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the certificates of all its processes lie.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.path().join("certificates")
    }

    /// Sends a signal to every process, and waits until each has said something so many times since it was first started.
    ///
    /// # Panics
    /// When one does not within 90 s.
    pub fn signal_until_said(&self, signal: &str, words: &str, times: usize) {
        let doors = self.doors.iter().enumerate().map(|(at, door)| (format!("door-{at}"), door));
        let all = doors.chain(self.data.iter().enumerate().map(|(at, node)| (format!("data-{at}"), node)));
        for (name, process) in all.filter_map(|(name, process)| Some((name, process.as_ref()?))) {
            process.signal(signal);
            let (log, begun) = (self.path().join(&name).join("server.err"), Instant::now());
            while std::fs::read_to_string(&log).unwrap_or_default().matches(words).count() < times {
                assert!(begun.elapsed() < PATIENCE, "{name} does not say {words:?} {times} times: {}", log.display());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Starts a data node with certificates of its own, which is not to become one of the fleet: waits until it says why.
    ///
    /// # Panics
    /// When it says nothing of the kind within 90 s.
    pub fn start_stranger(&mut self, number: usize, certificates: &Path, words: &str) {
        let name = format!("data-{number}");
        let (place, directory) = (self.network.place(&name), self.directory(&name));
        let (certificates, number) = (certificates.display().to_string(), (100 + number).to_string());
        let address = format!("--fleet={}:0", place.address);
        let mut flags =
            vec!["--role", "data", "--join", &self.join, "--fleet-certificates", &certificates, "--node", &number, &address];
        flags.extend(self.flags.iter().map(String::as_str));
        Server::start_until_it_says(&place, &directory, &flags, &["fleet"], words);
    }

    /// How each door is reached by tokio-postgres: kept up while doors come and go.
    #[must_use]
    pub fn connections(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.connections)
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory can be made");
        path
    }

    /// The store of a process that does not run yet lies on a disk of its own from now on, of so many MiB. `None` where the
    /// machine allows no mounts; then it says why.
    pub fn small_disk(&mut self, name: &str, mib: u64) -> Option<&SmallDisk> {
        let at = self.directory(name).join("store");
        let disk = SmallDisk::mount(&at, mib).inspect_err(|why| eprintln!("no disk of its own for {name}: {why}")).ok()?;
        self.disks.push((name.to_owned(), disk));
        self.disk(name)
    }

    /// The small disk of a process.
    #[must_use]
    pub fn disk(&self, name: &str) -> Option<&SmallDisk> {
        self.disks.iter().find(|(of, _)| of == name).map(|(_, disk)| disk)
    }

    /// The process of that name gets a wall clock of its own from its next start on, which `move_clock` moves. False where the
    /// machine has no library for it; then it says so.
    pub fn own_clock(&mut self, name: &str) -> bool {
        self.move_clock(name, 0);
        let can = Place::loopback().with_clock(&self.clock(name)).is_some();
        if can {
            self.clocks.push(name.to_owned());
        } else {
            eprintln!("the package faketime is not installed, so no clock is moved");
        }
        can
    }

    /// From now on a process with its own clock is so many seconds ahead.
    ///
    /// # Panics
    /// When its file can't be written.
    pub fn move_clock(&self, name: &str, seconds: i64) {
        // The library reads the file again and again: it must never see half of it.
        let (file, new) = (self.clock(name), self.directory(name).join("clock-new"));
        std::fs::write(&new, format!("{seconds:+}\n")).expect("a file can be written");
        std::fs::rename(new, file).expect("a file can be renamed");
    }

    fn clock(&self, name: &str) -> PathBuf {
        self.directory(name).join("clock")
    }

    fn try_spawn(&mut self, name: &str, role: &str, node: usize, doors: &[&str]) -> Result<Server, String> {
        let mut place = self.network.place(name).with_variables(&self.variables);
        if self.clocks.iter().any(|of| of == name) {
            place = place.with_clock(&self.clock(name)).expect("it was there before");
        }
        let directory = self.directory(name);
        let certificates = self.certificates().display().to_string();
        // Again on the port that it had.
        let address = std::fs::read_to_string(directory.join("address")).unwrap_or_else(|_| format!("{}:0", place.address));
        let (number, fleet) = (node.to_string(), format!("--fleet={address}"));
        let mut flags =
            vec!["--role", role, "--join", &self.join, "--fleet-certificates", &certificates, "--node", &number, &fleet];
        flags.extend(self.flags.iter().map(String::as_str));
        let server = Server::try_start_at(&place, &directory, &flags, doors)
            .map_err(|message| format!("{name}: {message}\nlogs: {}", self.directory.path().display()))?;
        std::fs::write(directory.join("address"), &server.fleet).expect("a file can be written");
        Ok(server)
    }

    /// Starts a door, again on the port that it had in the fleet.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_door(&mut self, number: usize) {
        self.start_door_with(number, &[]);
    }

    /// The same with flags of its own.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_door_with(&mut self, number: usize, flags: &[&str]) {
        let (name, shared) = (format!("door-{number}"), self.flags.clone());
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let door = self.try_spawn(&name, "manager,scheduler", number, &["pg", "flight", "fleet"]);
        self.flags = shared;
        let door = door.unwrap_or_else(|message| panic!("{message}"));
        if self.join == "self" {
            // Whoever keeps what is agreed goes on to do so.
            self.join = format!("https://{}", door.fleet);
        }
        if self.doors.len() <= number {
            self.doors.resize_with(number + 1, || None);
            self.connections.lock().resize(number + 1, String::new());
        }
        self.connections.lock()[number] = door.connection();
        self.doors[number] = Some(door);
    }

    /// Starts a data node, again on the port that it had.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_data(&mut self, number: usize) {
        self.try_start_data(number).unwrap_or_else(|message| panic!("{message}"));
    }

    /// Starts a data node, or says why it does not come up.
    ///
    /// # Errors
    /// What it printed, and where logs lie.
    pub fn try_start_data(&mut self, number: usize) -> Result<(), String> {
        let node = self.try_spawn(&format!("data-{number}"), "data", 100 + number, &["fleet"])?;
        if self.data.len() <= number {
            self.data.resize_with(number + 1, || None);
        }
        self.data[number] = Some(node);
        Ok(())
    }

    /// A door.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn door(&self, number: usize) -> &Server {
        self.doors[number].as_ref().expect("the door runs")
    }

    /// A data node.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn node(&self, number: usize) -> &Server {
        self.data[number].as_ref().expect("the node runs")
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

    /// How a data node ended, where it did by itself; then it does not run any more.
    pub fn ended_data(&mut self, number: usize) -> Option<ExitStatus> {
        let status = self.data[number].as_mut()?.ended()?;
        self.data[number] = None;
        Some(status)
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
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {sql}: {last}; {}", self.path().display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all eight slices are placed and every copy is in step.
    pub async fn until_in_step(&self, client: &Client) {
        let sql = "SELECT count(*) = 8 FROM meridian.slice_map WHERE array_length(members) = array_length(backups) + 1";
        self.until(client, sql).await;
    }
}
