//! A page of metrics as it is made, and as it is written.
//!
//! Promises: a family's lines stand together behind its HELP and TYPE; label values are escaped.

use kernel::{BOUNDS_US, HistogramCounts};
use query::Metric;
use std::fmt::Write;

/// Metrics of one name; of a histogram, of the names made of it.
struct Family {
    name: String,
    kind: &'static str,
    help: String,
    metrics: Vec<Metric>,
}

/// The page.
#[derive(Default)]
pub(crate) struct Page {
    families: Vec<Family>,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// The metrics alone.
    pub(crate) fn into_metrics(self) -> Vec<Metric> {
        self.families.into_iter().flat_map(|family| family.metrics).collect()
    }

    pub(crate) fn into_text(self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, metrics } in &self.families {
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for metric in metrics {
                head(&mut text, metric);
                let _ = writeln!(text, " {}", metric.value);
            }
        }
        text
    }

    /// Begins a family: its values follow.
    pub(crate) fn family(&mut self, name: &str, kind: &'static str, help: &str) -> &mut Page {
        self.families.push(Family { name: name.to_owned(), kind, help: help.to_owned(), metrics: Vec::new() });
        self
    }

    /// A family of one counter.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help).value(name, &[], value);
    }

    /// A family of one gauge.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help).value(name, &[], value);
    }

    /// A whole number. Beyond 2^53 it is the nearest one that a double holds.
    pub(crate) fn value(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.number(name, labels, value as f64);
    }

    /// Any number, of the family that was begun last.
    pub(crate) fn number(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
        if let Some(family) = self.families.last_mut() {
            family.metrics.push(Metric { name: name.to_owned(), labels, value });
        }
    }

    /// A histogram of seconds.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, counts: &HistogramCounts) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (at, count) in counts.buckets.iter().enumerate() {
            sum += count;
            let bound = BOUNDS_US.get(at).map_or_else(|| "+Inf".to_owned(), |bound| (*bound as f64 / 1e6).to_string());
            self.value(&bucket, &[("le", &bound)], sum);
        }
        self.number(&format!("{name}_sum"), &[], counts.sum_us as f64 / 1e6);
        self.value(&format!("{name}_count"), &[], sum);
    }
}

/// A metric's name and labels.
fn head(text: &mut String, metric: &Metric) {
    text.push_str(&metric.name);
    for (at, (label, value)) in metric.labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{}{label}=\"{value}\"", if at > 0 { ',' } else { '{' });
    }
    if !metric.labels.is_empty() {
        text.push('}');
    }
}
