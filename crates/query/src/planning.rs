//! Planning apart: where it hinders nobody, and ends soon after nobody waits for it any longer.
//!
//! Parsing, rewriting, analysing, optimising and physical planning are computing without a pause: on a thread for
//! queries they would hold up every other query on it, and nothing could end them.
//!
//! Promises: whoever waits for a plan may stop waiting at any moment (cancelled, timed out, gone). The planning ends
//! at its next check then: before each rule, at each node of a plan that a rule visits, at each operator. At most
//! `LONG_MAX` long statements and `USUAL_MAX` others are planned at once, those that nobody waits for included.
//! Short ones are planned where they are asked for.
//!
//! Shared state: two semaphores; a flag a planning, set when nobody waits, read through its thread (`check`).

use crate::error::{Error, raise};
use crate::running::cancelled;
use crate::slow;
use datafusion::error::Result as Planned;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Texts of up to so many bytes are planned in far less time than a turn of a query takes.
const SHORT_BYTES: usize = 256;
/// Longer texts than this may take seconds to plan: a few of them are planned at once, beside the others.
const USUAL_BYTES: usize = 4096;
const USUAL_MAX: usize = 32;
const LONG_MAX: usize = 4;
/// Beyond so many bytes a text may nest deeply enough to need more than a thread's stack.
const SHALLOW_BYTES: usize = 512;
/// The stack for those. Only what is used of it is taken.
const STACK_BYTES: usize = 128 << 20;

/// How much planning a statement may take, by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    bytes: usize,
    /// Planned where it is asked for.
    here: bool,
}

impl Size {
    /// What it takes to make a logical plan of a text.
    pub(crate) fn of(sql: &str) -> Size {
        Size { bytes: sql.len(), here: sql.len() <= SHORT_BYTES }
    }

    /// What it takes to optimise its plan: rules of ours look at tags, of which there may be millions.
    pub(crate) fn optimised(sql: &str) -> Size {
        Size { bytes: sql.len(), here: false }
    }
}

/// The places for plannings.
pub(crate) struct Planners {
    usual: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Planners {
    fn default() -> Self {
        Planners { usual: Arc::new(Semaphore::new(USUAL_MAX)), long: Arc::new(Semaphore::new(LONG_MAX)) }
    }
}

thread_local! {
    /// Whether anybody waits for what this thread plans; None where it plans nothing.
    static NOBODY_WAITS: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// A thread that plans, until this is dropped.
struct Entered;

impl Entered {
    fn with(flag: Arc<AtomicBool>) -> Entered {
        NOBODY_WAITS.set(Some(flag));
        Entered
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        NOBODY_WAITS.set(None);
    }
}

/// Somebody waits, until this is dropped.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Ends a planning that nobody waits for any longer. Costs next to nothing, so it may stand in every loop of planning.
///
/// # Errors
/// `Error::Cancelled`; nobody sees it.
pub(crate) fn check() -> Result<(), Error> {
    let over = NOBODY_WAITS.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Acquire)));
    if over { Err(cancelled()) } else { Ok(()) }
}

impl Planners {
    /// Plans: the work is polled by a thread of its own. Dropping the future ends it at its next check.
    ///
    /// # Errors
    /// Those of the work; `Error::Internal` where it ended without an answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        size: Size,
        work: BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Error> {
        let work = traces::carried(work);
        let inside = NOBODY_WAITS.with_borrow(Option::is_some);
        if size.here || inside {
            return work.await;
        }
        let places = if size.bytes > USUAL_BYTES { &self.long } else { &self.usual };
        let ended = |_| raise(Error::Internal, "internal error: planning ended without an answer");
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| cancelled())?;
        let waiting = Waiting(Arc::default());
        let (flag, runtime) = (Arc::clone(&waiting.0), Handle::current());
        let planning = tokio::task::spawn_blocking(move || {
            // Held by the thread and not by who waits: what goes on after the wait still takes a place.
            let (_place, _entered) = (place, Entered::with(flag));
            let plan = || runtime.block_on(work);
            if size.bytes > SHALLOW_BYTES { stacker::grow(STACK_BYTES, plan) } else { plan() }
        });
        planning.await.map_err(ended)?
    }
}

/// Where the plans of one statement are made.
#[derive(Clone)]
pub(crate) struct Planning {
    pub planners: Arc<Planners>,
    pub size: Size,
}

impl Planning {
    /// As `Planners::run`, of what gives DataFusion's errors.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = Planned<T>> + Send + 'static) -> Planned<T> {
        // An error of DataFusion's is handed through: what is told of it depends on the statement's text.
        let work = async { Ok(work.await) };
        self.planners.run(self.size, work.boxed()).await?
    }

    /// A plan that can be run, and the state back.
    pub(crate) async fn physical(
        &self,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Planned<(SessionState, Arc<dyn ExecutionPlan>)> {
        let _span = traces::child("optimize", traces::Kind::Internal);
        let made = async move { state.create_physical_plan(&plan).await.map(|physical| (state, physical)) };
        let made = self.run(made).await?;
        slow::note(&made.1);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_nobody_waits_for_ends_at_its_next_check() {
        let planners = Planners::default();
        let (began, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let work = async move {
            began.send(()).unwrap();
            let error = loop {
                if let Err(error) = check() {
                    break error;
                }
            };
            end.send(error.sqlstate()).unwrap();
            Ok(())
        };
        let size = Size { bytes: 1 << 20, here: false };
        let waited = tokio::time::timeout(std::time::Duration::ZERO, planners.run(size, work.boxed()));
        // It may not have got a thread yet: then it begins later, and ends at once.
        drop(waited.await);
        begun.recv().unwrap();
        assert_eq!(ended.recv().unwrap(), "57014");
        assert!(check().is_ok(), "others are not concerned");
    }

    #[tokio::test]
    async fn there_are_so_many_places() {
        let planners = Planners::default();
        let size = Size { bytes: USUAL_BYTES + 1, here: false };
        let (release, released) = tokio::sync::watch::channel(false);
        let held = || {
            let mut released = released.clone();
            let waits = async move {
                released.wait_for(|done| *done).await.map_err(|_| cancelled())?;
                Ok::<(), Error>(())
            };
            planners.run(size, waits.boxed())
        };
        let mut first: Vec<_> = (0..LONG_MAX).map(|_| Box::pin(held())).collect();
        for waiting in &mut first {
            assert!(futures::poll!(waiting).is_pending());
        }
        assert_eq!(planners.long.available_permits(), 0);
        // One more waits for a place; another sort has its own.
        let mut late = Box::pin(held());
        assert!(futures::poll!(&mut late).is_pending());
        planners.run(Size { bytes: USUAL_BYTES, here: false }, async { Ok(()) }.boxed()).await.unwrap();
        release.send_replace(true);
        for waiting in first {
            waiting.await.unwrap();
        }
        late.await.unwrap();
    }

    #[tokio::test]
    async fn a_planning_that_panics_is_an_error_of_ours() {
        let panics = async { if check().is_ok() { panic!("as it must") } else { Ok(()) } };
        let error = Planners::default().run(Size { bytes: 1 << 20, here: false }, panics.boxed()).await.unwrap_err();
        assert_eq!(error.sqlstate(), "XX000");
    }
}
