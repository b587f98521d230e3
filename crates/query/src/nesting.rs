//! How deeply statements may nest, and long conditions made low.
//!
//! A chain of operators, `a + b + c ..`, is a tree as deep as it is long, whoever walks through it recurses as deeply,
//! and so does the end of it. The depth is found from the tokens, before there is a tree; chains of AND and OR become
//! trees that are as low as can be, which mean the same.
//!
//! Promises: no statement that passes makes a tree deeper than `DEEP_MAX`, nor one that is deeper than `SUMS_MAX` once
//! AND and OR are made low, nor deeper than `STEEP_MAX` but for sums and joined texts, which are planned as one call
//! each (`functions/chain.rs`); nothing here recurses by itself.

mod uses;

use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, Statement as Tree, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use std::ops::ControlFlow;

/// How many operators may stand one inside the other, AND and OR among them.
const DEEP_MAX: usize = 10_000;
/// The same without AND and OR.
const SUMS_MAX: usize = 2_500;
/// The same without those of sums, products and joined texts.
const STEEP_MAX: usize = 300;
/// How many tables one FROM may have.
const TABLES_MAX: usize = 300;
/// How many queries one UNION, EXCEPT or INTERSECT may have.
const QUERIES_MAX: usize = 1_000;
/// Chains of AND and OR longer than this are made low. Low trees of up to two to the power of it stay as they are.
const LEFT_MAX: usize = 16;

/// Operators one inside the other, at most, by sort.
#[derive(Clone, Copy, Default)]
struct Depth {
    logic: usize,
    sums: usize,
    steep: usize,
}

impl Depth {
    fn max(self, other: Depth) -> Depth {
        Depth { logic: self.logic.max(other.logic), sums: self.sums.max(other.sums), steep: self.steep.max(other.steep) }
    }

    fn plus(self, other: Depth) -> Depth {
        Depth { logic: self.logic + other.logic, sums: self.sums + other.sums, steep: self.steep + other.steep }
    }
}

/// What stands within one pair of parentheses, brackets or CASE and END.
#[derive(Default)]
struct Level {
    is_case: bool,
    /// AND and OR since the last comma or clause; other operators since the last of those, too.
    logic: usize,
    chain: Depth,
    /// The deepest of its parts, and of what is nested in them.
    parts: Depth,
    nested: Depth,
    queries: usize,
}

impl Level {
    fn end_chain(&mut self) {
        self.parts = self.parts.max(std::mem::take(&mut self.chain));
    }

    fn end_part(&mut self) {
        self.end_chain();
        self.parts.logic = self.parts.logic.max(std::mem::take(&mut self.logic));
    }

    fn depth(&mut self) -> Depth {
        self.end_part();
        let one = Depth { steep: 1, ..Depth::default() };
        self.parts.plus(self.nested).plus(one)
    }
}

/// Refuses a statement whose tree would be too deep.
///
/// # Errors
/// `Error::TooComplex`.
pub(crate) fn check(tokens: &[TokenWithSpan]) -> Result<(), Error> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        let closes = match &token.token {
            Token::RParen | Token::RBracket => true,
            Token::Word(word) => {
                word.keyword == Keyword::END && word.quote_style.is_none() && levels.last().is_some_and(|level| level.is_case)
            }
            _ => false,
        };
        if closes && levels.len() > 1 {
            let depth = levels.pop().map(|mut level| level.depth()).unwrap_or_default();
            if let Some(level) = levels.last_mut() {
                level.nested = level.nested.max(depth);
            }
            continue;
        }
        match &token.token {
            Token::LBracket => {
                // A subscript of a subscript is one operator around the other.
                levels.last_mut().into_iter().for_each(|level| level.chain.steep += 1);
                levels.push(Level::default());
            }
            Token::LParen => levels.push(Level::default()),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => levels.push(Level { is_case: true, ..Level::default() }),
                other => levels.last_mut().into_iter().try_for_each(|level| entered(level, other))?,
            },
            token => levels.last_mut().into_iter().for_each(|level| passed(level, token)),
        }
    }
    // What is never closed is a syntax error, and as deep as it is till there.
    let depth = levels.iter_mut().fold(Depth::default(), |sum, level| sum.plus(level.depth()));
    refuse(depth)
}

