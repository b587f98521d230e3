//! Floor 6: SQL over the kernel.
//!
//! What it is: DataFusion's tables, functions and rules for samples, events and tags; statements
//! from text to rows; writing; COPY; the point path.
//! What it promises: an answer is what PostgreSQL would give for the same words, or an error that
//! says why not; what a filter or an aggregate hands down to the kernel gives the same answer as
//! plain execution; rows stream, and memory for queries stays within its share.
//! What it may not know: the wire, who may log in, where files lie.
//!
//! ```text
//!   text -> statements -> guard -> point path ------------------> kernel
//!                               -> rewrite -> plan -> rules ----> kernel (scans, partial aggregates)
//!                               -> write, copy_in --------------> kernel, catalog
//!                               -> utility (the session itself)
//!   kernel and catalog: of this process, or a fleet's behind the traits of `store`
//! ```
//!
//! A connection calls [`split`] on a text, [`Session::prepare`] on each statement and
//! [`Prepared::execute`] with parameters; where [`Prepared::point`] gives a plan, it may run that
//! instead, without waiting. `docs/sql.md` is the user's side.

mod access;
mod activity;
mod again;
pub mod array_text;
mod audit;
mod block;
mod bucket;
mod bulk;
mod catalogue;
mod context;
mod copy;
mod copy_in;
mod copy_out;
mod cursors;
mod dialect;
mod engine;
mod error;
mod explain;
mod fleet;
mod frugal;
mod functions;
mod guard;
mod held;
mod ingest;
mod intake;
mod limits;
mod maintaining;
mod metrics;
mod named;
mod names;
mod nesting;
mod operator;
mod outcome;
mod parameter;
mod passing;
mod planning;
mod point;
mod pool;
mod prepared;
mod query;
mod quotas;
mod retention;
mod rewrite;
mod rules;
mod running;
mod scan;
mod schema;
mod session;
mod sessions;
mod settings;
mod slow;
mod spoken;
mod statements;
mod store;
mod suggest;
mod tables;
pub mod text;
mod time;
mod traced;
mod utility;
mod value;
mod write;

pub use access::{Access, BOOTSTRAP, Keeper, Kept, PUBLIC, Privileges, RecordChange, Rights, Roles};
pub use audit::AUDIT;
pub use bulk::Bulk;
pub use catalogue::PG_TYPE;
pub use catalogue::type_name_of as type_name;
pub use copy_in::CopyIn;
pub use copy_out::{CopyLines, CopyOut, CopyPiece};
pub use cursors::PortalName;
pub use engine::{Engine, EngineSettings, Setting};
pub use error::{Error, Report};
pub use fleet::{Channels, SliceReader, Wanted, worker};
pub use intake::Submitted;
pub use metrics::{Metric, Metrics};
pub use named::NamedStatement;
pub use operator::{Figure, Operator, OperatorFunction, OperatorTable};
pub use outcome::{Completion, Notice, Outcome, Rows, StatementClass};
pub use point::{Cell, PointAnswer, PointPlan, RowSink};
pub use prepared::Prepared;
pub use quotas::{Quotas, RateInForce, Rated, Seat};
pub use retention::{keep_retention, run_retention};
pub use session::{Block, Session, SessionSettings};
pub use statements::{SQL_BYTES_MAX, StatementText, split};
pub use store::{Asker, Consistency, NodeReport, Owner, Route, Seen, Store, Tags};
pub use time::{Zone, format as format_time, parse as parse_time};
pub use value::{parse_double, parse_real};
pub use write::{TAG_COLUMNS, array_items, tag_definitions};

pub use datafusion::common::ScalarValue;
