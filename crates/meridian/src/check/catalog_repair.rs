//! The tag table's part of `meridian check --repair`: written anew from its whole blocks and its log.
//!
//! Promises: the catalog's files lie as they were in DIR/damaged before anything is changed; a tag whose definition
//! is lost keeps its ordinal, its samples and their kind, which the slices' files tell, and is called
//! `lost.ORDINAL`.

use super::{CATALOG, Findings, repair::set_aside};
use crate::Error;
use crate::table::thousands;
use catalog::Samples;
use series::file::{NoCache, SeriesFile};
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
    let kinds = kinds_of_files(dir);
    let kind_of = |tag: TagId| kinds.get(usize::try_from(tag.0).ok()?).copied().flatten();
    let samples = Samples { end: kinds.len() as u64, kind_of: &kind_of };
    let mended = catalog::repair(World::real(&threads), &place, catalog::Settings::default(), &samples);
    threads.stop();
    let mended = mended.map_err(|error| {
        let advice = "restore it from a copy: samples lie under ordinals, and only the tag table says whose those are";
        Error::Input { path: place.clone(), problem: format!("{error}; {advice}") }
    })?;
    let (tags, lost, renamed) = (thousands(mended.tags), thousands(mended.lost), thousands(mended.renamed));
    Ok(format!(
        "{CATALOG}: written anew, {tags} tags; {lost} lost their definitions and are called lost.ORDINAL, with their samples; \
         {renamed} lost their names only"
    ))
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
                // Ordinals are 32 bits in a catalog: others are no tags of it.
                let Some(ordinal) = u32::try_from(entry.tag.0).ok().map(|ordinal| ordinal as usize) else { continue };
                if kinds.len() <= ordinal {
                    kinds.resize(ordinal + 1, None);
                }
                kinds[ordinal] = Some(entry.kind);
            }
        }
    }
    kinds
}
