//! A statement's words, read one after another: for statements that the parser of queries does not know.

use crate::error::{Error, position_of, raise};
use crate::statements::tokens;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The words that are left.
pub(crate) struct Words<'a> {
    sql: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
}

impl<'a> Words<'a> {
    /// Those of one statement.
    pub(crate) fn of(sql: &'a str) -> Result<Words<'a>, Error> {
        let mut tokens = tokens(sql)?;
        tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
        while matches!(tokens.last().map(|token| &token.token), Some(Token::SemiColon)) {
            tokens.pop();
        }
        Ok(Words { sql, tokens, at: 0 })
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    /// Whether a word stands so far ahead.
    pub(crate) fn sees(&self, ahead: usize, word: &str) -> bool {
        matches!(self.token(ahead), Some(Token::Word(found)) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// Takes these words, where they come next.
    pub(crate) fn take(&mut self, words: &[&str]) -> bool {
        let there = words.iter().enumerate().all(|(ahead, word)| self.sees(ahead, word));
        if there {
            self.at += words.len();
        }
        there
    }

    /// Takes the first of these words that comes next.
    pub(crate) fn take_one<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().find(|word| self.take(&[word])).copied()
    }

    /// Takes a sign, where it comes next.
    pub(crate) fn take_sign(&mut self, sign: &Token) -> bool {
        let there = self.token(0) == Some(sign);
        self.at += usize::from(there);
        there
    }

    /// Takes a comma, where it comes next.
    pub(crate) fn take_comma(&mut self) -> bool {
        self.take_sign(&Token::Comma)
    }

    /// Takes these words, which must come next.
    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), Error> {
        if self.take(words) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// What is wrong where something else should stand.
    pub(crate) fn unexpected(&self) -> Error {
        let Some(next) = self.tokens.get(self.at) else { return raise(Error::Syntax, "syntax error at end of input") };
        // What may be a password is not said again.
        let shown = match &next.token {
            token @ (Token::Word(_) | Token::Number(..) | Token::Comma | Token::LParen | Token::RParen) => token.to_string(),
            _ => "...".to_owned(),
        };
        let place = position_of(self.sql, next.span.start.line, next.span.start.column);
        raise(Error::Syntax, format!("syntax error at or near \"{shown}\"")).at(place)
    }

    /// Whether all words were taken.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Refuses what is left.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.is_done() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// A name: in small letters, unless it is quoted.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        let name = match self.token(0) {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            Some(Token::Word(word)) => word.value.to_lowercase(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    /// A text; None where none comes next.
    pub(crate) fn text(&mut self) -> Option<String> {
        let text = match self.token(0)? {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
                text.clone()
            }
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    /// A whole number.
    pub(crate) fn number(&mut self) -> Result<i64, Error> {
        let sign = if self.take_sign(&Token::Minus) { -1 } else { 1 };
        let Some(Token::Number(digits, _)) = self.token(0) else { return Err(self.unexpected()) };
        let number: i64 = digits.parse().map_err(|_| self.unexpected())?;
        self.at += 1;
        Ok(sign * number)
    }

    /// A setting's value as it is written: words, texts and numbers, with commas between.
    pub(crate) fn value(&mut self) -> Result<String, Error> {
        let mut out = Vec::new();
        loop {
            let one = match self.token(0) {
                Some(Token::Number(..) | Token::Minus) => self.number()?.to_string(),
                Some(Token::Word(_)) => self.name()?,
                _ => self.text().ok_or_else(|| self.unexpected())?,
            };
            out.push(one);
            if !self.take_sign(&Token::Comma) {
                return Ok(out.join(", "));
            }
        }
    }

    /// The text up to the last place where this word stands outside parentheses, and is followed by a name at most; the words up to
    /// it are taken.
    pub(crate) fn text_up_to(&mut self, word: &str) -> Result<&'a str, Error> {
        let (mut depth, mut end) = (0_i32, None);
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match &token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::Word(found) if depth == 0 && found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word) => {
                    end = Some(at);
                }
                _ => {}
            }
        }
        let Some(end) = end.filter(|end| *end > self.at) else { return Err(self.unexpected()) };
        let byte = |at: usize| {
            let start = self.tokens[at].span.start;
            let place = position_of(self.sql, start.line, start.column).unwrap_or(1) as usize;
            self.sql.char_indices().nth(place - 1).map_or(self.sql.len(), |(at, _)| at)
        };
        let text = &self.sql[byte(self.at)..byte(end)];
        self.at = end;
        Ok(text.trim())
    }

    /// The statement, with `***` in place of texts: passwords are shown to nobody.
    pub(crate) fn without_texts(&self) -> String {
        let shown = |token: &TokenWithSpan| match &token.token {
            token @ (Token::Word(_) | Token::Number(..)) => token.to_string(),
            token @ (Token::Comma | Token::LParen | Token::RParen | Token::Eq | Token::Minus) => token.to_string(),
            _ => "'***'".to_owned(),
        };
        self.tokens.iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}

/// The first word of a statement, in small letters.
pub(crate) fn first_word(sql: &str) -> String {
    let mut rest = sql.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        } else if rest.starts_with("/*") {
            rest = after_comment(rest).trim_start();
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return rest[..end].to_ascii_lowercase();
        }
    }
}

/// What stands behind a comment, which may hold others.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_found_behind_comments() {
        for (sql, word) in [
            ("GRANT x", "grant"),
            (" -- a\n\t/* b /* c */ */ Create role", "create"),
            ("/* open", ""),
            ("--", ""),
            ("'x'", ""),
            ("/*/ x */ drop", "drop"),
        ] {
            assert_eq!(first_word(sql), word, "{sql}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        let words = Words::of("ALTER ROLE \"a b\" PASSWORD 'geheim' VALID UNTIL E'x', $$y$$").unwrap();
        assert_eq!(words.without_texts(), "ALTER ROLE \"a b\" PASSWORD '***' VALID UNTIL '***' , '***'");
        let mut words = Words::of("x 'geheim'").unwrap();
        words.name().unwrap();
        assert!(!words.unexpected().message().contains("geheim"));
        let mut words = Words::of("name = 'to' AND (label(name, 'to') = 'x') TO a, b").unwrap();
        assert_eq!(words.text_up_to("to").unwrap(), "name = 'to' AND (label(name, 'to') = 'x')");
        assert!(words.take(&["to"]));
    }
}
