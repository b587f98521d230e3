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
use crate::measure::{self, Spent};
use crate::peer::engine::{Engine, Kind};
use crate::peer::{Server, victoria};
use crate::report::Report;
use meridian::Error;
use meridian::Session;
use meridian::node::{Node, Scratch, disk_bytes};
use meridian::table::{Table, thousands};
use rows::Rows;
use serde_json::json;

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
    let mut table = Table::new(["side", "bytes a point on disk", "core time in all", "memory, peak"]);
    let mut values = serde_json::Map::new();
    let of_server = |peer: &Server| (format!("{} {}", victoria::NAME, victoria::version()), peer.dir.clone(), peer.process());
    let sides = std::iter::once(("Meridian".to_owned(), node.dir.clone(), node.pid()))
        .chain(
            engines
                .iter()
                .map(|engine| (format!("{} {}", engine.kind.name(), engine.version), engine.dir.clone(), engine.process())),
        )
        .chain(victoria.as_ref().map(of_server));
    for (name, dir, process) in sides {
        let (bytes, memory) = (disk_bytes(&dir)? as f64 / points as f64, measure::peak(process));
        let cpu = Spent::of(process).cpu.as_secs_f64();
        table.row([name.clone(), format!("{bytes:.2}"), format!("{cpu:.1} s"), format!("{} MiB", memory >> 20)]);
        values.insert(name, json!({"bytes_a_point": bytes, "memory_peak": memory, "cpu_s": cpu}));
    }
    report.fact("What each holds and took, loading included", table, values.into());
    report.end(setup.json.as_deref())
}
