//! Random queries: the value of a random tag at a random time, in bulk and one by one.
//!
//! Promises: a question costs a hash while the clock runs; every answer is kept and held against
//! the data set once the clock has stopped; a wrong one fails the run.

use super::latencies::Latencies;
use super::lean::{self, Lean};
use crate::grid::Part;
use crate::progress::now;
use crate::{Error, interrupt};
use std::time::{Duration, Instant};

const INT4: u32 = 23;
const TEXT: u32 = 25;
const TIMESTAMPTZ: u32 = 1184;
const INT4_ARRAY: u32 = 1007;
const TEXT_ARRAY: u32 = 1009;
const TIMESTAMPTZ_ARRAY: u32 = 1185;

/// How somebody is asked: prepared statements, and what a tag is called in them.
#[derive(Clone, Copy)]
pub struct Door {
    /// One question at a time.
    single: &'static str,
    /// Many at once, with an array of tags and one of times.
    bulk: &'static str,
    /// Types of a tag and of an array of tags.
    tag_types: [u32; 2],
}

/// Ours: a tag is its name.
pub const OURS: Door = Door { single: SINGLE, bulk: "SELECT time, value FROM values_at($1, $2)", tag_types: [TEXT, TEXT_ARRAY] };
/// PostgreSQL's: a tag is its number.
pub const PEER: Door = Door { single: SINGLE, bulk: PEER_BULK, tag_types: [INT4, INT4_ARRAY] };

const SINGLE: &str = "SELECT time, value FROM samples WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1";
/// Rows come in the order of the arrays: each is joined to its newest sample by a search in the primary key.
const PEER_BULK: &str = "SELECT s.time, s.value FROM unnest($1, $2) AS asked (tag, at) LEFT JOIN LATERAL \
     (SELECT time, value FROM samples WHERE tag = asked.tag AND time <= asked.at ORDER BY time DESC LIMIT 1) AS s ON true";

/// What is asked of, and what answers are held against.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Where the node listens.
    pub address: &'a str,
    /// How it is asked.
    pub door: Door,
    /// The data set, in parts.
    pub parts: &'a [Part],
    /// The name of each tag.
    pub names: &'a [String],
    /// Questions are of times from here
    pub first_us: i64,
    /// to here.
    pub last_us: i64,
}

/// A question and its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    tag: u32,
    at: i64,
    time: i64,
    value: f64,
    answered: bool,
}

/// What a run of queries found.
#[derive(Default)]
pub struct Found {
    /// Questions answered.
    pub answers: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Of each statement.
    pub latencies: Latencies,
}

/// A cheap source of random numbers (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

impl Target<'_> {
    fn question(&self, dice: &mut Dice) -> Asked {
        let tag = dice.below(self.names.len() as u64) as u32;
        let at = self.first_us + dice.below((self.last_us - self.first_us).max(1) as u64) as i64;
        Asked { tag, at, ..Asked::default() }
    }

    fn put_tag(&self, body: &mut Vec<u8>, tag: u32) {
        match self.door.tag_types[0] {
            TEXT => lean::put_text(body, self.names[tag as usize].as_bytes()),
            _ => lean::put_int(body, tag),
        }
    }

    fn check(&self, asked: &[Asked]) -> Result<(), Error> {
        for question in asked {
            let tag = u64::from(question.tag);
            let part = self.parts.iter().find(|part| (part.first()..part.first() + part.tags()).contains(&tag));
            let expected =
                part.and_then(|part| part.expected(tag, question.at)).map(|sample| (sample.time, sample.value.to_bits()));
            let got = question.answered.then(|| (question.time, question.value.to_bits()));
            if expected != got {
                let name = &self.names[question.tag as usize];
                let shown = |pair: Option<(i64, u64)>| pair.map(|(time, bits)| (time, f64::from_bits(bits)));
                return Err(Error::Wrong(format!(
                    "tag {name} at {} µs: written was {:?}, read was {:?} (time in µs, value)",
                    question.at,
                    shown(expected),
                    shown(got)
                )));
            }
        }
        Ok(())
    }
}

fn take(row: &mut lean::Cells<'_>, question: &mut Asked) {
    let time = row.next().flatten().and_then(lean::get_time);
    let value = row.next().flatten().and_then(lean::get_f64);
    if let (Some(time), Some(value)) = (time, value) {
        (question.time, question.value, question.answered) = (time, value, true);
    }
}

