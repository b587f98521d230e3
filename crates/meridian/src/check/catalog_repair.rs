//! The tag table's part of `meridian check --repair`: written anew from its whole blocks and its log.
//!
//! Promises: the catalog's files lie as they were in DIR/damaged before anything is changed; a tag whose definition
//! is lost keeps its ordinal, its samples and their kind, which the slices' files tell, and is called
//! `lost.ORDINAL`. Of numbers that only the store's log holds the kind is guessed, which is said.

use super::{CATALOG, Findings, repair::set_aside};
use crate::Error;
use crate::table::thousands;
use catalog::Samples;
use series::file::{NoCache, SeriesFile};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, TagId};
use world::{Disk, RealDisk, ThreadCounts, Threads, World};

/// Repairs the tag table; its log was repaired before.
///
/// # Errors
/// `Error::Input`: why it can't be repaired.
pub fn repair(dir: &Path, part: &Findings) -> Result<String, Error> {
    let place = dir.join(CATALOG);
    for file in &part.catalog_files {
        let name = file.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        set_aside(dir, file, &format!("{CATALOG}-{name}"))?;
    }
    // It may be lost as a whole.
    RealDisk.make_dir(&place).map_err(|error| super::repair::failed(&place)(error.to_string()))?;
    let threads = Threads::start(ThreadCounts::default());
    let mut kinds = kinds_of_files(dir);
    let guesses = take_logged(dir, &mut kinds);
    let guessed = Cell::new(0);
    // Asked once for each tag whose definition is lost.
    let kind_of = |tag: TagId| {
        guessed.set(guessed.get() + u64::from(guesses.contains(&tag)));
        kinds.get(usize::try_from(tag.0).ok()?).copied().flatten()
    };
    let samples = Samples { end: kinds.len() as u64, kind_of: &kind_of };
    let mended = catalog::repair(World::real(&threads), &place, catalog::Settings::default(), &samples);
    threads.stop();
    let mended = mended.map_err(|error| {
        let advice = "restore it from a copy: samples lie under ordinals, and only the tag table says whose those are";
        Error::Input { path: place.clone(), problem: format!("{error}; {advice}") }
    })?;
    let (tags, lost, renamed) = (thousands(mended.tags), thousands(mended.lost), thousands(mended.renamed));
    let mut line = format!(
        "{CATALOG}: written anew, {tags} tags; {lost} lost their definitions and are called lost.ORDINAL, with their samples; \
         {renamed} lost their names only"
    );
    if guessed.get() > 0 {
        let guessed = thousands(guessed.get());
        line.push_str(&format!("; the kinds of {guessed} are guessed, since only the log holds their samples"));
    }
    Ok(line)
}

/// Adds the tags of which only the log holds samples; gives those of them whose kinds are guesses. Of a log that could
/// not be mended nothing is known, and the store does not open.
fn take_logged(dir: &Path, kinds: &mut Vec<Option<Kind>>) -> BTreeSet<TagId> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut guesses = BTreeSet::new();
    for (tag, kind) in kernel::logged_tags(&disk, dir).unwrap_or_default() {
        let Some(known) = kind_place(kinds, tag) else { continue };
        if known.is_none() {
            *known = Some(kind);
            if !kind.is_text() {
                guesses.insert(tag);
            }
        }
    }
    guesses
}

/// The place of a tag's kind, made where it is not there yet; None of what can't be a tag of a catalog, whose ordinals
/// have 32 bits.
fn kind_place(kinds: &mut Vec<Option<Kind>>, tag: TagId) -> Option<&mut Option<Kind>> {
    let ordinal = u32::try_from(tag.0).ok()? as usize;
    if kinds.len() <= ordinal {
        kinds.resize(ordinal + 1, None);
    }
    kinds.get_mut(ordinal)
}

/// The kind of every tag of which some file holds samples, by ordinal. What can't be read tells nothing.
fn kinds_of_files(dir: &Path) -> Vec<Option<Kind>> {
    let disk = RealDisk;
    let mut kinds: Vec<Option<Kind>> = Vec::new();
    let slices = dir.join("slices");
    for slice in disk.list(&slices).unwrap_or_default().iter().filter(|entry| entry.directory) {
        let place = slices.join(&slice.name);
        let manifest = storage::check_directory(&disk, &place).ok().and_then(|check| check.manifest);
        for meta in manifest.into_iter().flat_map(|(_, manifest)| manifest.files) {
            let Ok(file) = SeriesFile::open(&disk, &place.join(meta.path()), Arc::new(NoCache)) else { continue };
            let Ok(mut entries) = file.entries(TagId(0)) else { continue };
            while let Ok(Some(entry)) = entries.next() {
                if let Some(known) = kind_place(&mut kinds, entry.tag) {
                    *known = Some(entry.kind);
                }
            }
        }
    }
    kinds
}
