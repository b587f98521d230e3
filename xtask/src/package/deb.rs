//! `cargo xtask deb`: a Debian package, made by dpkg-deb of a tree of files.
//!
//! It promises what Debian's policy asks: a configuration file that is asked about when it changed, scripts as debhelper writes them, dependencies
//! worked out from the program. A store is never removed by it. It may not know what is set how: the file that it installs is the program's own.

use super::notices::{self, DOC};
use super::{Product, Stage, printed, told, write};
use crate::needs;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// The package's own number within a version: Debian's revision.
const REVISION: u32 = 1;
/// Who is named where the environment names nobody (DEBFULLNAME and DEBEMAIL, as Debian's own tools have it).
const MAINTAINER: (&str, &str) = ("Meridian maintainers", "maintainers@meridian.invalid");
const DESCRIPTION: &str = "Description: real-time database for measurements, reached by psql
 Meridian keeps the readings of measuring points (tags) of grids, plants and
 cities: millions of points a second in, any of them back in microseconds, and
 SQL over all of them, by PostgreSQL's protocol, Arrow Flight SQL and HTTP.
 .
 This package has the program, which is server and client in one, and a
 systemd service for one node.
";
/// What lintian is told of what is meant: the package is no upload to Debian, and the file may hold a password.
const OVERRIDES: &str = "meridian: initial-upload-closes-no-bugs [*]
meridian: non-standard-file-perm 0640 != 0644 [etc/meridian/meridian.toml]
";
const CONFIGURATION: &str = "/etc/meridian/meridian.toml";

/// Makes the package.
pub fn run(words: &[String]) -> Result<(), String> {
    let product = Product::of(words)?;
    let stage = product.stage("deb")?;
    let packaging = crate::root().join("packaging");
    stage.copy("/usr/bin/meridian", 0o755, &product.program)?;
    // It may come to hold a password: after the installation its group is the service's.
    stage.file(CONFIGURATION, 0o640, &product.ask(&["config-docs", "--example"])?)?;
    stage.copy("/usr/lib/systemd/system/meridian.service", 0o644, &packaging.join("meridian.service"))?;
    stage.copy("/usr/lib/sysusers.d/meridian.conf", 0o644, &packaging.join("sysusers.conf"))?;
    for (shell, path) in [
        ("bash", "/usr/share/bash-completion/completions/meridian"),
        ("zsh", "/usr/share/zsh/vendor-completions/_meridian"),
        ("fish", "/usr/share/fish/vendor_completions.d/meridian.fish"),
    ] {
        stage.file(path, 0o644, &product.ask(&["completions", shell])?)?;
    }
    let pages = stage.dir("/usr/share/man/man1", 0o755)?;
    product.ask(&["manual", &pages.to_string_lossy()])?;
    documents(&product, &stage)?;
    control(&product, &stage)?;
    stage.settle()?;
    let file = product.out.join(format!("meridian_{}-{REVISION}_{}.deb", product.version, product.architecture));
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", if product.fast { "-Zgzip" } else { "-Zxz" }]);
    if product.fast {
        pack.arg("-z1");
    }
    pack.env("SOURCE_DATE_EPOCH", product.epoch.to_string());
    needs::run(pack.arg("--build").arg(&stage.root).arg(&file))?;
    println!("xtask: {}", file.display());
    Ok(())
}

