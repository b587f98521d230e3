//! The package as Debian's own tools see it.

use crate::{Directory, both, ended, found, make, told};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes the package; its file.
pub fn package(out: &Path) -> PathBuf {
    let said = make("deb", out);
    let file = said.lines().find_map(|line| line.strip_prefix("xtask: ").filter(|path| path.ends_with(".deb")));
    PathBuf::from(file.unwrap_or_else(|| panic!("no package is named: {said}")))
}

#[test]
fn the_package_is_what_debian_asks_for() {
    let directory = Directory::new("deb");
    let file = package(&directory.path().join("one"));
    let again = package(&directory.path().join("two"));
    assert_eq!(std::fs::read(&file).expect("it is there"), std::fs::read(again).expect("it is there"), "made twice, other bytes");

    let field = |name: &str| told(Command::new("dpkg-deb").arg("--field").arg(&file).arg(name)).trim().to_owned();
    assert_eq!(field("Package"), "meridian");
    let name = format!("meridian_{}_{}.deb", field("Version"), field("Architecture"));
    assert_eq!(file.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
    assert!(field("Depends").contains("libc6 (>= 2."), "{}", field("Depends"));
    let listed = told(Command::new("dpkg-deb").arg("--contents").arg(&file));
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/meridian"),
        ("-rw-r-----", "./etc/meridian/meridian.toml"),
        ("-rw-r--r--", "./usr/lib/systemd/system/meridian.service"),
        ("-rw-r--r--", "./usr/share/doc/meridian/copyright"),
        ("-rw-r--r--", "./usr/share/doc/meridian/changelog.Debian.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/meridian-serve.1.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/meridian"),
    ] {
        let line = listed.lines().find(|line| line.ends_with(&format!(" {path}")));
        assert!(line.is_some_and(|line| line.starts_with(mode) && line.contains(" root/root ")), "{path}: {line:?}");
    }
    let root = directory.path().join("root");
    told(Command::new("dpkg-deb").arg("--raw-extract").arg(&file).arg(&root));
    let conffiles = std::fs::read_to_string(root.join("DEBIAN/conffiles")).expect("it is there");
    assert_eq!(conffiles, "/etc/meridian/meridian.toml\n");
    told(Command::new("md5sum").args(["--check", "--quiet", "DEBIAN/md5sums"]).current_dir(&root));

    if found("lintian") {
        told(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&file));
    } else {
        eprintln!("lintian is not installed: the package is not checked against Debian's policy");
    }
    check_unit(&root);
}

/// systemd's own opinion of the unit: no unknown word, and less exposed than most.
fn check_unit(root: &Path) {
    if !found("systemd-analyze") {
        eprintln!("systemd-analyze is not installed: the unit is not checked");
        return;
    }
    // It looks for the program too: on another root.
    let unit = root.join("usr/lib/systemd/system/meridian.service");
    let text = std::fs::read_to_string(&unit).expect("the unit is there");
    let here = text.replace("/usr/bin/meridian", &root.join("usr/bin/meridian").display().to_string());
    // Pages and other units are those of the machine that it is installed on.
    let here: String =
        here.lines().filter(|line| !line.starts_with("Documentation=man:")).map(|line| line.to_owned() + "\n").collect();
    let copy = root.join("meridian.service");
    std::fs::write(&copy, here).expect("a copy can be written");
    let verified = ended(Command::new("systemd-analyze").arg("verify").arg(&copy));
    let said = both(&verified);
    assert!(verified.status.success() && !said.contains("meridian.service:"), "{said}");
    let exposure = ["security", "--offline=true", "--no-pager", "--threshold=20"];
    let judged = ended(Command::new("systemd-analyze").args(exposure).arg(&copy));
    assert!(judged.status.success(), "{}", both(&judged));
}
