//! A policy, and the record of it that is kept.
//!
//! A record is one line of JSON (`docs/formats/users.md`), under the name `pg_retention:` and the policy's: no role can have such a
//! name. Beside them `pg_retention:` alone counts how often policies were made, changed or dropped: whoever deletes by them asks
//! that it is still what it was. A record with a field that is not known here can't be read; it may be what keeps samples, so nothing
//! goes while there is one.

use super::keep::Keep;
use crate::access::condition::TagCondition;
use crate::access::role::RoleId;
use crate::scan::Sort;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::Kind;

/// What the names of records begin with.
pub(crate) const PREFIX: &str = "pg_retention:";
/// The record that counts changes.
pub(crate) const HEAD: &str = PREFIX;

/// Which of a group's tags are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rows {
    /// Those whose rows are in `samples`.
    Samples,
    /// Those whose rows are in `events`.
    Events,
}

impl Rows {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rows::Samples => "samples",
            Rows::Events => "events",
        }
    }

    fn holds(self, kind: Kind) -> bool {
        match self {
            Rows::Samples => Sort::Doubles.holds(kind),
            Rows::Events => Sort::Texts.holds(kind),
        }
    }
}

/// A policy: its name, and what it says where that could be read.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub name: Arc<str>,
    pub rule: Option<Rule>,
    /// The record as it is kept; None of one that is about to be.
    pub kept: Option<Arc<str>>,
}

/// What a policy says, and what was done by it.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The group's condition, as it is spelt.
    pub tags: Arc<str>,
    pub condition: Arc<TagCondition>,
    pub rows: Option<Rows>,
    pub keep: Keep,
    pub created_us: i64,
    pub creator: RoleId,
    pub done: Done,
}

/// What was done by a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Done {
    /// How many rows went.
    pub rows: u64,
    /// When the last of them did.
    pub at_us: i64,
    /// All of them were older than this.
    pub before_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    tags: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<Rows>,
    keep: Keep,
    created_us: i64,
    by: RoleId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<Done>,
}

impl Rule {
    /// Whether tags of a kind are meant.
    pub(crate) fn holds(&self, kind: Kind) -> bool {
        self.rows.is_none_or(|rows| rows.holds(kind))
    }
}

impl Policy {
    /// The name of a policy's record.
    pub(crate) fn key(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    /// A policy of its record, which may be one that can't be read.
    pub(crate) fn read(name: &str, kept: &str) -> Policy {
        let rule = serde_json::from_str::<Record>(kept).ok().and_then(|record| {
            let condition = Arc::new(TagCondition::parse(&record.tags).ok()?);
            let Record { tags, rows, keep, created_us, by, removed } = record;
            Some(Rule { tags: tags.into(), condition, rows, keep, created_us, creator: by, done: removed.unwrap_or_default() })
        });
        Policy { name: name.into(), rule, kept: Some(kept.into()) }
    }

    /// The record of it: one line.
    pub(crate) fn record(&self) -> String {
        let Some(rule) = &self.rule else { return self.kept.as_deref().unwrap_or_default().to_owned() };
        let record = Record {
            tags: rule.tags.to_string(),
            rows: rule.rows,
            keep: rule.keep,
            created_us: rule.created_us,
            by: rule.creator,
            removed: (rule.done != Done::default()).then_some(rule.done),
        };
        serde_json::to_string(&record).expect("a record is of texts and numbers")
    }
}

/// How often policies were made, changed or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub changes: u64,
    /// The record as it is kept; None where there is none.
    pub kept: Option<Arc<str>>,
}

#[derive(Serialize, Deserialize)]
struct HeadRecord {
    changes: u64,
}

impl Head {
    /// Of its record; None where it can't be read.
    pub(crate) fn read(kept: &str) -> Option<Head> {
        let HeadRecord { changes } = serde_json::from_str(kept).ok()?;
        Some(Head { changes, kept: Some(kept.into()) })
    }

    /// The record after one more change.
    pub(crate) fn next(&self) -> String {
        let record = HeadRecord { changes: self.changes + 1 };
        serde_json::to_string(&record).expect("a record is of a number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_back_from_its_record() {
        let tags = "name LIKE 'plant.%' AND labels['site'] = 'north'";
        let rule = Rule {
            tags: tags.into(),
            condition: Arc::new(TagCondition::parse(tags).unwrap()),
            rows: Some(Rows::Events),
            keep: Keep::parse("1 year 2 days").unwrap(),
            created_us: 17,
            creator: 10,
            done: Done { rows: 5, at_us: 7, before_us: -3 },
        };
        for rule in [Rule { rows: None, done: Done::default(), ..rule.clone() }, rule] {
            let record = Policy { name: "p".into(), rule: Some(rule.clone()), kept: None }.record();
            assert!(!record.contains(['\n', '\t']));
            let read = Policy::read("p", &record);
            assert_eq!(read.record(), record);
            let read = read.rule.unwrap();
            assert_eq!((&read.tags, read.rows, read.keep, read.done), (&rule.tags, rule.rows, rule.keep, rule.done));
        }
        let head = Head::read(&Head::default().next()).unwrap();
        assert_eq!((head.changes, Head::read(&head.next()).unwrap().changes), (1, 2));
    }

    #[test]
    fn what_is_not_understood_says_nothing_and_stays_as_it_is() {
        for text in [
            "",
            "{",
            "{\"tags\":\"true\",\"keep\":{\"days\":1},\"created_us\":1,\"by\":10,\"only_on\":\"sunday\"}",
            "{\"tags\":\"unit = 'x'\",\"keep\":{\"days\":1},\"created_us\":1,\"by\":10}",
            "{\"tags\":\"true\",\"keep\":{\"decades\":1},\"created_us\":1,\"by\":10}",
        ] {
            let policy = Policy::read("p", text);
            assert!(policy.rule.is_none(), "{text}");
            assert_eq!(policy.record(), text);
        }
    }
}
