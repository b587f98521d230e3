//! The statement that an export runs: the user's own, or one over a table.
//!
//! Promises: what the user wrote as a value stands as a literal in it.

use super::Arguments;
use crate::Error;
use crate::client::quote;
use clap::ValueEnum;
use types::Kind;

/// The tables that can be exported by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Tags of all numeric kinds, as doubles
    Samples,
    /// Tags of kinds bool, i32, i64 and state, exactly
    Integers,
    /// Tags of kind text
    Events,
    /// What tags are
    Tags,
    /// The newest sample of every tag
    Latest,
}

/// A statement.
#[derive(Debug)]
pub struct Question {
    /// One query, without a semicolon.
    pub sql: String,
    /// Whether it is asked in UTC, and not in the user's own time zone.
    pub in_utc: bool,
}

impl Question {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// `Error::Usage`.
    pub fn of(arguments: &Arguments) -> Result<Question, Error> {
        match (arguments.table, &arguments.query) {
            (Some(table), _) => Ok(Question { sql: table.query(arguments)?, in_utc: true }),
            (None, Some(query)) => {
                let sql = query.trim().trim_end_matches([';', ' ', '\n', '\t', '\r']).to_owned();
                Ok(Question { sql, in_utc: false })
            }
            (None, None) => Err(Error::Usage("give --table or --query".to_owned())),
        }
    }
}

impl Table {
    fn query(self, arguments: &Arguments) -> Result<String, Error> {
        let (columns, name, tag, order) = match self {
            Table::Samples => ("tag, time, value, quality", "samples", "tag", ""),
            Table::Integers => ("tag, time, value, quality", "integers", "tag", ""),
            Table::Events => ("tag, time, text, quality", "events", "tag", ""),
            Table::Latest => ("tag, time, value, text, quality, age", "latest", "tag", " ORDER BY tag"),
            // What can be written, so that they can be made again; and in the order in which they were made.
            Table::Tags => {
                let columns = "name, description, unit, kind, states, labels, low_low, low, high, high_high, cadence, \
                               compression, deviation, span";
                (columns, "tags", "name", " ORDER BY ordinal")
            }
        };
        let mut conditions = Vec::new();
        if let Some(pattern) = &arguments.tags {
            conditions.push(format!("{tag} LIKE {}", quote(pattern)));
        }
        if !arguments.kind.is_empty() {
            let kinds: Result<Vec<String>, Error> = arguments.kind.iter().map(|name| kind(name)).collect();
            let kinds = format!("kind IN ({})", kinds?.join(", "));
            conditions.push(if self == Table::Tags { kinds } else { format!("tag IN (SELECT name FROM tags WHERE {kinds})") });
        }
        for (bound, sign) in [(&arguments.since, ">="), (&arguments.until, "<")] {
            let Some(moment) = bound else { continue };
            if self == Table::Tags {
                return Err(Error::Usage("--since and --until are about samples; tags have no time".to_owned()));
            }
            conditions.push(format!("time {sign} TIMESTAMPTZ {}", quote(moment)));
        }
        let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        Ok(format!("SELECT {columns} FROM {name}{filter}{order}"))
    }
}

fn kind(name: &str) -> Result<String, Error> {
    Kind::parse(name).map(|kind| quote(kind.name())).map_err(|error| Error::Usage(format!("--kind: {error}")))
}
