//! The names of a simulated disk: those that are there now, and those that would survive a power cut.

use super::SeededRandom;
use super::inode::Fate;
use crate::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(u64),
}

#[derive(Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, Node>,
    disk: BTreeMap<PathBuf, Node>,
}

/// The directory of a path; the root and the empty path are their own, and always there.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.parent().is_none() { Some(Node::Directory) } else { self.now.get(path).copied() }
    }

    pub(super) fn insert(&mut self, path: &Path, node: Node) {
        self.now.insert(path.to_path_buf(), node);
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.now.remove(path);
    }

    /// Makes the names of a directory durable, and no others.
    pub(super) fn sync(&mut self, dir: &Path) {
        for path in self.paths_in(dir) {
            match self.now.get(&path) {
                Some(node) => self.disk.insert(path, *node),
                None => self.disk.remove(&path),
            };
        }
    }

    /// Makes one name durable.
    pub(super) fn sync_one(&mut self, path: &Path) {
        if let Some(node) = self.now.get(path) {
            self.disk.insert(path.to_path_buf(), *node);
        }
    }

    /// The names in a directory, now or on disk.
    fn paths_in(&self, dir: &Path) -> BTreeSet<PathBuf> {
        let inside = |map: &BTreeMap<PathBuf, Node>| -> Vec<PathBuf> {
            let below = map.range(dir.to_path_buf()..).map(|(path, _)| path).take_while(|path| path.starts_with(dir));
            below.filter(|path| path.parent() == Some(dir)).cloned().collect()
        };
        inside(&self.now).into_iter().chain(inside(&self.disk)).collect()
    }

    pub(super) fn list(&self, dir: &Path) -> Vec<Entry> {
        let paths = self.paths_in(dir);
        let entry = |path: &PathBuf| {
            let node = self.now.get(path)?;
            Some(Entry { name: path.file_name()?.to_str()?.to_owned(), directory: *node == Node::Directory })
        };
        let mut entries: Vec<Entry> = paths.iter().filter_map(entry).collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The power failed: each name that was not synced, and each removal, is kept or lost.
    pub(super) fn crash(&mut self, random: &SeededRandom, fate: Fate) {
        let paths: BTreeSet<PathBuf> = self.now.keys().chain(self.disk.keys()).cloned().collect();
        let mut kept: BTreeMap<PathBuf, Node> = BTreeMap::new();
        for path in paths {
            let (now, disk) = (self.now.get(&path), self.disk.get(&path));
            let node = if now == disk || fate.keeps(random) { now } else { disk };
            let above = parent(&path);
            let stands = above.parent().is_none() || kept.get(above) == Some(&Node::Directory);
            if let Some(node) = node.filter(|_| stands) {
                kept.insert(path, *node);
            }
        }
        (self.now, self.disk) = (kept.clone(), kept);
    }

    /// All files now, in order of path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.now.iter().filter_map(|(path, node)| match node {
            Node::File(number) => Some((path.as_path(), *number)),
            Node::Directory => None,
        })
    }

    /// Files that would come back in a power cut.
    pub(super) fn files_on_disk(&self) -> impl Iterator<Item = u64> {
        self.disk.values().filter_map(|node| if let Node::File(number) = node { Some(*number) } else { None })
    }
}
