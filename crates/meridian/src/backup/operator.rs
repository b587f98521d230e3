//! A lone node's backups by SQL: `meridian_backup(place [, keep])`, and the one that runs in `meridian.operations`.
//!
//! Promises: one backup at a time; it runs on a thread of its own, and a statement that is cancelled ends it.

use super::asked::{self, Asked, Running, Turn, Waiting, report, told};
use super::standing::{archive_rows, archive_schema};
use super::{archiver, place};
use crate::fleet::operations_schema;
use ::backup::{Progress, Source};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
use catalog::Catalog;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::Kernel;
use query::{Error, Figure, OperatorFunction, OperatorTable, ScalarValue};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use world::{Disk, World};

/// Files that come and go while they are copied are looked at again so often.
const TRIES: usize = 10;

/// Whom a lone node's operators ask.
pub struct Operator(Arc<Inner>);

struct Inner {
    kernel: Arc<Kernel>,
    catalog: Arc<Catalog>,
    world: World,
    dir: PathBuf,
    turn: Turn,
    archive: Option<Arc<archiver::Shared>>,
}

impl Operator {
    /// Of the store in a directory.
    #[must_use]
    pub fn new(
        (kernel, catalog): (Arc<Kernel>, Arc<Catalog>),
        world: World,
        dir: &Path,
        archive: Option<Arc<archiver::Shared>>,
    ) -> Operator {
        Operator(Arc::new(Inner { kernel, catalog, world, dir: dir.to_path_buf(), turn: Turn::default(), archive }))
    }
}

impl query::Operator for Operator {
    fn tables(&self) -> Vec<OperatorTable> {
        let archive = OperatorTable { name: "archive", schema: archive_schema() };
        vec![OperatorTable { name: "operations", schema: operations_schema() }, archive]
    }

    fn rows(&self, table: &'static str) -> BoxFuture<'static, Result<RecordBatch, Error>> {
        if table == "archive" {
            let row = self.0.archive.as_ref().map_or_else(|| archive_rows(None), |archive| archive.row());
            return async move { row }.boxed();
        }
        let running = self.0.turn.running();
        async move { batch(running.as_ref()) }.boxed()
    }

    fn functions(&self) -> Vec<OperatorFunction> {
        vec![asked::function()]
    }

    fn call(&self, _function: &'static str, arguments: Vec<ScalarValue>) -> BoxFuture<'static, Result<String, Error>> {
        let inner = Arc::clone(&self.0);
        async move {
            let Asked { to, keep } = Asked::of(&arguments)?;
            let cancelled = Arc::new(AtomicBool::new(false));
            let waiting = Waiting(Arc::clone(&cancelled));
            let done = tokio::task::spawn_blocking(move || inner.back_up(&to, keep, cancelled)).await;
            drop(waiting);
            done.unwrap_or_else(|fault| Err(Error::Internal(report(format!("the backup's thread ended: {fault}")))))
        }
        .boxed()
    }

    fn figures(&self) -> Vec<Figure> {
        self.0.archive.as_ref().map(|archive| archive.figures()).unwrap_or_default()
    }
}

impl Inner {
    fn back_up(&self, to: &str, keep: Option<usize>, cancelled: Arc<AtomicBool>) -> Result<String, Error> {
        let stop: ::backup::Stop = Arc::new(move || cancelled.load(Ordering::Relaxed));
        let place = place::open(to, &self.world.disk, Arc::clone(&self.world.clock), Arc::clone(&stop))
            .map_err(|fault| Error::InvalidParameter(report(fault.to_string())))?;
        let since_us = self.world.clock.wall_us();
        let _ends = self.turn.begin(place.name(), since_us)?;
        let source = self.freeze()?;
        let tell = |progress: Progress| {
            self.turn.tell(progress);
            if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let taken = ::backup::take(&*place, source, &tell).map_err(told)?;
        let mut said = asked::said(&taken.head, &place.name());
        if let Err(fault) = &taken.noted {
            tracing::warn!(%fault, backup = taken.head.id, "the next backup will be a full one: this one could not be noted");
            said.push_str(&format!("; it could not be noted in the store, so that the next one will be a full one: {fault}"));
        }
        said.push_str(&asked::pruned(&*place, keep)?);
        tracing::info!(
            backup = taken.head.id,
            place = place.name(),
            bytes = taken.head.bytes,
            new_bytes = taken.head.new_bytes,
            "backed up"
        );
        Ok(said)
    }

    /// The samples first: so that every sample has its tag.
    fn freeze(&self) -> Result<Source, Error> {
        let unready = |fault: String| Error::Unavailable(report(format!("the store can't be backed up: {fault}")));
        let moment_us = self.world.clock.wall_us();
        let store = self.kernel.freeze().wait().map_err(|_| unready("it is being closed".to_owned()))?;
        let store = store.map_err(|fault| unready(fault.to_string()))?;
        // All that was changed by the moment that the samples closed is in it.
        self.catalog.later_than(store.closed.0);
        let tags = self.catalog.freeze().wait().map_err(|_| unready("it is being closed".to_owned()))?;
        let tags = tags.map_err(|fault| unready(fault.to_string()))?;
        let beside = users(&*self.world.disk, &self.dir).map_err(unready)?;
        let (tag_count, release) = (self.catalog.len(), env!("CARGO_PKG_VERSION").to_owned());
        let home = (Arc::clone(&self.world.disk), self.dir.clone());
        let random = || self.world.random.next_u64();
        let (random, line) = (random(), u128::from(random()) << 64 | u128::from(random()));
        Ok(Source { home, store, tags, tag_count, beside, moment_us, release, random, line })
    }
}

/// The users' files: another one may take the place of one that is being read.
pub(super) fn users(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut fault = String::new();
    for _ in 0..TRIES {
        let names = disk.list(dir).map_err(|fault| fault.to_string())?;
        let names = names.into_iter().map(|entry| entry.name).filter(|name| name.starts_with("users-"));
        let read = |name: String| {
            let file = disk.open(&dir.join(&name), world::Access::Read)?;
            let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
            file.read_at(0, &mut bytes)?;
            Ok((name, bytes))
        };
        match names.map(read).collect::<Result<Vec<_>, world::DiskError>>() {
            Ok(mut files) => {
                files.sort_unstable();
                return Ok(files);
            }
            Err(failed) => fault = failed.to_string(),
        }
    }
    Err(fault)
}

fn batch(running: Option<&Running>) -> Result<RecordBatch, Error> {
    let schema = operations_schema();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(running.map(|_| value))) };
        let count = |value: &dyn Fn(&Running) -> u64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(running.map(|running| number(value(running)))))
        };
        match field.name().as_str() {
            "operation" => text("backup"),
            "why" => text(running.map_or("", |running| running.place.as_str())),
            "step" => text("copying"),
            "done" => count(&|running| running.progress.done),
            "total" => count(&|running| running.progress.of),
            "since" => {
                let since = TimestampMicrosecondArray::from_iter_values(running.map(|running| running.since_us));
                Arc::new(since.with_timezone("UTC"))
            }
            _ => new_null_array(field.data_type(), usize::from(running.is_some())),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
}
