//! What one scheduler asks another.
//!
//! Promises: no question is waited for longer than `ASK_MAX` (`shared`). May not know who leads.

use super::messages::{Answered, Changing, Reading, Told};
use super::refused::Refused;
use super::service::{CHANGE, READ};
use super::shared::{ASK_MAX, Shared};
use bytes::Bytes;
use catalog::{Outcome, outcome_of};
use prost::Message;
use types::{NodeId, Origin, Sequence};

impl Shared {
    async fn ask_at<Q: Message + 'static>(&self, node: NodeId, path: &'static str, question: Q) -> Result<Answered, Refused> {
        match self.lines.ask::<Q, Told>(node, path, question, ASK_MAX).await {
            Ok(told) => match told.answered {
                Some(Answered::Refused(because)) => Err(because.into()),
                Some(answered) => Ok(answered),
                None => Err(Refused::Unavailable("the answer is of another release".to_owned())),
            },
            Err(status) => Err(Refused::Unavailable(status.to_string())),
        }
    }

    /// Asks another scheduler for a change.
    pub async fn change_at(&self, node: NodeId, origin: Origin, body: Bytes) -> Result<Outcome, Refused> {
        let other = || Refused::Unavailable("the answer is to another question, or of another release".to_owned());
        match self.ask_at(node, CHANGE, Changing::new(origin, body)).await? {
            Answered::Changed(outcome) => outcome_of(&outcome).ok_or_else(other),
            _ => Err(other()),
        }
    }

    /// Asks another scheduler which batch shows all that was answered.
    pub async fn read_at(&self, node: NodeId) -> Result<Sequence, Refused> {
        match self.ask_at(node, READ, Reading {}).await? {
            Answered::Readable(sequence) => Ok(Sequence(sequence)),
            _ => Err(Refused::Unavailable("the answer is to another question".to_owned())),
        }
    }
}
