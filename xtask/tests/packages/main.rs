//! What `cargo xtask deb` and `cargo xtask image` make, looked at and run: by Debian's own checks, under a systemd that installs, upgrades
//! and removes it, and by a container runtime.
//!
//! It promises that nothing of this machine is changed: packages are installed into an overlay of it, which goes with the test.
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: processes, files, clocks")]

mod deb;
mod image;
mod machine;
mod service;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long something may take to come about on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory of its own for one test; stays for a look when the test fails.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("meridian-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        Directory(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

/// The program that is packed: the one that `cargo xtask test` built, else built now.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MERIDIAN_BINARY") {
        return path.into();
    }
    let status = Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "meridian"]).status();
    assert!(status.expect("cargo can be started").success(), "the program can be built");
    Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("meridian")
}

/// Runs `cargo xtask COMMAND` on the program that is there; the answer is what it printed.
fn make(command: &str, out: &Path) -> String {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    xtask.args([command, "--fast", "--binary"]).arg(binary()).arg("--out").arg(out);
    told(&mut xtask)
}

/// What a command prints on both streams; it must end well.
fn told(command: &mut Command) -> String {
    let output = ended(command);
    let text = both(&output);
    assert!(output.status.success(), "{command:?} ended with {}:\n{text}", output.status);
    text
}

fn ended(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"))
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether a program is on the path.
fn found(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(program).is_file()))
}

/// Waits until something is so.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether this process is root's: what follows needs it.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}
