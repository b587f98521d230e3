//! A network of its own for one test: each process in a network namespace, all of them on one bridge.
//!
//! ```text
//! client 10.213.K.1 ── uplink ┐
//! mrdK-data-0  eth0 ── data-0 ┤ bridge "lan" in namespace mrdK-hub: here links are cut (nft), slowed (tc), made to lose
//! mrdK-etcd-0  eth0 ── etcd-0 ┘
//! ```
//!
//! It promises that a cut, once it is made, lets no packet through in that direction and no other is touched; that all of it goes
//! with the value, and what a killed test left goes with the next. Where namespaces are not to be had (no root, no `ip`, no
//! `nft`) it says why, and places are loopback ports, between which nothing can be cut.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Networks that may stand at one time on one machine.
const NETWORKS_MAX: u8 = 250;
/// What a slow link is where the kernel has netem.
const SLOW: [&str; 7] = ["netem", "delay", "40ms", "20ms", "loss", "2%", "50%"];
/// What it is elsewhere: narrow, so that whatever is sent queues up.
const NARROW: [&str; 7] = ["tbf", "rate", "1mbit", "burst", "8kb", "latency", "300ms"];
/// The library that moves a process's wall clock, as Debian's package faketime brings it.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// Where a process runs: its address, its namespace, its clock.
#[derive(Clone, Debug)]
pub struct Place {
    /// What it listens at, without a port.
    pub address: String,
    namespace: Option<String>,
    environment: Vec<(&'static str, String)>,
}

impl Place {
    /// On loopback, among all others.
    #[must_use]
    pub fn loopback() -> Place {
        Place { address: "127.0.0.1".to_owned(), namespace: None, environment: Vec::new() }
    }

    /// Whether it is reached over loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.namespace.is_none()
    }

