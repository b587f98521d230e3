//! Figures that the process tells of itself, as `meridian.metrics` shows them.
//!
//! It may not know what is counted: whoever opens doors hands it in.

use futures::future::BoxFuture;

/// A figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name, as Prometheus has it.
    pub name: String,
    /// What tells it from others of its name.
    pub labels: Vec<(String, String)>,
    /// It.
    pub value: f64,
}

/// Whoever knows the figures.
pub trait Metrics: Send + Sync {
    /// All of them, as they are now.
    fn read(&self) -> BoxFuture<'static, Vec<Metric>>;
}
