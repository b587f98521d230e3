//! Fields that a piece of a body names and that are not known: what they are called, who waits for them.
//!
//! Promises: each is wanted once, however many rows wait and however lines write it; rows stand in the columns already, in
//! their place, and are settled when it is known what the field is; what comes out is as if line after line was taken alone:
//! the first line that is kept says what a new tag holds, and a line that is not kept makes no tag.

use super::columns::{Mark, Misfit, bits_of, conflict, kind_for};
use super::cursor::Value;
use super::names::Named;
use super::series::Target;
use hashbrown::HashMap;
use types::Kind;

/// A field that is wanted.
pub(crate) struct Want {
    pub(crate) named: Named,
    /// What a tag that is made for it is to hold.
    pub(crate) planned: Option<Kind>,
    /// What it was found to be, or why it can't be.
    pub(crate) found: Option<Result<Target, Misfit>>,
}

/// A wanted field as lines write it.
pub(crate) struct Form {
    pub(crate) key: Box<[u8]>,
    pub(crate) field: Box<[u8]>,
    pub(crate) want: usize,
}

/// The value of a row whose tag is not known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Float(f64),
    Integer(i64),
    Bool(bool),
    /// The text is in the columns.
    Text,
}

/// A row that waits.
pub(crate) struct Row {
    pub(crate) want: usize,
    /// Its place among samples, or among texts.
    pub(crate) at: usize,
    pub(crate) value: Number,
    /// Which of `Wanted::lines` it is of.
    pub(crate) line: usize,
}

/// A line with rows that wait.
pub(crate) struct Line {
    pub(crate) number: u64,
    pub(crate) from: Mark,
    pub(crate) until: Mark,
    /// Why it can't be kept, where that is known.
    pub(crate) misfit: Option<Misfit>,
}

/// What is wanted.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) wants: Vec<Want>,
    pub(crate) forms: Vec<Form>,
    /// Rows, those of a line together, in the order of lines.
    pub(crate) rows: Vec<Row>,
    pub(crate) lines: Vec<Line>,
    by_bytes: HashMap<Box<[u8]>, usize>,
    by_name: HashMap<String, usize>,
    /// A field's bytes, put together to be looked up.
    joined: Vec<u8>,
}

impl Number {
    pub(crate) fn of(value: Value<'_>) -> Number {
        match value {
            Value::Float(value) => Number::Float(value),
            Value::Integer(value) => Number::Integer(value),
            Value::Bool(value) => Number::Bool(value),
            Value::Text(_) => Number::Text,
        }
    }

    pub(crate) fn value(self) -> Value<'static> {
        match self {
            Number::Float(value) => Value::Float(value),
            Number::Integer(value) => Value::Integer(value),
            Number::Bool(value) => Value::Bool(value),
            Number::Text => Value::Text(b""),
        }
    }

    /// The bits of a kind, 0 of a text, or why the kind does not hold it.
    pub(crate) fn bits(self, kind: Kind) -> Result<u64, Misfit> {
        match self {
            Number::Text if kind.is_text() => Ok(0),
            Number::Text => Err(conflict(self.value(), kind)),
            number => bits_of(kind, number.value()),
        }
    }
}

impl Want {
    fn kind(&self) -> Option<Kind> {
        match &self.found {
            Some(Ok(target)) => Some(target.kind),
            _ => self.planned,
        }
    }
}

impl Wanted {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of a want, made where there is none.
    pub(crate) fn want(&mut self, key: &[u8], field: &[u8]) -> Result<usize, Misfit> {
        self.joined.clear();
        self.joined.extend_from_slice(key);
        // No line end can stand in a key.
        self.joined.push(b'\n');
        self.joined.extend_from_slice(field);
        if let Some(want) = self.by_bytes.get(self.joined.as_slice()) {
            return Ok(*want);
        }
        let named = Named::of(key, field)?;
        let want = match self.by_name.get(&named.name) {
            Some(want) => *want,
            None => {
                self.by_name.insert(named.name.clone(), self.wants.len());
                self.wants.push(Want { named, planned: None, found: None });
                self.wants.len() - 1
            }
        };
        self.by_bytes.insert(self.joined.as_slice().into(), want);
        self.forms.push(Form { key: key.into(), field: field.into(), want });
        Ok(want)
    }

    /// Takes back the rows of a line that is not kept.
    pub(crate) fn cut(&mut self, rows: usize) {
        self.rows.truncate(rows);
    }

    /// Forgets what only lines wanted that are not kept: gives the wants that rows wait for.
    pub(crate) fn awaited(&self) -> Vec<usize> {
        let mut awaited: Vec<usize> = self.rows.iter().map(|row| row.want).collect();
        awaited.sort_unstable();
        awaited.dedup();
        awaited
    }

    /// Once what is there was found: decides line by line which are kept, and so what new tags are to hold.
    pub(crate) fn plan(&mut self) {
        let mut rows = self.rows.iter().peekable();
        let mut planned = Vec::new();
        for (number, line) in self.lines.iter_mut().enumerate() {
            planned.clear();
            while let Some(row) = rows.next_if(|row| row.line == number) {
                let want = &mut self.wants[row.want];
                match want.kind() {
                    Some(kind) => {
                        if let Err(what) = row.value.bits(kind) {
                            line.misfit.get_or_insert(what);
                        }
                    }
                    None => {
                        want.planned = Some(kind_for(row.value.value()));
                        planned.push(row.want);
                    }
                }
            }
            if line.misfit.is_some() {
                planned.iter().for_each(|want| self.wants[*want].planned = None);
            }
        }
    }
}
