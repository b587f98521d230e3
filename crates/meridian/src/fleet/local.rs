//! A fleet on this machine, of processes of our own: for `demo --fleet` and `bench table1 --fleet`.
//!
//! Promises: it is up when all slices are placed and every copy is in step; certificates are made for it alone; all processes
//! end when it is dropped. What a process logs is in a file that is named when it fails.

use crate::Error;
use crate::client::Session;
use crate::node::{Node, Scratch};
use crate::progress::now;
use cluster::certificates::Authority;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use world::{Clock, RealClock};

/// How long the fleet may take until every copy is in step.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
/// How many days its certificates are good for.
const DAYS: u32 = 2;

/// What a fleet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Processes that are manager and scheduler.
    pub doors: u32,
    /// Data nodes.
    pub data: u32,
    /// Whether managers and schedulers are processes of their own.
    pub apart: bool,
}

impl std::str::FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let wrong = || format!("\"{text}\" is no fleet: write 3x5 for three managers and schedulers, and five data nodes");
        let (doors, data) = text.split_once('x').ok_or_else(wrong)?;
        let number = |part: &str| part.trim().parse::<u32>().ok().filter(|number| (1..=32).contains(number));
        let (Some(doors), Some(data)) = (number(doors), number(data)) else { return Err(wrong()) };
        Ok(Shape { doors, data, apart: false })
    }
}

/// A real etcd, where the fleet has several managers.
struct Etcd {
    child: Child,
    join: String,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Ended already is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A fleet.
pub struct LocalFleet {
    /// Managers that are no schedulers.
    pub managers: Vec<Node>,
    /// Schedulers, which are managers too where those don't stand apart.
    pub doors: Vec<Node>,
    /// Data nodes; none where one was killed.
    pub data: Vec<Option<Node>>,
    dir: PathBuf,
    join: String,
    flags: Vec<String>,
    data_nodes: u32,
    etcd: Option<Etcd>,
}

impl LocalFleet {
    /// Starts one below a directory and waits until it is up. `flags` go to every process.
    ///
    /// # Errors
    /// `Error::Child`, `Error::File`, `Error::Fleet`.
    pub fn start(scratch: &Scratch, shape: Shape, flags: &[String]) -> Result<LocalFleet, Error> {
        let dir = scratch.dir.join("fleet");
        certificates(&dir.join("certificates"))?;
        let etcd = if shape.doors > 1 { Some(Etcd::start(&dir)?) } else { None };
        let join = etcd.as_ref().map_or_else(|| "self".to_owned(), |etcd| etcd.join.clone());
        let (managers, doors, data) = (Vec::new(), Vec::new(), Vec::new());
        let (flags, data_nodes) = (flags.to_vec(), shape.data);
        let mut fleet = LocalFleet { managers, doors, data, dir, join, flags, data_nodes, etcd };
        for number in 0..shape.doors {
            if shape.apart {
                let manager = fleet.start_manager(50 + number)?;
                fleet.join_first(&manager.fleet);
                fleet.managers.push(manager);
            }
            let door = fleet.start_door(number, if shape.apart { "scheduler" } else { "manager,scheduler" })?;
            fleet.join_first(&door.fleet);
            fleet.doors.push(door);
        }
        for number in 0..shape.data {
            let node = fleet.start_data(number)?;
            fleet.data.push(Some(node));
        }
        fleet.wait_in_step()?;
        Ok(fleet)
    }

    fn flags(&self, role: &str, number: u32, doors: &[&str]) -> Vec<String> {
        let own = [
            "--role",
            role,
            "--join",
            &self.join,
            "--fleet",
            "127.0.0.1:0",
            "--fleet-certificates",
            &self.dir.join("certificates").display().to_string(),
            "--node",
            &number.to_string(),
            "--data-nodes-min",
            &self.data_nodes.to_string(),
        ];
        own.iter().chain(doors).map(|word| (*word).to_owned()).chain(self.flags.iter().cloned()).collect()
    }

    /// A lone manager is joined at its door.
    fn join_first(&mut self, address: &str) {
        if self.join == "self" {
            self.join = format!("https://{address}");
        }
    }

    fn start_manager(&self, number: u32) -> Result<Node, Error> {
        let flags = self.flags("manager", number, &["--pg", "none", "--flight", "none"]);
        Node::start_with(&self.dir.join(format!("manager-{number}")), &flags, &["fleet="])
    }

    fn start_door(&self, number: u32, role: &str) -> Result<Node, Error> {
        let flags = self.flags(role, number, &["--pg", "127.0.0.1:0", "--flight", "127.0.0.1:0"]);
        Node::start_with(&self.dir.join(format!("door-{number}")), &flags, &["fleet=", "pg=", "flight="])
    }