    /// The same place with a wall clock that is moved by what a file says ("+3600", seconds), while the process runs. `None`
    /// where the library for it is not installed. Its monotonic clock stays as it is.
    #[must_use]
    pub fn with_clock(&self, file: &Path) -> Option<Place> {
        let library =
            std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join(FAKETIME)).find(|at| at.exists())?;
        let mut place = self.clone();
        place.environment.extend([
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]);
        Some(place)
    }

    /// The same place with variables.
    #[must_use]
    pub fn with_variables(mut self, variables: &[(&'static str, String)]) -> Place {
        self.environment.extend(variables.iter().cloned());
        self
    }

    /// A program that is to run there.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A network, or loopback.
pub struct Network {
    /// Its number; 0 on loopback.
    number: u8,
    places: Vec<String>,
    /// Who does not hear whom: (from, to).
    cuts: BTreeSet<(String, String)>,
    slowed: BTreeSet<String>,
}

impl Network {
    /// The loopback device: nothing of it can be cut.
    #[must_use]
    pub fn loopback() -> Network {
        Network { number: 0, places: Vec::new(), cuts: BTreeSet::new(), slowed: BTreeSet::new() }
    }

    /// A network of its own where the machine allows it, else loopback: then it says why on standard error.
    #[must_use]
    pub fn new() -> Network {
        sweep();
        let mut network = Network::loopback();
        match claim() {
            Ok(number) => network.number = number,
            Err(why) => eprintln!("no network of its own for this test, so no link of it is cut: {why}"),
        }
        network
    }

    /// Whether links can be cut and slowed.
    #[must_use]
    pub fn can_cut(&self) -> bool {
        self.number > 0
    }

    /// Where the process of that name runs; "client" is the test itself.
    ///
    /// # Panics
    /// When a namespace can't be made.
    #[must_use]
    pub fn place(&mut self, name: &str) -> Place {
        if !self.can_cut() {
            return Place::loopback();
        }
        let namespace = namespace(self.number, name);
        if !self.places.iter().any(|known| known == name) {
            self.places.push(name.to_owned());
            let (hub, address) = (namespace_hub(self.number), self.address(name));
            batch(&format!(
                "netns add {namespace}\n\
                 -n {hub} link add {name} type veth peer name eth0 netns {namespace}\n\
                 -n {hub} link set {name} master lan up\n\
                 -n {namespace} addr add {address}/24 dev eth0\n\
                 -n {namespace} link set eth0 up\n\
                 -n {namespace} link set lo up\n"
            ))
            .unwrap_or_else(|why| panic!("a namespace for {name}: {why}"));
        }
        Place { address: self.address(name), namespace: Some(namespace), environment: Vec::new() }
    }

    fn address(&self, name: &str) -> String {
        let place = self.places.iter().position(|known| known == name).map_or(1, |at| at + 2);
        format!("10.213.{}.{place}", self.number)
    }

    /// From now on `to` hears nothing of `from`.
    pub fn cut(&mut self, from: &str, to: &str) {
        self.cuts.insert((from.to_owned(), to.to_owned()));
        self.apply();
    }

    /// From now on nobody on one side hears or reaches anybody on the other.
    pub fn part<S: AsRef<str>>(&mut self, one: &[S], other: &[S]) {
        for (from, to) in one.iter().flat_map(|from| other.iter().map(move |to| (from.as_ref(), to.as_ref()))) {
            self.cuts.insert((from.to_owned(), to.to_owned()));
            self.cuts.insert((to.to_owned(), from.to_owned()));
        }
        self.apply();
    }

    /// From now on the process neither hears nor reaches any other, the test included.
    pub fn isolate(&mut self, name: &str) {
        let others: Vec<String> =
            self.places.iter().filter(|other| *other != name).cloned().chain(["client".to_owned()]).collect();
        self.part(&[name.to_owned()], &others);
    }

    /// What is sent to a process from now on comes late, some of it never.
    ///
    /// # Panics
    /// When the kernel has neither netem nor tbf.
    pub fn slow(&mut self, name: &str) {
        let set = |what: &[&str]| {
            let words = ["qdisc", "replace", "dev", name, "root"];
            in_hub(self.number, "tc", &[&words, what].concat(), "")
        };
        if self.can_cut() {
            set(&SLOW).or_else(|_| set(&NARROW)).unwrap_or_else(|why| panic!("a slow link to {name}: {why}"));
            self.slowed.insert(name.to_owned());
        }
    }

    /// All links are whole and quick again.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.apply();
        for name in std::mem::take(&mut self.slowed) {
            let words = ["qdisc", "del", "dev", &name, "root"];
            in_hub(self.number, "tc", &words, "").unwrap_or_else(|why| panic!("a quick link to {name}: {why}"));
        }
    }

    /// All rules at once, as one change of the kernel's.
    fn apply(&self) {
        if !self.can_cut() {
            return;
        }
        let mut rules = "add table bridge faults\n\
            add chain bridge faults links { type filter hook forward priority 0; }\n\
            flush chain bridge faults links\n"
            .to_owned();
        for (from, to) in &self.cuts {
            rules +=
                &format!("add rule bridge faults links ip saddr {} ip daddr {} drop\n", self.address(from), self.address(to));
        }
        in_hub(self.number, "nft", &["-f", "-"], &rules).unwrap_or_else(|why| panic!("links can't be cut: {why}\n{rules}"));
    }
}

impl Default for Network {
    fn default() -> Network {
        Network::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.can_cut() {
            remove(self.number);
        }
    }
}

fn namespace(number: u8, name: &str) -> String {
    format!("mrd{number}-{name}")
}

fn namespace_hub(number: u8) -> String {
    namespace(number, "hub")
}

/// Makes the first network that is not there. A namespace is made only where there is none of that name, so this is the claim.
fn claim() -> Result<u8, String> {
    let mut why = String::new();
    for number in 1..=NETWORKS_MAX {
        let hub = namespace_hub(number);
        match ip(&["netns", "add", &hub]) {
            Ok(()) => {
                let made = batch(&format!(
                    "link add mrd{number} type veth peer name uplink netns {hub}\n\
                     link set mrd{number} alias {pid}\n\
                     addr add 10.213.{number}.1/24 dev mrd{number}\n\
                     link set mrd{number} up\n\
                     -n {hub} link add lan type bridge\n\
                     -n {hub} link set lan up\n\
                     -n {hub} link set uplink master lan up\n",
                    pid = std::process::id()
                ))
                .and_then(|()| in_hub(number, "nft", &["add", "table", "bridge", "faults"], ""));
                return made.map(|()| number).inspect_err(|_| remove(number));
            }
            Err(said) if said.contains("File exists") => why = said,
            Err(said) => return Err(said),
        }
    }
    Err(why)
}

/// Removes networks whose test is gone without having removed them.
fn sweep() {
    for number in 1..=NETWORKS_MAX {
        let alias = std::fs::read_to_string(format!("/sys/class/net/mrd{number}/ifalias")).unwrap_or_default();
        if alias.trim().parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(number);
        }
    }
}

/// Best effort: what stays is removed by the next test. The hub is last, since it is the claim.
fn remove(number: u8) {
    let (hub, mine) = (namespace_hub(number), namespace(number, ""));
    let places =
        std::fs::read_dir("/run/netns").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    for place in places.filter(|name| name.starts_with(&mine) && *name != hub) {
        drop(ip(&["netns", "del", &place]));
    }
    drop(ip(&["link", "del", &format!("mrd{number}")]));
    drop(ip(&["netns", "del", &hub]));
}

fn ip(words: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(words), "")
}

fn batch(lines: &str) -> Result<(), String> {
    lines.lines().try_for_each(|line| ip(&line.split_whitespace().collect::<Vec<_>>()).map_err(|why| format!("ip {line}: {why}")))
}

fn in_hub(number: u8, program: &str, words: &[&str], input: &str) -> Result<(), String> {
    run(Command::new("ip").args(["netns", "exec", &namespace_hub(number), program]).args(words), input)
}

/// Runs a program to its end, or says what it said.
fn run(command: &mut Command, input: &str) -> Result<(), String> {
    let (stdin, quiet, said) = (Stdio::piped(), Stdio::null(), Stdio::piped());
    let mut child = command.stdin(stdin).stdout(quiet).stderr(said).spawn().map_err(|fault| format!("{command:?}: {fault}"))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|fault| fault.to_string())?;
    match (output.status.success(), written) {
        (true, Ok(())) => Ok(()),
        (true, Err(fault)) => Err(fault.to_string()),
        (false, _) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
