//! A lone manager's meta over TLS: the suite, restarts, and who is not let in.

use crate::certificates::{Fleet, fleet};
use crate::conformance::{self, Bench, key};
use crate::directory::Directory;
use crate::members::patiently;
use crate::{Networked, runtime};
use cluster::lone::{OwnCertificate, Remote, Settings, serve};
use cluster::{Limits, Tls};
use meta::embedded::Embedded;
use meta::{Changed, Error, Is, Meta, Range, Revision, Swap, Swapped};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use world::{ThreadCounts, Threads, World};

/// A manager with an embedded meta, answering on an address.
struct Manager {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), Error>>,
    threads: Arc<Threads>,
    runtime: Arc<Runtime>,
}

impl Manager {
    fn start(runtime: &Arc<Runtime>, directory: &Directory, own: OwnCertificate, port: u16) -> Manager {
        let threads = Threads::start(ThreadCounts::default());
        let meta = Arc::new(
            Embedded::open(&World::real(&threads), &directory.path().join("meta"), None).expect("an answer that is no fault"),
        );
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).expect("an answer that is no fault");
        let address = listener.local_addr().expect("an answer that is no fault");
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = runtime.spawn(serve(meta, listener, own, async move { drop(stopped.await) }));
        Manager { address, stop, serving, threads, runtime: Arc::clone(runtime) }
    }

    fn stop(self) {
        drop(self.stop);
        let ended = self.runtime.block_on(self.serving).expect("no panic");
        assert_eq!(ended, Ok(()), "it ends, though questions and watches were open");
        self.threads.stop();
    }

    fn settings(&self, tls: Tls) -> Settings {
        Settings { addresses: vec![format!("https://{}", self.address)], identity: tls.into(), limits: Limits::default() }
    }
}

#[test]
fn it_conforms() {
    let (runtime, directory, Fleet { manager, node, .. }) = (runtime(), Directory::new(), fleet());
    let manager = Manager::start(&runtime, &directory, manager, 0);
    let meta = Arc::new(runtime.block_on(Remote::connect(manager.settings(node), None)).expect("an answer that is no fault"));
    conformance::all(&Networked { meta, _runtime: Arc::clone(&runtime) });
    manager.stop();
}

#[test]
fn who_has_no_certificate_of_the_authority_is_refused() {
    let (runtime, directory, ours, theirs) = (runtime(), Directory::new(), fleet(), fleet());
    let manager = Manager::start(&runtime, &directory, ours.manager, 0);
    let connect = |tls: &Tls| runtime.block_on(Remote::connect(manager.settings(tls.clone()), None)).map(drop);
    assert_eq!(connect(&ours.node), Ok(()));
    let nobody = Tls { own: None, ..ours.node.clone() };
    let stranger = Tls { own: theirs.node.own.clone(), ..ours.node.clone() };
    let wrong_authority = Tls { authority: theirs.node.authority.clone(), ..ours.node.clone() };
    let wrong_name = Tls { name: Some("elsewhere.meridian".to_owned()), ..ours.node.clone() };
    for (who, tls) in [("nobody", nobody), ("stranger", stranger), ("authority", wrong_authority), ("name", wrong_name)] {
        let refused = connect(&tls);
        assert!(matches!(refused, Err(Error::Unavailable(_) | Error::Denied(_))), "{who}: {refused:?}");
    }
    let plain = Settings { addresses: vec![format!("http://{}", manager.address)], ..manager.settings(ours.node.clone()) };
    assert!(runtime.block_on(Remote::connect(plain, None)).is_err());
    assert_eq!(connect(&ours.node), Ok(()), "and it goes on for those who are let in");
    manager.stop();

    // How an authority is changed: for a while both are believed, by everybody.
    let both = [&ours.node.authority[..], &theirs.node.authority].concat();
    let own = OwnCertificate { authority: both.clone(), ..theirs.manager };
    let manager = Manager::start(&runtime, &Directory::new(), own, 0);
    let connect = |tls: Tls| runtime.block_on(Remote::connect(manager.settings(tls), None)).map(drop);
    assert_eq!(connect(Tls { authority: both.clone(), ..ours.node.clone() }), Ok(()));
    assert_eq!(connect(Tls { authority: both, ..theirs.node.clone() }), Ok(()));
    assert!(connect(ours.node).is_err());
    manager.stop();
}

