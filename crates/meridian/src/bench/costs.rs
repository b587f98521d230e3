//! What a fleet costs beside one node: core time a row and an answer, of all processes, the client's own among them.
//!
//! Promises: both were measured in one run, with the same rows and questions. May not know how.

use super::report::{Figure, Report};
use super::subject::COPIES;

/// A figure's name, what its cost is called beside one node's, the work that is done more than once, and the goal.
const COSTS: [(&str, &str, u32, f64); 4] = [
    ("ingest in order, durable", "core time, in order", COPIES, 1.6),
    ("ingest out of order, durable", "core time, out of order", COPIES, 1.6),
    ("random queries, in bulk", "core time, in bulk", 1, 1.3),
    ("random queries, single prepared", "core time, single prepared", 1, 1.3),
];

fn cost_ns(report: &Report, name: &str) -> Option<f64> {
    let figure = report.figures.iter().find(|figure| figure.name == name)?;
    figure.parameters.get("core_ns_per_unit")?.as_f64().filter(|cost| *cost > 0.0)
}

/// How many times one node's core time a fleet took, beyond the copies themselves.
pub fn beside_one_node(fleet: &Report, alone: &Report) -> Vec<Figure> {
    let cost = |(name, called, copies, goal): (&str, &'static str, u32, f64)| {
        let (ours, one) = (cost_ns(fleet, name)?, cost_ns(alone, name)?);
        let unit = if copies > 1 { "x one node's, a copy" } else { "x one node's" };
        let figure = Figure::new(called, ours / (one * f64::from(copies)), unit).at_most(goal);
        Some(figure.with("core_ns_per_unit", ours).with("one_node_core_ns_per_unit", one).with("copies", copies))
    };
    COSTS.into_iter().filter_map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_not_what_distribution_costs() {
        let report = |in_order: f64, bulk: f64| {
            let mut report = Report::new("table1");
            let figure = |name, cost: f64| Figure::new(name, 1.0, "/s").with("core_ns_per_unit", cost);
            report.figures = vec![figure("ingest in order, durable", in_order), figure("random queries, in bulk", bulk)];
            report
        };
        let costs = beside_one_node(&report(300.0, 9_000.0), &report(100.0, 6_000.0));
        let found: Vec<_> = costs.iter().map(|figure| (figure.name, figure.value, figure.goal)).collect();
        assert_eq!(found, [("core time, in order", 1.5, Some(1.6)), ("core time, in bulk", 1.5, Some(1.3))]);
    }
}
