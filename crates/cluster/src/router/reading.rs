//! Values of tags, asked of the nodes that hold their slices.
//!
//! Promises: a row of the answer comes from a copy as fresh as is asked; a slice that one node can't answer is asked of the
//! next, its primary first, until patience ends. Where the rule looks at time, every slice is asked, and the newest stands. With
//! the values comes how new they may be, so that a session need not see an older state afterwards.
//! May not know tags' names.

use super::{Choice, Freshness, RouteError, Router};
use crate::data::{Answer, Refused};
use futures::future::join_all;
use kernel::ReadingColumns;
use protocol::Consistency;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::{Epoch, NodeId, SliceId, TagId, Timestamp, Version};

/// How long one try waits for its answer.
const TRY: Duration = Duration::from_secs(5);
/// How long is waited between tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What is asked: the newest values, or those at times.
struct Questions {
    tags: Vec<TagId>,
    times: Option<Vec<Timestamp>>,
}

/// Values, and how new they may be.
#[derive(Clone, Debug)]
pub struct Found {
    /// A row a question, in their order.
    pub values: ReadingColumns,
    /// The slices that were read, and a write of each beyond which nothing of it was seen.
    pub at: Vec<(SliceId, Version)>,
}

/// Slices that were not answered yet, each with its rows; all rows where the rule looks at time.
type Open = BTreeMap<SliceId, Arc<[u32]>>;

impl Router {
    /// The snapshot values of tags, one row each, in the order asked.
    ///
    /// # Errors
    /// `RouteError::Read`, `RouteError::Unplaced`.
    pub async fn latest(&self, tags: Vec<TagId>, freshness: &Freshness) -> Result<Found, RouteError> {
        self.answer(&Questions { tags, times: None }, freshness).await
    }

    /// The newest writes of slices that anybody may have seen by now: what their primaries have.
    ///
    /// # Errors
    /// As `latest`.
    pub async fn versions(&self, slices: &[SliceId]) -> Result<Vec<(SliceId, Version)>, RouteError> {
        let open = slices.iter().map(|slice| (*slice, Arc::default())).collect();
        Ok(self.ask(&Questions { tags: Vec::new(), times: None }, open, &Freshness::Primary).await?.at)
    }

