//! Blocks of a tag table as of a moment between two points of its history, of which both are known.
//!
//! ```text
//!   changed by then        as of the later point: that change was its last
//!   changed later          as of the earlier point; where it was not there yet, and was made by then, as of the later point
//!   made later             an ordinal without a tag
//!   gone at the later one  as of the earlier point: when it went is not told, and a tag too many loses nothing
//! ```
//! Of two changes to one tag between the points only the last one's time is known. A tag whose name another one has by then is as of
//! the later point.
//! Promises: names stay unique; an ordinal that is given at the later point stays given. May not know where blocks come from.

use crate::Error;
use crate::packed;
use crate::profile::profile_kind;
use crate::row::{Entry, Row, RowReader, RowWriter, Same};
use protocol::tags::Part;
use std::collections::HashSet;
use types::{Kind, Limits};

/// A row, by itself.
#[derive(Clone)]
enum Own {
    Live { name: String, description: String, profile: Vec<u8>, labels: Vec<u8>, times: (i64, i64), limits: Limits },
    Dead(Kind),
}

/// A row of both points, and what is chosen.
struct Choice {
    earlier: Option<Own>,
    later: Own,
    takes_earlier: bool,
}

/// Blocks (`WholeTable::part`) that changed between two points, as of a moment, in microseconds since 1970: of each, what it was at
/// the earlier one, where it was there, and at the later one.
///
/// # Errors
/// `Error::Unreadable` where one is no block.
pub fn as_of(changed: &[(Option<Part>, Part)], moment_us: i64) -> Result<Vec<Part>, Error> {
    let mut blocks = Vec::with_capacity(changed.len());
    for (earlier, later) in changed {
        let earlier = earlier.as_ref().map(rows).transpose()?.unwrap_or_default();
        let mut earlier = earlier.into_iter();
        let later = rows(later)?;
        blocks.push(later.into_iter().map(|later| Choice::new(earlier.next(), later, moment_us)).collect::<Vec<Choice>>());
    }
    keep_names_unique(&mut blocks, moment_us);
    let part = |(choices, (_, part)): (Vec<Choice>, &(Option<Part>, Part))| {
        let mut run = RowWriter::default();
        let rows = choices.len();
        choices.into_iter().for_each(|choice| choice.put(&mut run, moment_us));
        let mut body = Vec::new();
        packed::put(&run.out, rows, &mut body);
        Part { number: part.number, body: body.into() }
    };
    Ok(blocks.into_iter().zip(changed).map(part).collect())
}

fn rows(part: &Part) -> Result<Vec<Own>, Error> {
    let wrong = |what: &str| Error::Unreadable(format!("part {} of a tag table: {what}", part.number));
    let (rows, run) = packed::unpack(&part.body).map_err(wrong)?;
    let mut reader = RowReader::new(&run);
    let own = |entry: Entry<'_>| match entry {
        Entry::Dead(kind) => Own::Dead(kind),
        Entry::Live(Row { name, description, profile, labels, created, changed, limits, .. }) => Own::Live {
            name: name.to_owned(),
            description: description.to_owned(),
            profile: profile.to_vec(),
            labels: labels.to_vec(),
            times: (created, changed),
            limits,
        },
    };
    (0..rows).map(|_| reader.next().map(own).ok_or_else(|| wrong("a row can't be read"))).collect()
}

impl Choice {
    fn new(earlier: Option<Own>, later: Own, moment_us: i64) -> Choice {
        let was_live = matches!(earlier, Some(Own::Live { .. }));
        let changed_later = match &later {
            Own::Live { times: (_, changed), .. } => *changed > moment_us,
            Own::Dead(_) => true,
        };
        Choice { earlier, later, takes_earlier: was_live && changed_later }
    }

    /// Whether the later row's tag had been made by then.
    fn is_there(&self, moment_us: i64) -> bool {
        matches!(self.later, Own::Live { times: (created, _), .. } if created <= moment_us)
    }

    fn later_name(&self) -> Option<&str> {
        Choice::name(Some(&self.later))
    }

    fn name(row: Option<&Own>) -> Option<&str> {
        match row {
            Some(Own::Live { name, .. }) => Some(name),
            _ => None,
        }
    }

