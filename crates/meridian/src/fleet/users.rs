//! The users of a fleet: in meta, so that they hold at every door; those that a scheduler kept by itself before are taken over.
//!
//! Promises: the users' file of a scheduler's directory is read and left as it is; a name that the fleet has already stays as it is
//! there. May not know how a password is checked.

use crate::Error;
use ::meta::Meta;
use cluster::fleet::{LoginListener, Logins};
use server::{Keeper, Users};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;
use world::World;

/// Keeps users in meta.
struct InMeta {
    logins: OnceLock<Logins>,
    runtime: Handle,
}

impl Keeper for InMeta {
    fn keep(&self, name: &str, verifier: &str) -> Result<(), String> {
        let logins = self.logins.get().ok_or("the fleet's users were not read yet")?;
        self.runtime.block_on(logins.put(name, verifier, true)).map(drop).map_err(|fault| fault.to_string())
    }
}

/// Tells the doors.
struct Doors(Arc<Users>);

impl LoginListener for Doors {
    fn has(&self, name: &str, verifier: &str) {
        if !self.0.learn(name, Some(verifier)) {
            tracing::error!(name, "what the fleet keeps of a user's password can't be read: is it of another release?");
        }
    }

    fn is_gone(&self, name: &str) {
        self.0.learn(name, None);
    }
}

/// The fleet's users, followed from now on, with those of a scheduler's directory taken over.
///
/// # Errors
/// `Error::Fleet`, and those of a users' file that can't be read.
pub async fn open(meta: Arc<dyn Meta>, dir: &Path, world: &World, runtime: &Handle) -> Result<Arc<Users>, Error> {
    let own = Users::open(world.clone(), dir)?;
    let keeper = Arc::new(InMeta { logins: OnceLock::new(), runtime: runtime.clone() });
    let users = Users::kept_by(world.clone(), Arc::<InMeta>::clone(&keeper));
    let failed = |fault: ::meta::Error| Error::Fleet(format!("the fleet's users: {fault}"));
    let logins = Logins::follow(meta, Arc::new(Doors(Arc::clone(&users))), runtime).await.map_err(failed)?;
    let known: Vec<String> = users.all().into_iter().map(|(name, _)| name).collect();
    for (name, verifier) in own.all().into_iter().filter(|(name, _)| !known.contains(name)) {
        let standing = logins.put(&name, &verifier, false).await.map_err(failed)?;
        users.learn(&name, Some(&standing));
        tracing::info!(name, "a user of this scheduler is now one of the whole fleet");
    }
    // Set once, here.
    drop(keeper.logins.set(logins));
    Ok(users)
}
