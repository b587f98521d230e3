//! A repository in an object store, against a real one: what a place promises, whole backups, and what goes wrong.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, sockets and threads")]

mod store;
mod swift;

use backup::{Error, Place, Progress, S3, S3Settings, Stop, Taken, keep_newest, lay, list, take, verify};
use kernel::{Settings, Write as Written};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use store::{Store, go};
use swift::Swift;
use types::{DistributionRule, Kind, Samples, TagDefinition, TagId, Timestamp};
use world::{Clock, Random, RealClock, RealDisk, SeededRandom, Simulation};

const PART_BYTES: usize = 64 << 10;

fn settings(swift: &Swift, name: &str) -> S3Settings {
    let variables = swift.variables();
    let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let settings = S3Settings::read(name, &variable, &RealDisk).unwrap();
    S3Settings { part_bytes: PART_BYTES, tries_max: 2, silence_max: Duration::from_secs(20), ..settings }
}

fn never() -> Stop {
    Arc::new(|| false)
}

fn open(settings: S3Settings) -> S3 {
    S3::new(settings, Arc::new(RealClock::start()), never()).unwrap()
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn put(place: &dyn Place, key: &str, bytes: &[u8]) -> Result<(), Error> {
    place.put(key, bytes.len() as u64, &mut &bytes[..])
}

fn got(place: &dyn Place, key: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    place.get(key).unwrap()?.read_to_end(&mut found).unwrap();
    Some(found)
}

#[test]
fn objects_of_all_sizes_and_names_are_kept() {
    let swift = Swift::start("place");
    let prefixes = ["", "/Werk Süd/ä+%41&=#?", "/deep/er/"];
    let sizes = [0, 1, PART_BYTES, PART_BYTES + 1, 7 * PART_BYTES + 13];
    for prefix in prefixes {
        let place = open(settings(&swift, &format!("s3://other{prefix}")));
        for (number, size) in sizes.into_iter().enumerate() {
            let key = format!("backups/a b/{number}+ö~.series-{size}");
            assert_eq!(got(&place, &key), None);
            put(&place, &key, &bytes(size)).unwrap();
            assert!(got(&place, &key) == Some(bytes(size)), "{prefix}: {size} bytes");
        }
        put(&place, "backups/a b/0+ö~.series-0", b"another").unwrap();
        assert_eq!(got(&place, "backups/a b/0+ö~.series-0").as_deref(), Some(&b"another"[..]));
        // More than a page of them, beside those that begin otherwise.
        (0..9).for_each(|number| put(&place, &format!("files/{number:02}"), b"").unwrap());
        let all: Vec<String> = (0..9).map(|number| format!("files/{number:02}")).collect();
        assert_eq!(place.list("files/").unwrap(), all);
        assert_eq!(place.list("backups/").unwrap().len(), sizes.len());
        assert!(place.list("none").unwrap().is_empty());
        for key in place.list("").unwrap() {
            place.remove(&key).unwrap();
            place.remove(&key).unwrap();
        }
        assert!(place.list("").unwrap().is_empty());
        assert_eq!(swift.objects(), 0, "with {prefix}");
    }
}

#[test]
fn what_is_cut_short_is_not_there() {
    let swift = Swift::start("cut");
    let place = open(settings(&swift, "s3://plant/x"));
    for count in [PART_BYTES / 2, 5 * PART_BYTES + 1] {
        let (less, more) = (bytes(count - 1), bytes(count + 1));
        let missing = place.put("object", count as u64, &mut &less[..]).unwrap_err();
        assert!(missing.to_string().contains("1 bytes are missing"), "{missing}");
        let over = place.put("object", count as u64, &mut &more[..]).unwrap_err();
        assert!(over.to_string().contains(&format!("more than {count} bytes came")), "{over}");
        assert!(place.list("").unwrap().is_empty() && place.get("object").unwrap().is_none());
        assert_eq!(swift.objects(), 0, "no parts are left");
    }
    // Another object in the place of one that is read.
    put(&place, "object", &bytes(9 * PART_BYTES)).unwrap();
    let mut reader = place.get("object").unwrap().unwrap();
    put(&place, "object", &bytes(9 * PART_BYTES + 1)).unwrap();
    let changed = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(changed.to_string().contains("changed meanwhile"), "{changed}");
}

#[test]
fn what_is_wrong_is_said() {
    let swift = Swift::start("wrong");
    let at = |change: &dyn Fn(&mut S3Settings)| {
        let mut settings = settings(&swift, "s3://plant/x");
        change(&mut settings);
        open(settings)
    };
    let check = |place: &S3, needles: &[&str]| {
        let outcomes = [
            place.list("").map(drop),
            place.get("key").map(drop),
            put(place, "key", b"one"),
            put(place, "key", &bytes(2 * PART_BYTES)),
            place.remove("key"),
        ];
        for outcome in outcomes {
            let said = outcome.unwrap_err().to_string();
            needles.iter().for_each(|needle| assert!(said.contains(needle), "{needle}: {said}"));
            assert!(!said.contains(swift::SECRET) && !said.contains("testinX"), "{said}");
        }
    };
    check(
        &at(&|settings| settings.credentials.secret = "testinX".to_owned()),
        &["AWS_SECRET_ACCESS_KEY", swift::KEY_ID, "s3://plant/x"],
    );
    check(&at(&|settings| settings.credentials.key_id = "test:nobody".to_owned()), &["test:nobody", "403"]);
    check(&at(&|settings| settings.bucket = "nowhere".to_owned()), &["there is no bucket nowhere", "localhost"]);
    check(&at(&|settings| settings.region = "eu-west-9".to_owned()), &["region us-east-1", "AWS_REGION"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&at(&|settings| settings.endpoint = Some(format!("http://{free}"))), &["refused", &free.to_string(), "tried 2 times"]);
    check(&at(&|settings| settings.endpoint = Some("http://no.such.host.invalid".to_owned())), &["no host", "AWS_ENDPOINT_URL"]);

    struct Behind(RealClock);
    impl Clock for Behind {
        fn wall_us(&self) -> i64 {
            self.0.wall_us() - 3_600_000_000
        }
        fn monotonic_us(&self) -> u64 {
            self.0.monotonic_us()
        }
    }
    let behind = Arc::new(Behind(RealClock::start()));
    check(&S3::new(settings(&swift, "s3://plant/x"), behind, never()).unwrap(), &["clocks", "NTP"]);
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let all = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_REGION", "eu-central-1")];
    let read = |name: &str, without: &str, with: &[(&str, &str)]| {
        let known = |asked: &str| with.iter().chain(&all).find(|(known, _)| *known == asked && asked != without);
        let settings = S3Settings::read(name, &|asked| known(asked).map(|(_, value)| (*value).to_owned()), &RealDisk)?;
        let told = format!("{settings:?}");
        assert!(!told.contains("hunter2"), "{told}");
        S3::new(settings, Arc::new(RealClock::start()), never()).map(|place| place.name())
    };
    let said = |outcome: Result<String, Error>| outcome.unwrap_err().to_string();
    assert_eq!(read("s3://bucket/a/b/", "", &[]).unwrap(), "s3://bucket/a/b");
    assert_eq!(read("s3://bucket", "", &[("AWS_ENDPOINT_URL", "http://[::1]:9000/")]).unwrap(), "s3://bucket");
    for (name, _) in all {
        assert!(said(read("s3://bucket", name, &[])).contains(name));
        assert!(said(read("s3://bucket", "", &[(name, " ")])).contains(name));
    }
    for wrong in ["s3://", "s3:///prefix", "s3://bücket/prefix", "s3://key:secret@bucket", "s4://bucket"] {
        assert!(said(read(wrong, "", &[])).contains("s3://bucket/prefix"), "{wrong}");
    }
    for wrong in ["localhost:9000", "ftp://localhost", "http://user:word@localhost", "http://"] {
        assert!(said(read("s3://bucket", "", &[("AWS_ENDPOINT_URL", wrong)])).contains("AWS_ENDPOINT_URL"), "{wrong}");
    }
    assert!(said(read("s3://bucket", "", &[("AWS_CA_BUNDLE", "/nowhere")])).contains("AWS_CA_BUNDLE"));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(said(read("s3://bucket", "", &[("AWS_CA_BUNDLE", file)])).contains("no certificate"));
}

#[test]
fn a_certificate_is_checked() {
    let swift = Swift::made("tls", |dir| {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Some((certificate, key))
    });
    let roots = Some(std::fs::read(swift.certificate().unwrap()).unwrap());
    let place = open(S3Settings { roots, ..settings(&swift, "s3://plant/x") });
    put(&place, "object", &bytes(3 * PART_BYTES)).unwrap();
    assert!(got(&place, "object") == Some(bytes(3 * PART_BYTES)));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem().into_bytes();
    for roots in [None, Some(other)] {
        let refused = open(S3Settings { roots, ..settings(&swift, "s3://plant/x") }).list("").unwrap_err().to_string();
        assert!(refused.contains("AWS_CA_BUNDLE") && refused.contains("localhost"), "{refused}");
    }
}

/// Stands before a store: what `faults` says of the n-th connection is done to it, then all is passed on.
fn in_between(swift: &Swift, faults: impl Fn(usize, &mut TcpStream) -> ControlFlow<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let store = swift.endpoint().trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            if faults(number, &mut client).is_break() {
                continue;
            }
            let server = TcpStream::connect(&store).unwrap();
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || {
                    // Whichever side ends first ends both.
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    at
}

#[test]
fn a_store_that_is_slow_or_breaks_off_is_asked_again() {
    let swift = Swift::start("again");
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let endpoint = in_between(&swift, move |number, client| {
        count.fetch_add(1, Ordering::SeqCst);
        // The whole request: a connection that is closed before is reset, and its answer lost.
        let (mut request, mut bytes) = (Vec::new(), [0; 4_096]);
        while !request.ends_with(b"\r\n\r\none") {
            let count = client.read(&mut bytes).unwrap();
            request.extend_from_slice(&bytes[..count]);
        }
        let answer = match number {
            0 => "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            1 => "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 40\r\n\r\nbroken off",
            2 => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            3 => "",
            _ => {
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 46\r\nconnection: close\r\n\r\n<Error><Code>RequestTimeout</Code></Error>    "
            }
        };
        let _ = client.write_all(answer.as_bytes());
        ControlFlow::Break(())
    });
    let place = open(S3Settings { endpoint: Some(endpoint), tries_max: 5, ..settings(&swift, "s3://plant/x") });
    let failed = put(&place, "object", b"one").unwrap_err().to_string();
    assert!(failed.contains("RequestTimeout") && failed.contains("tried 5 times"), "{failed}");
    assert_eq!(seen.load(Ordering::SeqCst), 5);

    // Every third connection is cut off at its first bytes; those that are kept are used for many requests.
    let endpoint =
        in_between(&swift, |number, _| if number % 3 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
    let place = open(S3Settings { endpoint: Some(endpoint), tries_max: 5, ..settings(&swift, "s3://plant/x") });
    put(&place, "object", &bytes(20 * PART_BYTES)).unwrap();
    assert!(got(&place, "object") == Some(bytes(20 * PART_BYTES)));
}

#[test]
fn a_store_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let swift = Swift::start("silent");
    let silent =
        S3Settings { endpoint: Some(format!("http://{}", listener.local_addr().unwrap())), ..settings(&swift, "s3://plant/x") };
    let place = open(S3Settings { silence_max: Duration::from_millis(200), ..silent.clone() });
    let failed = place.list("").unwrap_err().to_string();
    assert!(failed.contains("did not answer in time") && failed.contains("tried 2 times"), "{failed}");
    // By whoever waits, long before it is given up by itself.
    let stopped = Arc::new(AtomicBool::new(false));
    let stop: Stop = {
        let stopped = Arc::clone(&stopped);
        Arc::new(move || stopped.load(Ordering::SeqCst))
    };
    let place =
        S3::new(S3Settings { silence_max: Duration::from_secs(3_600), ..silent }, Arc::new(RealClock::start()), stop).unwrap();
    // All that was accepted before is of the place above.
    let asked = std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            if client.read(&mut [0; 10]).is_ok_and(|count| count > 0) {
                stopped.store(true, Ordering::SeqCst);
            }
            std::mem::forget(client);
        }
    });
    let waits: [&dyn Fn() -> Result<(), Error>; 3] =
        [&|| put(&place, "key", b"one"), &|| place.get("key").map(drop), &|| put(&place, "key", &bytes(2 * PART_BYTES))];
    for wait in waits {
        let outcome = wait();
        assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    }
    // Cleaning up is tried still, but not for long.
    let failed = place.remove("key").unwrap_err().to_string();
    assert!(failed.contains("did not answer in time"), "{failed}");
    drop(asked);
}

