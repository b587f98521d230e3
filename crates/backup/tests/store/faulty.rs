//! A repository that fails in the middle of what is written to it.

use backup::{Directory, Error, Place};
use std::io::Read;
use std::sync::atomic::{AtomicI64, Ordering};

/// A repository that fails: after so many puts each put does; an answer may be lost, and what failed can't be removed then.
pub struct Faulty {
    pub inner: Directory,
    pub puts: AtomicI64,
    pub answers_lost: bool,
    /// Half of what fails is there, and can't be removed.
    pub tears: bool,
}

impl Place for Faulty {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn put(&self, key: &str, bytes: u64, from: &mut dyn Read) -> Result<(), Error> {
        let fault = || Err(Error::Place { place: self.name(), what: "it is gone".to_owned() });
        if self.puts.fetch_sub(1, Ordering::Relaxed) > 0 {
            return self.inner.put(key, bytes, from);
        }
        if self.answers_lost {
            self.inner.put(key, bytes, from)?;
        } else if self.tears {
            self.inner.put(key, bytes / 2, &mut from.take(bytes / 2))?;
        }
        fault()
    }

    fn get(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, Error> {
        self.inner.get(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.inner.list(prefix)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        if self.answers_lost || self.tears {
            return Err(Error::Place { place: self.name(), what: "it is gone".to_owned() });
        }
        self.inner.remove(key)
    }
}
