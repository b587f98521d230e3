//! The file of roles in a store's directory (`docs/formats/users.md`).
//!
//! Promises: it is replaced as a whole (`users-N`, N rises; the older one goes once the newer is durable), so a crash leaves the old or
//! the new roles, never half.
//!
//! A line of the file is `name<TAB>record`; lines that begin with `#` are comments, but for the last,
//! `#sha256 <digest of all lines before it>`: a file that a crash cut off has none, and the one before
//! it still counts. A record is one line of JSON, or, from before there were roles, a verifier.

use crate::Error;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use world::{Access, Disk, World};

const FILE_BYTES_MAX: u64 = 64 << 20;

/// Names, and the record of each.
pub(super) type Records = BTreeMap<String, String>;

/// The file that counts.
pub(super) struct File {
    world: World,
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The number of the file that counts (0: none yet), and the highest one ever given to a file.
    numbers: (u64, u64),
    records: Records,
}

impl File {
    /// The file of a directory, and what it says.
    ///
    /// # Errors
    /// `Error::Disk`, `Error::Users`.
    pub(super) fn open(world: World, dir: &Path) -> Result<File, Error> {
        let mut numbers = numbers(&*world.disk, dir)?;
        let highest = numbers.last().copied().unwrap_or(0);
        let mut found = (0, Records::new());
        while let Some(number) = numbers.pop() {
            match read(&*world.disk, &path(dir, number)) {
                Ok(records) => {
                    settle(&*world.disk, dir, number)?;
                    found = (number, records);
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
        let state = State { numbers: (found.0, highest), records: found.1 };
        Ok(File { world, dir: dir.to_owned(), state: Mutex::new(state) })
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.state.lock().numbers.0 > 0
    }

    /// What it says.
    pub(super) fn records(&self) -> Records {
        self.state.lock().records.clone()
    }

    /// Changes records, where `change` says so (false: nothing is written). Durable when it returns true.
    pub(super) fn change(&self, change: impl FnOnce(&mut Records) -> bool) -> Result<bool, Error> {
        let mut state = self.state.lock();
        let mut records = state.records.clone();
        if !change(&mut records) {
            return Ok(false);
        }
        // A number is used once, also when writing its file fails.
        state.numbers.1 += 1;
        let (old, new) = state.numbers;
        let disk = &*self.world.disk;
        let file = disk.create(&path(&self.dir, new))?;
        file.write_at(0, &[text_of(&records).as_bytes()])?;
        file.sync()?;
        disk.sync_dir(&self.dir)?;
        state.numbers.0 = new;
        state.records = records;
        if old > 0 {
            disk.remove(&path(&self.dir, old))?;
        }
        Ok(true)
    }
}

/// All of a file with these records.
fn text_of(records: &Records) -> String {
    let mut text = String::from("# roles and retention policies of this store: name, tab, record\n");
    for (name, record) in records {
        text.push_str(&format!("{name}\t{record}\n"));
    }
    let end = end_line(&text);
    text + &end
}

/// The first file of a directory with these records: its name, and its bytes.
pub(super) fn first(records: &Records) -> (String, Vec<u8>) {
    let name = path(Path::new(""), 1).display().to_string();
    (name, text_of(records).into_bytes())
}

/// Looks at the file of a directory, without changing anything: is the one that counts whole. Whether there is one.
///
/// # Errors
/// `Error::Disk`, `Error::Users`.
pub(super) fn check(disk: &dyn Disk, dir: &Path) -> Result<bool, Error> {
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

/// The numbers of the files of roles, rising.
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

/// All bytes of a file that is not expected to be large.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, Error> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; file.len()?.min(FILE_BYTES_MAX) as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Records, Error> {
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
    let mut records = Records::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (name, record) = line.split_once('\t').ok_or_else(|| broken(index + 1, "expected a name, a tab and a record"))?;
        if !super::is_whole(name, record) {
            return Err(broken(index + 1, "the record can't be read: is the file of a later release?"));
        }
        records.insert(name.to_owned(), record.to_owned());
    }
    Ok(records)
}
