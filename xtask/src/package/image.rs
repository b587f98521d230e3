//! `cargo xtask image`: an OCI image layout (image-spec 1.0), made without a container engine.
//!
//! It promises an image that holds the program and what it is linked with, and no shell; that runs as a user who is not root; and that
//! listens to nobody until a password is given. It may not know what is set how.
//!
//! ```text
//! layer 1: /etc/passwd, /etc/group, /etc/nsswitch.conf, /tmp, /var/lib/meridian, the libraries that ldd names, their licences
//! layer 2: /usr/bin/meridian, /usr/share/doc/meridian
//! ```

use super::notices::{self, DOC};
use super::{Product, Stage, printed, told, write};
use crate::needs;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user that it runs as, and its group.
const USER: u32 = 10001;
const STORE: &str = "/var/lib/meridian";
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nmeridian:x:10001:10001:Meridian:/var/lib/meridian:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nmeridian:x:10001:\n";
/// How glibc finds names: without the file it would ask for services that are not there.
const NAMES: &str = "passwd: files\ngroup: files\nhosts: files dns\n";
const OWN_DIGITS: usize = 64;

/// A layer as it lies in the layout.
struct Layer {
    /// Of the bytes that lie there.
    blob: Blob,
    /// Of the archive before it was compressed.
    diff_id: String,
    about: &'static str,
}

/// Bytes that are named by their digest.
struct Blob {
    digest: String,
    size: u64,
}

/// Makes the image.
pub fn run(words: &[String]) -> Result<(), String> {
    let product = Product::of(words)?;
    let layout = product.out.join(format!("meridian_{}_{}.oci", product.version, product.architecture));
    let making = product.scratch.join("layout");
    std::fs::create_dir_all(making.join("blobs/sha256")).map_err(|error| format!("{}: {error}", making.display()))?;
    let base = base(&product)?;
    let program = program(&product)?;
    let layers = [
        layer(&product, &making, &base, "base", "libraries, and the user that the program runs as")?,
        layer(&product, &making, &program, "program", "the program")?,
    ];
    let config = blob(&making, &config(&product, &layers)?)?;
    let manifest = blob(&making, &manifest(&product, &config, &layers)?)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest.digest,
            "size": manifest.size,
            "platform": { "architecture": product.architecture, "os": "linux" },
            // A name may not have the + of a version.
            "annotations": { "org.opencontainers.image.ref.name": product.version.replace('+', "_") },
        }],
    });
    write(&making.join("index.json"), &text(&index)?)?;
    write(&making.join("oci-layout"), &text(&json!({ "imageLayoutVersion": "1.0.0" }))?)?;
    if layout.exists() {
        std::fs::remove_dir_all(&layout).map_err(|error| format!("{}: {error}", layout.display()))?;
    }
    std::fs::rename(&making, &layout).map_err(|error| format!("{}: {error}", layout.display()))?;
    println!("xtask: {} ({})", layout.display(), manifest.digest);
    Ok(())
}

/// What the program stands on.
fn base(product: &Product) -> Result<Stage, String> {
    let stage = product.stage("base")?;
    stage.file("/etc/passwd", 0o644, PASSWD)?;
    stage.file("/etc/group", 0o644, GROUP)?;
    stage.file("/etc/nsswitch.conf", 0o644, NAMES)?;
    stage.dir("/tmp", 0o1777)?;
    stage.dir(STORE, 0o700)?;
    for library in libraries(&printed(Command::new("ldd").arg(&product.program))?)? {
        stage.copy(&library.to_string_lossy(), 0o755, &library)?;
        licence_of(&library, &stage)?;
    }
    stage.settle()?;
    Ok(stage)
}

fn program(product: &Product) -> Result<Stage, String> {
    let stage = product.stage("program")?;
    stage.copy("/usr/bin/meridian", 0o755, &product.program)?;
    notices::put(&stage)?;
    let license = crate::root().join("LICENSE");
    stage.copy(&format!("{DOC}/LICENSE"), 0o644, &license)?;
    let packed = stage.root.join(format!("{DOC}/THIRD-PARTY").trim_start_matches('/'));
    needs::run(Command::new("gzip").arg("-9n").arg(packed))?;
    stage.settle()?;
    Ok(stage)
}

