//! A page of metrics as it is written.
//!
//! Promises: a family's lines stand together behind its HELP and TYPE; label values are escaped.

use kernel::{BOUNDS_US, HistogramCounts};
use std::fmt::Write;

/// The page.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
}

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Begins a family: its values follow.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Page {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
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

    /// A whole number.
    pub(crate) fn value(&mut self, name: &str, labels: Labels<'_>, value: u64) {
        self.head(name, labels);
        self.put(format_args!(" {value}\n"));
    }

    /// Any number.
    pub(crate) fn number(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.head(name, labels);
        self.put(format_args!(" {value}\n"));
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

    fn head(&mut self, name: &str, labels: Labels<'_>) {
        self.text.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.put(format_args!("{}{label}=\"{value}\"", if at > 0 { ',' } else { '{' }));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    fn put(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(what);
    }
}
