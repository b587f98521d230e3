//! The roles of a fleet: in meta, so that they hold at every door; those that a scheduler kept by itself before are taken over.
//!
//! Promises: the users' file of a scheduler's directory is read and left as it is; a name that the fleet has already stays as it is
//! there. A change holds at this door when it is answered, and at the others once their watch of meta tells them. May not know how a
//! password is checked, or what a record says.

use crate::Error;
use ::meta::Meta;
use cluster::fleet::{LoginChange, LoginListener, Logins};
use query::{Kept, RecordChange};
use server::{Keeper, Users};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use world::World;

/// Keeps roles in meta.
struct InMeta {
    logins: OnceLock<Logins>,
    runtime: Handle,
}

fn login_change(change: &RecordChange) -> LoginChange {
    LoginChange { name: change.name.clone(), was: change.was.clone(), now: change.now.clone() }
}

impl Keeper for InMeta {
    fn swap(&self, changes: &[RecordChange]) -> Result<Option<Vec<Kept>>, query::Error> {
        let unread = || query::Error::unavailable("the fleet's roles were not read yet");
        let logins = self.logins.get().ok_or_else(unread)?;
        let changes: Vec<LoginChange> = changes.iter().map(login_change).collect();
        let failed = |fault: ::meta::Error| query::Error::unavailable(format!("the fleet's roles can't be kept: {fault}"));
        self.runtime.block_on(logins.swap(&changes)).map_err(failed)
    }
}

/// Tells the doors.
struct Doors(Arc<Users>);

impl LoginListener for Doors {
    fn has(&self, name: &str, record: &str) {
        if !self.0.learn(name, Some(record)) {
            tracing::error!(
                name,
                "what the fleet keeps of a role can't be read, and nobody is let in by it: is it of another release?"
            );
        }
    }

    fn is_gone(&self, name: &str) {
        self.0.learn(name, None);
    }
}

/// The fleet's roles, followed from now on, with those of a scheduler's directory taken over.
///
/// # Errors
/// `Error::Fleet`, and those of a users' file that can't be read.
pub async fn open(meta: Arc<dyn Meta>, dir: &Path, world: &World, runtime: &Handle) -> Result<Arc<Users>, Error> {
    let own = Users::open(world.clone(), dir)?;
    let keeper = Arc::new(InMeta { logins: OnceLock::new(), runtime: runtime.clone() });
    let users = Users::kept_by(world.clone(), Arc::<InMeta>::clone(&keeper));
    let failed = |fault: ::meta::Error| Error::Fleet(format!("the fleet's roles: {fault}"));
    let logins = Logins::follow(meta, Arc::new(Doors(Arc::clone(&users))), runtime).await.map_err(failed)?;
    let known: Vec<String> = users.all().into_iter().map(|(name, _)| name).collect();
    for (name, record) in own.all().into_iter().filter(|(name, _)| !known.contains(name)) {
        let change = LoginChange { name: name.clone(), was: None, now: Some(record.clone()) };
        let standing = match logins.swap(&[change]).await.map_err(failed)? {
            None => Some(record),
            // Another scheduler was first.
            Some(standing) => standing.into_iter().find_map(|(_, record)| record),
        };
        users.learn(&name, standing.as_deref());
        tracing::info!(name, "a role of this scheduler is now one of the whole fleet");
    }
    // Set once, here.
    drop(keeper.logins.set(logins));
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::meta::embedded::Embedded;
    use world::{ThreadCounts, Threads};

    /// A users' file as the releases wrote it that knew of no roles. The password is pencil.
    const BEFORE_ROLES: &str = "# users of this store: name, tab, SCRAM-SHA-256 verifier
meridian\tSCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
reader\tSCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
#sha256 1aa519a9bc343e5f6592d4cfb0639d6996fbff877aa2b275d62fda5fc07fa87e
";

    #[test]
    fn users_of_schedulers_from_before_roles_become_the_fleets() {
        let dir = std::env::temp_dir().join(format!("meridian-fleet-users-{}", std::process::id()));
        let threads = Threads::start(ThreadCounts::default());
        let world = World::real(&threads);
        for part in ["meta", "first", "second"] {
            world.disk.make_dir(&dir.join(part)).expect("a directory");
        }
        let old = dir.join("first").join("users-00000007");
        world.disk.create(&old).and_then(|file| file.write_at(0, &[BEFORE_ROLES.as_bytes()])).expect("it is written");
        // The other scheduler's file is of today, and has another password for one of them.
        let own = Users::open(world.clone(), &dir.join("second")).expect("it opens");
        own.set_password("reader", "other").expect("set");
        own.set_password("writer", "third").expect("set");
        let meta: Arc<dyn Meta> = Arc::new(Embedded::open(&world, &dir.join("meta"), None).expect("it opens"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let join = |part: &str| {
            let dir = dir.join(part);
            runtime.block_on(open(Arc::clone(&meta), &dir, &world, runtime.handle())).expect("it joins the fleet")
        };
        let accepts = |users: &Users, name: &str, password: &str| users.verifier(name).accepts(password);
        let first = join("first");
        assert!(accepts(&first, "meridian", "pencil") && accepts(&first, "reader", "pencil"));
        assert!(["meridian", "reader"].iter().all(|name| first.roles().believe(name).is_ok()), "they may log in");
        // Whom the fleet has already stays as the fleet has them.
        let second = join("second");
        assert!(accepts(&second, "reader", "pencil") && !accepts(&second, "reader", "other"));
        assert!(accepts(&second, "meridian", "pencil") && accepts(&second, "writer", "third"));
        // From then on a change at one holds at the other, and what they were before is a role's record.
        second.set_password("reader", "new").expect("set");
        while !(accepts(&first, "reader", "new") && accepts(&first, "writer", "third")) {
            std::thread::yield_now();
        }
        let records = second.all();
        let record = &records.iter().find(|(name, _)| name == "reader").expect("it is there").1;
        let record: serde_json::Value = serde_json::from_str(record).expect("a record of today");
        assert_eq!((&record["superuser"], &record["login"]), (&true.into(), &true.into()), "{record}");
        // Again, as after a restart; and the scheduler's own file is left as it was.
        let again = join("first");
        assert!(accepts(&again, "reader", "new") && !accepts(&again, "reader", "pencil"));
        assert_eq!(std::fs::read_to_string(&old).expect("it is there"), BEFORE_ROLES);
        drop((first, second, again, meta));
        drop(runtime);
        threads.stop();
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
