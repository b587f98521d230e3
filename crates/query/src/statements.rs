//! Text into statements: tokens, where each statement begins, and its syntax tree.
//!
//! Promises: statements are cut at semicolons outside literals, comments and parentheses only, in
//! order; a statement's `position` counts characters, so that an error's place in it can be shown
//! in the whole text.

use crate::dialect::Postgres;
use crate::error::{Error, raise};
use crate::error::{from_parser, position_of};
use crate::nesting;
use datafusion::sql::sqlparser::ast::Statement as Tree;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

/// The longest text that is taken as SQL, in bytes.
pub const SQL_BYTES_MAX: usize = 64 << 20;

/// How deep expressions and queries may nest.
pub(crate) const DEPTH_MAX: usize = 60;

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementText {
    /// Its text, without the semicolon.
    pub text: String,
    /// How many characters stand before it in the whole text.
    pub position: u32,
}

/// Cuts a text into its statements; empty ones are left out.
///
/// # Errors
/// `Error::Syntax` where a literal or comment does not end, `Error::TooComplex` where it is too long.
pub fn split(sql: &str) -> Result<Vec<StatementText>, Error> {
    let tokens = tokens(sql)?;
    let characters: Vec<usize> = if sql.is_ascii() { Vec::new() } else { sql.char_indices().map(|(at, _)| at).collect() };
    let byte_of = |character: usize| {
        if sql.is_ascii() { character.min(sql.len()) } else { characters.get(character).copied().unwrap_or(sql.len()) }
    };
    let starts = LineStarts::of(sql);
    let mut out = Vec::new();
    let (mut first, mut last) = (None, 0);
    let mut close = |first: &mut Option<usize>, last: usize| {
        if let Some(start) = first.take() {
            out.push(StatementText { text: sql[byte_of(start)..byte_of(last)].to_owned(), position: start as u32 });
        }
    };
    let mut named = None;
    for token in &tokens {
        let start = || starts.character(token.span.start.line, token.span.start.column);
        let end = || starts.character(token.span.end.line, token.span.end.column);
        match &token.token {
            Token::SemiColon => {
                named = None;
                close(&mut first, last);
            }
            // It names the trace that its statement is a part of, and goes along.
            Token::Whitespace(Whitespace::MultiLineComment(text)) if text.contains("traceparent=") => match first {
                Some(_) => last = end(),
                None => named = Some(start()),
            },
            Token::EOF | Token::Whitespace(_) => {}
            _ => {
                first.get_or_insert_with(|| named.take().unwrap_or_else(start));
                last = end();
            }
        }
    }
    close(&mut first, last);
    Ok(out)
}

/// Where each line begins, in characters.
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(crate) fn of(sql: &str) -> Self {
        let ends = sql.chars().enumerate().filter(|(_, c)| *c == '\n').map(|(at, _)| at + 1);
        LineStarts(std::iter::once(0).chain(ends).collect())
    }

    /// The character (from 0) at a line and column (from 1).
    pub(crate) fn character(&self, line: u64, column: u64) -> usize {
        let start = self.0.get((line as usize).saturating_sub(1)).copied().unwrap_or(0);
        start + (column as usize).saturating_sub(1)
    }
}

pub(crate) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, Error> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(raise(
            Error::TooComplex,
            format!("a text of {} bytes is longer than the {SQL_BYTES_MAX} allowed", sql.len()),
        ));
    }
    if sql.contains('\0') {
        return Err(raise(Error::Syntax, "the text contains a zero character"));
    }
    Tokenizer::new(&Postgres, sql).tokenize_with_location().map_err(|error| {
        let place = position_of(sql, error.location.line, error.location.column);
        raise(Error::Syntax, format!("syntax error: {}", error.message)).at(place)
    })
}

/// The tokens of one statement, without what follows its last word.
pub(crate) fn trimmed(sql: &str) -> Result<Vec<TokenWithSpan>, Error> {
    let mut tokens = tokens(sql)?;
    while matches!(tokens.last().map(|token| &token.token), Some(Token::SemiColon | Token::Whitespace(_) | Token::EOF)) {
        tokens.pop();
    }
    Ok(tokens)
}

/// The syntax tree of one statement; None where there is only blank or comment.
///
/// # Errors
/// `Error::Syntax`, `Error::Unsupported`, `Error::TooComplex`.
pub(crate) fn parse(sql: &str) -> Result<Option<Tree>, Error> {
    let mut tokens = trimmed(sql)?;
    let Some(place) = tokens.iter().position(|token| !matches!(token.token, Token::Whitespace(_))) else { return Ok(None) };
    refuse_time_travel(sql, &tokens)?;
    nesting::check(&tokens)?;
    drop_search_noise(&mut tokens, place);
    drop_deferrable(&mut tokens, place);
    name_blanks(&mut tokens, place);
    let mut parser = Parser::new(&Postgres).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let mut tree = parser.parse_statement().map_err(|error| from_parser(&error, sql))?;
    nesting::lower(&mut tree)?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let place = position_of(sql, next.span.start.line, next.span.start.column);
        let error = raise(Error::Syntax, format!("syntax error at or near \"{}\"", next.token));
        return Err(error.at(place));
    }
    Ok(Some(tree))
}

