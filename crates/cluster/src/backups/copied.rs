//! What this run of a data node has copied of its files for marks, so that the next one names it instead of copying it again.
//!
//! Promises: only what a mark has that counts, and that pruning leaves for now, is named again. Nothing of it is kept on disk: whatever
//! another run, or a copy of the directory, has given to a file's number, it is not this run's.
//! May not know where a repository lies.

use backup::{FileEntry, mark_of};
use std::collections::BTreeMap;

/// Files, by where they belong.
#[derive(Clone, Default)]
pub(super) struct Copied {
    files: BTreeMap<String, FileEntry>,
    /// Those of a mark of which it is not known yet whether it counts: the key of its head.
    waiting: Option<(String, Vec<FileEntry>)>,
}

impl Copied {
    /// What was copied to a path.
    pub(super) fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.get(path)
    }

    /// A mark was copied for.
    pub(super) fn wait(&mut self, mark: String, files: Vec<FileEntry>) {
        self.waiting = Some((mark, files));
    }

    /// Another mark begins, and goes on from this one: so it counts. What stays in the repository is what these backups name, and
    /// marks that end not before a moment.
    pub(super) fn count(&mut self, before: &str, (backups, since_us): (&[String], u64)) {
        if let Some((_, files)) = self.waiting.take().filter(|(mark, _)| mark == before) {
            let series = files.into_iter().filter(|file| file.path.ends_with(".series"));
            self.files.extend(series.map(|file| (file.path.clone(), file)));
        }
        self.files.retain(|_, file| match mark_of(&file.key) {
            Some(mark) => mark.to_us >= since_us,
            None => {
                let backup = file.key.strip_prefix("files/").and_then(|rest| rest.split('/').next());
                backup.is_some_and(|backup| backups.iter().any(|there| there == backup))
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Copied;
    use backup::FileEntry;

    #[test]
    fn only_what_counts_and_stays_is_named_again() {
        let mark = |number: u64| format!("archive/0a/{number:010}-{:020}-{:020}-00000{number}/", number * 10, number * 10 + 10);
        let file = |path: &str, key: String| FileEntry { path: path.to_owned(), key, bytes: 1, sha256: String::new() };
        let (head, backups) = (|number| format!("{}head", mark(number)), ["b2".to_owned(), "b1".to_owned()]);
        let mut copied = Copied::default();
        copied.wait(head(1), vec![file("slices/0000/1.series", format!("{}files/x", mark(1)))]);
        copied.count("another", (&backups, 0));
        assert!(copied.file("slices/0000/1.series").is_none(), "that mark was given up");
        let files = [("slices/0000/1.series", format!("{}files/x", mark(1))), ("slices/0000/2.series", "files/b1/y".to_owned())];
        copied.wait(head(1), files.iter().map(|(path, key)| file(path, key.clone())).collect());
        copied.count(&head(1), (&backups, 20));
        assert!(copied.file("slices/0000/1.series").is_some() && copied.file("slices/0000/2.series").is_some());
        copied.count(&head(2), (&backups[..1], 21));
        assert!(copied.file("slices/0000/1.series").is_none() && copied.file("slices/0000/2.series").is_none());
    }
}
