//! The package installed under a systemd: as a service that is started, killed, misconfigured, upgraded, removed and purged.

use crate::deb::package;
use crate::machine::Machine;
use crate::{Directory, PATIENCE, binary, both, told, wait_for};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

const PSQL: &str = "psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U meridian meridian -c";

fn shown(machine: &Machine, property: &str) -> String {
    machine.told(&format!("systemctl show meridian --value --property={property}"))
}

fn wait_active(machine: &Machine, not_pid: &str) -> String {
    wait_for("the service to be active", || {
        let pid = shown(machine, "MainPID");
        (shown(machine, "ActiveState") == "active" && pid != not_pid && pid != "0").then_some(pid)
    })
}

fn query(machine: &Machine, sql: &str) -> String {
    machine.told(&format!("{PSQL} \"{sql}\""))
}

#[test]
fn the_service_is_installed_runs_and_goes_and_the_store_stays() {
    let directory = Directory::new("service");
    let file = package(directory.path());
    let Some(machine) = Machine::boot(directory.path()) else { return };
    let install = format!("dpkg -i /srv/{}", file.file_name().expect("a file has a name").to_string_lossy());

    // Installed: it runs, and systemd heard from itself that it is ready.
    machine.told(&install);
    let first = wait_active(&machine, "0");
    assert_eq!(shown(&machine, "StatusText"), "takes connections: pg=127.0.0.1:5432");
    assert_eq!(
        machine.told("stat -c '%U %G %a' /var/lib/meridian /etc/meridian/meridian.toml"),
        "meridian meridian 700\nroot meridian 640"
    );
    assert_eq!(machine.told(&format!("stat -c %U /proc/{first}")), "meridian");
    assert_eq!(machine.told("systemctl is-enabled meridian"), "enabled");
    query(&machine, "INSERT INTO tags (name, kind, unit, description) VALUES ('a', 'f64', '', '')");
    query(
        &machine,
        "INSERT INTO samples (tag, time, value) SELECT 'a', TIMESTAMPTZ '2024-01-01 00:00:00+00' + n * INTERVAL '1 second', n FROM generate_series(1, 20000) AS s(n)",
    );
    let total = "SELECT count(*), sum(value) FROM samples WHERE tag = 'a'";
    assert_eq!(query(&machine, total), "20000|200010000");

    // Stopped gracefully and started: nothing is lost, and it says so.
    machine.told("systemctl restart meridian");
    let second = wait_active(&machine, &first);
    assert_eq!(query(&machine, total), "20000|200010000");
    assert!(machine.told("journalctl --unit=meridian --output=cat").contains("everything acknowledged is durable"));

    // Killed: started anew by systemd.
    machine.told(&format!("kill -9 {second}"));
    let third = wait_active(&machine, &second);
    assert_eq!(query(&machine, total), "20000|200010000");
    assert_eq!(shown(&machine, "NRestarts"), "1");

    // A configuration that is wrong is told, and not tried again.
    machine.told("cp -p /etc/meridian/meridian.toml /root/ && echo 'memory_byte = 1' >> /etc/meridian/meridian.toml");
    assert!(!machine.run("systemctl restart meridian").status.success());
    for (property, value) in [("ActiveState", "failed"), ("ExecMainStatus", "2"), ("NRestarts", "0")] {
        assert_eq!(shown(&machine, property), value, "{property}");
    }
    assert!(machine.told("journalctl --unit=meridian --output=cat").contains("did you mean"));
    machine.told("cp -p /root/meridian.toml /etc/meridian/ && echo 'http = \"127.0.0.1:8086\"' >> /etc/meridian/meridian.toml");
    machine.told("systemctl start meridian");
    let fourth = wait_active(&machine, &third);
    assert!(machine.told("curl --silent --fail http://127.0.0.1:8086/ready").contains("ready"));

    // Upgraded: what the administrator set stays, and the new program runs.
    machine.told(&install);
    wait_active(&machine, &fourth);
    assert!(shown(&machine, "StatusText").contains("http=127.0.0.1:8086"));
    assert_eq!(machine.told("stat -c '%U %G %a' /etc/meridian/meridian.toml"), "root meridian 640");
    assert_eq!(query(&machine, total), "20000|200010000");

    // Removed, and purged: the configuration goes at last, the store never.
    machine.told("dpkg --remove meridian");
    assert!(!machine.run("systemctl is-active meridian").status.success());
    machine.told("test -e /etc/meridian/meridian.toml && test ! -e /usr/bin/meridian && test -d /var/lib/meridian/log");
    let purged = both(&machine.run("dpkg --purge meridian"));
    assert!(purged.contains("the store in /var/lib/meridian is kept"), "{purged}");
    machine.told("test ! -e /etc/meridian && test -d /var/lib/meridian/log");

    // Installed anew, it has what it had.
    machine.told(&install);
    wait_active(&machine, "0");
    assert_eq!(query(&machine, total), "20000|200010000");
}

#[test]
fn a_manager_is_told_of_the_opening_of_readiness_and_of_the_stop() {
    let directory = Directory::new("manager");
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket can be bound");
    manager.set_read_timeout(Some(PATIENCE)).expect("a limit can be set");
    let heard = || {
        let mut bytes = [0; 1024];
        let length = manager.recv(&mut bytes).expect("something is heard");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut serve = Command::new(binary());
    serve.args(["serve", "--pg", "127.0.0.1:0", "--stop-max", "7s", "--dir"]).arg(directory.path().join("store"));
    serve.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut serve = serve.spawn().expect("it can be started");
    assert_eq!(heard(), "STATUS=opening the store");
    let mut message = heard();
    while message == "EXTEND_TIMEOUT_USEC=60000000" {
        message = heard();
    }
    let address = message.strip_prefix("READY=1\nSTATUS=takes connections: pg=127.0.0.1:").unwrap_or_else(|| panic!("{message}"));
    assert!(address.parse::<u16>().is_ok_and(|port| port > 0), "{message}");
    told(Command::new("kill").arg(serve.id().to_string()));
    let message = heard();
    // Four times stop_max, and a minute.
    assert!(message.starts_with("STOPPING=1\n") && message.ends_with("\nEXTEND_TIMEOUT_USEC=88000000"), "{message}");
    assert!(serve.wait().expect("it ends").success());
}
