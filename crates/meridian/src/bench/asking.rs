//! The questions of `bench capacity`: what is held against the generator, and what is timed.
//!
//! Promises: a wrong answer is an error that names the tag, what was written and what was read.

use super::fleet::{Fleet, REGION_TAGS, STATION_TAGS};
use super::latencies::Latencies;
use super::lean::{self, Lean};
use super::queries::Dice;
use crate::client::{Session, quote};
use crate::progress::now;
use crate::{Error, interrupt};
use std::time::Duration;

const TEXT: u32 = 25;
const LATEST: &str = "SELECT time, value FROM latest WHERE tag = $1";
/// Tags drawn for a spot check of values, and of definitions.
const SPOTS: u64 = 2000;
const SPOTS_DEFINED: u64 = 50;
/// A question is asked at most so often.
const TIMES_MAX: usize = 5000;

/// Who is asked, and what was written.
pub struct Asking<'a> {
    /// A session with the node.
    pub session: &'a Session,
    /// Where its PostgreSQL door listens.
    pub address: &'a str,
    /// The tags.
    pub fleet: Fleet,
    /// How many.
    pub tags: u64,
    /// The step of each tag's newest sample.
    pub last_step: u64,
}

impl Asking<'_> {
    fn lean(&self) -> Result<Lean, Error> {
        Lean::connect(self.address, LATEST, &[TEXT])
    }

    /// Asks for a tag's snapshot value and holds the answer against what was written.
    fn hold(&self, link: &mut Lean, tag: u64) -> Result<(), Error> {
        let name = self.fleet.name(tag);
        link.execute(1, |body| lean::put_text(body, name.as_bytes()))?;
        while !link.receive()? {}
        let read = link.rows().next().and_then(|mut row| {
            let time = row.next().flatten().and_then(lean::get_time)?;
            Some((time, row.next().flatten().and_then(lean::get_f64)?))
        });
        let written = self.fleet.sample(tag, self.last_step);
        if read != Some((written.time, written.value)) {
            let written = (written.time, written.value);
            return Err(Error::Wrong(format!("the newest of {name}: written was {written:?}, read was {read:?}")));
        }
        Ok(())
    }

    /// Holds a tag's definition against what it was made with.
    fn hold_definition(&self, tag: u64) -> Result<(), Error> {
        let (fleet, name) = (self.fleet, self.fleet.name(tag));
        let sql = "SELECT ordinal, unit, description, labels ->> 'station' FROM tags WHERE name = ";
        let answer = self.session.query(&format!("{sql}{}", quote(&name)))?;
        let made = [tag.to_string(), fleet.unit(tag).to_owned(), fleet.description(tag), fleet.station(tag)].map(Some).to_vec();
        if answer.rows != [made.clone()] {
            return Err(Error::Wrong(format!("the definition of {name}: made was {made:?}, read was {:?}", answer.rows)));
        }
        Ok(())
    }

    fn hold_count(&self, table: &str, expected: u64) -> Result<(), Error> {
        let counted = self.session.number(&format!("SELECT count(*) FROM {table}"))?;
        if u64::try_from(counted) != Ok(expected) {
            return Err(Error::Wrong(format!("{expected} rows of {table} were acknowledged, {counted} are counted")));
        }
        Ok(())
    }
}

/// Holds the snapshot values of these tags against what was written.
///
/// # Errors
/// `Error::Wrong`, `Error::Node`.
pub fn hold(asking: &Asking<'_>, tags: &[u64]) -> Result<(), Error> {
    let mut link = asking.lean()?;
    tags.iter().try_for_each(|tag| asking.hold(&mut link, *tag))
}

/// Counts everything, and holds values and definitions drawn at random against what was written.
///
/// # Errors
/// `Error::Wrong`, `Error::Node`.
pub fn hold_all(asking: &Asking<'_>, samples: u64) -> Result<(), Error> {
    asking.hold_count("tags", asking.tags)?;
    asking.hold_count("latest", asking.tags)?;
    asking.hold_count("samples", asking.tags * samples)?;
    let mut dice = Dice::new(asking.fleet.seed ^ 0x5907);
    let ends = [0, asking.tags - 1];
    let drawn: Vec<u64> = ends.into_iter().chain((0..SPOTS).map(|_| dice.below(asking.tags))).collect();
    hold(asking, &drawn)?;
    drawn.iter().take(SPOTS_DEFINED as usize).try_for_each(|tag| asking.hold_definition(*tag))
}

