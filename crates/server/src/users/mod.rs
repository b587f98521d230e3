//! Roles and their passwords at the doors: kept as verifiers in a small file of the store's directory, or by someone else (a
//! fleet's are in what the fleet agrees on, so that they hold at every door).
//!
//! Promises: passwords are never kept, logged or shown; a name that nobody has, a role that may not log in and one whose time is over
//! are asked for a password like any other, and none fits. What roles may do is `query`'s to say.
//! That there is a file of roles stands in the store's node file as well (`kernel::Neighbour`): whoever removes it
//! does not open the doors.

mod file;
mod verifier;

pub(crate) use file::read_file;
pub use verifier::{ITERATIONS, SALT_BYTES, Verifier};

use crate::Error;
use file::File;
pub use query::BOOTSTRAP;
use query::{Kept, RecordChange, Roles};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use world::{Disk, World};

const NAME_BYTES_MAX: usize = 63;
/// What PostgreSQL kept of passwords before SCRAM.
const MD5_LENGTH: usize = 35;

/// Who keeps roles elsewhere.
pub trait Keeper: Send + Sync {
    /// As `query::Keeper::swap`. It may block.
    ///
    /// # Errors
    /// Why nothing, or nothing for certain, was kept.
    fn swap(&self, changes: &[RecordChange]) -> Result<Option<Vec<Kept>>, query::Error>;
}

/// Where roles are kept.
enum Place {
    Memory,
    Directory(File),
    Elsewhere(Arc<dyn Keeper>),
}

/// Is told once the first file of roles is written.
type Note = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Keeps roles, and makes verifiers.
struct Keeping {
    world: World,
    place: Place,
    note: OnceLock<Note>,
}

/// The roles of a server, as its doors ask for them.
pub struct Users {
    world: World,
    keeping: Arc<Keeping>,
    roles: Arc<Roles>,
    secret: [u8; 32],
}

/// Whether what is kept under a name can be read, and the verifier in it is one.
fn is_whole(name: &str, record: &str) -> bool {
    let roles = Roles::in_memory();
    roles.learn(name, Some(record))
        && roles.login_verifier(name, i64::MIN).is_none_or(|verifier| Verifier::parse(&verifier).is_some())
}

impl query::Keeper for Keeping {
    fn swap(&self, changes: &[RecordChange]) -> Result<Option<Vec<Kept>>, query::Error> {
        let file = match &self.place {
            Place::Memory => return Ok(None),
            Place::Elsewhere(keeper) => return keeper.swap(changes),
            Place::Directory(file) => file,
        };
        if changes.iter().all(|change| change.was == change.now) {
            // It is only asked whether they are as they were.
            let records = file.records();
            let as_read = changes.iter().all(|change| records.get(&change.name) == change.was.as_ref());
            let current = || changes.iter().map(|change| (change.name.clone(), records.get(&change.name).cloned())).collect();
            return Ok((!as_read).then(current));
        }
        let is_first = !file.is_there();
        let changed = file.change(|records| {
            let as_read = changes.iter().all(|change| records.get(&change.name) == change.was.as_ref());
            if as_read {
                for change in changes {
                    match &change.now {
                        Some(record) => drop(records.insert(change.name.clone(), record.clone())),
                        None => drop(records.remove(&change.name)),
                    }
                }
            }
            as_read
        });
        if changed.map_err(|error| query::Error::io(format!("roles can't be kept: {error}")))? {
            // Afterwards: a crash between leaves a file that is noted at the next start, and not a store that misses one.
            if let Some(note) = self.note.get().filter(|_| is_first) {
                note()
                    .map_err(|problem| query::Error::io(format!("roles are kept, but not noted beside the store: {problem}")))?;
            }
            return Ok(None);
        }
        let records = file.records();
        Ok(Some(changes.iter().map(|change| (change.name.clone(), records.get(&change.name).cloned())).collect()))
    }

    fn verifier(&self, password: &str) -> Result<String, query::Error> {
        if let Some(verifier) = Verifier::parse(password) {
            return Ok(verifier.to_string());
        }
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_hexdigit());
        if password.len() == MD5_LENGTH && password.strip_prefix("md5").is_some_and(digits) {
            return Err(query::Error::unsupported("passwords are kept as SCRAM-SHA-256 verifiers, not as MD5"));
        }
        if password.contains('\0') {
            return Err(query::Error::invalid("a password holds no zero byte"));
        }
        let mut salt = [0; SALT_BYTES];
        fill_random(&self.world, &mut salt);
        Ok(Verifier::new(password, &salt, ITERATIONS).to_string())
    }

    fn random(&self) -> u32 {
        self.world.random.next_u64() as u32
    }
}

