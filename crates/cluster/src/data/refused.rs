//! Why a data node did not answer, and how that travels.
//!
//! Promises: what was refused says whether it may have happened, and who to ask instead, as far as is known. May not know
//! what was asked.

use prost::Message as Wire;
use protocol::Refusal;
use thiserror::Error;
use types::NodeId;

#[derive(Clone, PartialEq, Wire)]
pub(super) struct Because {
    #[prost(string, tag = "1")]
    word: String,
    #[prost(uint64, optional, tag = "2")]
    leader: Option<u64>,
    #[prost(string, tag = "3")]
    text: String,
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Another node leads the slice, as far as the one asked knows. A write may have happened: repeat it there.
    #[error("the node does not lead the slice; {}", leader.map_or("it is not known who does".to_owned(), |node| format!("node {node} does")))]
    NotPrimary {
        /// Who leads.
        leader: Option<NodeId>,
    },
    /// Too much waits, or a switch-over is under way: repeat it soon.
    #[error("the node is busy")]
    Busy,
    /// The copy is not fresh enough: ask the one who leads.
    #[error("the copy is not fresh enough")]
    Behind,
    /// What the session wrote was lost with an `async` primary.
    #[error("the session's write was lost with a primary that failed")]
    Lost,
    /// It makes no sense: nothing was done.
    #[error("{0}")]
    Invalid(String),
    /// It is more than the node takes in one record: nothing was done.
    #[error("{0}")]
    TooLarge(String),
    /// The kinds of its tags can't be had there now: nothing was done, repeat it soon.
    #[error("{0}")]
    UnknownTags(String),
    /// No answer: a write may have happened.
    #[error("no answer: {0}")]
    Unavailable(String),
}

impl Refused {
    /// Whether the same can be asked again, here or elsewhere, without doubling anything.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        !matches!(self, Refused::Invalid(_) | Refused::TooLarge(_) | Refused::Lost)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::NotPrimary { primary } => Refused::NotPrimary { leader: primary.map(|id| id.node) },
            Refusal::Busy => Refused::Busy,
            Refusal::Behind => Refused::Behind,
            Refusal::Lost => Refused::Lost,
        }
    }
}

impl From<Refused> for Because {
    fn from(refused: Refused) -> Because {
        let because = |word: &str, text: String| Because { word: word.to_owned(), leader: None, text };
        match refused {
            Refused::NotPrimary { leader } => {
                Because { leader: leader.map(|node| node.0), ..because("not_primary", String::new()) }
            }
            Refused::Busy => because("busy", String::new()),
            Refused::Behind => because("behind", String::new()),
            Refused::Lost => because("lost", String::new()),
            Refused::Invalid(text) => because("invalid", text),
            Refused::TooLarge(text) => because("too_large", text),
            Refused::UnknownTags(text) => because("unknown_tags", text),
            Refused::Unavailable(text) => because("unavailable", text),
        }
    }
}

impl From<Because> for Refused {
    fn from(because: Because) -> Refused {
        match because.word.as_str() {
            "not_primary" => Refused::NotPrimary { leader: because.leader.map(NodeId) },
            "busy" => Refused::Busy,
            "behind" => Refused::Behind,
            "lost" => Refused::Lost,
            "invalid" => Refused::Invalid(because.text),
            "too_large" => Refused::TooLarge(because.text),
            "unknown_tags" => Refused::UnknownTags(because.text),
            _ => Refused::Unavailable(because.text),
        }
    }
}
