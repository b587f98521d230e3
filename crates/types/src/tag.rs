//! A tag's definition: what the tag table holds of a measuring point (paper 1.2, figure 2).
//!
//! Plain values; how they are kept compactly and durably is `catalog`'s matter.

use crate::{Kind, TagId, Timestamp};

/// Alarm limits of a tag, in its unit. Each may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Below this: low-low.
    pub low_low: Option<f64>,
    /// Below this: low.
    pub low: Option<f64>,
    /// Above this: high.
    pub high: Option<f64>,
    /// Above this: high-high.
    pub high_high: Option<f64>,
}

/// How a tag's samples are thinned before they are logged. Lossless by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Compression {
    /// Every sample is kept.
    #[default]
    Lossless,
    /// A sample that differs from the newest one kept by `deviation` (in the tag's unit) or less is left out, as
    /// long as it is less than `span_us` newer.
    Deadband {
        /// Largest difference left out, at least 0.
        deviation: f64,
        /// Longest gap in microseconds; 0 = no bound.
        span_us: i64,
    },
    /// A sample that lies no farther than `deviation` from the line between the samples kept before and after
    /// it is left out, as long as these are at most `span_us` apart.
    SwingingDoor {
        /// Largest distance from the line, at least 0.
        deviation: f64,
        /// Longest gap in microseconds; 0 = no bound.
        span_us: i64,
    },
}

impl Compression {
    /// The longest gap where the user names none: ten minutes.
    pub const SPAN_US: i64 = 600_000_000;

    /// Whether it leaves out samples of tags of a kind. Of bool and state a deadband leaves out repetitions.
    #[must_use]
    pub fn thins(&self, kind: Kind) -> bool {
        match self {
            Compression::Lossless => false,
            Compression::Deadband { .. } => kind != Kind::Text,
            Compression::SwingingDoor { .. } => matches!(kind, Kind::I32 | Kind::I64 | Kind::F32 | Kind::F64),
        }
    }
}

/// What a user says of a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagDefinition {
    /// The name: UTF-8, 1 to 1,024 bytes, unique.
    pub name: String,
    /// Free text.
    pub description: String,
    /// The unit of its values, as text ("kV").
    pub unit: String,
    /// What its values are.
    pub kind: Kind,
    /// Names of the states by index; only for `Kind::State`.
    pub states: Vec<String>,
    /// Labels, key = value; keys unique, in order of key.
    pub labels: Vec<(String, String)>,
    /// Alarm limits.
    pub limits: Limits,
    /// Nominal microseconds between two samples; 0 = not known.
    pub cadence_us: i64,
    /// How samples are thinned.
    pub compression: Compression,
}

impl TagDefinition {
    /// The longest name, in bytes.
    pub const NAME_BYTES_MAX: usize = 1024;

    /// A tag of that name and kind, with nothing else said.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        TagDefinition {
            name: name.into(),
            description: String::new(),
            unit: String::new(),
            kind,
            states: Vec::new(),
            labels: Vec::new(),
            limits: Limits::default(),
            cadence_us: 0,
            compression: Compression::default(),
        }
    }
}

/// A tag as the tag table holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// The ordinal.
    pub id: TagId,
    /// What the user said.
    pub definition: TagDefinition,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}