fn store_settings() -> Settings {
    Settings {
        rule: DistributionRule { b1: 1, buckets: 3, ..DistributionRule::default() },
        period_us: 1_000_000,
        memory_bytes: 64 << 20,
        buffer_bytes_max: 8 << 20,
        cache_bytes_max: 1 << 20,
        segment_bytes: 1 << 20,
        log_bytes_max: 8 << 20,
        ..Settings::default()
    }
}

impl Store {
    /// Numbers that no packing makes small.
    fn write(&self, first: i64, count: i64) {
        if self.catalog.is_empty() {
            self.done(self.catalog.create(vec![TagDefinition::new("count".to_owned(), Kind::I64)])).unwrap();
        }
        let dice = SeededRandom::new(first as u64);
        for from in (first..first + count).step_by(10_000) {
            let times: Vec<Timestamp> = (from..(from + 10_000).min(first + count)).map(Timestamp).collect();
            let (tags, bits): (Vec<TagId>, Vec<u64>) = times.iter().map(|_| (TagId(0), dice.next_u64())).unzip();
            let samples = [Samples::new(&tags, &times, &bits, None).unwrap()];
            self.done(self.kernel.write(Written { samples: &samples, ..Written::default() })).unwrap();
        }
        self.done(self.kernel.flush()).unwrap();
    }