/// Single prepared statements over so many connections, one under way on each, for as long
/// as `go_on`, asked with the time since the beginning, says yes.
///
/// # Errors
/// `Error::Node`, `Error::Wrong`.
pub fn singles(target: &Target<'_>, connections: usize, seed: u64, go_on: &dyn Fn(Duration) -> bool) -> Result<Found, Error> {
    let mut links = (0..connections)
        .map(|_| Lean::connect(target.address, target.door.single, &[target.door.tag_types[0], TIMESTAMPTZ]))
        .collect::<Result<Vec<_>, _>>()?;
    let mut polls: Vec<libc::pollfd> =
        links.iter().map(|link| libc::pollfd { fd: link.descriptor(), events: libc::POLLIN, revents: 0 }).collect();
    let mut dice = Dice::new(seed);
    let mut asked: Vec<Asked> = Vec::with_capacity(1 << 20);
    let mut under_way: Vec<(usize, Instant)> = Vec::new();
    let mut latencies = Latencies::default();
    let started = now();
    for link in &mut links {
        under_way.push((asked.len(), now()));
        ask(target, link, &mut asked, &mut dice)?;
    }
    let mut open = links.len();
    while open > 0 {
        lean::wait(&mut polls)?;
        for (i, link) in links.iter_mut().enumerate() {
            if polls[i].revents == 0 || !link.receive()? {
                continue;
            }
            let moment = now();
            latencies.add(moment - under_way[i].1);
            if let Some(mut row) = link.rows().next() {
                take(&mut row, &mut asked[under_way[i].0]);
            }
            if go_on(moment - started) && !interrupt::asked() {
                under_way[i] = (asked.len(), moment);
                ask(target, link, &mut asked, &mut dice)?;
            } else {
                polls[i].fd = -1;
                open -= 1;
            }
        }
    }
    let elapsed = started.elapsed();
    interrupt::check()?;
    target.check(&asked)?;
    Ok(Found { answers: asked.len() as u64, elapsed, latencies })
}

fn ask(target: &Target<'_>, link: &mut Lean, asked: &mut Vec<Asked>, dice: &mut Dice) -> Result<(), Error> {
    let question = target.question(dice);
    asked.push(question);
    link.execute(2, |body| {
        target.put_tag(body, question.tag);
        lean::put_time(body, question.at);
    })
}

/// Bulk statements of `pairs` questions each over so many connections, for so long.
///
/// # Errors
/// `Error::Node`, `Error::Wrong`.
pub fn bulk(target: &Target<'_>, connections: usize, pairs: usize, seed: u64, lasting: Duration) -> Result<Found, Error> {
    let mut links = (0..connections)
        .map(|_| Lean::connect(target.address, target.door.bulk, &[target.door.tag_types[1], TIMESTAMPTZ_ARRAY]))
        .collect::<Result<Vec<_>, _>>()?;
    let mut polls: Vec<libc::pollfd> =
        links.iter().map(|link| libc::pollfd { fd: link.descriptor(), events: libc::POLLIN, revents: 0 }).collect();
    let mut dice = Dice::new(seed);
    let mut done: Vec<Vec<Asked>> = Vec::new();
    let mut under_way: Vec<(usize, Instant)> = Vec::new();
    let mut latencies = Latencies::default();
    let started = now();
    for link in &mut links {
        under_way.push((done.len(), now()));
        ask_many(target, link, pairs, &mut done, &mut dice)?;
    }
    let mut open = links.len();
    while open > 0 {
        lean::wait(&mut polls)?;
        for (i, link) in links.iter_mut().enumerate() {
            if polls[i].revents == 0 || !link.receive()? {
                continue;
            }
            let moment = now();
            latencies.add(moment - under_way[i].1);
            let questions = &mut done[under_way[i].0];
            let mut rows = 0;
            for (mut row, question) in link.rows().zip(questions.iter_mut()) {
                take(&mut row, question);
                rows += 1;
            }
            if rows != pairs {
                return Err(Error::Wrong(format!("{pairs} questions were answered by {rows} rows")));
            }
            if moment - started < lasting && !interrupt::asked() {
                under_way[i] = (done.len(), moment);
                ask_many(target, link, pairs, &mut done, &mut dice)?;
            } else {
                polls[i].fd = -1;
                open -= 1;
            }
        }
    }
    let elapsed = started.elapsed();
    interrupt::check()?;
    done.iter().try_for_each(|questions| target.check(questions))?;
    Ok(Found { answers: (done.len() * pairs) as u64, elapsed, latencies })
}

fn ask_many(
    target: &Target<'_>,
    link: &mut Lean,
    pairs: usize,
    done: &mut Vec<Vec<Asked>>,
    dice: &mut Dice,
) -> Result<(), Error> {
    let questions: Vec<Asked> = (0..pairs).map(|_| target.question(dice)).collect();
    link.execute(2, |body| {
        lean::put_array(body, target.door.tag_types[0], pairs, |body, i| target.put_tag(body, questions[i].tag));
        lean::put_array(body, TIMESTAMPTZ, pairs, |body, i| lean::put_time(body, questions[i].at));
    })?;
    done.push(questions);
    Ok(())
}