fn refuse(depth: Depth) -> Result<(), Error> {
    let (steep, sums, all) = (depth.steep, depth.steep + depth.sums, depth.steep + depth.sums + depth.logic);
    for (found, most, what) in [
        (steep, STEEP_MAX, "operators, subscripts and parentheses"),
        (sums, SUMS_MAX, "operators of sums, products and joined texts"),
        (all, DEEP_MAX, "ANDs, ORs and other operators"),
    ] {
        if found > most {
            let message = format!("the statement is nested too deeply: {found} {what} stand in a row or one inside the other");
            return Err(raise(Error::TooComplex, message)
                .with_hint(format!("at most {most} may; IN (..), = ANY (..), VALUES and sum() have no such limit")));
        }
    }
    Ok(())
}

/// A word outside quotes.
fn entered(level: &mut Level, word: Keyword) -> Result<(), Error> {
    match word {
        Keyword::AND | Keyword::OR => {
            level.end_chain();
            level.logic += 1;
        }
        Keyword::IS
        | Keyword::NOTNULL
        | Keyword::NOT
        | Keyword::IN
        | Keyword::LIKE
        | Keyword::ILIKE
        | Keyword::SIMILAR
        | Keyword::BETWEEN
        | Keyword::COLLATE
        | Keyword::AT
        | Keyword::OPERATOR
        | Keyword::OVERLAPS
        | Keyword::ANY
        | Keyword::ALL
        | Keyword::XOR
        | Keyword::DIV
        | Keyword::REGEXP
        | Keyword::RLIKE => level.chain.steep += 1,
        Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
            level.end_part();
            level.queries += 1;
            if level.queries >= QUERIES_MAX {
                return Err(raise(Error::TooComplex, format!("more than {QUERIES_MAX} queries in one UNION"))
                    .with_hint("VALUES and ANY have no such limit"));
            }
        }
        Keyword::SELECT
        | Keyword::FROM
        | Keyword::WHERE
        | Keyword::GROUP
        | Keyword::HAVING
        | Keyword::ORDER
        | Keyword::LIMIT
        | Keyword::WHEN
        | Keyword::THEN
        | Keyword::ELSE
        | Keyword::ON
        | Keyword::VALUES
        | Keyword::WITH
        | Keyword::USING => {
            level.end_part();
        }
        _ => {}
    }
    Ok(())
}

/// Another token.
fn passed(level: &mut Level, token: &Token) {
    match token {
        Token::Comma | Token::SemiColon => level.end_part(),
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => level.chain.sums += 1,
        Token::Word(_) | Token::Number(..) | Token::Period | Token::Whitespace(_) | Token::EOF | Token::Placeholder(_) => {}
        Token::SingleQuotedString(_) | Token::DollarQuotedString(_) | Token::EscapedStringLiteral(_) => {}
        _ => level.chain.steep += 1,
    }
}

/// Makes long chains of AND and OR low, and refuses what reads too many tables, in one FROM or altogether.
///
/// # Errors
/// `Error::TooComplex`.
pub(crate) fn lower(tree: &mut Tree) -> Result<(), Error> {
    match tree.visit(&mut Lower) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => uses::check(tree),
    }
}

struct Lower;