    /// Data nodes are numbered from 100 on, so that a reader tells them from doors.
    pub fn start_data(&self, number: u32) -> Result<Node, Error> {
        let flags = self.flags("data", 100 + number, &["--pg", "none", "--flight", "none"]);
        Node::start_with(&self.dir.join(format!("data-{number}")), &flags, &["fleet="])
    }

    /// A session at a door.
    ///
    /// # Errors
    /// `Error::Node`.
    pub fn session(&self) -> Result<Session, Error> {
        Session::connect(&self.doors[0].url(), "meridian")
    }

    /// Waits until all slices are placed and every copy is in step.
    ///
    /// # Errors
    /// `Error::Fleet` where that takes too long.
    pub fn wait_in_step(&self) -> Result<(), Error> {
        let sql = "SELECT count(*) FROM meridian.slice_map WHERE array_length(members) = array_length(backups) + 1";
        let all = "SELECT count(*) FROM meridian.slice_map";
        let begun = now();
        loop {
            let session = self.session()?;
            let (in_step, placed) = (session.number(sql)?, session.number(all)?);
            if placed > 0 && in_step == placed && session.query("SELECT count(*) FROM latest").is_ok() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                let last = self.doors[0].last_words();
                return Err(Error::Fleet(format!(
                    "{in_step} of {placed} slices are in step after {} s; {last}",
                    PATIENCE.as_secs()
                )));
            }
            pause();
        }
    }

    /// The first door as a node whose companions are all others: for measuring them together.
    #[must_use]
    pub fn into_node(mut self) -> (Node, FleetKeeper) {
        let mut door = self.doors.remove(0);
        door.companions = self.doors.drain(..).chain(self.managers.drain(..)).chain(self.data.drain(..).flatten()).collect();
        (door, FleetKeeper { _etcd: self.etcd.take() })
    }
}

/// What must live as long as the fleet does.
pub struct FleetKeeper {
    _etcd: Option<Etcd>,
}

#[expect(clippy::disallowed_methods, reason = "another process tells when it is ready; it is asked")]
fn pause() {
    std::thread::sleep(POLL);
}

#[expect(clippy::disallowed_methods, reason = "files of the program's own")]
fn certificates(dir: &Path) -> Result<(), Error> {
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |cause| Error::File { path, cause }
    };
    if dir.join("node.key").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(file(dir))?;
    let at = RealClock::start().wall_us();
    let failed = |fault: cluster::certificates::CertificateError| Error::Fleet(fault.to_string());
    let authority = Authority::make(at, DAYS).map_err(failed)?;
    let node = authority.issue("node", &[], at, DAYS).map_err(failed)?;
    let files = [("authority.crt", authority.certified().certificate), ("node.crt", node.certificate), ("node.key", node.key)];
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(file(&path))?;
    }
    Ok(())
}

impl Etcd {
    /// Two ports that nobody has now; somebody may take them before etcd does, which it then says.
    fn ports() -> Result<(u16, u16), Error> {
        let free = || std::net::TcpListener::bind(("127.0.0.1", 0));
        let doing = Error::system;
        let (client, peer) = (free().map_err(doing("looking for a port"))?, free().map_err(doing("looking for a port"))?);
        let port = |listener: &std::net::TcpListener| listener.local_addr().map(|at| at.port());
        Ok((port(&client).map_err(doing("looking for a port"))?, port(&peer).map_err(doing("looking for a port"))?))
    }

    #[expect(clippy::disallowed_methods, reason = "a peer's process, and its files")]
    fn start(dir: &Path) -> Result<Etcd, Error> {
        let (client, peer) = Etcd::ports()?;
        let file = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| Error::File { path, cause }
        };
        std::fs::create_dir_all(dir).map_err(file(dir))?;
        let log = dir.join("etcd.log");
        let out = std::fs::File::create(&log).map_err(file(&log))?;
        let err = out.try_clone().map_err(file(&log))?;
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(dir.join("etcd"))
            .args(["--listen-client-urls", &at(client), "--advertise-client-urls", &at(client)])
            .args(["--listen-peer-urls", &at(peer), "--initial-advertise-peer-urls", &at(peer)])
            .args(["--initial-cluster", &format!("default={}", at(peer))])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        let child = child.map_err(|cause| {
            Error::Fleet(format!(
                "several managers agree in an etcd, and none could be started ({cause}): install it (Debian: etcd-server), or take one manager, 1x5"
            ))
        })?;
        Ok(Etcd { child, join: format!("etcd://127.0.0.1:{client}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read() {
        assert_eq!("3x5".parse(), Ok(Shape { doors: 3, data: 5, apart: false }));
        assert!(["3", "0x5", "3x0", "x", "3x5x1", "99x1"].iter().all(|wrong| wrong.parse::<Shape>().is_err()));
    }
}
