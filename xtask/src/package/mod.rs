//! `cargo xtask deb` and `cargo xtask image`: what is built, in the forms in which it is installed.
//!
//! It promises that both hold the same program, stripped, and that the same program and the same commit make the same bytes. What is said
//! of settings and commands inside is asked of the program itself. It may not know what Meridian does.

pub mod deb;
pub mod image;
mod notices;
mod stage;

use crate::needs;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that are called, by the Debian package that brings them.
const PROGRAMS: &[(&str, &str)] = &[
    ("dpkg-deb", "dpkg"),
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("strip", "binutils"),
    ("ldd", "libc-bin"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("md5sum", "coreutils"),
];

/// What both forms are made of.
struct Product {
    /// The program, stripped.
    program: PathBuf,
    version: String,
    /// Debian's word for the machine: amd64, arm64. Images have the same.
    architecture: String,
    /// The commit's time, in seconds: all times in what is made.
    epoch: u64,
    out: PathBuf,
    /// A directory for what is on its way; goes with the value.
    scratch: PathBuf,
    /// Whether to compress little, for tests.
    fast: bool,
}

impl Product {
    /// Makes it of the words of the command line: `--binary PATH` (else a release build), `--out DIR`, `--fast`.
    fn of(words: &[String]) -> Result<Product, String> {
        let (mut binary, mut out, mut fast) = (None, crate::root().join("target/package"), false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut path = || words.next().map(PathBuf::from).ok_or_else(|| format!("{word} needs a path"));
            match word.as_str() {
                "--binary" => binary = Some(path()?),
                "--out" => out = path()?,
                "--fast" => fast = true,
                other => return Err(format!("there is no option \"{other}\"; there are --binary PATH, --out DIR, --fast")),
            }
        }
        needs::install_programs(PROGRAMS)?;
        let binary = binary.map_or_else(build, Ok)?;
        // Programs that run elsewhere are told of it.
        let out = std::path::absolute(out).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        let scratch = out.join(format!(".on-its-way-{}", std::process::id()));
        std::fs::create_dir(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let product = Product {
            program: scratch.join("meridian"),
            version: version()?,
            architecture: told(Command::new("dpkg").arg("--print-architecture"))?,
            epoch: epoch()?,
            out,
            scratch,
            fast,
        };
        let strip = ["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note", "-o"];
        needs::run(Command::new("strip").args(strip).arg(&product.program).arg(&binary))?;
        let says = product.ask(&["--version"])?;
        if says.trim() != format!("meridian {}", product.version) {
            return Err(format!(
                "{} says that it is \"{}\", the workspace is {}",
                binary.display(),
                says.trim(),
                product.version
            ));
        }
        Ok(product)
    }

    /// What the program answers to a command.
    fn ask(&self, words: &[&str]) -> Result<String, String> {
        printed(Command::new(&self.program).args(words))
    }

    /// An empty tree of files.
    fn stage(&self, name: &str) -> Result<Stage, String> {
        Stage::new(&self.scratch.join(name), self.epoch)
    }

    /// The product's time as `date` writes it.
    fn date(&self, form: &str) -> Result<String, String> {
        told(Command::new("date").args(["-u", "-d", &format!("@{}", self.epoch), form]).env("LC_ALL", "C"))
    }

    /// How a gzip is called here: without the time and name that it would note.
    fn gzip(&self) -> Command {
        let mut command = Command::new("gzip");
        command.args(["-n", if self.fast { "-1" } else { "-9" }]);
        command
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // What stays behind is named for what it is.
        drop(std::fs::remove_dir_all(&self.scratch));
    }
}

/// Builds the program as it is released.
fn build() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| needs::cache().join("target"), PathBuf::from);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--package", "meridian"]).current_dir(crate::root());
    needs::run(cargo.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release/meridian"))
}

fn version() -> Result<String, String> {
    let path = crate::root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let version = table.get("workspace").and_then(|at| at.get("package")?.get("version")?.as_str());
    version.map(str::to_owned).ok_or_else(|| format!("{}: names no version", path.display()))
}

fn epoch() -> Result<u64, String> {
    let said = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(said) => said,
        Err(_) => told(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(crate::root()))
            .map_err(|error| format!("the commit's time can't be had, set SOURCE_DATE_EPOCH: {error}"))?,
    };
    said.parse().map_err(|_| format!("\"{said}\" is no time: SOURCE_DATE_EPOCH is in seconds since 1970"))
}

/// What a command prints, whole.
fn printed(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("can't start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} printed what is no text"))
}

/// What a command prints, as one line.
fn told(command: &mut Command) -> Result<String, String> {
    printed(command).map(|text| text.trim().to_owned())
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
