//! The package installed under a systemd: as a service that is started, killed, misconfigured, upgraded, removed and purged.

use crate::deb::package;
use crate::machine::Machine;
use crate::{Directory, both, wait_for};

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
