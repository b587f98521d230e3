//! The grid data set as the benchmarks give it to everybody: tags in areas, in batches.
//!
//! Promises: ours and every peer get the same rows. Which tag a row is of is a number; what it is called is told here.

use meridian::grid::{Columns, Part, Shape};
use meridian::{Error, Session};
use std::fmt::Write;

/// 2026-01-01 00:00:00 UTC.
pub const START_US: i64 = 1_767_225_600_000_000;
/// Groups of tags.
pub const AREAS: u64 = 100;

/// The data set.
pub fn shape(seed: u64, step_us: i64) -> Shape {
    Shape { seed, mix: Shape::MIX, start_us: START_US, step_us }
}

/// The area of a tag. Neighbours are in different ones, as they would be where tags were made over years.
pub fn area(tag: u64) -> u64 {
    tag % AREAS
}

/// The name of a tag, as its label has it.
pub fn name(tag: u64) -> String {
    format!("t{tag:06}")
}

/// Makes the tags in ours, under a prefix, with their areas; gives the ordinal of the first, which the others follow.
///
/// # Errors
/// `Error::Node`.
pub fn make_tags(session: &Session, shape: Shape, tags: u64, prefix: &str) -> Result<u64, Error> {
    let mut text = String::new();
    for tag in 0..tags {
        let (name, kind, area) = (name(tag), shape.class(tag).kind().name(), area(tag));
        let _ = writeln!(text, "{prefix}{name}\t{kind}\t{{\"area\": \"{area:02}\"}}");
    }
    session.copy("COPY tags (name, kind, labels) FROM STDIN", text)?;
    let ordinal = session.number(&format!("SELECT ordinal FROM tags WHERE name = '{prefix}{}'", name(0)))?;
    Ok(u64::try_from(ordinal).unwrap_or(0))
}

/// Tags in so many parts, one for each connection.
pub fn parts(shape: Shape, tags: u64, connections: u64) -> Vec<Part> {
    let share = tags.div_ceil(connections).max(1);
    (0..tags).step_by(share as usize).map(|first| Part::new(shape, first, share.min(tags - first))).collect()
}

/// The next steps of each part, in batches of about so many rows: by part, in order of time.
pub fn batches(parts: &mut [Part], steps: u64, rows: u64) -> Vec<Vec<Columns>> {
    parts.iter_mut().map(|part| of_part(part, steps, rows)).collect()
}

fn of_part(part: &mut Part, steps: u64, rows: u64) -> Vec<Columns> {
    let steps_a_batch = (rows / part.tags()).max(1);
    let mut batches = Vec::new();
    let mut left = steps;
    while left > 0 {
        let steps = left.min(steps_a_batch);
        let mut columns = Columns::with_room((steps * part.tags()) as usize);
        (0..steps).for_each(|_| part.next_step(&mut columns));
        batches.push(columns);
        left -= steps;
    }
    batches
}