/// The files that ldd names: libraries by "NAME => PATH (..)", the loader by its path alone; the kernel's own part has none.
fn libraries(ldd: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for line in ldd.lines().map(str::trim) {
        if line.contains("not found") {
            return Err(format!("ldd: {line}"));
        }
        let path = line.split_once("=> ").map_or(line, |(_, path)| path).split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            found.push(PathBuf::from(path));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The licence of the package that a library is of, where this machine knows it.
fn licence_of(library: &Path, stage: &Stage) -> Result<(), String> {
    let whole = std::fs::canonicalize(library).map_err(|error| format!("{}: {error}", library.display()))?;
    // Debian's own files lie below /usr, and packages before the merge name them without it.
    let names = [whole.clone(), Path::new("/").join(whole.strip_prefix("/usr").unwrap_or(&whole))];
    let package = names.iter().find_map(|name| {
        let said = Command::new("dpkg").arg("-S").arg(name).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(said.stdout).ok()?.split(':').next().map(str::to_owned)
    });
    let Some(package) = package else { return Ok(()) };
    let path = format!("/usr/share/doc/{package}/copyright");
    if Path::new(&path).is_file() && !stage.place(&path)?.exists() {
        stage.copy(&path, 0o644, Path::new(&path))?;
    }
    Ok(())
}

/// Packs a tree: all of it root's but the store's directory.
fn layer(product: &Product, making: &Path, stage: &Stage, name: &str, about: &'static str) -> Result<Layer, String> {
    let archive = product.scratch.join(format!("{name}.tar"));
    let own = format!(".{STORE}");
    let tar = || {
        let mut command = Command::new("tar");
        command.args(["--format=ustar", "--sort=name", "--numeric-owner"]);
        command.arg("--directory").arg(&stage.root).arg("--file").arg(&archive);
        command
    };
    needs::run(tar().args(["--owner=0", "--group=0", "--create", &format!("--exclude={own}"), "."]))?;
    if stage.root.join(&own).is_dir() {
        needs::run(tar().args([&format!("--owner={USER}"), &format!("--group={USER}"), "--append", "--no-recursion", &own]))?;
    }
    let diff_id = digest(&archive)?;
    needs::run(product.gzip().arg(&archive))?;
    Ok(Layer { blob: keep(making, &archive.with_extension("tar.gz"))?, diff_id, about })
}

fn config(product: &Product, layers: &[Layer]) -> Result<Value, String> {
    let created = product.date("+%Y-%m-%dT%H:%M:%SZ")?;
    let history: Vec<Value> = layers
        .iter()
        .map(|layer| json!({ "created": created, "created_by": "cargo xtask image", "comment": layer.about }))
        .collect();
    Ok(json!({
        "created": created,
        "architecture": product.architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": [
                "PATH=/usr/bin",
                format!("MERIDIAN_DIR={STORE}"),
                // Others reach it: so `serve` refuses to start until there is a password, and TLS or leave to go without.
                "MERIDIAN_PG=0.0.0.0:5432",
            ],
            "Entrypoint": ["/usr/bin/meridian"],
            "Cmd": ["serve"],
            "WorkingDir": STORE,
            "Volumes": { STORE: {} },
            "ExposedPorts": { "5432/tcp": {}, "5433/tcp": {}, "7400/tcp": {}, "8086/tcp": {} },
            "StopSignal": "SIGTERM",
            "Labels": about(product)?,
        },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id.as_str()).collect::<Vec<_>>() },
        "history": history,
    }))
}

fn manifest(product: &Product, config: &Blob, layers: &[Layer]) -> Result<Value, String> {
    let descriptor = |blob: &Blob, kind: &str| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": blob.digest, "size": blob.size });
    Ok(json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(config, "config.v1+json"),
        "layers": layers.iter().map(|layer| descriptor(&layer.blob, "layer.v1.tar+gzip")).collect::<Vec<_>>(),
        "annotations": about(product)?,
    }))
}

/// What is said of the image, by the names that the image-spec defines.
fn about(product: &Product) -> Result<Value, String> {
    let revision = told(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(crate::root())).unwrap_or_default();
    Ok(json!({
        "org.opencontainers.image.title": "meridian",
        "org.opencontainers.image.description": "A real-time database for measurements, reached by psql",
        "org.opencontainers.image.version": product.version,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.created": product.date("+%Y-%m-%dT%H:%M:%SZ")?,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }))
}

fn text(value: &Value) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// Puts a document into the layout.
fn blob(making: &Path, value: &Value) -> Result<Blob, String> {
    let path = making.join("document");
    write(&path, &text(value)?)?;
    keep(making, &path)
}

/// Moves a file to where its digest names it.
fn keep(making: &Path, path: &Path) -> Result<Blob, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let digest = digest(path)?;
    let size = path.metadata().map_err(failed)?.len();
    let place = making.join("blobs").join(digest.replace(':', "/"));
    std::fs::rename(path, place).map_err(failed)?;
    Ok(Blob { digest, size })
}

fn digest(path: &Path) -> Result<String, String> {
    let said = told(Command::new("sha256sum").arg("--binary").arg(path))?;
    let word = said.split(' ').next().unwrap_or_default();
    if word.len() == OWN_DIGITS { Ok(format!("sha256:{word}")) } else { Err(format!("sha256sum said \"{said}\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_that_lie_somewhere() {
        let ldd = "\tlinux-vdso.so.1 (0x1)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x2)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        let expected = ["/lib/x/libc.so.6", "/lib/x/libm.so.6", "/lib64/ld.so"].map(PathBuf::from);
        assert_eq!(libraries(ldd), Ok(expected.to_vec()));
        assert!(libraries("\tlibz.so => not found\n").is_err());
        assert_eq!(libraries("\tstatically linked\n"), Ok(Vec::new()));
    }
}