/// Times the usual questions, each asked for so long, at least once; with their names.
///
/// # Errors
/// `Error::Wrong`, `Error::Node`, `Error::Interrupted`.
pub fn measure(asking: &Asking<'_>, lasting: Duration) -> Result<Vec<(&'static str, Latencies)>, Error> {
    let (fleet, tags) = (asking.fleet, asking.tags);
    let mut dice = Dice::new(fleet.seed ^ 0xA5C0);
    let mut link = asking.lean()?;
    let mut out = vec![("latest of one tag, prepared", timed(lasting, &mut || asking.hold(&mut link, dice.below(tags)))?)];
    let whole_stations = tags / STATION_TAGS;
    let mut of_a_station = |sql: &dyn Fn(u64) -> String| {
        timed(lasting, &mut || {
            let tag = dice.below(whole_stations) * STATION_TAGS;
            let sql = sql(tag);
            let rows = asking.session.query(&sql)?.rows.len() as u64;
            if rows == STATION_TAGS {
                return Ok(());
            }
            Err(Error::Wrong(format!("{sql}: a station has {STATION_TAGS} tags, {rows} were read")))
        })
    };
    let prefix = |tag: u64| format!("SELECT tag, value FROM latest WHERE tag LIKE {}", quote(&(fleet.station_prefix(tag) + "%")));
    out.push(("latest of a station's 100 tags, LIKE 'prefix%'", of_a_station(&prefix)?));
    let label = |tag: u64| format!("SELECT tag, value FROM latest WHERE label(tag, 'station') = {}", quote(&fleet.station(tag)));
    out.push(("latest of a station's 100 tags, by label", of_a_station(&label)?));
    let label = |tag: u64| format!("SELECT name, unit FROM tags WHERE labels ->> 'station' = {}", quote(&fleet.station(tag)));
    out.push(("definitions of a station's 100 tags, by label", of_a_station(&label)?));
    let prefix = |tag: u64| {
        format!(
            "SELECT tag, count(*), avg(value) FROM samples WHERE tag LIKE {} GROUP BY tag",
            quote(&(fleet.station_prefix(tag) + "%"))
        )
    };
    out.push(("average of each of a station's 100 tags", of_a_station(&prefix)?));
    let label = |tag: u64| {
        format!(
            "SELECT tag, count(*), avg(value) FROM samples WHERE label(tag, 'station') = {} GROUP BY tag",
            quote(&fleet.station(tag))
        )
    };
    out.push(("average of each of a station's 100 tags, by label", of_a_station(&label)?));
    let mut of_a_region = || {
        let tag = dice.below(tags);
        let sql = format!("SELECT count(*) FROM tags WHERE labels ->> 'region' = {}", quote(&fleet.region(tag)));
        let (counted, expected) = (asking.session.number(&sql)?, REGION_TAGS.min(tags - tag / REGION_TAGS * REGION_TAGS));
        let wrong = || Error::Wrong(format!("{sql}: a region has {expected} tags, {counted} were counted"));
        if u64::try_from(counted) == Ok(expected) { Ok(()) } else { Err(wrong()) }
    };
    out.push(("count of a region's 100,000 tags, by label", timed(lasting, &mut of_a_region)?));
    for (name, sql) in [
        ("SELECT count(*) FROM latest", "SELECT count(*) FROM latest"),
        ("SELECT avg(value), min(time) FROM latest", "SELECT avg(value), min(time) FROM latest"),
        ("SELECT unit, count(*) FROM tags GROUP BY unit", "SELECT unit, count(*) FROM tags GROUP BY unit"),
        ("SELECT count(*), avg(value) FROM samples", "SELECT count(*), avg(value) FROM samples"),
    ] {
        out.push((name, timed(lasting, &mut || asking.session.query(sql).map(|_| ()))?));
    }
    Ok(out)
}

/// Asks again and again.
fn timed(lasting: Duration, ask: &mut dyn FnMut() -> Result<(), Error>) -> Result<Latencies, Error> {
    let mut latencies = Latencies::default();
    let started = now();
    for _ in 0..TIMES_MAX {
        interrupt::check()?;
        let asked = now();
        ask()?;
        latencies.add(asked.elapsed());
        if started.elapsed() >= lasting {
            break;
        }
    }
    Ok(latencies)
}
