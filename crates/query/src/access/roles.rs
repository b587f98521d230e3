//! The roles of a server, and its retention policies: in memory, and kept by whoever keeps them.
//!
//! Promises: a change is durable when it is answered, and made of the roles as they were when it was kept: where somebody else
//! changed one of them meanwhile (another scheduler), it is made anew of what is there now. A password itself is never held here.
//!
//! Shared state: `roster`, a whole table of roles that is replaced as a whole; `version` rises after each; `changing` lets one change
//! through at a time; `rights` holds what was worked out of the newest roster.

use super::rights::Rights;
use super::role::{PUBLIC, Role, RoleId};
use super::roster::Roster;
use crate::error::{Error, raise};
use crate::retention::{HEAD, Head, PREFIX, Policy};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a change is made anew of what somebody else left.
const TRIES: usize = 20;

/// A role's record that is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChange {
    /// The role's name.
    pub name: String,
    /// The record as it was read; None where there was none.
    pub was: Option<String>,
    /// The record that takes its place; None where the role goes.
    pub now: Option<String>,
}

/// A name, and the record kept under it.
pub type Kept = (String, Option<String>);

/// Whoever keeps roles.
pub trait Keeper: Send + Sync {
    /// Replaces records: all of them, where each is as it was, else none; then the answer is what is kept of these names now. The change
    /// is durable, and holds everywhere, when this returns None. It may block.
    ///
    /// # Errors
    /// Why nothing, or nothing for certain, was kept.
    fn swap(&self, changes: &[RecordChange]) -> Result<Option<Vec<Kept>>, Error>;

    /// What is kept of a password: of one as it is typed, or of one that comes as a verifier already. It may take milliseconds.
    ///
    /// # Errors
    /// For a password that can't be one.
    fn verifier(&self, password: &str) -> Result<String, Error>;

    /// A number that nobody can guess.
    fn random(&self) -> u32;
}

/// Keeps roles nowhere but in memory.
struct Memory;

impl Keeper for Memory {
    fn swap(&self, _: &[RecordChange]) -> Result<Option<Vec<Kept>>, Error> {
        Ok(None)
    }

    fn verifier(&self, password: &str) -> Result<String, Error> {
        if password.starts_with("SCRAM-SHA-256$") {
            return Ok(password.to_owned());
        }
        Err(raise(Error::Unsupported, "passwords are kept by a server only"))
    }

    fn random(&self) -> u32 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // A step that meets every number before it meets one again.
        (NEXT.fetch_add(1, Ordering::Relaxed) as u32).wrapping_mul(0x9E37_79B1)
    }
}

/// The roles of a server.
pub struct Roles {
    roster: RwLock<Arc<Roster>>,
    version: AtomicU64,
    keeper: Arc<dyn Keeper>,
    changing: Mutex<()>,
    rights: Mutex<(u64, HashMap<RoleId, Arc<Rights>>)>,
}

/// A change of roles and policies: each as it was, and as it is to be.
#[derive(Default)]
pub(crate) struct Change {
    records: Vec<RecordChange>,
    /// What must be as it was, and stays so.
    unchanged: Vec<RecordChange>,
}

impl Change {
    /// A role that is made or changed.
    pub(crate) fn put(&mut self, roster: &Roster, role: &Role) {
        let was = if &*role.name == PUBLIC { Some(roster.public()) } else { roster.named(&role.name) };
        let kept = |role: &Arc<Role>| role.kept.as_deref().map(str::to_owned);
        let change = RecordChange { name: role.name.to_string(), was: was.and_then(kept), now: Some(role.record()) };
        self.records.retain(|other| other.name != change.name);
        self.records.push(change);
    }

    /// A role that goes.
    pub(crate) fn remove(&mut self, role: &Role) {
        let was = role.kept.as_deref().map(str::to_owned);
        self.records.push(RecordChange { name: role.name.to_string(), was, now: None });
    }

    /// A retention policy that is made or changed; None where it goes.
    pub(crate) fn policy(&mut self, roster: &Roster, name: &str, policy: Option<&Policy>) {
        let was = roster.policies().get(name).and_then(|policy| policy.kept.as_deref()).map(str::to_owned);
        self.records.push(RecordChange { name: Policy::key(name), was, now: policy.map(Policy::record) });
    }

    /// Policies are made, changed or dropped: whoever deletes by those that were there hears of it.
    pub(crate) fn count_policies(&mut self, roster: &Roster) {
        let was = roster.head().kept.as_deref().map(str::to_owned);
        self.records.push(RecordChange { name: HEAD.to_owned(), was, now: Some(roster.head().next()) });
    }