#[test]
fn it_is_found_again_after_a_restart_and_told_from_another() {
    let (runtime, directory, Fleet { manager, node, .. }) = (runtime(), Directory::new(), fleet());
    let first = Manager::start(&runtime, &directory, manager.clone(), 0);
    let (settings, port) = (first.settings(node), first.address.port());
    let meta = runtime.block_on(Remote::connect(settings.clone(), None)).expect("an answer that is no fault");
    let place = key("a");
    let done = meta
        .swap(Swap::new().when(&place, Is::Absent).put(&place, "1"))
        .wait()
        .expect("an answer that is no fault")
        .expect("an answer that is no fault");
    let Swapped::Done { revision } = done else { panic!("{done:?}") };
    let mut watch =
        meta.watch(&Range::prefix("a").expect("an answer that is no fault"), revision).expect("an answer that is no fault");
    let hint = watch.hint();
    first.stop();
    let away = meta.get(&[]).wait().expect("an answer that is no fault");
    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");

    let second = Manager::start(&runtime, &directory, manager.clone(), port);
    let swap = Swap::new().when(&place, Is::Modified(revision)).put(&place, "2");
    patiently(|| meta.swap(swap.clone())).expect("an answer that is no fault");
    let bench = Networked { meta: Arc::new(meta), _runtime: Arc::clone(&runtime) };
    let hint = bench.answer(hint).expect("an answer that is no fault");
    assert!(hint.revision > revision, "the watch was made anew: {hint:?}");
    let witness = bench.meta.witness();
    assert!(witness.revision > revision);
    second.stop();

    let elsewhere = Directory::new();
    let other = Manager::start(&runtime, &elsewhere, manager, port);
    assert!(matches!(patiently(|| bench.meta.get(&[])), Err(Error::Foreign { found: Some(_), .. })));
    let again = runtime.block_on(Remote::connect(settings, Some(witness))).map(drop);
    assert!(matches!(again, Err(Error::Foreign { found: Some(_), .. })), "{again:?}");
    other.stop();
}

#[test]
fn a_swap_that_a_stopping_manager_does_not_answer_is_in_doubt() {
    let (runtime, directory, Fleet { manager, node, .. }) = (runtime(), Directory::new(), fleet());
    let first = Manager::start(&runtime, &directory, manager, 0);
    let mut settings = first.settings(node);
    settings.limits.request = Duration::from_millis(300);
    let meta = runtime.block_on(Remote::connect(settings, None)).expect("an answer that is no fault");
    // The disk's thread is gone: the question arrives, and is never answered.
    first.threads.stop();
    let doubt =
        meta.swap(Swap::new().when(&key("a"), Is::Absent).put(&key("a"), "1")).wait().expect("an answer that is no fault");
    assert!(matches!(doubt, Err(Error::InDoubt(_))), "{doubt:?}");
    let found = meta.get(&[key("a")]).wait().expect("an answer that is no fault").expect("an answer that is no fault");
    assert_eq!((found.revision, found.entries), (Revision(1), vec![None]));
    first.stop();
}

#[test]
fn many_watch_one_key() {
    let (runtime, directory, Fleet { manager, node, .. }) = (runtime(), Directory::new(), fleet());
    let manager = Manager::start(&runtime, &directory, manager, 0);
    let meta = runtime.block_on(Remote::connect(manager.settings(node), None)).expect("an answer that is no fault");
    let start = meta.get(&[]).wait().expect("an answer that is no fault").expect("an answer that is no fault").revision;
    let mut watches: Vec<_> = (0..40)
        .map(|_| meta.watch(&Range::prefix("a").expect("an answer that is no fault"), start).expect("an answer that is no fault"))
        .collect();
    meta.swap(Swap::new().put(&key("a"), "1")).wait().expect("an answer that is no fault").expect("an answer that is no fault");
    for watch in &mut watches {
        let hint = watch.hint().wait().expect("an answer that is no fault");
        assert!(matches!(&hint.changed, Changed::Anything) || hint.changed == Changed::Keys([key("a")].into()), "{hint:?}");
    }
    drop(watches);
    manager.stop();
}