    fn put(self, run: &mut RowWriter, moment_us: i64) {
        let row = match self.earlier.filter(|_| self.takes_earlier) {
            Some(earlier) => earlier,
            None => match self.later {
                Own::Live { times: (created, _), profile, .. } if created > moment_us => {
                    // Its profile tells its kind, or could not have been read.
                    Own::Dead(profile_kind(&profile).unwrap_or(Kind::F64))
                }
                later => later,
            },
        };
        match row {
            Own::Dead(kind) => run.put_dead(kind),
            Own::Live { name, description, profile, labels, times: (created, changed), limits } => {
                let (name, description, same) = (&*name, &*description, Same::default());
                run.put(&Row { name, description, profile: &profile, labels: &labels, created, changed, limits, same });
            }
        }
    }
}

/// A tag that is as of the earlier point gives way to one that has its name by then. That one was not renamed later, so it stays.
fn keep_names_unique(blocks: &mut [Vec<Choice>], moment_us: i64) {
    loop {
        let choices = || blocks.iter().flatten();
        let taken: HashSet<&str> = choices()
            .filter(|choice| !choice.takes_earlier && choice.is_there(moment_us))
            .filter_map(Choice::later_name)
            .collect();
        let gives_way = |choice: &Choice| {
            choice.takes_earlier && Choice::name(choice.earlier.as_ref()).is_some_and(|name| taken.contains(name))
        };
        let giving: Vec<bool> = choices().map(gives_way).collect();
        if !giving.contains(&true) {
            return;
        }
        for (choice, gives) in blocks.iter_mut().flatten().zip(giving) {
            choice.takes_earlier &= !gives;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::TagDefinition;

    fn block(rows: &[Option<(&str, i64, i64)>]) -> Part {
        let mut run = RowWriter::default();
        for row in rows {
            match row {
                None => run.put_dead(Kind::Text),
                Some((name, created, changed)) => run.put_definition(&TagDefinition::new(*name, Kind::Text), *created, *changed),
            }
        }
        let mut body = Vec::new();
        packed::put(&run.out, rows.len(), &mut body);
        Part { number: 1, body: body.into() }
    }

    fn names(part: &Part) -> Vec<Option<String>> {
        rows(part).unwrap().iter().map(|row| Choice::name(Some(row)).map(str::to_owned)).collect()
    }

    fn at(moment: i64, earlier: &[Option<(&str, i64, i64)>], later: &[Option<(&str, i64, i64)>]) -> Vec<Option<String>> {
        let blended = as_of(&[(Some(block(earlier)), block(later))], moment).unwrap();
        assert_eq!(blended[0].number, 1);
        names(&blended[0])
    }

    #[test]
    fn each_tag_is_as_it_was() {
        let name = |name: &str| Some(name.to_owned());
        let earlier = [Some(("same", 1, 1)), Some(("old", 2, 2)), Some(("gone", 3, 3)), None];
        let later = [Some(("same", 1, 1)), Some(("new", 2, 50)), None, None, Some(("made", 40, 40)), Some(("late", 60, 60))];
        assert_eq!(at(45, &earlier, &later), [name("same"), name("old"), name("gone"), None, name("made"), None]);
        assert_eq!(at(50, &earlier, &later), [name("same"), name("new"), name("gone"), None, name("made"), None]);
        assert_eq!(at(70, &earlier, &later)[5], name("late"));
        assert_eq!(names(&as_of(&[(None, block(&later))], 45).unwrap()[0])[1], name("new"), "it was made by then");
    }

    #[test]
    fn a_name_is_given_once() {
        let name = |name: &str| Some(name.to_owned());
        // The first went, and another one has its name: so it went before.
        let (earlier, later) = ([Some(("a", 1, 1))], [None, Some(("a", 40, 40))]);
        assert_eq!(at(45, &earlier, &later), [None, name("a")]);
        assert_eq!(at(35, &earlier, &later), [name("a"), None], "not yet");
        // Renamed twice, and its first name was taken meanwhile; one that gives way may take another one's name.
        let earlier = [Some(("a", 1, 1)), Some(("b", 1, 1)), Some(("c", 1, 1))];
        let later = [Some(("b", 1, 60)), Some(("c", 1, 60)), Some(("a", 1, 30))];
        assert_eq!(at(45, &earlier, &later), [name("b"), name("c"), name("a")]);
    }

    #[test]
    fn what_is_no_block_is_told() {
        let broken = Part { number: 3, body: vec![1, 2, 3].into() };
        let told = as_of(&[(None, broken)], 1).unwrap_err().to_string();
        assert!(told.contains("part 3"), "{told}");
    }
}
