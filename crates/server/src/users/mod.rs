//! Users and their passwords, kept as verifiers in a small file of the store's directory, or by someone else (a fleet's users are in
//! what the fleet agrees on, so that they hold at every door).
//!
//! Promises: the file is replaced as a whole (`users-N`, N rises; the older one goes once the newer
//! is durable), so a crash leaves the old or the new users, never half. Passwords are never kept,
//! logged or shown. What users may do is not known here: today every user may do everything.
//! That there are passwords stands in the store's node file as well (`kernel::Neighbour`): whoever removes this file
//! does not open the doors.
//!
//! A line of the file is `name<TAB>verifier`; lines that begin with `#` are comments, but for the last,
//! `#sha256 <digest of all lines before it>`: a file that a crash cut off has none, and the one before
//! it still counts.

mod verifier;

pub use verifier::{ITERATIONS, SALT_BYTES, Verifier};

use crate::Error;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Access, Disk, World};

/// The user that is there from the first start.
pub const BOOTSTRAP: &str = "meridian";
const NAME_BYTES_MAX: usize = 63;
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Who keeps users elsewhere.
pub trait Keeper: Send + Sync {
    /// Keeps a user's verifier, in place of any other. It holds everywhere, durably, when this returns; it may block.
    ///
    /// # Errors
    /// Why not, as text.
    fn keep(&self, name: &str, verifier: &str) -> Result<(), String>;
}

/// Where users are kept.
enum Place {
    Memory,
    Directory(PathBuf),
    Elsewhere(Arc<dyn Keeper>),
}

/// The users of a server.
pub struct Users {
    world: World,
    place: Place,
    by_name: RwLock<BTreeMap<String, Verifier>>,
    /// The file that counts, and the highest number ever given to one.
    files: Mutex<(u64, u64)>,
    version: AtomicU64,
    secret: [u8; 32],
}

