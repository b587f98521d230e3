//! A machine for one test: this one's files under an overlay in memory, a network of its own, and systemd as process 1.
//!
//! It promises that all of it goes with the value. Where it can't be had (no root, no overlay, no systemd) it says why.

use crate::{both, ended, told, wait_for};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Files, in an order that pivot_root asks for; $1 is where it is built, $2 the test's directory, which is /srv inside, $3 the control group.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
# Where it stands, a package starts no service: as in an image that is built.
rm -f usr/sbin/policy-rc.d
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mount -t tmpfs -o mode=1777 tmpfs tmp
for device in null zero full random urandom tty; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mkdir dev/pts dev/shm
ln -s pts/ptmx dev/ptmx
mount -t sysfs sysfs sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mount --bind "$2" srv
ip link set lo up
pivot_root . mnt
umount -l /mnt
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=basic.target
"#;

/// Puts itself into a control group of its own, so that two such machines do not meet in one; then the namespaces.
const ENTER: &str = r#"
for place in /sys/fs/cgroup /sys/fs/cgroup/systemd; do
    if [ -e "$place/cgroup.procs" ] && mkdir "$place/$3" 2>/dev/null; then echo $$ > "$place/$3/cgroup.procs"; break; fi
done
exec unshare --mount --pid --fork --kill-child --cgroup --ipc --uts --net sh -c "$0" boot "$1" "$2"
"#;

/// A machine that runs.
pub struct Machine {
    boot: Child,
    group: String,
}

impl Machine {
    /// Boots one; its /srv is the directory given.
    pub fn boot(srv: &Path) -> Option<Machine> {
        let without = |why: &str| {
            eprintln!("no machine to install on: {why}; the service is not run");
            None
        };
        if !crate::is_root() {
            return without("it takes root");
        }
        if !Path::new("/lib/systemd/systemd").exists() {
            return without("the package systemd is not installed");
        }
        let place = srv.join("machine");
        std::fs::create_dir_all(&place).expect("a directory can be made");
        let trial = format!(
            "mount -t tmpfs tmpfs {0} && mkdir {0}/u {0}/w && mount -t overlay -o lowerdir=/,upperdir={0}/u,workdir={0}/w o /mnt",
            place.display()
        );
        let tried = ended(Command::new("unshare").args(["--mount", "--net", "sh", "-c", &trial]));
        if !tried.status.success() {
            return without(&both(&tried));
        }
        let group = format!("meridian-test-{}", std::process::id());
        let log = std::fs::File::create(srv.join("boot.log")).expect("a log can be made");
        let mut sh = Command::new("sh");
        sh.args(["-c", ENTER, BOOT]).arg(&place).arg(srv).arg(&group).stdin(Stdio::null());
        sh.stdout(log.try_clone().expect("a handle can be cloned")).stderr(log);
        let mut machine = Machine { boot: sh.spawn().expect("sh can be started"), group };
        wait_for("systemd to be up", || {
            let ended = machine.boot.try_wait().expect("a child can be asked for its status");
            assert!(ended.is_none(), "it did not boot: {}", std::fs::read_to_string(srv.join("boot.log")).unwrap_or_default());
            both(&machine.run("test \"$(cat /proc/1/comm)\" = systemd && systemctl is-system-running"))
                .starts_with("running")
                .then_some(())
        });
        Some(machine)
    }

    /// Runs a script on it, in a shell.
    pub fn run(&self, script: &str) -> Output {
        ended(&mut self.command(script))
    }

    /// Runs a script that must end well; what it printed, without the last line's end.
    pub fn told(&self, script: &str) -> String {
        told(&mut self.command(script)).trim_end().to_owned()
    }

    fn command(&self, script: &str) -> Command {
        let of = |kind: &str| format!("/proc/{}/ns/{kind}", self.boot.id());
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount={}", of("mnt"))).arg(format!("--net={}", of("net")));
        command.arg(format!("--ipc={}", of("ipc"))).arg(format!("--pid={}", of("pid_for_children")));
        command.args([
            "--",
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
            "sh",
            "-c",
            script,
        ]);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.boot.kill());
        drop(self.boot.wait());
        for place in ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"] {
            let group = Path::new(place).join(&self.group);
            // The kernel may still be ending what was in it. An empty group that stays harms nobody.
            let start = std::time::Instant::now();
            while group.exists() && start.elapsed() < Duration::from_secs(10) {
                drop(ended(Command::new("find").arg(&group).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])));
            }
        }
    }
}
