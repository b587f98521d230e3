//! etcd as a meta: the suite, and TLS with etcd's own authentication.

use crate::conformance::{self, Bench, key};
use crate::members::{Certificates, Members, patiently};
use crate::{Networked, runtime};
use cluster::certificates::Authority;
use cluster::etcd::{Etcd, Settings, WATCHES_MAX};
use meta::{Error, Is, Meta, Range, Revision, Swap};
use std::sync::Arc;
use world::{Clock, RealClock};

#[test]
fn one_member_conforms() {
    let (members, runtime) = (Members::start(1, None), runtime());
    let meta = Arc::new(members.connect(&runtime, &members.settings(), None).expect("an answer that is no fault"));
    conformance::all(&Networked { meta, _runtime: runtime });
}

#[test]
fn three_members_conform() {
    let (members, runtime) = (Members::start(3, None), runtime());
    let meta = Arc::new(members.connect(&runtime, &members.settings(), None).expect("an answer that is no fault"));
    conformance::all(&Networked { meta, _runtime: runtime });
}

#[test]
fn what_is_asked_and_watched_at_a_time_is_limited() {
    let (members, runtime) = (Members::start(1, None), runtime());
    let mut settings = members.settings();
    settings.limits.calls_max = 4;
    let meta = members.connect(&runtime, &settings, None).expect("an answer that is no fault");
    members.signal(0, "STOP");
    let tickets: Vec<_> = (0..5).map(|_| meta.get(&[])).collect();
    members.signal(0, "CONT");
    let refused: Vec<bool> = tickets.into_iter().map(|ticket| matches!(ticket.wait(), Ok(Err(Error::Unavailable(_))))).collect();
    assert_eq!(refused, [false, false, false, false, true]);
    let range = Range::prefix("a").expect("an answer that is no fault");
    let mut watches: Vec<_> =
        (0..WATCHES_MAX).map(|_| meta.watch(&range, Revision(0)).expect("an answer that is no fault")).collect();
    assert!(matches!(meta.watch(&range, Revision(0)), Err(Error::Unavailable(_))));
    watches.pop();
    let bench = Networked { meta: Arc::new(meta), _runtime: runtime };
    bench.until("an ended watch makes room", || bench.meta.watch(&range, Revision(0)).is_ok());
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let runtime = runtime();
    let settings = |endpoints: &[&str], prefix: &str| Settings {
        endpoints: endpoints.iter().map(|&text| text.to_owned()).collect(),
        prefix: prefix.to_owned(),
        user: None,
        identity: None,
        limits: cluster::Limits::default(),
    };
    for wrong in [settings(&[], "p/"), settings(&["http://127.0.0.1:1"], ""), settings(&["no address at all"], "p/")] {
        let result = runtime.block_on(Etcd::connect(wrong, &world::RealRandom, None));
        assert!(matches!(result, Err(Error::Open(_))));
    }
}

#[test]
fn it_speaks_tls_and_shows_name_and_password() {
    let now = RealClock::start().wall_us();
    let authority = Authority::make(now, 10).expect("an answer that is no fault");
    let certificates = Certificates {
        authority: authority.certified().certificate,
        server: authority.issue("etcd", &["127.0.0.1".to_owned()], now, 10).expect("an answer that is no fault"),
        client: authority.issue("manager", &[], now, 10).expect("an answer that is no fault"),
    };
    let (mut members, runtime) = (Members::start(1, Some(certificates)), runtime());
    // Without a user, until authentication is switched on.
    drop(members.connect(&runtime, &members.settings(), None).expect("an answer that is no fault"));
    let setup: [&[&str]; 7] = [
        &["role", "add", "fleet"],
        &["role", "grant-permission", "fleet", "--prefix=true", "readwrite", "fleet/"],
        &["user", "add", "manager-1:secret"],
        &["user", "grant-role", "manager-1", "fleet"],
        &["user", "add", "root:more-secret"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ];
    setup.iter().for_each(|words| members.control(words));

    let mut settings = Settings { user: Some(("manager-1".to_owned(), "secret".to_owned())), ..members.settings() };
    let meta = Arc::new(members.connect(&runtime, &settings, None).expect("an answer that is no fault"));
    let witness = meta.witness();
    let bench = Networked { meta: Arc::<Etcd>::clone(&meta), _runtime: Arc::clone(&runtime) };
    conformance::all(&bench);
    // The token is forgotten with the process: another is got without anybody noticing.
    members.kill(0);
    members.begin(0);
    let swap = Swap::new().when(&key("after"), Is::Absent).put(&key("after"), "1");
    patiently(|| meta.swap(swap.clone())).expect("an answer that is no fault");

    settings.user = Some(("manager-1".to_owned(), "wrong".to_owned()));
    assert!(matches!(members.connect(&runtime, &settings, Some(witness)), Err(Error::Denied(_))));
    settings.user = None;
    assert!(matches!(members.connect(&runtime, &settings, Some(witness)), Err(Error::Denied(_))));
    settings.user = Some(("manager-1".to_owned(), "secret".to_owned()));
    settings.prefix = "elsewhere/".to_owned();
    assert!(matches!(members.connect(&runtime, &settings, None), Err(Error::Denied(_))));
}