/// What the parser would take for an alias, or the planner leave out, is refused by its words.
fn refuse_time_travel(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let words: Vec<_> = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let word = |at: usize| words.get(at).and_then(|token| if let Token::Word(word) = &token.token { Some(word) } else { None });
    let is =
        |at: usize, text: &str| word(at).is_some_and(|word| word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text));
    for (at, first) in words.iter().enumerate() {
        let system_time = is(at, "for") && (is(at + 1, "system_time") || is(at + 1, "version") || is(at + 1, "timestamp"));
        let version = (is(at, "version") || is(at, "timestamp")) && is(at + 1, "as") && is(at + 2, "of");
        if system_time || version {
            let place = position_of(sql, first.span.start.line, first.span.start.column);
            return Err(raise(Error::Unsupported, "reading a table as of an earlier time or version is not supported").at(place));
        }
    }
    Ok(())
}

/// psql writes `OPERATOR(pg_catalog.~)`; the operator alone means the same here.
fn drop_search_noise(tokens: &mut Vec<TokenWithSpan>, from: usize) {
    let is_word = |token: &TokenWithSpan, keyword: &str| matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case(keyword));
    let mut at = from;
    while at < tokens.len() {
        let long = tokens.get(at..at + 6).is_some_and(|run| {
            is_word(&run[0], "operator")
                && run[1].token == Token::LParen
                && is_word(&run[2], "pg_catalog")
                && run[3].token == Token::Period
                && run[5].token == Token::RParen
        });
        if long {
            tokens.drain(at..at + 4);
            tokens.remove(at + 1);
        }
        at += 1;
    }
    // COLLATE pg_catalog.default is what every text here is compared by.
    let mut at = from;
    while at + 1 < tokens.len() {
        if matches!(&tokens[at].token, Token::Word(word) if word.keyword == Keyword::COLLATE) {
            let end = (at + 1..tokens.len()).find(|next| is_word(&tokens[*next], "default")).map(|next| next + 1);
            let gap = |run: &[TokenWithSpan]| {
                run.iter().all(|token| {
                    matches!(token.token, Token::Whitespace(Whitespace::Space) | Token::Period)
                        || is_word(token, "pg_catalog")
                        || is_word(token, "default")
                })
            };
            if let Some(end) = end.filter(|end| gap(&tokens[at + 1..*end])) {
                tokens.drain(at..end);
                continue;
            }
        }
        at += 1;
    }
}

/// `[NOT] DEFERRABLE` of a transaction is nothing here: no statement ever waits for another one's snapshot.
fn drop_deferrable(tokens: &mut Vec<TokenWithSpan>, from: usize) {
    let is = |token: &TokenWithSpan, word: &str| matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word));
    if !["begin", "start", "set"].iter().any(|word| tokens.get(from).is_some_and(|token| is(token, word))) {
        return;
    }
    let Some(place) = tokens.iter().position(|token| is(token, "deferrable")) else { return };
    if !tokens[..place].iter().any(|token| is(token, "transaction") || is(token, "begin")) {
        return;
    }
    let mut first = place;
    for wanted in ["not", ","] {
        let before = tokens[..first].iter().rposition(|token| !matches!(token.token, Token::Whitespace(_)));
        if let Some(before) = before.filter(|at| is(&tokens[*at], wanted) || (wanted == "," && tokens[*at].token == Token::Comma))
        {
            first = before;
        }
    }
    tokens.drain(first..=place);
}

/// `trim(TRAILING FROM x)` trims blanks, which the parser wants to see written.
fn name_blanks(tokens: &mut Vec<TokenWithSpan>, from: usize) {
    let is = |token: &TokenWithSpan, keywords: &[Keyword]| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && keywords.contains(&word.keyword));
    let mut at = from;
    while at + 2 < tokens.len() {
        let space = matches!(tokens[at + 1].token, Token::Whitespace(_));
        let sides = [Keyword::TRAILING, Keyword::LEADING, Keyword::BOTH];
        if space && is(&tokens[at], &sides) && is(&tokens[at + 2], &[Keyword::FROM]) {
            let span = tokens[at + 1].span;
            let blank = [Token::SingleQuotedString(" ".to_owned()), Token::Whitespace(Whitespace::Space)];
            drop(tokens.splice(at + 2..at + 2, blank.map(|token| TokenWithSpan { token, span })));
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_cut_with_their_places() {
        let parts = split("select ';' -- a;b\n; ;\n  select '温度;', $$ ; $$;x").unwrap();
        let texts: Vec<_> = parts.iter().map(|part| (part.text.as_str(), part.position)).collect();
        assert_eq!(texts, [("select ';'", 0), ("select '温度;', $$ ; $$", 24), ("x", 46)]);
        assert_eq!(split(" -- nothing\n").unwrap(), []);
        // What names a trace goes along with its statement; alone it is nothing.
        let parts = split("select 1 /*traceparent='a'*/ ; /*traceparent='b'*/ x -- c\n; /*traceparent='d'*/").unwrap();
        let texts: Vec<_> = parts.iter().map(|part| (part.text.as_str(), part.position)).collect();
        assert_eq!(texts, [("select 1 /*traceparent='a'*/", 0), ("/*traceparent='b'*/ x", 31)]);
        assert_eq!(split("select 'open").unwrap_err().sqlstate(), "42601");
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let error = parse("select 1\nfrom ) x").unwrap_err();
        assert_eq!((error.sqlstate(), error.position()), ("42601", Some(15)));
        assert_eq!(parse("select * from samples for system_time as of now()").unwrap_err().sqlstate(), "0A000");
    }
}
