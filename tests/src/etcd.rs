//! A real etcd, alone, on loopback.
//!
//! It promises that it answers when `start` returns, that it is on the same port after `restart`, and that it ends with the value.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running etcd.
pub struct Etcd {
    child: Option<Child>,
    directory: PathBuf,
    ports: (u16, u16),
}

impl Etcd {
    /// Starts one below a directory.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    #[must_use]
    pub fn start(directory: &Path) -> Etcd {
        let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let (client, peer) = (free(), free());
        let port = |listener: &std::net::TcpListener| listener.local_addr().expect("it is bound").port();
        let ports = (port(&client), port(&peer));
        drop((client, peer));
        let mut etcd = Etcd { child: None, directory: directory.join("etcd"), ports };
        etcd.restart();
        etcd
    }

    /// What `--join` says of it.
    #[must_use]
    pub fn join(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.ports.0)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Starts it again over what it kept.
    ///
    /// # Panics
    /// When it does not answer within 60 s.
    pub fn restart(&mut self) {
        self.kill();
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let (client, peer) = (at(self.ports.0), at(self.ports.1));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(&self.directory)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is installed by `cargo xtask test`");
        self.child = Some(child);
        let begun = Instant::now();
        let healthy = || {
            let asked =
                Command::new("etcdctl").args(["--endpoints", &client, "endpoint", "health"]).env("ETCDCTL_API", "3").output();
            asked.expect("etcdctl is installed by `cargo xtask test`").status.success()
        };
        while !healthy() {
            assert!(begun.elapsed() < Duration::from_secs(60), "etcd answers within 60 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}
