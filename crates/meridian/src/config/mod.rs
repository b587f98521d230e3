//! Configuration: by file (TOML), environment (MERIDIAN_NAME) and flags, one name for each
//! setting everywhere.
//!
//! Promises: a flag stands above the environment, the environment above the file, the file above
//! the default; of every value it is known where it came from; an unknown key of a file is an
//! error that suggests the nearest name (an unknown variable only a warning: orchestrators set
//! variables such as MERIDIAN_PORT on their own); no value is out of its range.

mod collector;
mod docs;
mod fleet_values;
mod machine;
mod settings;
mod sources;
pub mod units;
mod values;

pub use collector::OtlpProtocol;
pub use docs::{docs_page, example_file, flag_help, print_config};
pub use fleet_values::{JoinSetting, ReplicationSetting, RoleSetting, shown};
pub use machine::{cores, memory_bytes as machine_memory};
pub use settings::{Config, SETTINGS};
pub use sources::{Loaded, load};
pub use values::{Listen, LogFormat, Value};

use std::path::PathBuf;
use thiserror::Error;
use units::round_size;

/// What can be wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("configuration file {path}: {cause}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {path} is not TOML: {problem}")]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        problem: String,
    },
    /// A key that is no setting.
    #[error("configuration file {path}: there is no setting \"{key}\"{suggestion}")]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key.
        key: String,
        /// "; did you mean ...?", or empty.
        suggestion: String,
    },
    /// A value that can't be used.
    #[error("setting {name}: {problem}")]
    Value {
        /// Which setting.
        name: &'static str,
        /// What is wrong and what may stand there.
        problem: String,
    },
    /// A value that can't be used, with its source.
    #[error("{cause} (from {origin})")]
    From {
        /// What is wrong.
        cause: Box<ConfigError>,
        /// Where the value came from.
        origin: String,
    },
    /// The shares are more than the budget.
    #[error(
        "buffer_bytes_max + cache_bytes_max + query_bytes_max are {}, more than memory_bytes ({})",
        round_size(*sum), round_size(*budget)
    )]
    Budget {
        /// The shares together.
        sum: u64,
        /// The budget.
        budget: u64,
    },
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