    /// Whether a slice still has a version that somebody saw before it was led in this epoch: its primary is asked.
    ///
    /// # Errors
    /// `RouteError::Read`: with `Refused::Lost` where it does not.
    pub async fn has_kept(&self, slice: SliceId, version: Version, epoch: Epoch) -> Result<(), RouteError> {
        let deadline = Instant::now() + self.settings.patience;
        let mut changes = self.map.changes();
        loop {
            let asked = async {
                let node =
                    self.map.primary(slice).ok_or_else(|| Refused::Unavailable("nobody is known to lead it".to_owned()))?;
                let _under_way = self.map.under_way(node);
                let answer = self.client(node, TRY)?.latest(&[(slice, Consistency::Session(version))], &[]).await?;
                match answer.refused.into_iter().next() {
                    Some((_, refused)) => Err(refused),
                    // One that does not know of the epoch yet may have what the others have not.
                    None if answer.at.iter().any(|(of, at)| *of == slice && at.epoch >= epoch) => Ok(()),
                    None => Err(Refused::NotPrimary { leader: None }),
                }
            };
            match asked.await {
                Ok(()) => return Ok(()),
                Err(cause) if !cause.can_retry() || Instant::now() >= deadline => return Err(RouteError::Read { slice, cause }),
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// For each (tag, time): the newest sample at or before that time, one row each, in the order asked.
    ///
    /// # Errors
    /// As `latest`.
    pub async fn values_at(&self, questions: Vec<(TagId, Timestamp)>, freshness: &Freshness) -> Result<Found, RouteError> {
        let (tags, times) = questions.into_iter().unzip();
        self.answer(&Questions { tags, times: Some(times) }, freshness).await
    }

    fn open(&self, tags: &[TagId]) -> Open {
        let rule = self.rule();
        if !rule.ignores_time() {
            let all: Arc<[u32]> = (0..tags.len() as u32).collect();
            return (0..rule.buckets).map(|slice| (SliceId(slice), Arc::clone(&all))).collect();
        }
        let mut rows: BTreeMap<SliceId, Vec<u32>> = BTreeMap::new();
        for (row, tag) in (0_u32..).zip(tags) {
            rows.entry(rule.slice(*tag, Timestamp(0))).or_default().push(row);
        }
        rows.into_iter().map(|(slice, rows)| (slice, rows.into())).collect()
    }

    async fn answer(&self, questions: &Questions, freshness: &Freshness) -> Result<Found, RouteError> {
        match self.ask_once(questions, freshness).await? {
            Some(found) => Ok(found),
            None => self.ask(questions, self.open(&questions.tags), freshness).await,
        }
    }

    async fn ask(&self, questions: &Questions, mut open: Open, freshness: &Freshness) -> Result<Found, RouteError> {
        let rows = questions.tags.len();
        let mut found = ReadingColumns {
            found: vec![false; rows],
            times: vec![Timestamp(0); rows],
            bits: vec![0; rows],
            qualities: vec![192; rows],
            texts: Vec::new(),
        };
        let deadline = Instant::now() + self.settings.patience;
        let (mut texts, mut at) = (BTreeMap::new(), Vec::with_capacity(open.len()));
        let mut avoided: Vec<NodeId> = Vec::new();
        let mut changes = self.map.changes();
        while !open.is_empty() {
            let slices: Vec<SliceId> = open.keys().copied().collect();
            let choice = self.map.choose(&slices, freshness, &avoided)?;
            let answers = self.ask_all(&choice, &open, questions, freshness).await;
            let mut last = None;
            for (node, asked, answer) in answers {
                let refused = match answer {
                    Ok(answer) => {
                        answer.at.iter().for_each(|(slice, _)| drop(open.remove(slice)));
                        at.extend_from_slice(&answer.at);
                        merge(&mut found, &mut texts, &asked, &answer);
                        answer.refused.into_iter().next()
                    }
                    Err(refused) => asked.slices.first().map(|slice| (*slice, refused)),
                };
                if refused.is_some() {
                    avoided.push(node);
                    last = refused;
                }
            }
            let Some(slice) = open.keys().next().copied() else { break };
            let left_out = || (slice, Refused::Unavailable("the node left the slice out".to_owned()));
            let (slice, cause) = last.unwrap_or_else(left_out);
            if !cause.can_retry() || Instant::now() >= deadline {
                return Err(RouteError::Read { slice, cause });
            }
            // A node is avoided once; when all were tried, all may be tried again.
            if avoided.len() > choice.nodes.len() * 2 + 2 {
                avoided.clear();
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = changes.changed() => {}
            }
        }
        found.texts = texts.into_iter().collect();
        Ok(Found { values: found, at })
    }

    /// The answer to one question, where it lies in one slice and the first node that is asked has it: most are such.
    async fn ask_once(&self, questions: &Questions, freshness: &Freshness) -> Result<Option<Found>, RouteError> {
        let [tag] = *questions.tags else { return Ok(None) };
        if !self.rule().ignores_time() {
            return Ok(None);
        }
        let slice = self.rule().slice(tag, Timestamp(0));
        let node = self.map.choose_one(slice, freshness)?;
        let Ok(client) = self.client(node, TRY) else { return Ok(None) };
        let (how, _under_way) = ([(slice, freshness.of(slice))], self.map.under_way(node));
        let asked = async {
            match questions.times.as_deref() {
                None => client.latest(&how, &[tag]).await,
                Some(times) => client.values_at(&how, &[(tag, times[0])]).await,
            }
        };
        let answer = self.unless_succeeded(node, &[slice], freshness, asked).await;
        let whole = answer.ok().filter(|answer| answer.refused.is_empty() && !answer.at.is_empty());
        Ok(whole.map(|answer| Found { values: answer.values, at: answer.at }))
    }

    /// An answer of primaries, unless one of them does not lead any more, as far as is known here: one that vanished without a
    /// word would be waited for although another one leads by now.
    async fn unless_succeeded(
        &self,
        node: NodeId,
        slices: &[SliceId],
        freshness: &Freshness,
        answer: impl Future<Output = Result<Answer, Refused>>,
    ) -> Result<Answer, Refused> {
        if !matches!(freshness, Freshness::Primary) {
            return answer.await;
        }
        let mut changes = self.map.changes();
        tokio::select! {
            biased;
            answer = answer => answer,
            () = self.succeeded(slices, node, &mut changes) => Err(Refused::NotPrimary { leader: None }),
        }
    }

    async fn ask_all(
        &self,
        choice: &Choice,
        open: &Open,
        questions: &Questions,
        freshness: &Freshness,
    ) -> Vec<(NodeId, Asked, Result<Answer, Refused>)> {
        let asks = choice.nodes.iter().map(|(node, slices)| async move {
            let asked = Asked::of(slices.iter().map(|(slice, _)| *slice).collect(), open, self.rule().ignores_time());
            let how: Vec<_> = asked.slices.iter().map(|slice| (*slice, freshness.of(*slice))).collect();
            let tags: Vec<TagId> = asked.rows.iter().map(|row| questions.tags[*row as usize]).collect();
            let _under_way = self.map.under_way(*node);
            let answer = async {
                let client = self.client(*node, TRY)?;
                match &questions.times {
                    None => client.latest(&how, &tags).await,
                    Some(times) => {
                        let times = asked.rows.iter().map(|row| times[*row as usize]);
                        client.values_at(&how, &tags.into_iter().zip(times).collect::<Vec<_>>()).await
                    }
                }
            };
            let answer = self.unless_succeeded(*node, &asked.slices, freshness, answer).await;
            (*node, asked, answer)
        });
        join_all(asks).await
    }
}

/// What one node is asked.
struct Asked {
    slices: Vec<SliceId>,
    /// Positions of the questions.
    rows: Vec<u32>,
    /// The slice of each, where each lies in one.
    of: Option<Vec<SliceId>>,
}

impl Asked {
    fn of(slices: Vec<SliceId>, open: &Open, ignores_time: bool) -> Asked {
        if !ignores_time {
            let rows = slices.first().and_then(|slice| open.get(slice)).map(|rows| rows.to_vec()).unwrap_or_default();
            return Asked { slices, rows, of: None };
        }
        let (mut rows, mut of) = (Vec::new(), Vec::new());
        for slice in &slices {
            let own = open.get(slice).map_or(&[][..], |rows| rows);
            rows.extend_from_slice(own);
            of.extend(std::iter::repeat_n(*slice, own.len()));
        }
        Asked { slices, rows, of: Some(of) }
    }
}

fn merge(into: &mut ReadingColumns, texts: &mut BTreeMap<u32, Arc<[u8]>>, asked: &Asked, answer: &Answer) {
    let read: BTreeSet<SliceId> = answer.at.iter().map(|(slice, _)| *slice).collect();
    let values = &answer.values;
    let mut new_texts = values.texts.iter().peekable();
    for (at, row) in asked.rows.iter().enumerate() {
        while new_texts.peek().is_some_and(|(of, _)| (*of as usize) < at) {
            new_texts.next();
        }
        let own = asked.of.as_ref().is_none_or(|of| read.contains(&of[at]));
        let to = *row as usize;
        let newer = values.found[at] && (!into.found[to] || values.times[at] > into.times[to]);
        if !own || !newer {
            continue;
        }
        (into.found[to], into.times[to]) = (true, values.times[at]);
        (into.bits[to], into.qualities[to]) = (values.bits[at], values.qualities[at]);
        match new_texts.peek() {
            Some((of, text)) if *of as usize == at => drop(texts.insert(*row, Arc::clone(text))),
            _ => drop(texts.remove(row)),
        }
    }
}
