//! `meridian import --table tags`: what tags are, as `meridian export --table tags` writes it.
//!
//! Promises: a tag that is there as the file has it is left alone, so that running it again does nothing; one that is there in
//! another way is refused with what is different, or changed where that was asked for; a row that the node refuses is told with
//! the node's words, and does not end the import.
//!
//! Thinning is the reason for two runs when samples come from another store: they would be thinned once more. The first run
//! makes the tags lossless, the second, behind the samples, gives them what the file says.

use super::refused::Refused;
use super::source::{Row, Source};
use super::{Arguments, kinds};
use crate::client::{Session, quote};
use crate::progress::Progress;
use crate::table::thousands;
use crate::terminal::say;
use crate::{Error, interrupt};
use csv::ByteRecord;
use query::TAG_COLUMNS;
use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

/// Those that follow from what was done.
const FOLLOWING: [&str; 3] = ["created", "changed", "ordinal"];
/// Those that say how a tag is thinned: one that is left out keeps what it was, so they are changed together.
const THINNING: [&str; 3] = ["compression", "deviation", "span"];
/// Tags of one statement.
const BATCH_TAGS: usize = 500;

/// What a file says of one tag.
struct Tag {
    number: u64,
    cells: ByteRecord,
    /// By the columns taken; None = nothing said.
    values: Vec<Option<String>>,
}

struct Work<'a> {
    arguments: &'a Arguments,
    session: Session,
    refused: Refused,
    /// (where in the file, which of the table).
    columns: Vec<(usize, &'static str)>,
    width: usize,
    made: u64,
    changed: u64,
    same: u64,
}

/// Runs it.
///
/// # Errors
/// Whatever ends an import early; what was committed before stays.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let mut source = Source::open(&arguments.file, arguments.delimiter()?, super::Wanted { time_column: "", lists: true })?;
    let input = |problem: String| Error::Input { path: arguments.file.clone(), problem };
    let columns = columns(arguments, source.heads()).map_err(input)?;
    let session = Session::connect(&arguments.to, "meridian import")?;
    let refused = Refused::new(arguments.reject_shown, arguments.reject.as_deref(), source.heads())?;
    let width = source.heads().len();
    let mut work = Work { arguments, session, refused, columns, width, made: 0, changed: 0, same: 0 };
    let (_, total, unit) = source.position();
    let mut progress = Progress::start("import", unit, Some(total));
    let ended = work.go(&mut source, &mut progress).and_then(|()| work.refused.finish());
    progress.end();
    let counts = format!(
        "{} tags made, {} changed, {} as they were; {} rows refused",
        thousands(work.made),
        thousands(work.changed),
        thousands(work.same),
        thousands(work.refused.count())
    );
    match ended {
        Ok(()) => say(&format!("{counts}\n")),
        Err(Error::Interrupted) => eprintln!("interrupted: {counts}; run it again to go on"),
        Err(_) => {}
    }
    super::tell_refused(arguments, work.refused.count(), work.refused.shown());
    match ended {
        Ok(()) => Ok(ExitCode::from(if work.refused.count() > 0 { 3 } else { 0 })),
        Err(Error::Interrupted) => Ok(ExitCode::from(130)),
        Err(cause) => Err(Error::Import { standing: format!("{counts}; run it again to go on"), cause: Box::new(cause) }),
    }
}