impl VisitorMut for Lower {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_ref() else { return ControlFlow::Continue(()) };
        let tables: usize = select.from.iter().map(|table| 1 + table.joins.len()).sum();
        if tables > TABLES_MAX {
            let message = format!("{tables} tables in one FROM are more than the {TABLES_MAX} that may be");
            return ControlFlow::Break(raise(Error::TooComplex, message).with_hint("join some of them in a subquery"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr else {
            return ControlFlow::Continue(());
        };
        let op = op.clone();
        if length(expr, &op) > LEFT_MAX {
            let chain = std::mem::replace(expr, Expr::value(datafusion::sql::sqlparser::ast::Value::Null));
            *expr = low(parts(chain, &op), &op);
        }
        ControlFlow::Continue(())
    }
}

/// Operators of one sort from here to the left.
fn length(expr: &Expr, wanted: &BinaryOperator) -> usize {
    let (mut here, mut count) = (expr, 0);
    while let Expr::BinaryOp { left, op, .. } = here {
        if op != wanted {
            break;
        }
        count += 1;
        here = left;
    }
    count
}

/// What they join, in order.
fn parts(expr: Expr, wanted: &BinaryOperator) -> Vec<Expr> {
    let (mut here, mut out) = (expr, Vec::new());
    loop {
        match here {
            Expr::BinaryOp { left, op, right } if op == *wanted => {
                out.push(*right);
                here = *left;
            }
            first => {
                out.push(first);
                out.reverse();
                return out;
            }
        }
    }
}

/// All of them joined again, as a tree that is as low as it can be.
fn low(mut parts: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while parts.len() > 1 {
        let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        parts = pairs;
    }
    parts.pop().unwrap_or_else(|| Expr::value(datafusion::sql::sqlparser::ast::Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    fn checked(sql: &str) -> Result<(), Error> {
        check(&Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap())
    }

    fn chain(count: usize, between: &str) -> String {
        vec!["a"; count].join(between)
    }

    #[test]
    fn chains_have_limits() {
        for (between, most) in [(" + ", SUMS_MAX), (" || ", SUMS_MAX), (" OR ", DEEP_MAX), (" -> ", STEEP_MAX), ("::", STEEP_MAX)]
        {
            // One is the statement itself.
            assert!(checked(&chain(most, between)).is_ok(), "{most} of {between}");
            let error = checked(&chain(most + 2, between)).unwrap_err();
            assert_eq!(error.sqlstate(), "54001", "{between}");
        }
        assert!(checked(&chain(100_000, ", ")).is_ok(), "lists are not deep");
        assert!(checked(&format!("a in ({})", chain(100_000, ", "))).is_ok());
        assert!(checked(&vec!["a + b * c"; 50_000].join(" , ")).is_ok());
        assert!(checked(&format!("case {} end", vec!["when a + 1 = b then c - d"; 10_000].join(" "))).is_ok());
        assert!(checked(&vec!["select a + b"; 900].join(" union all ")).is_ok());
        assert_eq!(checked(&vec!["select a"; 2_000].join(" union all ")).unwrap_err().sqlstate(), "54001");
    }

    #[test]
    fn what_is_nested_adds_up() {
        let mut sql = chain(1_000, " + ");
        sql = format!("({sql}) * {}", chain(1_000, " + "));
        assert!(checked(&sql).is_ok());
        assert_eq!(checked(&format!("({sql}) * {}", chain(1_000, " + "))).unwrap_err().sqlstate(), "54001");
        let cases = format!("case when {} then 1 end", chain(200, " -> "));
        assert!(checked(&cases).is_ok());
        assert_eq!(checked(&format!("case when a then {cases} -> {} end", chain(200, " -> "))).unwrap_err().sqlstate(), "54001");
        assert_eq!(checked(&"(".repeat(1_000)).unwrap_err().sqlstate(), "54001");
        assert_eq!(checked(&format!("a{}", "[1]".repeat(1_000))).unwrap_err().sqlstate(), "54001");
    }

    #[test]
    fn long_conditions_are_made_low() {
        let deep = |sql: &str| {
            let mut tree = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            lower(&mut tree).unwrap();
            let text = tree.to_string();
            let Tree::Query(query) = tree else { panic!("{text}") };
            let SetExpr::Select(select) = *query.body else { panic!("{text}") };
            let (mut left, mut here) = (0, select.selection.unwrap());
            while let Expr::BinaryOp { left: next, .. } = here {
                (left, here) = (left + 1, *next);
            }
            (left, text)
        };
        let condition = (0..1_000).map(|at| format!("a = {at}")).collect::<Vec<_>>().join(" OR ");
        let (left, text) = deep(&format!("SELECT 1 WHERE {condition}"));
        assert_eq!((left, text), (11, format!("SELECT 1 WHERE {condition}")), "the parts keep their order");
        let few = "SELECT 1 WHERE a = 1 AND b = 2 AND c = 3";
        assert_eq!(deep(few), (3, few.to_owned()), "short ones stay as they are");
    }

    #[test]
    fn a_from_has_a_limit() {
        let mut tree = Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT 1 FROM {}", chain(TABLES_MAX + 1, ", ")))
            .unwrap()
            .remove(0);
        assert_eq!(lower(&mut tree).unwrap_err().sqlstate(), "54001");
    }
}
