//! Members of an etcd cluster: real processes on free ports, in a directory of the test's own, ended
//! by their own process ids.

use crate::directory::Directory;
use cluster::certificates::Certified;
use cluster::etcd::{Etcd, Settings};
use cluster::{Limits, Tls};
use meta::{Error, Witness};
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use world::RealRandom;

/// How long anything may take before the test says that it never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Certificates of a cluster's client side.
pub struct Certificates {
    pub authority: String,
    pub server: Certified,
    pub client: Certified,
}

/// An etcd cluster.
pub struct Members {
    directory: Directory,
    members: Vec<Member>,
    certificates: Option<Certificates>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Members {
    /// So many members, started.
    pub fn start(count: usize, certificates: Option<Certificates>) -> Members {
        let listeners: Vec<TcpListener> =
            (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").expect("an answer that is no fault")).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().expect("an answer that is no fault").port()).collect();
        drop(listeners);
        let member = |pair: &[u16]| Member { client_port: pair[0], peer_port: pair[1], process: None };
        let members = ports.chunks(2).map(member).collect();
        let mut members = Members { directory: Directory::new(), members, certificates };
        if let Some(certificates) = &members.certificates {
            let write = |name: &str, text: &str| {
                std::fs::write(members.directory.path().join(name), text).expect("an answer that is no fault")
            };
            write("authority.crt", &certificates.authority);
            write("server.crt", &certificates.server.certificate);
            write("server.key", &certificates.server.key);
            write("client.crt", &certificates.client.certificate);
            write("client.key", &certificates.client.key);
        }
        (0..count).for_each(|i| members.begin(i));
        members
    }

    /// Starts a member that does not run.
    pub fn begin(&mut self, i: usize) {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.members[i].client_port);
        let peer = |member: &Member| format!("http://127.0.0.1:{}", member.peer_port);
        let all: Vec<String> = self.members.iter().enumerate().map(|(i, member)| format!("m{i}={}", peer(member))).collect();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("m{i}.log")))
            .expect("an answer that is no fault");
        let mut command = Command::new("etcd");
        command
            .args(["--name", &format!("m{i}"), "--data-dir"])
            .arg(self.data(i))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer(&self.members[i]), "--initial-advertise-peer-urls", &peer(&self.members[i])])
            .args([
                "--initial-cluster",
                &all.join(","),
                "--initial-cluster-token",
                &format!("test-{}", self.members[0].peer_port),
            ])
            .args(["--logger", "zap", "--log-level", "error"]);
        if self.certificates.is_some() {
            let file = |name: &str| self.directory.path().join(name);
            command.arg("--cert-file").arg(file("server.crt")).arg("--key-file").arg(file("server.key"));
            command.arg("--trusted-ca-file").arg(file("authority.crt")).arg("--client-cert-auth");
        }
        let process =
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("an answer that is no fault")).stderr(log).spawn();
        self.members[i].process = Some(process.expect("etcd is installed (Debian: etcd-server)"));
    }

    fn data(&self, i: usize) -> PathBuf {
        self.directory.path().join(format!("m{i}"))
    }

    /// kill -9.
    pub fn kill(&mut self, i: usize) {
        if let Some(mut process) = self.members[i].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, i: usize, name: &str) {
        let process = self.members[i].process.as_ref().expect("it runs");
        let sent =
            Command::new("kill").args(["-s", name, &process.id().to_string()]).status().expect("an answer that is no fault");
        assert!(sent.success());
        if name == "STOP" {
            let mut stopped = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: waitid writes the one value that it is given; the child is ours and not waited for.
            let waited = unsafe { libc::waitid(libc::P_PID, process.id(), stopped.as_mut_ptr(), libc::WSTOPPED) };
            assert_eq!(waited, 0, "all of its threads stand still");
        }
    }

    /// Removes what a member that does not run has kept.
    pub fn wipe(&self, i: usize) {
        std::fs::remove_dir_all(self.data(i)).expect("an answer that is no fault");
    }

    /// Copies what a member that does not run has kept, or brings a copy back.
    pub fn copy(&self, i: usize, back: bool) {
        let (data, copy) = (self.data(i), self.directory.path().join("copy"));
        let (from, to) = if back { (copy, data) } else { (data, copy) };
        let _ = std::fs::remove_dir_all(&to);
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("an answer that is no fault").success());
    }

    /// etcd's own client says something to it, as soon as it listens.
    pub fn control(&self, words: &[&str]) {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("{scheme}://127.0.0.1:{}", self.members[0].client_port)]);
        if self.certificates.is_some() {
            let file = |name: &str| self.directory.path().join(name);
            command.arg("--cacert").arg(file("authority.crt"));
            command.arg("--cert").arg(file("client.crt")).arg("--key").arg(file("client.key"));
        }
        let output = command.args(words).output().expect("etcdctl is installed (Debian: etcd-client)");
        assert!(output.status.success(), "etcdctl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Settings that reach all members, with limits that a test has time for.
    pub fn settings(&self) -> Settings {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        Settings {
            endpoints: self.members.iter().map(|member| format!("{scheme}://127.0.0.1:{}", member.client_port)).collect(),
            prefix: "fleet/".to_owned(),
            user: None,
            identity: self.certificates.as_ref().map(|certificates| {
                Tls {
                    authority: certificates.authority.clone().into_bytes(),
                    own: Some((certificates.client.certificate.clone().into(), certificates.client.key.clone().into())),
                    name: None,
                }
                .into()
            }),
            limits: Limits::default(),
        }
    }

    /// Connects, once it answers.
    pub fn connect(&self, runtime: &Runtime, settings: &Settings, known: Option<Witness>) -> Result<Etcd, Error> {
        let start = Instant::now();
        loop {
            match runtime.block_on(Etcd::connect(settings.clone(), &RealRandom, known)) {
                Err(error @ Error::Unavailable(_)) if start.elapsed() > PATIENCE => {
                    panic!("etcd does not come up: {error}; it says: {}", self.logs());
                }
                Err(Error::Unavailable(_)) => std::thread::sleep(Duration::from_millis(50)),
                result => return result,
            }
        }
    }

    fn logs(&self) -> String {
        let log = |i| std::fs::read_to_string(self.directory.path().join(format!("m{i}.log"))).unwrap_or_default();
        (0..self.members.len()).map(log).collect()
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|i| self.kill(i));
    }
}

/// Asks until the answer is not that meta is away.
pub fn patiently<T: Send + 'static>(ask: impl Fn() -> meta::Answer<T>) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        match ask().wait().expect("the runtime lives") {
            Err(error) if error.can_retry() => assert!(start.elapsed() < PATIENCE, "it stays away: {error}"),
            answer => return answer,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