fn columns(arguments: &Arguments, heads: &[String]) -> Result<Vec<(usize, &'static str)>, String> {
    let known = || TAG_COLUMNS.join(", ");
    let mut columns: Vec<(usize, &'static str)> = Vec::new();
    for wanted in &arguments.columns {
        if !heads.contains(wanted) {
            return Err(format!("there is no column \"{wanted}\" (--columns)"));
        }
    }
    for (at, head) in heads.iter().enumerate() {
        let taken = arguments.columns.is_empty() || arguments.columns.contains(head);
        if !taken || FOLLOWING.contains(&head.as_str()) || (arguments.lossless && THINNING.contains(&head.as_str())) {
            continue;
        }
        let column = TAG_COLUMNS.into_iter().find(|column| column == head).ok_or_else(|| {
            format!("column \"{head}\" is none of tags, whose columns are {}; --columns says which to take", known())
        })?;
        if columns.iter().any(|(_, other)| *other == column) {
            return Err(format!("there are two columns \"{column}\""));
        }
        columns.push((at, column));
    }
    if !columns.iter().any(|(_, column)| *column == "name") {
        return Err(format!("there is no column \"name\"; the columns of tags are {}", known()));
    }
    Ok(columns)
}

impl Work<'_> {
    fn go(&mut self, source: &mut Source, progress: &mut Progress) -> Result<(), Error> {
        let mut row = Row::default();
        let mut tags = Vec::new();
        loop {
            let more = source.next(&mut row)?;
            if more && (row.number >= self.arguments.from_row || row.broken.is_some()) {
                match self.read(&row) {
                    Ok(values) => tags.push(Tag { number: row.number, cells: row.cells.clone(), values }),
                    Err(why) => self.refused.add(row.number, Some(&row.cells), why)?,
                }
            }
            if tags.len() >= BATCH_TAGS || (!more && !tags.is_empty()) {
                interrupt::check()?;
                self.batch(std::mem::take(&mut tags))?;
                progress.at(source.position().0, &format!("{} tags made", thousands(self.made)));
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// What a row says, by column.
    fn read(&self, row: &Row) -> Result<Vec<Option<String>>, String> {
        if let Some(why) = &row.broken {
            return Err(why.clone());
        }
        if row.cells.len() != self.width {
            return Err(format!("has {} columns where the head has {}", row.cells.len(), self.width));
        }
        let cell = |at: usize| {
            let text = std::str::from_utf8(&row.cells[at]).map_err(|_| format!("column {} is not UTF-8", at + 1))?;
            if text.contains('\0') {
                return Err(format!("column {} holds a zero byte", at + 1));
            }
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        let values: Result<Vec<Option<String>>, String> = self.columns.iter().map(|(at, _)| cell(*at)).collect();
        let values = values?;
        if self.value(&values, "name").is_none() {
            return Err("has no name".to_owned());
        }
        Ok(values)
    }

    fn value<'v>(&self, values: &'v [Option<String>], column: &str) -> Option<&'v str> {
        let at = self.columns.iter().position(|(_, name)| *name == column)?;
        values.get(at)?.as_deref()
    }

    fn name<'v>(&self, tag: &'v Tag) -> &'v str {
        self.value(&tag.values, "name").unwrap_or_default()
    }

    fn batch(&mut self, tags: Vec<Tag>) -> Result<(), Error> {
        let there = self.find(&tags)?;
        let mut new = Vec::new();
        // Tags that are changed in the same way are changed by one statement.
        let mut changes: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
        for tag in tags {
            let Some(found) = there.get(self.name(&tag)) else {
                new.push(tag);
                continue;
            };
            let different = self.different(&tag.values, found);
            if different.is_empty() {
                self.same += 1;
            } else if self.arguments.update {
                changes.entry(self.setting(&tag.values, &different)).or_default().push(tag);
            } else {
                let told: Vec<String> = different.iter().map(|at| self.told(*at, &tag.values, found)).collect();
                let name = short(self.name(&tag));
                let why = format!("tag \"{name}\" is there with another {} (--update changes it)", told.join(", another "));
                self.refused.add(tag.number, Some(&tag.cells), why)?;
            }
        }
        self.make(new)?;
        for (setting, tags) in changes {
            self.change(&setting, tags)?;
        }
        Ok(())
    }

    /// What the node knows of these names.
    fn find(&self, tags: &[Tag]) -> Result<HashMap<String, Vec<Option<String>>>, Error> {
        let names: Vec<String> = tags.iter().map(|tag| quote(self.name(tag))).collect();
        let columns: Vec<&str> = self.columns.iter().map(|(_, column)| *column).collect();
        let name_at = columns.iter().position(|column| *column == "name").unwrap_or_default();
        let sql = format!("SELECT {} FROM tags WHERE name IN ({})", columns.join(", "), names.join(", "));
        let rows = self.session.query(&sql)?.rows.into_iter();
        Ok(rows.filter_map(|row| Some((row.get(name_at)?.clone()?, row))).collect())
    }

    /// The columns in which a tag differs from what the file says.
    fn different(&self, values: &[Option<String>], found: &[Option<String>]) -> Vec<usize> {
        let differs = |at: usize| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            !is_same(self.columns[at].1, &text(&values[at]), &text(found.get(at).unwrap_or(&None)))
        };
        (0..values.len()).filter(|at| differs(*at)).collect()
    }

    fn told(&self, at: usize, values: &[Option<String>], found: &[Option<String>]) -> String {
        let shown = |value: Option<&Option<String>>| short(value.and_then(|value| value.as_deref()).unwrap_or_default());
        format!("{}: \"{}\", not \"{}\"", self.columns[at].1, shown(found.get(at)), shown(values.get(at)))
    }

    /// The SET of an UPDATE.
    fn setting(&self, values: &[Option<String>], different: &[usize]) -> String {
        let thins = different.iter().any(|at| THINNING.contains(&self.columns[*at].1));
        let set = |at: usize| different.contains(&at) || (thins && THINNING.contains(&self.columns[at].1));
        let sets = (0..values.len()).filter(|at| set(*at)).map(|at| {
            let value = values[at].as_deref().map_or_else(|| "NULL".to_owned(), quote);
            format!("{} = {value}", self.columns[at].1)
        });
        sets.collect::<Vec<_>>().join(", ")
    }

    fn make(&mut self, tags: Vec<Tag>) -> Result<(), Error> {
        if tags.is_empty() {
            return Ok(());
        }
        match self.copy(&tags) {
            Ok(()) => self.made += tags.len() as u64,
            Err(_) => {
                self.session.query("SELECT 1")?;
                // Which of them it was is found by asking for each.
                for tag in tags {
                    match self.copy(std::slice::from_ref(&tag)) {
                        Ok(()) => self.made += 1,
                        Err(error) => self.refuse(&tag, error)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn copy(&self, tags: &[Tag]) -> Result<(), Error> {
        let mut text = String::new();
        for tag in tags {
            for (at, value) in tag.values.iter().enumerate() {
                if at > 0 {
                    text.push('\t');
                }
                match value {
                    None => text.push_str("\\N"),
                    Some(value) => kinds::escape(&mut text, value),
                }
            }
            text.push('\n');
        }
        let columns: Vec<&str> = self.columns.iter().map(|(_, column)| *column).collect();
        self.session.copy(&format!("COPY tags ({}) FROM STDIN", columns.join(", ")), text).map(drop)
    }

    fn change(&mut self, setting: &str, tags: Vec<Tag>) -> Result<(), Error> {
        let update = |tags: &[Tag]| {
            let names: Vec<String> = tags.iter().map(|tag| quote(self.name(tag))).collect();
            self.session.query(&format!("UPDATE tags SET {setting} WHERE name IN ({})", names.join(", "))).map(drop)
        };
        match update(&tags) {
            Ok(()) => self.changed += tags.len() as u64,
            Err(_) => {
                self.session.query("SELECT 1")?;
                let outcomes: Vec<Result<(), Error>> = tags.iter().map(|tag| update(std::slice::from_ref(tag))).collect();
                for (tag, outcome) in tags.iter().zip(outcomes) {
                    match outcome {
                        Ok(()) => self.changed += 1,
                        Err(error) => self.refuse(tag, error)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// A row that the node refuses; where it was the connection, that ends the import.
    fn refuse(&mut self, tag: &Tag, error: Error) -> Result<(), Error> {
        self.session.query("SELECT 1")?;
        let why = match error {
            Error::Node { problem, .. } => problem,
            other => return Err(other),
        };
        let why = format!("tag \"{}\": {why}", short(self.name(tag)));
        self.refused.add(tag.number, Some(&tag.cells), why)
    }
}

/// Whether two texts say the same of a column.
fn is_same(column: &str, one: &str, other: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let object = |text: &str| match text {
        "" => Some(serde_json::json!({})),
        text => serde_json::from_str::<serde_json::Value>(text).ok(),
    };
    let list = |text: &str| if text.is_empty() { Some(Vec::new()) } else { query::array_items(text) };
    let said = |text: &str, unsaid: &str| if text.is_empty() { unsaid.to_owned() } else { text.to_ascii_lowercase() };
    one == other
        || match column {
            "low_low" | "low" | "high" | "high_high" | "deviation" => {
                number(one).zip(number(other)).is_some_and(|(one, other)| one == other)
            }
            "labels" => object(one).zip(object(other)).is_some_and(|(one, other)| one == other),
            "states" => list(one).zip(list(other)).is_some_and(|(one, other)| one == other),
            "compression" => said(one, "lossless") == said(other, "lossless"),
            "kind" => types::Kind::parse(one).ok().zip(types::Kind::parse(other).ok()).is_some_and(|(one, other)| one == other),
            _ => false,
        }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_is_the_same() {
        for (column, one, other, same) in [
            ("unit", "C", "K", false),
            ("low", "0.50", "5e-1", true),
            ("low", "", "0", false),
            ("labels", r#"{"b": "1", "a": "2"}"#, r#"{"a":"2","b":"1"}"#, true),
            ("labels", "", "{}", true),
            ("states", r#"{"off",on}"#, "{off,on}", true),
            ("states", "{off}", "", false),
            ("compression", "", "lossless", true),
            ("kind", "float8", "f64", true),
            ("kind", "f32", "f64", false),
        ] {
            assert_eq!(is_same(column, one, other), same, "{column} {one:?} {other:?}");
        }
    }
}
