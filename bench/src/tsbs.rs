//! `bench tsbs`: the questions of the Time Series Benchmark Suite over data of its shape, ours beside DuckDB, ClickHouse and
//! VictoriaMetrics where it can express them.
//!
//! Promises: data are generated here from a seed; all sides take the same rows in the same order of arrival, late ones included;
//! answers of those who speak SQL are compared.

mod devops;
mod iot;
mod load;
mod rows;

use crate::Setup;
use crate::asked::{Asked, Question, ROUNDS};
use crate::peer::engine::{Engine, Kind};
use crate::peer::victoria;
use crate::report::Report;
use meridian::Error;
use meridian::Session;
use meridian::node::{Node, Scratch};
use meridian::table::thousands;
use rows::Rows;

/// Which of the suite's use cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// Hosts with ten figures of their processors each, every ten seconds
    Devops,
    /// Trucks: where they are and how they do, every ten seconds
    Iot,
}

/// The questions of the Time Series Benchmark Suite
#[derive(clap::Args)]
pub struct Arguments {
    /// Which case
    #[arg(value_enum)]
    case: Case,
    /// Hosts, or trucks
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    scale: u64,
    /// Hours of data; some questions are about twelve, others about a day
    #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u64).range(24..))]
    hours: u64,
    /// Percent of the rows that arrive up to an hour late
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100))]
    late: u64,
    #[command(flatten)]
    setup: Setup,
}

/// A kind of row: one measurement of all series.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// Its name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [&'static str],
}

/// Who sends rows: labels of each series, and what they measure.
pub struct Model {
    /// Names of the labels.
    pub keys: &'static [&'static str],
    /// Their values, a list a series.
    pub labels: Vec<Vec<String>>,
    /// Each series sends a row of each of them at each step.
    pub measurements: &'static [Measurement],
}

/// Runs it.
///
/// # Errors
/// Whatever ends it early, and answers that differ.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let scratch = Scratch::new("bench-tsbs", arguments.setup.dir.as_deref())?;
    let setup = &arguments.setup;
    let node = Node::start(&scratch.dir.join("node"), &setup.serve)?;
    let session = Session::connect(&node.url(), "bench")?;
    let victoria = setup.wants("victoria").then(|| victoria::start(&scratch.dir.join("victoria"))).transpose()?;
    let kinds = [Kind::Duck, Kind::Click].into_iter().filter(|kind| setup.wants(kind.word()));
    let mut engines =
        kinds.map(|kind| Engine::start(kind, &scratch.dir.join(kind.word()))).collect::<Result<Vec<Engine>, Error>>()?;
    let model = match arguments.case {
        Case::Devops => devops::model(arguments.scale, setup.seed),
        Case::Iot => iot::model(arguments.scale, setup.seed),
    };
    let steps = arguments.hours * 3600 / rows::STEP_S;
    let rows = Rows::new(arguments.case, arguments.scale, steps, arguments.late, setup.seed);
    let points = load::all(
        &model,
        rows,
        &load::Sides { node: &node, session: &session, victoria: victoria.as_ref() },
        &mut engines,
        &scratch.dir,
    )?;
    let mut report = Report::new(format!(
        "TSBS {:?}: {} series, {} hours, {} points, {} % of the rows late; the median of {ROUNDS} turns",
        arguments.case,
        arguments.scale,
        arguments.hours,
        thousands(points),
        arguments.late
    ));
    let questions: Vec<Question> = match arguments.case {
        Case::Devops => devops::questions(arguments.scale, arguments.hours, setup.seed),
        Case::Iot => iot::questions(arguments.hours),
    };
    let mut field = Asked { session: &session, engines: &mut engines, victoria: victoria.as_ref(), goal: None };
    for question in &questions {
        field.ask(question, &mut report)?;
    }
    field.held(&node, points, &mut report)?;
    report.end(setup.json.as_deref())
}