fn documents(product: &Product, stage: &Stage) -> Result<(), String> {
    let root = crate::root();
    notices::put(stage)?;
    stage.file("/usr/share/lintian/overrides/meridian", 0o644, OVERRIDES)?;
    stage.copy(&format!("{DOC}/README.md"), 0o644, &root.join("README.md"))?;
    stage.copy(&format!("{DOC}/changelog"), 0o644, &root.join("CHANGELOG.md"))?;
    let (version, name) = (&product.version, maintainer());
    let entry = format!(
        "meridian ({version}-{REVISION}) unstable; urgency=medium\n\n  * Release {version}: what changed stands in changelog.gz.\n\n -- {name}  {}\n",
        product.date("--rfc-email")?
    );
    stage.file(&format!("{DOC}/changelog.Debian"), 0o644, &entry)?;
    let is_packed = |path: &Path| {
        let shown = path.to_string_lossy();
        shown.contains("/changelog") || shown.ends_with("THIRD-PARTY") || shown.contains("/man1/")
    };
    let files: Vec<_> = stage.files()?.into_iter().filter(|path| is_packed(path)).collect();
    // Pages have the modes that the program's umask gave them; gzip keeps modes.
    for file in &files {
        stage.set_mode(file, 0o644)?;
    }
    needs::run(Command::new("gzip").arg("-9n").args(&files).current_dir(&stage.root))
}

/// The package's own files, beside those that are installed.
fn control(product: &Product, stage: &Stage) -> Result<(), String> {
    let files = stage.files()?;
    let sums = printed(Command::new("md5sum").args(&files).current_dir(&stage.root))?;
    // As policy counts it: whole KiB a file, one a directory or so.
    let sizes = files.iter().map(|path| stage.root.join(path).metadata().map_or(0, |data| data.len()).div_ceil(1024));
    let installed: u64 = sizes.sum();
    stage.dir("/DEBIAN", 0o755)?;
    let mut control = String::from("Package: meridian\n");
    let _ = writeln!(control, "Version: {}-{REVISION}", product.version);
    let _ = writeln!(control, "Architecture: {}", product.architecture);
    let _ = writeln!(control, "Maintainer: {}", maintainer());
    let _ = writeln!(control, "Installed-Size: {installed}");
    // The user is made by systemd-sysusers, of systemd or alone.
    let _ =
        writeln!(control, "Depends: {}, systemd | systemd-standalone-sysusers | systemd-sysusers", libraries(product, stage)?);
    control.push_str("Suggests: postgresql-client\nSection: database\nPriority: optional\n");
    control.push_str(DESCRIPTION);
    stage.file("/DEBIAN/control", 0o644, &control)?;
    stage.file("/DEBIAN/conffiles", 0o644, &format!("{CONFIGURATION}\n"))?;
    stage.file("/DEBIAN/md5sums", 0o644, &sums)?;
    for script in ["postinst", "prerm", "postrm"] {
        stage.copy(&format!("/DEBIAN/{script}"), 0o755, &crate::root().join("packaging").join(script))?;
    }
    Ok(())
}

/// The libraries' packages with the versions that the program's symbols need.
fn libraries(product: &Product, stage: &Stage) -> Result<String, String> {
    // It wants to stand in a source package, and the program in the package's directory.
    let source = product.scratch.join("source");
    std::fs::create_dir_all(source.join("debian")).map_err(|error| format!("{}: {error}", source.display()))?;
    write(&source.join("debian/control"), "Source: meridian\n\nPackage: meridian\nArchitecture: any\n")?;
    let program = stage.root.join("usr/bin/meridian");
    let said = told(Command::new("dpkg-shlibdeps").arg("-O").arg("-e").arg(program).current_dir(&source))?;
    let found = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    found.map(str::to_owned).ok_or_else(|| format!("dpkg-shlibdeps told no libraries: {said}"))
}

fn maintainer() -> String {
    let or = |name: &str, other: &str| std::env::var(name).unwrap_or_else(|_| other.to_owned());
    format!("{} <{}>", or("DEBFULLNAME", MAINTAINER.0), or("DEBEMAIL", MAINTAINER.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_no_configuration_again_and_waits_as_long_as_a_stop_takes() {
        let unit = super::super::read(&crate::root().join("packaging/meridian.service")).expect("the unit is there");
        for line in [
            "Type=notify",
            "RestartPreventExitStatus=2 78",
            "KillSignal=SIGTERM",
            "TimeoutStopSec=90s",
            "StateDirectoryMode=0700",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}");
        }
        assert!(unit.contains(CONFIGURATION));
    }
}