impl Users {
    /// The roles kept in a directory (but for those that are always there, none where there is no file).
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Users`.
    pub fn open(world: World, dir: &Path) -> Result<Arc<Users>, Error> {
        let file = File::open(world.clone(), dir)?;
        let records = file.records();
        let users = Users::with(world, Place::Directory(file));
        for (name, record) in records {
            users.roles.learn(&name, Some(&record));
        }
        Ok(users)
    }

    /// Looks at the roles kept in a directory, without changing anything: is the file that counts whole. Whether there is
    /// one.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Users`.
    pub fn check(disk: &dyn Disk, dir: &Path) -> Result<bool, Error> {
        file::check(disk, dir)
    }

    /// The file of a directory that is to begin with these records: its name, and its bytes.
    #[must_use]
    pub fn file_of(records: &BTreeMap<String, String>) -> (String, Vec<u8>) {
        file::first(records)
    }

    /// Roles that are kept only in memory.
    #[must_use]
    pub fn in_memory(world: World) -> Arc<Users> {
        Users::with(world, Place::Memory)
    }

    /// Roles that someone else keeps, who tells of them (`learn`).
    #[must_use]
    pub fn kept_by(world: World, keeper: Arc<dyn Keeper>) -> Arc<Users> {
        Users::with(world, Place::Elsewhere(keeper))
    }

    /// Takes in what someone else keeps of a role; none where the role is gone. Whether it could be read.
    pub fn learn(&self, name: &str, record: Option<&str>) -> bool {
        self.roles.learn(name, record)
    }

    /// All roles that something is kept of, and what.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.roles.records()
    }

    /// Whether something is kept: a file is there, or somebody told of a role.
    #[must_use]
    pub fn is_there(&self) -> bool {
        match &self.keeping.place {
            Place::Directory(file) => file.is_there(),
            Place::Memory | Place::Elsewhere(_) => !self.roles.records().is_empty(),
        }
    }

    /// Has somebody told once the first file is written in a directory that has none: from then on a store without one is not itself.
    pub fn note_first(&self, note: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        // Said once, by whoever opened the store.
        drop(self.keeping.note.set(Box::new(note)));
    }

    /// The roles, for the engine.
    #[must_use]
    pub fn roles(&self) -> &Arc<Roles> {
        &self.roles
    }

    fn with(world: World, place: Place) -> Arc<Users> {
        let mut secret = [0; 32];
        fill_random(&world, &mut secret);
        let keeping = Arc::new(Keeping { world: world.clone(), place, note: OnceLock::new() });
        let keeper = Arc::<Keeping>::clone(&keeping);
        Arc::new(Users { world, keeping, roles: Roles::kept_by(keeper), secret })
    }

    /// Gives a role a password, making the role (a superuser) where there is none. Durable when it returns; it blocks.
    ///
    /// # Errors
    /// `Error::User` for an empty or overlong name or an empty password, `Error::Unkept`.
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), Error> {
        let problem = if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['\t', '\n', '\r', '\0']) {
            Some("a name has 1 to 63 bytes and no tab, line end or zero byte")
        } else if name.starts_with('#') {
            Some("a name does not begin with #")
        } else if password.is_empty() {
            Some("a password is not empty")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::User { name: name.chars().take(63).collect(), problem });
        }
        let known = self.roles.login_verifier(name, i64::MIN);
        if known.and_then(|known| Verifier::parse(&known)).is_some_and(|verifier| verifier.accepts(password)) {
            return Ok(());
        }
        let mut salt = [0; SALT_BYTES];
        fill_random(&self.world, &mut salt);
        let verifier = Verifier::new(password, &salt, ITERATIONS).to_string();
        let kept = self.roles.set_verifier(name, &verifier);
        kept.map_err(|problem| Error::Unkept { name: name.to_owned(), problem: problem.to_string() })
    }

    /// What is kept of the password of a role that may log in; for any other name, one that no password fits.
    #[must_use]
    pub fn verifier(&self, name: &str) -> Verifier {
        self.proof(name).and_then(|kept| Verifier::parse(&kept)).unwrap_or_else(|| Verifier::of_nobody(name, &self.secret))
    }

    /// What is kept of the password of a role that may log in now: whoever proved to know it is let in for as long as it stays the
    /// same.
    #[must_use]
    pub(crate) fn proof(&self, name: &str) -> Option<Arc<str>> {
        self.roles.login_verifier(name, self.world.clock.wall_us())
    }

    /// Whether nobody has a password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.roles.has_passwords()
    }

    /// Random bytes from the world, for keys and tokens.
    pub(crate) fn fill_random(&self, into: &mut [u8]) {
        fill_random(&self.world, into);
    }

    /// The clock that tokens expire by.
    pub(crate) fn monotonic_us(&self) -> u64 {
        self.world.clock.monotonic_us()
    }
}

fn fill_random(world: &World, into: &mut [u8]) {
    for part in into.chunks_mut(8) {
        part.copy_from_slice(&world.random.next_u64().to_le_bytes()[..part.len()]);
    }
}
