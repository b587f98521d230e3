//! Why tags could not be changed or read: what schedulers tell each other, and what a caller is told.
//!
//! Promises: who hears `Refused` may ask again with the same origin; of what was in doubt a caller hears so. May not know
//! how it was asked.

use super::messages::Because;
use protocol::tags::Refusal;
use std::time::Duration;
use thiserror::Error as Derive;
use types::NodeId;

/// Why a scheduler did not carry out what another one asked for.
#[derive(Clone, Debug, PartialEq, Eq, Derive)]
pub enum Refused {
    /// Another one leads, as far as this one knows. A change may have happened: repeat it there.
    #[error("the scheduler does not lead; {}", leader.map_or("it is not known who does".to_owned(), |node| format!("node {node} does")))]
    NotLeader {
        /// Who leads.
        leader: Option<NodeId>,
    },
    /// Too much waits: nothing was done, repeat it soon.
    #[error("the scheduler is busy")]
    Busy,
    /// No answer: a change may have happened.
    #[error("no answer: {0}")]
    Unavailable(String),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::NotLeader { leader } => Refused::NotLeader { leader: leader.map(|id| id.node) },
            Refusal::Busy => Refused::Busy,
        }
    }
}

impl From<Refused> for Because {
    fn from(refused: Refused) -> Because {
        let (word, leader, text) = match refused {
            Refused::NotLeader { leader } => ("not_leader", leader, String::new()),
            Refused::Busy => ("busy", None, String::new()),
            Refused::Unavailable(text) => ("unavailable", None, text),
        };
        Because { word: word.to_owned(), leader: leader.map(|node| node.0), text }
    }
}

impl From<Because> for Refused {
    fn from(because: Because) -> Refused {
        match because.word.as_str() {
            "not_leader" => Refused::NotLeader { leader: because.leader.map(NodeId) },
            "busy" => Refused::Busy,
            _ => Refused::Unavailable(because.text),
        }
    }
}

/// Why tags were not changed, or can't be read now.
#[derive(Clone, Debug, PartialEq, Eq, Derive)]
pub enum Error {
    /// The change is not acceptable, or the catalog can't be used: nothing was changed.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// A call that is too large for one message: nothing was changed.
    #[error("the tags of one call take {bytes} bytes, but may take at most {bytes_max}: change fewer at once")]
    TooLarge {
        /// What they take.
        bytes: usize,
        /// What they may take.
        bytes_max: usize,
    },
    /// It was sent and not answered.
    #[error("the change was not answered within {} s, it may or may not have happened ({last}): look before you repeat it", waited.as_secs())]
    InDoubt {
        /// How long it was waited for.
        waited: Duration,
        /// Why it was not answered, the last time.
        last: Refused,
    },
    /// Nobody took it: nothing was changed.
    #[error("no scheduler took it within {} s ({last}): more than half of the schedulers must be well", waited.as_secs())]
    Unavailable {
        /// How long it was waited for.
        waited: Duration,
        /// Why not, the last time.
        last: Refused,
    },
    /// The scheduler can't be part of the fleet as it is.
    #[error("{0}")]
    Outside(String),
    /// Meta did not do its part.
    #[error(transparent)]
    Meta(#[from] meta::Error),
}
