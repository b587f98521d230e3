//! Statements of PostgreSQL's sessions that the parser does not know, or knows only in part: cursors and named
//! prepared statements. Their words are read here; the statement inside DECLARE and PREPARE stays text.
//!
//! Promises: what is read is PostgreSQL's grammar; a text that begins with another word is left to the parser.

use crate::cursors::Step;
use crate::dialect::Postgres;
use crate::error::{Error, from_parser, position_of, raise};
use crate::maintaining::Maintenance;
use crate::nesting;
use crate::statements::{DEPTH_MAX, LineStarts, trimmed};
use datafusion::sql::sqlparser::ast::{self, Expr};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// A statement inside another one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub text: String,
    /// How many characters stand before it.
    pub position: u32,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spoken {
    Declare {
        name: String,
        binary: bool,
        scroll: bool,
        hold: bool,
        query: Part,
    },
    Fetch {
        name: String,
        step: Step,
        moves: bool,
    },
    /// None: all.
    Close(Option<String>),
    Prepare {
        name: String,
        types: Vec<ast::DataType>,
        statement: Part,
    },
    Execute {
        name: String,
        arguments: Vec<Expr>,
    },
    /// None: all.
    Deallocate(Option<String>),
    Maintain(Maintenance),
}

const VACUUM_OPTIONS: [&str; 15] = [
    "full",
    "freeze",
    "verbose",
    "analyze",
    "disable_page_skipping",
    "skip_locked",
    "index_cleanup",
    "process_main",
    "process_toast",
    "truncate",
    "parallel",
    "skip_database_stats",
    "only_database_stats",
    "buffer_usage_limit",
    "analyse",
];
const ANALYZE_OPTIONS: [&str; 3] = ["verbose", "skip_locked", "buffer_usage_limit"];

const FIRST_WORDS: [&str; 11] =
    ["declare", "fetch", "move", "close", "prepare", "execute", "deallocate", "checkpoint", "vacuum", "analyze", "analyse"];

/// What a text says; None where it is for the parser.
pub(crate) fn recognise(sql: &str) -> Result<Option<Spoken>, Error> {
    let Some(first) = first_word(sql).filter(|word| FIRST_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))) else {
        return Ok(None);
    };
    let first = first.to_ascii_lowercase();
    let tokens = trimmed(sql)?;
    nesting::check(&tokens)?;
    let parser = Parser::new(&Postgres).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let mut reader = Reader { sql, parser };
    reader.parser.next_token();
    let spoken = match first.as_str() {
        "declare" => reader.declare()?,
        "fetch" => reader.fetch(false)?,
        "move" => reader.fetch(true)?,
        "close" => Spoken::Close(reader.name_or_all()?),
        "prepare" => reader.prepare()?,
        "execute" => reader.execute()?,
        "checkpoint" => Spoken::Maintain(Maintenance::Checkpoint),
        "vacuum" => Spoken::Maintain(Maintenance::Vacuum(reader.maintained("VACUUM", &VACUUM_OPTIONS)?)),
        "analyze" | "analyse" => Spoken::Maintain(Maintenance::Analyze(reader.maintained("ANALYZE", &ANALYZE_OPTIONS)?)),
        _ => {
            if !reader.is_last() {
                reader.takes("prepare");
            }
            Spoken::Deallocate(reader.name_or_all()?)
        }
    };
    // DECLARE and PREPARE have taken the rest as it is.
    if !matches!(spoken, Spoken::Declare { .. } | Spoken::Prepare { .. }) && reader.parser.peek_token().token != Token::EOF {
        return Err(reader.unexpected());
    }
    Ok(Some(spoken))
}

/// The first word of a text, behind blanks and comments.
fn first_word(sql: &str) -> Option<&str> {
    let mut rest = sql.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n')?.1.trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            // What is nested is seldom, and left to the tokenizer: then there is no word here.
            let (inside, after) = comment.split_once("*/")?;
            if inside.contains("/*") {
                return None;
            }
            rest = after.trim_start();
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return Some(&rest[..end]);
        }
    }
}

struct Reader<'a> {
    sql: &'a str,
    parser: Parser<'a>,
}

fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
}