    fn back_up(&self, place: &dyn Place, moment_us: i64, tell: backup::Report<'_>) -> Result<Taken, Error> {
        take(place, self.source(moment_us), tell)
    }

    /// How many rows a backup has, laid in a directory of this store's disk.
    fn restored(&self, place: &dyn Place, head: &backup::Head, dir: &str) -> u64 {
        lay(place, head, &self.simulation.world().disk, Path::new(dir), &go).unwrap();
        Store::open(&self.simulation, dir, store_settings()).rows().len() as u64
    }
}

#[test]
fn backups_are_taken_shared_restored_and_removed() {
    let swift = Swift::start("backups");
    let place = open(settings(&swift, "s3://plant/Werk 1/backups"));
    let store = Store::open(&Arc::new(Simulation::new(1)), "/store", store_settings());
    store.write(0, 60_000);
    let first = store.back_up(&place, 1_000_000, &go).unwrap();
    assert!(first.head.files.iter().any(|file| file.bytes > 2 * PART_BYTES as u64), "a file of several parts");
    store.write(5_000_000, 10_000);
    let second = store.back_up(&place, 2_000_000, &go).unwrap();
    assert_eq!(second.earlier.as_deref(), Some(first.head.id.as_str()));
    assert!(second.head.new_bytes * 2 < second.head.bytes, "{} of {}", second.head.new_bytes, second.head.bytes);
    assert_eq!(list(&place).unwrap(), [second.head.clone(), first.head.clone()]);
    for (head, rows) in [(&first.head, 60_000), (&second.head, 70_000)] {
        assert!(verify(&place, head, &go).unwrap().is_empty());
        assert_eq!(store.restored(&place, head, &format!("/restored-{rows}")), rows);
    }
    // What was changed there is named.
    let key = &second.head.files.iter().find(|file| file.key.contains(".series")).unwrap().key;
    let mut changed = got(&place, key).unwrap();
    let kept = changed.clone();
    changed[100] ^= 1;
    put(&place, key, &changed).unwrap();
    assert!(matches!(&verify(&place, &second.head, &go).unwrap()[..], [Error::Damaged { key: named, .. }] if named == key));
    place.remove(key).unwrap();
    assert!(matches!(&verify(&place, &second.head, &go).unwrap()[..], [Error::Damaged { key: named, .. }] if named == key));
    put(&place, key, &kept).unwrap();
    let there = place.list("").unwrap().len();
    let pruned = keep_newest(&place, 1).unwrap();
    assert_eq!((pruned.backups, place.list("").unwrap().len() as u64), (vec![first.head.id], there as u64 - pruned.objects));
    assert_eq!(list(&place).unwrap(), std::slice::from_ref(&second.head));
    assert!(verify(&place, &second.head, &go).unwrap().is_empty());
    // Another prefix of the bucket is another repository.
    assert!(list(&open(settings(&swift, "s3://plant/Werk"))).unwrap().is_empty());
}