    /// Only where no policy was made, changed or dropped since.
    pub(crate) fn while_policies_stand(&mut self, roster: &Roster) {
        let kept = roster.head().kept.as_deref().map(str::to_owned);
        self.unchanged.push(RecordChange { name: HEAD.to_owned(), was: kept.clone(), now: kept });
    }
}

impl Roles {
    /// Roles that are kept only in memory.
    #[must_use]
    pub fn in_memory() -> Arc<Roles> {
        Roles::kept_by(Arc::new(Memory))
    }

    /// Roles that are kept by somebody, who tells what there is (`learn`).
    #[must_use]
    pub fn kept_by(keeper: Arc<dyn Keeper>) -> Arc<Roles> {
        Arc::new(Roles {
            roster: RwLock::default(),
            version: AtomicU64::new(1),
            keeper,
            changing: Mutex::default(),
            rights: Mutex::default(),
        })
    }

    /// Takes in what is kept of a role; None where it is gone. Whether it could be read: a role whose record can't be is nobody from then
    /// on, so that nobody comes in with rights that a later release took from it.
    pub fn learn(&self, name: &str, record: Option<&str>) -> bool {
        if let Some(policy) = name.strip_prefix(PREFIX) {
            return self.learn_policy(policy, record);
        }
        let read = record.map(|record| Role::read(name, record));
        let mut roster = self.roster.write();
        let known = if name == PUBLIC { Some(roster.public()) } else { roster.named(name) };
        if record.is_some() && known.is_some_and(|role| role.kept.as_deref() == record) {
            return true;
        }
        let mut changed = Roster::clone(&roster);
        let is_read = match read {
            Some(Some(role)) => {
                changed.put(role);
                true
            }
            Some(None) => {
                changed.put(Role { kept: record.map(Into::into), ..Role::new(name, 0) });
                false
            }
            None => {
                changed.remove(name);
                true
            }
        };
        *roster = Arc::new(changed);
        self.version.fetch_add(1, Ordering::Release);
        is_read
    }

    /// As `learn`, of a retention policy; of the count of changes where it has no name.
    fn learn_policy(&self, name: &str, record: Option<&str>) -> bool {
        let mut roster = self.roster.write();
        let mut changed = Roster::clone(&roster);
        let is_read = if name.is_empty() {
            let read = record.map(Head::read);
            // One that can't be read is like no other, so nothing is deleted by it.
            changed
                .set_head(read.clone().flatten().unwrap_or_else(|| Head { changes: u64::MAX - 1, kept: record.map(Into::into) }));
            if record.is_none() {
                changed.set_head(Head::default());
            }
            read != Some(None)
        } else if let Some(record) = record {
            let policy = Policy::read(name, record);
            let is_read = policy.rule.is_some();
            changed.put_policy(policy);
            is_read
        } else {
            changed.remove_policy(name);
            true
        };
        *roster = Arc::new(changed);
        is_read
    }

