//! Every setting, declared once: parsing, ranges, --help, the docs page and --print-config are
//! all made from the table below.
//!
//! Promises: a `Config` that was made has every value in its range, "auto" worked out, and all
//! shares of memory within the one budget.

use super::collector::{Collector, OtlpProtocol, Share};
use super::fleet_values::{JoinSetting, Locality, ReplicationSetting, RoleSetting};
use super::values::{AutoBytes, AutoCount, Bytes, DurabilitySetting, Listen, LogFormat, Secret, Value};
use super::{ConfigError, machine};
use std::path::PathBuf;
use std::time::Duration;

/// What is declared of a setting.
#[derive(Debug)]
pub struct Setting {
    /// Its one name: in the file as it is, in the environment as MERIDIAN_NAME, as a flag with
    /// dashes.
    pub name: &'static str,
    /// Under which heading it stands.
    pub section: &'static str,
    /// What it is when nobody says anything, as text.
    pub default: &'static str,
    /// What a person should write.
    pub unit: &'static str,
    /// The least and the largest value, as text; None where any value of the type will do.
    pub range: Option<(&'static str, &'static str)>,
    /// What it does.
    pub help: &'static str,
}

macro_rules! settings {
    ($($section:literal { $($(#[doc = $help:literal])+ $name:ident: $type:ty = $default:literal $(, $low:literal to $high:literal)?;)* })*) => {
        /// The settings in force. One field a setting; what each means is said in its declaration.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($($(#[doc = $help])+ pub $name: $type,)*)*
        }

        /// All settings, in the order in which they are shown.
        pub static SETTINGS: &[Setting] = &[
            $($(Setting {
                name: stringify!($name),
                section: $section,
                default: $default,
                unit: <$type as Value>::UNIT,
                range: settings!(@range $($low, $high)?),
                help: concat!($($help, "\n"),+),
            },)*)*
        ];

        impl Config {
            /// Reads every setting from the text that `text` gives for its name.
            pub(super) fn read(text: impl Fn(&'static str) -> String) -> Result<Config, ConfigError> {
                Ok(Config { $($($name: read_one::<$type>(stringify!($name), &text(stringify!($name)))?,)*)* })
            }

            /// The values as text, by name, in the order of the table.
            #[must_use]
            pub fn shown(&self) -> Vec<(&'static str, String)> {
                vec![$($((stringify!($name), self.$name.show()),)*)*]
            }
        }

        fn range_of(name: &str) -> Option<(f64, f64)> {
            match name {
                $($(stringify!($name) => {
                    let (low, high) = settings!(@range $($low, $high)?)?;
                    let end = |text| <$type as Value>::parse(text).ok().and_then(|value| value.measure());
                    Some((end(low)?, end(high)?))
                })*)*
                _ => None,
            }
        }
    };
    (@range) => { None };
    (@range $low:literal, $high:literal) => { Some(($low, $high)) };
}

settings! {
    "Node" {
        /// Directory of the store; made where there is none. Needed by `serve`.
        dir: Option<PathBuf> = "none";
        /// File into which the addresses are written once the node takes connections: one line a
        /// door, such as "pg=127.0.0.1:40123". Useful with port 0.
        ready_file: Option<PathBuf> = "none";
        /// Threads of each kind: connections and point queries, other statements, Flight, HTTP;
        /// auto = one a core.
        threads: AutoCount = "auto", "1" to "1024";
    }
    "Doors" {
        /// Where the PostgreSQL door listens. Port 0 takes any free port.
        pg: Listen = "127.0.0.1:5432";
        /// Where the Arrow Flight door (bulk ingest, Flight SQL) listens.
        flight: Listen = "none";
        /// Where the HTTP door (SQL, InfluxDB's line protocol, health, metrics) listens.
        http: Listen = "none";
        /// Whether lines of the line protocol may make the tags that they name.
        http_create_tags: bool = "true";
        /// Connections of the PostgreSQL door at one time, more are refused with SQLSTATE 53300; and of the HTTP door,
        /// where more are answered 503.
        connections_max: u32 = "1000", "1" to "100000";
        /// Longest message taken from a client; longer ones are refused before any of it is kept.
        message_bytes_max: Bytes = "64MiB", "64KiB" to "1GiB";
        /// Batches of one Flight stream that wait for their commit; beyond that the stream is not
        /// read on.
        flight_waiting_bytes_max: Bytes = "64MiB", "1MiB" to "4GiB";
        /// Prepared statements and portals of one connection.
        statements_max: u32 = "10000", "1" to "1000000";
        /// How long a statement may run, unless the session says otherwise (statement_timeout).
        statement_max: Option<Duration> = "never", "1ms" to "30d";
        /// How long a connection may be idle before it is closed.
        idle_max: Option<Duration> = "never", "1s" to "365d";
        /// How long logging in may take; at the HTTP door also how long a request's head may, a pause within
        /// its body, and one between requests.
        login_max: Duration = "1min", "1s" to "1h";
        /// How long a graceful stop waits for statements that still run, and after that for buffers
        /// to be flushed; what is not flushed then is replayed from the log at the next start.
        stop_max: Duration = "10s", "0s" to "1h";
    }
    "Fleet" {
        /// What this process does in a fleet: manager, scheduler, data, or several of them with commas.
        /// alone = all of it, for itself, without a fleet.
        role: RoleSetting = "alone";
        /// Where what a fleet agrees on is kept. self = in this process's directory: it is the fleet's one
        /// manager, for small fleets. https://HOST:PORT = such a manager elsewhere.
        /// etcd://HOST:PORT,HOST:PORT = an etcd (3.4 or newer).
        join: JoinSetting = "self";
        /// What all keys of this fleet begin with in an etcd, so that it can serve several.
        etcd_prefix: String = "meridian/";
        /// User and password of an etcd with authentication, as NAME:PASSWORD.
        etcd_user: Secret = "none";
        /// Certificate (PEM) of the authority that an etcd's own certificate comes from; its members are
        /// then spoken to by TLS.
        etcd_authority: Option<PathBuf> = "none";
        /// Where the other processes of the fleet reach this one. Port 0 takes any free port. All addresses
        /// (0.0.0.0, [::]) need fleet_address.
        fleet: Listen = "127.0.0.1:7400";
        /// The address of that door as others see it, HOST:PORT; auto = as it listens.
        fleet_address: String = "auto";
        /// Directory of this process's certificate: authority.crt, NAME.crt and NAME.key, as
        /// `meridian cert` makes them. Needed in a fleet.
        fleet_certificates: Option<PathBuf> = "none";
        /// NAME of the certificate.
        fleet_name: String = "node";
        /// This process's number in the fleet; auto = the one it had, or the lowest free one.
        node: AutoCount = "auto", "0" to "4294967295";
        /// Where it stands, as region=NAME,zone=NAME: copies of a slice are kept apart by it.
        locality: Locality = "none";
        /// How much data it is to hold beside the other nodes.
        weight: u32 = "1", "1" to "1000";
        /// Copies of each slice, the primary's included. Only counts when the fleet is made, by its first
        /// manager; later meridian_set_replication changes it.
        copies: u32 = "2", "1" to "16";
        /// Slices are placed at first once so many data nodes are there; auto = as many as there are
        /// copies. Of a manager.
        data_nodes_min: AutoCount = "auto", "1" to "100000";
        /// sync = a write is answered when every copy in step has it on disk; a number = it is answered
        /// by the primary alone, which waits when the other copies are that many records behind
        /// (at most those are lost when it fails). Only counts when the fleet is made; later
        /// meridian_set_replication changes it.
        replication: ReplicationSetting = "sync";
        /// How fast files may be copied to this node when it catches up or takes slices, a second.
        copy_bytes_max: Bytes = "64MiB", "64KiB" to "64GiB";
        /// How long a statement tries again where a node does not answer, before it fails.
        fleet_patience: Duration = "20s", "100ms" to "1h";
    }
    "Who may come in" {
        /// Password of the user "meridian", set at the start where given. Better in the
        /// environment or a file than as a flag, which every user of the machine can read.
        password: Secret = "none";
        /// Whether whoever reaches a listener on a loopback address is believed without a password.
        loopback_trusted: bool = "true";
        /// Certificate chain (PEM) of the doors; needed, with its key, by a listener that other
        /// machines reach. Another one in its place is in use within about a minute, or on SIGHUP.
        tls_certificate: Option<PathBuf> = "none";
        /// Key (PEM) of the certificate.
        tls_key: Option<PathBuf> = "none";
        /// Whether a listener that other machines reach may go without TLS.
        plaintext_allowed: bool = "false";
    }
    "Memory" {
        /// The one budget of memory: write buffers, caches and queries all live within it.
        /// auto = half of what the machine (or its control group) has.
        memory_bytes: AutoBytes = "auto", "128MiB" to "64TiB";
        /// How much of the budget write buffers may take before writers wait; auto = 3/8 of it.
        buffer_bytes_max: AutoBytes = "auto", "16MiB" to "64TiB";
        /// How much of the budget caches of files may take; auto = 1/8 of it.
        cache_bytes_max: AutoBytes = "auto", "1MiB" to "64TiB";
        /// How much of the budget queries may take before they spill or end with an error;
        /// auto = 1/4 of it. The rest is for tags, snapshot values and connections.
        query_bytes_max: AutoBytes = "auto", "16MiB" to "64TiB";
        /// How much all queries together may spill to disk, in the store's directory, before they
        /// end with an error.
        spill_bytes_max: Bytes = "64GiB", "16MiB" to "64TiB";
    }
    "Log" {
        /// When a commit is answered: "commit" = when it is on disk; a duration = at once, and the
        /// log is synced that often (a crash loses at most that much). A data node of a fleet takes
        /// "commit" alone.
        durability: DurabilitySetting = "commit", "1ms" to "1h";
        /// How much log may pile up before the slice with the oldest unflushed record is flushed;
        /// auto = 4GiB, or an eighth of the disk that the store lies on where that is less.
        log_bytes_max: AutoBytes = "auto", "64MiB" to "16TiB";
        /// Length at which a log segment is ended, and so the most that one commit may have. At most
        /// an eighth of log_bytes_max, since the log is cut by whole segments; auto = 256MiB, or that
        /// eighth where it is less.
        segment_bytes: AutoBytes = "auto", "1MiB" to "4GiB";
    }
    "Storage" {
        /// Period of a file group. Only counts when the store is made.
        period: Duration = "1d", "1min" to "3650d";
        /// A slice that holds a write in memory for this long is flushed, however little it holds.
        flush_quiet: Duration = "10min", "1s" to "1d";
        /// How long deleted samples may stay in files, hidden, before the files are rewritten without
        /// them, however few deletions there are. Counted anew when the node starts.
        deletion_age_max: Duration = "1h", "1min" to "3650d";
        /// How many producers' batch numbers are remembered (exactly once); the one used longest
        /// ago is forgotten first.
        producers_max: u64 = "10000", "1" to "10000000";
        /// Samples older than this are dropped by whole file groups, unless a retention policy says otherwise of their
        /// tags, for longer or for shorter. In a fleet the scheduler that leads drops them; where data nodes were given
        /// different ones the longest counts.
        retention: Option<Duration> = "never", "1min" to "365000d";
        /// How often samples are looked for that retention and retention policies (CREATE RETENTION POLICY) don't keep; more
        /// seldom where looking takes long. In a fleet the scheduler that leads does it.
        retention_every: Duration = "1min", "1s" to "1d";
        /// Distribution rule, slice = (w1*floor(ordinal/b1) + w2*floor(day/b2)) mod buckets: how
        /// many slices there are. The rule only counts when the store is made; before the first tag
        /// meridian_set_rule changes it.
        rule_buckets: u32 = "64", "1" to "65536";
        /// Distribution rule: weight of the tag's ordinal.
        rule_w1: u32 = "1", "0" to "4294967295";
        /// Distribution rule: how many consecutive ordinals lie together.
        rule_b1: u64 = "1024", "1" to "4294967295";
        /// Distribution rule: weight of the day; 0 = time does not matter.
        rule_w2: u32 = "0", "0" to "4294967295";
        /// Distribution rule: how many consecutive days lie together.
        rule_b2: u64 = "1", "1" to "4294967295";
    }
    "Archive" {
        /// The repository to which what is written is archived: a directory, by its whole path, or s3://bucket/prefix; the one of the
        /// backups. A store can then be restored as it was at any moment. In a fleet it is set for schedulers, of which one
        /// archives; all processes must reach it.
        archive_to: Option<PathBuf> = "none";
        /// How often: with the machine at most so much of what was acknowledged is lost.
        archive_every: Duration = "1min", "1s" to "1d";
        /// Bytes of log that are kept for a repository that can't be reached, so beyond log_bytes_max. What is more is let go:
        /// a gap, which the next backup closes. Not in a fleet: it has files copied where writes are not at hand any more.
        archive_hold_max: Bytes = "8GiB", "1MiB" to "16TiB";
    }
    "Logs of the program" {
        /// How the program's log is written: auto = text on a terminal, JSON elsewhere.
        log_format: LogFormat = "auto";
        /// What is logged: error, warn, info, debug or trace, or a filter such as "info,kernel=debug".
        log_level: String = "info";
        /// A file that is told, a line of JSON each, who came in, who was refused, who changed roles and rights, and who
        /// operated; it is only appended to, and opened anew on SIGHUP. None = these events stand in the program's log.
        audit_log: Option<PathBuf> = "none";
        /// Statements that take longer are logged, with their plans.
        slow_statement: Option<Duration> = "1s", "1ms" to "1d";
    }
    "Traces" {
        /// Where spans are told, by OTLP: http://HOST:PORT or https://HOST; over HTTP the path /v1/traces is added.
        /// None = no spans are made.
        otlp_endpoint: Collector = "none";
        /// How they are told: over HTTP (collectors listen for it on port 4318), or over gRPC (on port 4317).
        otlp_protocol: OtlpProtocol = "http/protobuf";
        /// How many of the statements that come without a traceparent, and of flushes and merges, are told as traces; those that
        /// come with one are told where it says so.
        otlp_sample: Share = "0", "0" to "1";
    }
}

/// Segments that a full log has at least: it is cut by whole ones, the newest never goes, and flushes begin at half.
const SEGMENTS_MIN: u64 = 8;

fn read_one<T: Value>(name: &'static str, text: &str) -> Result<T, ConfigError> {
    let value = T::parse(text).map_err(|problem| ConfigError::Value { name, problem })?;
    if let (Some(size), Some((low, high))) = (value.measure(), range_of(name))
        && !(low..=high).contains(&size)
    {
        let setting = find(name).expect("a name of the table is in the table");
        let (low, high) = setting.range.expect("a range that was just read");
        return Err(ConfigError::Value { name, problem: format!("{} is out of its range, {low} to {high}", value.show()) });
    }
    Ok(value)
}

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

impl Setting {
    /// Its name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("MERIDIAN_{}", self.name.to_ascii_uppercase())
    }

    /// Its flag, without the leading dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What it does, as one paragraph.
    #[must_use]
    pub fn paragraph(&self) -> String {
        self.help.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    }
}

impl Config {
    /// Works out what is "auto" and holds the shares against the budget.
    pub(super) fn settle(mut self) -> Result<Config, ConfigError> {
        let budget = *self.memory_bytes.0.get_or_insert_with(|| (machine::memory_bytes() / 2).max(128 << 20));
        self.buffer_bytes_max.0.get_or_insert((budget / 8 * 3).max(16 << 20));
        self.cache_bytes_max.0.get_or_insert((budget / 8).max(1 << 20));
        self.query_bytes_max.0.get_or_insert((budget / 4).max(16 << 20));
        self.threads.0.get_or_insert(u32::try_from(machine::cores()).unwrap_or(u32::MAX).clamp(1, 1024));
        let shares = [self.buffer_bytes_max, self.cache_bytes_max, self.query_bytes_max].map(AutoBytes::bytes);
        let sum = shares.iter().fold(0_u64, |sum, share| sum.saturating_add(*share));
        if sum > budget {
            return Err(ConfigError::Budget { sum, budget });
        }
        let disk = self.dir.as_deref().and_then(machine::disk_bytes).unwrap_or(u64::MAX);
        let log = *self.log_bytes_max.0.get_or_insert((disk / 8).clamp(64 << 20, 4 << 30));
        let segment_max = log / SEGMENTS_MIN;
        let segment = *self.segment_bytes.0.get_or_insert(segment_max.min(256 << 20));
        if segment > segment_max {
            return Err(ConfigError::Value {
                name: "segment_bytes",
                problem: format!(
                    "{} is more than an eighth of log_bytes_max ({}): make it at most {}, or log_bytes_max larger",
                    self.segment_bytes.show(),
                    self.log_bytes_max.show(),
                    Bytes(segment_max).show()
                ),
            });
        }
        self.rule().check().map_err(|error| ConfigError::Value { name: "rule_buckets", problem: error.to_string() })?;
        Ok(self)
    }

    /// The distribution rule for a store that is made now.
    #[must_use]
    pub fn rule(&self) -> types::DistributionRule {
        types::DistributionRule {
            w1: self.rule_w1,
            b1: self.rule_b1,
            w2: self.rule_w2,
            b2: self.rule_b2,
            buckets: self.rule_buckets,
            ..types::DistributionRule::default()
        }
    }

    /// The kernel's part.
    #[must_use]
    pub fn kernel(&self) -> kernel::Settings {
        kernel::Settings {
            rule: self.rule(),
            period_us: i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX),
            durability: self.durability.0,
            memory_bytes: self.memory_bytes.bytes(),
            buffer_bytes_max: self.buffer_bytes_max.bytes(),
            cache_bytes_max: self.cache_bytes_max.bytes(),
            log_bytes_max: self.log_bytes_max.bytes(),
            segment_bytes: self.segment_bytes.bytes(),
            retention: self.retention,
            // Retention policies may keep some samples longer: whoever runs those has the rest deleted.
            retention_told_only: true,
            producers_max: usize::try_from(self.producers_max).unwrap_or(usize::MAX),
            flush_quiet: self.flush_quiet,
            deletion_age_max: self.deletion_age_max,
            led_tail_bytes_max: kernel::Settings::default().led_tail_bytes_max,
            led_pin_bytes_max: kernel::Settings::default().led_pin_bytes_max,
        }
    }
}
