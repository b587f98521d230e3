//! The image as a container's tools see it, and as a container.

use crate::{Directory, both, ended, found, make, told, wait_for};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Makes the image; its directory.
fn image(out: &Path) -> PathBuf {
    let said = make("image", out);
    let named = said.lines().find_map(|line| line.strip_prefix("xtask: ")?.split_once(" (sha256:"));
    PathBuf::from(named.unwrap_or_else(|| panic!("no image is named: {said}")).0)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("it is JSON")
}

/// Where a descriptor leads, once its size and digest were held against what lies there.
fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest");
    let path = layout.join("blobs/sha256").join(digest);
    assert_eq!(Some(path.metadata().expect("the blob is there").len()), descriptor["size"].as_u64(), "{descriptor}");
    assert!(told(Command::new("sha256sum").arg(&path)).starts_with(digest), "{descriptor}");
    path
}

#[test]
fn the_image_is_whole_and_runs_in_a_container() {
    let directory = Directory::new("image");
    let layout = image(&directory.path().join("one"));
    let again = image(&directory.path().join("two"));
    let index = json_of(&layout.join("index.json"));
    assert_eq!(index, json_of(&again.join("index.json")), "made twice, other bytes");
    assert_eq!(json_of(&layout.join("oci-layout")), json!({ "imageLayoutVersion": "1.0.0" }));

    let manifest = json_of(&blob(&layout, &index["manifests"][0]));
    let config = json_of(&blob(&layout, &manifest["config"]));
    let layers = manifest["layers"].as_array().expect("layers");
    for (layer, diff_id) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().expect("their archives")) {
        let sum = told(Command::new("sh").args(["-c", "gzip -dc \"$0\" | sha256sum"]).arg(blob(&layout, layer)));
        assert!(format!("sha256:{sum}").starts_with(diff_id.as_str().expect("a digest")), "{layer}");
    }
    assert_eq!(std::fs::read_dir(layout.join("blobs/sha256")).expect("blobs").count(), layers.len() + 2);
    let name = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name");
    run_it(directory.path(), &layout, name);
}

/// A container that runs.
struct Container {
    child: Child,
    name: String,
}

impl Container {
    /// Starts the bundle with these variables beside the image's own.
    fn start(bundle: &Path, number: u32, variables: &[&str]) -> Container {
        let mut config = json_of(&bundle.join("config.json"));
        config["process"]["terminal"] = json!(false);
        // In this machine's network, so that a client reaches it.
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        namespaces.retain(|space| space["type"] != "network");
        // An engine makes a volume of what the image has there; umoci's bundle has an empty one in memory, which is root's.
        config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/var/lib/meridian");
        config["process"]["env"].as_array_mut().expect("variables").extend(variables.iter().map(|text| json!(text)));
        config["root"]["path"] = json!(bundle.join("rootfs").canonicalize().expect("it is there"));
        let run = bundle.with_file_name(format!("run-{number}"));
        std::fs::create_dir(&run).expect("a directory can be made");
        std::fs::write(run.join("config.json"), config.to_string()).expect("it can be written");
        let name = format!("meridian-test-{}-{number}", std::process::id());
        let mut runc = Command::new("runc");
        runc.args(["run", "--bundle"]).arg(&run).arg(&name);
        let child = runc.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runc can be started");
        Container { child, name }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(ended(Command::new("runc").args(["delete", "--force", &self.name])));
        drop(self.child.wait());
    }
}

fn run_it(directory: &Path, layout: &Path, name: &str) {
    if !crate::is_root() || !found("umoci") || !found("runc") {
        eprintln!("a container takes root, umoci and runc: the image is not run");
        return;
    }
    let bundle = directory.join("bundle");
    told(Command::new("umoci").arg("unpack").arg("--image").arg(format!("{}:{name}", layout.display())).arg(&bundle));
    let root = bundle.join("rootfs");
    assert_eq!(told(Command::new("stat").args(["-c", "%u %g %a"]).arg(root.join("var/lib/meridian"))).trim(), "10001 10001 700");

    // As it is, it lets nobody in, and says what to do.
    let mut unprotected = Container::start(&bundle, 1, &[]);
    let status = unprotected.child.wait().expect("it ends");
    let mut said = String::new();
    let mut errors = unprotected.child.stderr.take().expect("its errors");
    std::io::Read::read_to_string(&mut errors, &mut said).expect("they are text");
    assert!(status.code() == Some(2) && said.contains("no user has a password"), "{status}: {said}");

    // With a password it serves.
    let ready = root.join("tmp/ready");
    let variables = [
        "MERIDIAN_PASSWORD=secret",
        "MERIDIAN_PLAINTEXT_ALLOWED=true",
        "MERIDIAN_PG=0.0.0.0:0",
        "MERIDIAN_READY_FILE=/tmp/ready",
    ];
    let mut served = Container::start(&bundle, 2, &variables);
    let port = wait_for("the container to be ready", || {
        assert!(served.child.try_wait().expect("it can be asked").is_none(), "it ended");
        std::fs::read_to_string(&ready).ok()?.trim().strip_prefix("pg=0.0.0.0:").map(str::to_owned)
    });
    let psql = |host: &str, password: &str, sql: &str| {
        let mut psql = Command::new("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            host,
            "-p",
            &port,
            "-U",
            "meridian",
            "-c",
            sql,
            "meridian",
        ]);
        ended(psql.env("PGPASSWORD", password))
    };
    let insert = "INSERT INTO tags (name, kind, unit, description) VALUES ('a', 'f64', '', '')";
    assert!(psql("127.0.0.1", "secret", insert).status.success());
    assert!(psql("127.0.0.1", "secret", "INSERT INTO samples (tag, time, value) VALUES ('a', now(), 1.5)").status.success());
    assert_eq!(both(&psql("127.0.0.1", "secret", "SELECT tag, value FROM latest")).trim(), "a|1.5");
    assert!(!psql("127.0.0.1", "wrong", "SELECT 1").status.success());
    told(Command::new("runc").args(["kill", &served.name, "TERM"]));
    assert_eq!(served.child.wait().expect("it ends").code(), Some(0), "a graceful stop");
    assert!(root.join("var/lib/meridian/node").exists() && !ready.exists());
}