impl Users {
    /// The users kept in a directory (none yet where there is no file).
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Users`.
    pub fn open(world: World, dir: &Path) -> Result<Arc<Users>, Error> {
        let mut numbers = numbers(&*world.disk, dir)?;
        let highest = numbers.last().copied().unwrap_or(0);
        let mut found = (0, BTreeMap::new());
        while let Some(number) = numbers.pop() {
            match read(&*world.disk, &path(dir, number)) {
                Ok(by_name) => {
                    settle(&*world.disk, dir, number)?;
                    found = (number, by_name);
                    break;
                }
                // The newest may have been cut off by a crash; then the one before it is still there.
                Err(Error::Users { .. }) if !numbers.is_empty() => world.disk.remove(&path(dir, number))?,
                Err(error) => return Err(error),
            }
        }
        for old in numbers {
            world.disk.remove(&path(dir, old))?;
        }
        Ok(Users::with(world, Place::Directory(dir.to_owned()), found.1, (found.0, highest)))
    }

    /// Looks at the users kept in a directory, without changing anything: is the file that counts whole. Whether there is
    /// one.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Users`.
    pub fn check(disk: &dyn Disk, dir: &Path) -> Result<bool, Error> {
        let mut numbers = numbers(disk, dir)?;
        let mut damage = None;
        while let Some(number) = numbers.pop() {
            match read(disk, &path(dir, number)) {
                Ok(_) => return Ok(true),
                // The newest may have been cut off by a crash; then the one before it counts.
                Err(error @ Error::Users { .. }) => drop(damage.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        damage.map_or(Ok(false), Err)
    }

    /// Users that are kept only in memory.
    #[must_use]
    pub fn in_memory(world: World) -> Arc<Users> {
        Users::with(world, Place::Memory, BTreeMap::new(), (0, 0))
    }

    /// Users that someone else keeps, who tells of them (`learn`).
    #[must_use]
    pub fn kept_by(world: World, keeper: Arc<dyn Keeper>) -> Arc<Users> {
        Users::with(world, Place::Elsewhere(keeper), BTreeMap::new(), (0, 0))
    }

    /// Takes in what someone else keeps of a user; none where the user is gone. Whether it could be read.
    pub fn learn(&self, name: &str, verifier: Option<&str>) -> bool {
        let read = verifier.map(Verifier::parse);
        let mut by_name = self.by_name.write();
        match read {
            Some(None) => return false,
            Some(Some(verifier)) => drop(by_name.insert(name.to_owned(), verifier)),
            None => drop(by_name.remove(name)),
        }
        self.version.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// All users, and what is kept of each.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.by_name.read().iter().map(|(name, verifier)| (name.clone(), verifier.to_string())).collect()
    }

    fn with(world: World, place: Place, by_name: BTreeMap<String, Verifier>, files: (u64, u64)) -> Arc<Users> {
        let mut secret = [0; 32];
        fill_random(&world, &mut secret);
        Arc::new(Users {
            world,
            place,
            by_name: RwLock::new(by_name),
            files: Mutex::new(files),
            version: AtomicU64::new(0),
            secret,
        })
    }

    /// Gives a user a password, making the user where there is none. Durable when it returns.
    ///
    /// # Errors
    /// `Error::User` for an empty or overlong name or an empty password, `Error::Disk`, `Error::Unkept`.
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
        if self.by_name.read().get(name).is_some_and(|verifier| verifier.accepts(password)) {
            return Ok(());
        }
        let mut salt = [0; SALT_BYTES];
        fill_random(&self.world, &mut salt);
        let verifier = Verifier::new(password, &salt, ITERATIONS);
        if let Place::Elsewhere(keeper) = &self.place {
            // Told of it meanwhile, or by this: the same.
            let text = verifier.to_string();
            let kept = keeper.keep(name, &text);
            kept.map_err(|problem| Error::Unkept { name: name.to_owned(), problem })?;
            self.learn(name, Some(&text));
            return Ok(());
        }
        let mut by_name = self.by_name.write();
        let mut changed = by_name.clone();
        changed.insert(name.to_owned(), verifier);
        self.write(&changed)?;
        *by_name = changed;
        self.version.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What is kept of a user's password; for a name that nobody has, one that no password fits.
    #[must_use]
    pub fn verifier(&self, name: &str) -> Verifier {
        self.by_name.read().get(name).cloned().unwrap_or_else(|| Verifier::of_nobody(name, &self.secret))
    }

    /// Whether nobody has a password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.read().is_empty()
    }

    /// Grows with every change: what was checked before must be checked again.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Random bytes from the world, for keys and tokens.
    pub(crate) fn fill_random(&self, into: &mut [u8]) {
        fill_random(&self.world, into);
    }

    /// The clock that tokens expire by.
    pub(crate) fn monotonic_us(&self) -> u64 {
        self.world.clock.monotonic_us()
    }

    fn write(&self, users: &BTreeMap<String, Verifier>) -> Result<(), Error> {
        let Place::Directory(dir) = &self.place else { return Ok(()) };
        let disk = &*self.world.disk;
        let mut text = String::from("# users of this store: name, tab, SCRAM-SHA-256 verifier\n");
        for (name, verifier) in users {
            text.push_str(&format!("{name}\t{verifier}\n"));
        }
        let end = end_line(&text);
        let mut files = self.files.lock();
        // A number is used once, also when writing its file fails.
        files.1 += 1;
        let (old, new) = (files.0, files.1);
        let file = disk.create(&path(dir, new))?;
        file.write_at(0, &[text.as_bytes(), end.as_bytes()])?;
        file.sync()?;
        disk.sync_dir(dir)?;
        files.0 = new;
        if old > 0 {
            disk.remove(&path(dir, old))?;
        }
        Ok(())
    }
}

/// Makes sure that the file that counts is on disk before older ones go: a sync of it that failed left it in the
/// system's memory, held as clean, and only bytes that are written again are synced again.
fn settle(disk: &dyn Disk, dir: &Path, number: u64) -> Result<(), Error> {
    let bytes = read_file(disk, &path(dir, number))?;
    let file = disk.open(&path(dir, number), Access::Write)?;
    file.write_at(0, &[&bytes])?;
    file.sync()?;
    disk.sync_dir(dir)?;
    Ok(())
}

/// The last line of a file that begins with this text.
fn end_line(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("#sha256 {hex}\n")
}

/// The numbers of the files of users, rising.
fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, Error> {
    let names = disk.list(dir)?;
    let number = |name: &str| name.strip_prefix("users-").and_then(|number| number.parse().ok());
    let mut numbers: Vec<u64> = names.iter().filter_map(|entry| number(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("users-{number:08}"))
}

fn fill_random(world: &World, into: &mut [u8]) {
    for part in into.chunks_mut(8) {
        part.copy_from_slice(&world.random.next_u64().to_le_bytes()[..part.len()]);
    }
}

/// All bytes of a file that is not expected to be large.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, Error> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; file.len()?.min(FILE_BYTES_MAX) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<BTreeMap<String, Verifier>, Error> {
    let bytes = read_file(disk, path)?;
    let broken = |line: usize, problem: &str| Error::Users { path: path.to_owned(), line, problem: problem.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| broken(1, "it is not UTF-8"))?;
    let body = text.rfind("#sha256 ").map_or("", |at| &text[..at]);
    if text[body.len()..] != end_line(body) {
        return Err(broken(
            text.lines().count(),
            "the file does not end with the digest of what is in it: it was cut off or changed",
        ));
    }
    let mut users = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (name, verifier) = line.split_once('\t').ok_or_else(|| broken(index + 1, "expected a name, a tab and a verifier"))?;
        let verifier = Verifier::parse(verifier).ok_or_else(|| broken(index + 1, "the verifier is not one"))?;
        users.insert(name.to_owned(), verifier);
    }
    Ok(users)
}
