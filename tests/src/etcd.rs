//! A real etcd of one member or several, in the clear or by TLS.
//!
//! It promises that it answers when `start` returns, that a member is where it was after it was killed and started again, and that
//! all of them end with the value.

use crate::Place;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running etcd.
pub struct Etcd {
    members: Vec<Member>,
    directory: PathBuf,
    /// Where its certificate for clients lies, `etcd.crt` and `etcd.key`, and whom clients are to believe, `believed.crt`.
    certificates: Option<PathBuf>,
}

struct Member {
    child: Option<Child>,
    place: Place,
    /// For clients, and for the other members.
    ports: (u16, u16),
}

impl Member {
    fn client(&self) -> String {
        format!("{}:{}", self.place.address, self.ports.0)
    }

    fn peer(&self) -> String {
        format!("http://{}:{}", self.place.address, self.ports.1)
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Etcd {
    /// Starts one of one member, on loopback, below a directory.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    #[must_use]
    pub fn start(directory: &Path) -> Etcd {
        Etcd::start_at(directory, &[Place::loopback()])
    }

    /// Starts one of one member that speaks TLS to clients, with what lies in a directory: `etcd.crt` and `etcd.key`; `believed.crt` is of
    /// the authority.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    #[must_use]
    pub fn start_encrypted(directory: &Path, certificates: &Path) -> Etcd {
        Etcd::start_with(directory, &[Place::loopback()], Some(certificates))
    }

    /// Starts one with a member at each place.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    #[must_use]
    pub fn start_at(directory: &Path, places: &[Place]) -> Etcd {
        Etcd::start_with(directory, places, None)
    }

    fn start_with(directory: &Path, places: &[Place], certificates: Option<&Path>) -> Etcd {
        let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        // All are held until all are known, so that none is given twice.
        let held: Vec<_> = places.iter().map(|place| (place, free(), free())).collect();
        let port = |listener: &std::net::TcpListener| listener.local_addr().expect("it is bound").port();
        let member = |(place, client, peer): &(&Place, _, _)| {
            let ports = if place.is_loopback() { (port(client), port(peer)) } else { (2379, 2380) };
            Member { child: None, place: (*place).clone(), ports }
        };
        let members = held.iter().map(member).collect();
        drop(held);
        let mut etcd = Etcd { members, directory: directory.to_owned(), certificates: certificates.map(Path::to_owned) };
        etcd.restart();
        etcd
    }

    /// What `--join` says of it.
    #[must_use]
    pub fn join(&self) -> String {
        format!("etcd://{}", self.members.iter().map(Member::client).collect::<Vec<_>>().join(","))
    }

    /// kill -9 of all members.
    pub fn kill(&mut self) {
        self.members.iter_mut().for_each(Member::kill);
    }

    /// kill -9 of one member.
    pub fn kill_member(&mut self, number: usize) {
        self.members[number].kill();
    }

    /// Starts those members that don't run, over what they kept.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    pub fn restart(&mut self) {
        for number in 0..self.members.len() {
            if self.members[number].child.is_none() {
                self.members[number].child = Some(self.spawn(number));
            }
        }
        let scheme = self.scheme();
        let endpoints = self.members.iter().map(|member| format!("{scheme}://{}", member.client())).collect::<Vec<_>>().join(",");
        let begun = Instant::now();
        let healthy = || {
            let mut command = Command::new("etcdctl");
            command.args(["--endpoints", &endpoints, "endpoint", "health"]).env("ETCDCTL_API", "3");
            command.args(self.certificates.iter().map(|dir| format!("--cacert={}", dir.join("believed.crt").display())));
            command.output().expect("etcdctl is installed by `cargo xtask test`").status.success()
        };
        while !healthy() {
            assert!(begun.elapsed() < Duration::from_secs(60), "etcd answers within 60 s: {}", self.directory.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn scheme(&self) -> &'static str {
        if self.certificates.is_some() { "https" } else { "http" }
    }

    fn spawn(&self, number: usize) -> Child {
        let (member, name) = (&self.members[number], |number: usize| format!("etcd-{number}"));
        let all: Vec<String> =
            self.members.iter().enumerate().map(|(at, member)| format!("{}={}", name(at), member.peer())).collect();
        let (client, peer) = (format!("{}://{}", self.scheme(), member.client()), member.peer());
        let file = self.directory.join(format!("{}.err", name(number)));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(file).expect("a log file can be made");
        member
            .place
            .command(Path::new("etcd"))
            .args(["--name", &name(number), "--data-dir"])
            .arg(self.directory.join(name(number)))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &all.join(","), "--log-level", "error"])
            .args(self.certificates.iter().flat_map(|dir| {
                [("cert", "etcd.crt"), ("key", "etcd.key")]
                    .map(|(flag, file)| format!("--{flag}-file={}", dir.join(file).display()))
            }))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd is installed by `cargo xtask test`")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
