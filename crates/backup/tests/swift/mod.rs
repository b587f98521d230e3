//! An object store to test against: OpenStack Swift, which checks signatures, digests and parts as it does where it is in use.
//!
//! Others' tests take this file by `#[path]`. `server.py` says how it is put together; it needs the Debian package swift-proxy.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Who may read and write the buckets `plant` and `other`.
pub const KEY_ID: &str = "test:tester";
pub const SECRET: &str = "testing";

/// A store that runs, in a directory of its own; ended and removed when dropped.
pub struct Swift {
    dir: PathBuf,
    certificate: Option<(PathBuf, PathBuf)>,
    child: Child,
    port: u16,
}

impl Swift {
    pub fn start(name: &str) -> Swift {
        Swift::made(name, |_| None)
    }

    /// With a certificate and its key in the store's directory, as they are made there.
    pub fn made(name: &str, certificate: impl FnOnce(&Path) -> Option<(PathBuf, PathBuf)>) -> Swift {
        let dir = std::env::temp_dir().join(format!("meridian-swift-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let certificate = certificate(&dir);
        let (child, port) = launch(&dir, certificate.as_ref());
        Swift { dir, certificate, child, port }
    }

    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|(certificate, _)| certificate.as_path())
    }

    pub fn endpoint(&self) -> String {
        format!("{}://localhost:{}", if self.certificate.is_some() { "https" } else { "http" }, self.port)
    }

    /// The variables with which programs find it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint()),
        ]
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it had, where it was.
    pub fn restart(&mut self) {
        self.kill();
        let (child, port) = launch(&self.dir, self.certificate.as_ref());
        assert_eq!(port, self.port);
        self.child = child;
    }

    /// How many objects and parts lie on its disk, whoever can see them.
    pub fn objects(&self) -> usize {
        let (mut dirs, mut count) = (vec![self.dir.join("devices/disk/objects")], 0);
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap()) {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else if entry.path().extension().is_some_and(|end| end == "data") {
                    count += 1;
                }
            }
        }
        count
    }
}

impl Drop for Swift {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Swift lies among the system's own Python packages.
fn launch(dir: &Path, certificate: Option<&(PathBuf, PathBuf)>) -> (Child, u16) {
    // Whichever crate takes this file lies below the project.
    let below = |dir: &Path| dir.join("crates/backup/tests/swift/server.py");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(below).find(|script| script.exists()).unwrap();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("server.err")).unwrap();
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(dir).args(certificate.iter().flat_map(|(certificate, key)| [certificate, key]));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let Some(port) = said.strip_prefix("ready ") else {
        let why = std::fs::read_to_string(dir.join("server.err")).unwrap_or_default();
        panic!("no Swift (`cargo xtask test` installs the package swift-proxy): {said}{why}");
    };
    (child, port.trim().parse().unwrap())
}