#[test]
fn a_store_that_goes_while_it_is_written_to_keeps_the_backups_before() {
    let swift = parking_lot::Mutex::new(Swift::start("killed"));
    let settings = settings(&swift.lock(), "s3://plant/x");
    let place = open(settings.clone());
    let store = Store::open(&Arc::new(Simulation::new(2)), "/store", store_settings());
    store.write(0, 20_000);
    let first = store.back_up(&place, 1_000_000, &go).unwrap().head;
    store.write(5_000_000, 100_000);
    for (round, at) in [10_000, 300_000, 500_000].into_iter().enumerate() {
        let killed = AtomicBool::new(false);
        let kill = |progress: Progress| {
            if progress.done > at && !killed.swap(true, Ordering::SeqCst) {
                swift.lock().kill();
            }
            ControlFlow::Continue(())
        };
        let failed = store.back_up(&place, 2_000_000 + round as i64, &kill).unwrap_err();
        assert!(matches!(&failed, Error::Place { what, .. } if what.contains("localhost")), "{failed}");
        swift.lock().restart();
        assert_eq!(list(&open(settings.clone())).unwrap(), std::slice::from_ref(&first));
    }
    // Given up in the middle: what was written of it is gone.
    let stop = |progress: Progress| if progress.done > 300_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let failed = store.back_up(&place, 2_500_000, &stop).unwrap_err();
    assert!(matches!(failed, Error::Cancelled), "{failed}");
    let second = store.back_up(&place, 3_000_000, &go).unwrap().head;
    assert_eq!(list(&place).unwrap(), [second.clone(), first]);
    assert_eq!(store.restored(&place, &second, "/restored"), 120_000);
    // Pruning removes the parts of uploads, too, that nobody could abort.
    keep_newest(&place, 1).unwrap();
    keep_newest(&place, 1).unwrap();
    for key in place.list("").unwrap() {
        place.remove(&key).unwrap();
    }
    assert_eq!(swift.lock().objects(), 0);
}
