//! Whether the tag table knows every tag of which slices and the log hold samples: opening refuses a store where it
//! does not. A damaged end of the table's log looks like a write that was cut short; only the samples tell.
//!
//! Promises: reads only; where the table or the log is damaged, which is named elsewhere, it says nothing of them.

use super::{CATALOG, Findings, LOG};
use std::path::Path;
use std::sync::Arc;
use types::TagId;
use world::{Disk, RealDisk};

/// Names at the tag table the highest tag of each part that it does not know.
pub fn check(dir: &Path, found: &mut [Findings]) {
    let Some(end) = found.iter().find(|part| part.name == CATALOG).and_then(|part| part.ordinals) else { return };
    let unknown = |tag: Option<TagId>| tag.filter(|tag| tag.0 >= end);
    let of_slice = |part: &Findings| Some((format!("slice {}", part.name), unknown(last_tag(part))?));
    let mut strays: Vec<(String, TagId)> = found.iter().filter_map(of_slice).collect();
    if !found.iter().any(|part| part.name == LOG && !part.damages.is_empty()) {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let logged = kernel::logged_tags(&disk, dir).unwrap_or_default();
        strays.extend(unknown(logged.last_key_value().map(|(tag, _)| *tag)).map(|tag| ("the log".to_owned(), tag)));
    }
    let Some(part) = found.iter_mut().find(|part| part.name == CATALOG) else { return };
    let table = dir.join(CATALOG);
    part.damages.extend(strays.into_iter().map(|(holder, tag)| {
        format!(
            "{} knows the tags with ordinals below {end}, but {holder} holds samples of the tag with ordinal {tag}: \
             the end of its log is lost, or it is an older copy or another store's",
            table.display()
        )
    }));
}

/// The highest tag that a slice's files hold samples of.
fn last_tag(part: &Findings) -> Option<TagId> {
    part.manifest.as_ref()?.files.iter().filter(|file| file.rows > 0).map(|file| file.tag_range.1).max()
}