impl Reader<'_> {
    /// Takes a word, if it is the next.
    fn takes(&mut self, wanted: &str) -> bool {
        let found = is_word(&self.parser.peek_token(), wanted);
        if found {
            self.parser.next_token();
        }
        found
    }

    fn needs(&mut self, wanted: &str) -> Result<(), Error> {
        if self.takes(wanted) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether the next token is the last: then it is a name, whatever it says.
    fn is_last(&self) -> bool {
        self.parser.peek_nth_token(1).token == Token::EOF
    }

    fn unexpected(&self) -> Error {
        let next = self.parser.peek_token();
        if next.token == Token::EOF {
            return raise(Error::Syntax, "syntax error at end of input");
        }
        let place = position_of(self.sql, next.span.start.line, next.span.start.column);
        raise(Error::Syntax, format!("syntax error at or near \"{}\"", next.token)).at(place)
    }

    fn name(&mut self) -> Result<String, Error> {
        match self.parser.peek_token().token {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(if word.quote_style.is_some() { word.value } else { word.value.to_lowercase() })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Takes a comma, or else the sign that ends a list; whether the list goes on.
    fn goes_on(&mut self, end: &Token) -> Result<bool, Error> {
        if self.parser.consume_token(&Token::Comma) {
            return Ok(true);
        }
        if self.parser.consume_token(end) { Ok(false) } else { Err(self.unexpected()) }
    }

    /// The tables of VACUUM and ANALYZE. What their options ask for is done always, or needs no doing.
    fn maintained(&mut self, command: &str, options: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        if self.parser.consume_token(&Token::LParen) {
            loop {
                let option = self.name()?;
                if !options.contains(&option.as_str()) {
                    return Err(raise(Error::Syntax, format!("unrecognized {command} option \"{option}\"")));
                }
                if !matches!(self.parser.peek_token().token, Token::Comma | Token::RParen) {
                    self.parser.next_token();
                }
                if !self.goes_on(&Token::RParen)? {
                    break;
                }
            }
        } else {
            for word in ["full", "freeze", "verbose", "analyze", "analyse"].into_iter().filter(|word| options.contains(word)) {
                self.takes(word);
            }
        }
        let mut tables = Vec::new();
        if self.parser.peek_token().token == Token::EOF {
            return Ok(tables);
        }
        loop {
            let mut name = vec![self.name()?];
            while self.parser.consume_token(&Token::Period) {
                name.push(self.name()?);
            }
            tables.push(name);
            if self.parser.consume_token(&Token::LParen) {
                self.name()?;
                while self.goes_on(&Token::RParen)? {
                    self.name()?;
                }
            }
            if !self.parser.consume_token(&Token::Comma) {
                return Ok(tables);
            }
        }
    }

    fn name_or_all(&mut self) -> Result<Option<String>, Error> {
        if self.takes("all") { Ok(None) } else { self.name().map(Some) }
    }

    /// What is left of the text.
    fn rest(&mut self) -> Result<Part, Error> {
        let next = self.parser.peek_token();
        if next.token == Token::EOF {
            return Err(self.unexpected());
        }
        let place = LineStarts::of(self.sql).character(next.span.start.line, next.span.start.column);
        Ok(Part { text: self.sql.chars().skip(place).collect(), position: place as u32 })
    }

    fn declare(&mut self) -> Result<Spoken, Error> {
        let name = self.name()?;
        let (mut binary, mut scroll, mut no_scroll) = (false, false, false);
        loop {
            if self.takes("binary") {
                binary = true;
            } else if self.takes("scroll") {
                scroll = true;
            } else if self.takes("no") {
                self.needs("scroll")?;
                no_scroll = true;
            } else if !self.takes("insensitive") && !self.takes("asensitive") {
                break;
            }
        }
        if scroll && no_scroll {
            return Err(raise(Error::Syntax, "cannot specify both SCROLL and NO SCROLL"));
        }
        self.needs("cursor")?;
        let hold = self.takes("with");
        if hold || self.takes("without") {
            self.needs("hold")?;
        }
        self.needs("for")?;
        Ok(Spoken::Declare { name, binary, scroll, hold, query: self.rest()? })
    }

    /// A whole number, perhaps with a sign.
    fn number(&mut self) -> Result<Option<i64>, Error> {
        let sign = match self.parser.peek_token().token {
            Token::Minus => -1,
            Token::Plus => 1,
            Token::Number(..) => 0,
            _ => return Ok(None),
        };
        if sign != 0 {
            self.parser.next_token();
        }
        let Token::Number(digits, _) = self.parser.peek_token().token else { return Err(self.unexpected()) };
        let Ok(number) = digits.parse::<i64>() else { return Err(self.unexpected()) };
        self.parser.next_token();
        Ok(Some(if sign < 0 { -number } else { number }))
    }

    fn step(&mut self) -> Result<Step, Error> {
        // A word that nothing follows is the cursor's name.
        if self.is_last() {
            return Ok(Step::forward(1));
        }
        if let Some(count) = self.number()? {
            return Ok(Step::forward(count));
        }
        let signed = |reader: &mut Self| reader.number()?.ok_or_else(|| reader.unexpected());
        Ok(if self.takes("next") {
            Step::forward(1)
        } else if self.takes("prior") {
            Step::backward(1)
        } else if self.takes("first") {
            Step::Absolute(1)
        } else if self.takes("last") {
            Step::Absolute(-1)
        } else if self.takes("absolute") {
            Step::Absolute(signed(self)?)
        } else if self.takes("relative") {
            Step::Relative(signed(self)?)
        } else if self.takes("all") {
            Step::Forward(u64::MAX)
        } else if self.takes("forward") {
            if self.takes("all") { Step::Forward(u64::MAX) } else { Step::forward(self.number()?.unwrap_or(1)) }
        } else if self.takes("backward") {
            if self.takes("all") { Step::Backward(u64::MAX) } else { Step::backward(self.number()?.unwrap_or(1)) }
        } else {
            Step::forward(1)
        })
    }

    fn fetch(&mut self, moves: bool) -> Result<Spoken, Error> {
        let step = self.step()?;
        if !self.takes("from") {
            self.takes("in");
        }
        Ok(Spoken::Fetch { name: self.name()?, step, moves })
    }

    fn prepare(&mut self) -> Result<Spoken, Error> {
        if is_word(&self.parser.peek_token(), "transaction") && !is_word(&self.parser.peek_nth_token(1), "as") {
            return Err(raise(Error::Unsupported, "PREPARE TRANSACTION is not supported"));
        }
        let name = self.name()?;
        let mut types = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            types = self.parser.parse_comma_separated(Parser::parse_data_type).map_err(|error| from_parser(&error, self.sql))?;
            if !self.parser.consume_token(&Token::RParen) {
                return Err(self.unexpected());
            }
        }
        self.needs("as")?;
        Ok(Spoken::Prepare { name, types, statement: self.rest()? })
    }

    fn execute(&mut self) -> Result<Spoken, Error> {
        let name = self.name()?;
        let mut arguments = Vec::new();
        if self.parser.consume_token(&Token::LParen) && !self.parser.consume_token(&Token::RParen) {
            arguments = self.parser.parse_comma_separated(Parser::parse_expr).map_err(|error| from_parser(&error, self.sql))?;
            if !self.parser.consume_token(&Token::RParen) {
                return Err(self.unexpected());
            }
            nesting::lower_all(&mut arguments)?;
        }
        Ok(Spoken::Execute { name, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(name: &str, step: Step, moves: bool) -> Spoken {
        Spoken::Fetch { name: name.to_owned(), step, moves }
    }

    #[test]
    fn steps_are_read_as_postgresql_reads_them() {
        for (sql, name, step) in [
            ("FETCH c", "c", Step::Forward(1)),
            ("fetch next", "next", Step::Forward(1)),
            ("FETCH NEXT FROM C", "c", Step::Forward(1)),
            ("FETCH FORWARD 10 FROM \"C x\";", "C x", Step::Forward(10)),
            ("FETCH 5 c", "c", Step::Forward(5)),
            ("FETCH -5 IN c", "c", Step::Backward(5)),
            ("FETCH 0 c", "c", Step::Relative(0)),
            ("/* x */ FETCH ALL FROM c", "c", Step::Forward(u64::MAX)),
            ("FETCH FORWARD ALL IN c", "c", Step::Forward(u64::MAX)),
            ("FETCH FORWARD c", "c", Step::Forward(1)),
            ("FETCH BACKWARD ALL c", "c", Step::Backward(u64::MAX)),
            ("FETCH BACKWARD -2 c", "c", Step::Forward(2)),
            ("FETCH PRIOR c", "c", Step::Backward(1)),
            ("FETCH FIRST FROM c", "c", Step::Absolute(1)),
            ("FETCH LAST FROM c", "c", Step::Absolute(-1)),
            ("FETCH ABSOLUTE -3 c", "c", Step::Absolute(-3)),
            ("FETCH RELATIVE +3 FROM c", "c", Step::Relative(3)),
            ("-- it\nFETCH FROM c", "c", Step::Forward(1)),
        ] {
            assert_eq!(recognise(sql).unwrap(), Some(fetched(name, step, false)), "{sql}");
        }
        assert_eq!(recognise("MOVE 3 IN c").unwrap(), Some(fetched("c", Step::Forward(3), true)));
        for sql in
            ["FETCH", "FETCH 1 FROM", "FETCH 1 FROM c d", "FETCH RELATIVE c", "MOVE 99999999999999999999 c", "CLOSE", "PREPARE a"]
        {
            assert_eq!(recognise(sql).unwrap_err().sqlstate(), "42601", "{sql}");
        }
        assert_eq!(recognise("SELECT 1").unwrap(), None);
        assert_eq!(recognise("").unwrap(), None);
    }

    #[test]
    fn what_stands_inside_stays_as_it_is() {
        let Some(Spoken::Declare { name, binary, scroll, hold, query }) =
            recognise("DECLARE \"温\" BINARY NO SCROLL\n CURSOR WITH HOLD FOR SELECT '温', 1;").unwrap()
        else {
            panic!("no cursor")
        };
        assert_eq!((name.as_str(), binary, scroll, hold), ("温", true, false, true));
        assert_eq!(query, Part { text: "SELECT '温', 1;".to_owned(), position: 51 });
        let Some(Spoken::Prepare { name, types, statement }) = recognise("PREPARE P (int, text) AS SELECT $1").unwrap() else {
            panic!("nothing prepared")
        };
        assert_eq!((name.as_str(), types.len(), statement.text.as_str()), ("p", 2, "SELECT $1"));
        assert_eq!(recognise("EXECUTE p").unwrap(), Some(Spoken::Execute { name: "p".to_owned(), arguments: Vec::new() }));
        assert_eq!(recognise("DEALLOCATE PREPARE ALL").unwrap(), Some(Spoken::Deallocate(None)));
        assert_eq!(recognise("DEALLOCATE prepare").unwrap(), Some(Spoken::Deallocate(Some("prepare".to_owned()))));
        assert_eq!(recognise("CLOSE ALL").unwrap(), Some(Spoken::Close(None)));
    }
}