    /// All roles as they stand.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster.read())
    }

    /// Grows with every change: what was worked out before must be worked out again.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What a role may do.
    pub(crate) fn rights(&self, id: RoleId) -> Option<Arc<Rights>> {
        let mut known = self.rights.lock();
        // Read before the roster: what is changed meanwhile is worked out again.
        let version = self.version();
        if known.0 != version {
            *known = (version, HashMap::new());
        }
        if let Some(rights) = known.1.get(&id) {
            return Some(Arc::clone(rights));
        }
        let roster = self.roster();
        let rights = Arc::new(roster.rights(roster.role(id)?));
        known.1.insert(id, Arc::clone(&rights));
        Some(rights)
    }

    /// Makes a change, which `plan` works out of the roles as they stand: several times, where others change them too. Blocks.
    pub(crate) fn change<T>(&self, mut plan: impl FnMut(&Roster, &mut Change) -> Result<T, Error>) -> Result<T, Error> {
        let _alone = self.changing.lock();
        for _ in 0..TRIES {
            let roster = self.roster();
            let mut change = Change::default();
            let told = plan(&roster, &mut change)?;
            change.records.retain(|record| record.was != record.now);
            if change.records.is_empty() {
                return Ok(told);
            }
            let conditions = change.unchanged.clone();
            change.records.append(&mut change.unchanged);
            match self.keeper.swap(&change.records)? {
                None => {
                    for record in change.records {
                        self.learn(&record.name, record.now.as_deref());
                    }
                    return Ok(told);
                }
                Some(current) => {
                    let mut stand = true;
                    for (name, record) in current {
                        match conditions.iter().find(|condition| condition.name == name) {
                            // Who changed that changed more with it. Learnt alone, it would say here that all of it is known.
                            Some(condition) => stand &= condition.was == record,
                            None => {
                                self.learn(&name, record.as_deref());
                            }
                        }
                    }
                    if !stand {
                        return Err(raise(Error::Stale, "what this depends on was changed meanwhile"));
                    }
                }
            }
        }
        Err(raise(Error::Stale, "roles were changed by others again and again; ask once more"))
    }

    /// Whether no policy was made, changed or dropped since, asked where they are kept. Blocks.
    pub(crate) fn policies_stand(&self, seen: &Head) -> Result<bool, Error> {
        let kept = seen.kept.as_deref().map(str::to_owned);
        let _alone = self.changing.lock();
        let same = RecordChange { name: HEAD.to_owned(), was: kept.clone(), now: kept };
        Ok(self.keeper.swap(&[same])?.is_none() && self.roster().head() == seen)
    }

    pub(crate) fn keeper(&self) -> &Arc<dyn Keeper> {
        &self.keeper
    }

    /// Gives a role a password, making the role where there is none: the bootstrap user's, at the start. Blocks.
    ///
    /// # Errors
    /// Those of the keeper.
    pub fn set_verifier(&self, name: &str, verifier: &str) -> Result<(), Error> {
        self.change(|roster, change| {
            let fresh =
                || Role { login: true, superuser: true, ..Role::new(name, super::role::id_of_random(self.keeper.random())) };
            let mut role = roster.named(name).map_or_else(fresh, |role| Role::clone(role));
            role.verifier = Some(verifier.into());
            change.put(roster, &role);
            Ok(())
        })
    }

    /// What is kept of each name, as it is to be written: without those that are as they always are.
    #[must_use]
    pub fn records(&self) -> Vec<(String, String)> {
        let roster = self.roster();
        let kept = |role: &Arc<Role>| Some((role.name.to_string(), role.kept.as_deref()?.to_owned()));
        let policy = |policy: &Arc<Policy>| Some((Policy::key(&policy.name), policy.kept.as_deref()?.to_owned()));
        let head = roster.head().kept.as_deref().map(|kept| (HEAD.to_owned(), kept.to_owned()));
        roster.grantees().filter_map(kept).chain(roster.policies().values().filter_map(policy)).chain(head).collect()
    }

    /// Whether nobody is known but those that are always there.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.roster().is_bare()
    }

    /// Whether somebody has a password.
    #[must_use]
    pub fn has_passwords(&self) -> bool {
        self.roster().all().any(|role| role.verifier.is_some())
    }

    /// What is kept of the password of a role that may log in now; None of anybody else.
    #[must_use]
    pub fn login_verifier(&self, name: &str, now_us: i64) -> Option<Arc<str>> {
        let roster = self.roster();
        let role = roster.named(name)?;
        let in_time = role.valid_until_us.is_none_or(|until| now_us < until);
        if role.login && in_time { role.verifier.clone() } else { None }
    }

    /// Whether somebody may come in under a name without a password, at a door that believes whoever comes.
    ///
    /// # Errors
    /// `Error::InvalidRole` for a role that may not log in, and for a name that is no role's once there are roles.
    pub fn believe(&self, name: &str) -> Result<(), Error> {
        let roster = self.roster();
        match roster.named(name) {
            Some(role) if role.login => Ok(()),
            Some(_) => Err(raise(Error::InvalidRole, format!("role \"{name}\" is not permitted to log in"))),
            None if roster.is_bare() => Ok(()),
            None => Err(raise(Error::InvalidRole, format!("role \"{name}\" does not exist"))
                .with_hint("there are roles on this server, so a name must be one's; the first is meridian")),
        }
    }

    /// How many connections a role may have at one time; None = as many as there can be.
    #[must_use]
    pub fn connections_max(&self, name: &str) -> Option<u32> {
        self.roster().named(name).filter(|role| !role.superuser).and_then(|role| role.connections_max)
    }

    /// A setting that the sessions of a role begin with.
    #[must_use]
    pub fn has_setting(&self, role: &str, setting: &str) -> bool {
        self.roster().named(role).is_some_and(|role| role.settings.contains_key(setting))
    }
}
