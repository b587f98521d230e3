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
