//! Conditions on tags, as in `GRANT SELECT ON TAGS WHERE name LIKE 'plant.%' AND labels['site'] = 'north'`.
//!
//! Promises: a condition means what the same words mean in a query (NULL where a tag has no such label; only true lets in);
//! its text is the one that reads back as itself; `select` names exactly the tags for which it is true.
//! May not know who asks.

use crate::error::{Error, from_parser, raise};
use catalog::{Catalog, LabelCondition, TagFilter};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::parser::Parser;
use regex::Regex;
use std::fmt;
use types::TagId;

/// The longest text of a condition, in bytes.
const BYTES_MAX: usize = 64 << 10;
/// How deep it may nest.
const DEPTH_MAX: usize = 60;

/// What a tag is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Label(String),
}

/// How it is asked.
#[derive(Clone, Debug)]
enum Test {
    OneOf(Vec<String>),
    /// A pattern of LIKE (or ILIKE), and what it is as a regular expression.
    Like {
        pattern: String,
        insensitive: bool,
        regex: Regex,
    },
    Match {
        pattern: String,
        insensitive: bool,
        regex: Regex,
    },
    IsNull,
}

#[derive(Clone, Debug)]
enum Node {
    Constant(bool),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Test(Field, Test),
}

/// A condition on tags.
#[derive(Clone, Debug)]
pub(crate) struct TagCondition {
    root: Node,
}

fn unsupported(what: &impl fmt::Display) -> Error {
    raise(Error::Unsupported, format!("a condition on tags can't be: {what}"))
        .with_hint("compare name or labels['key'] with =, <>, IN, LIKE, ILIKE, ~ or IS NULL, and join such with AND, OR and NOT")
}

impl TagCondition {
    /// Reads one.
    ///
    /// # Errors
    /// `Error::Syntax`, `Error::Unsupported`, `Error::InvalidRegex`, `Error::TooComplex`.
    pub(crate) fn parse(text: &str) -> Result<TagCondition, Error> {
        if text.len() > BYTES_MAX {
            return Err(raise(Error::TooComplex, format!("a condition of {} bytes is longer than {BYTES_MAX}", text.len())));
        }
        let dialect = crate::dialect::Postgres;
        let mut parser = Parser::new(&dialect)
            .with_recursion_limit(DEPTH_MAX)
            .try_with_sql(text)
            .map_err(|error| from_parser(&error, text))?;
        let expr = parser.parse_expr().map_err(|error| from_parser(&error, text))?;
        let next = parser.peek_token();
        if next.token != datafusion::sql::sqlparser::tokenizer::Token::EOF {
            return Err(raise(Error::Syntax, format!("syntax error at or near \"{}\"", next.token)));
        }
        Ok(TagCondition { root: node(&expr)? })
    }

    /// Whether it is true of a tag.
    pub(crate) fn holds(&self, name: &str, labels: &[(String, String)]) -> bool {
        self.root.value(name, Some(labels)) == Some(true)
    }

    /// What can be said of a tag of that name whose labels are not known: None where they decide.
    pub(crate) fn of_name(&self, name: &str) -> Option<bool> {
        self.root.value(name, None)
    }

    /// Whether labels count.
    pub(crate) fn asks_labels(&self) -> bool {
        self.root.asks_labels()
    }

    /// Whether it is true of a tag of the catalog, whose name is known.
    pub(crate) fn holds_of(&self, catalog: &Catalog, tag: TagId, name: &str) -> bool {
        if self.asks_labels() {
            return catalog.get(tag).is_some_and(|tag| self.holds(&tag.definition.name, &tag.definition.labels));
        }
        self.of_name(name) == Some(true)
    }

    /// The tags for which it is true, rising.
    pub(crate) fn select(&self, catalog: &Catalog) -> Vec<TagId> {
        self.root.select(catalog)
    }
}

impl Node {
    /// SQL's logic: None is NULL.
    fn value(&self, name: &str, labels: Option<&[(String, String)]>) -> Option<bool> {
        match self {
            Node::Constant(value) => Some(*value),
            Node::And(parts) => parts
                .iter()
                .try_fold(Some(true), |all, part| match part.value(name, labels) {
                    Some(false) => Err(()),
                    value => Ok(if value.is_none() { None } else { all }),
                })
                .unwrap_or(Some(false)),
            Node::Or(parts) => parts
                .iter()
                .try_fold(Some(false), |all, part| match part.value(name, labels) {
                    Some(true) => Err(()),
                    value => Ok(if value.is_none() { None } else { all }),
                })
                .unwrap_or(Some(true)),
            Node::Not(part) => part.value(name, labels).map(|value| !value),
            Node::Test(Field::Name, test) => test.value(Some(name)),
            Node::Test(Field::Label(key), test) => {
                let labels = labels?;
                test.value(labels.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str()))
            }
        }
    }

    fn asks_labels(&self) -> bool {
        match self {
            Node::Constant(_) => false,
            Node::And(parts) | Node::Or(parts) => parts.iter().any(Node::asks_labels),
            Node::Not(part) => part.asks_labels(),
            Node::Test(field, _) => matches!(field, Field::Label(_)),
        }
    }

    fn select(&self, catalog: &Catalog) -> Vec<TagId> {
        if let Node::Or(parts) = self {
            let mut all: Vec<TagId> = parts.iter().flat_map(|part| part.select(catalog)).collect();
            all.sort_unstable();
            all.dedup();
            return all;
        }
        let mut filter = TagFilter::default();
        let exact = self.narrow(&mut filter);
        let mut found = match &filter.names {
            // Only a few: each is looked at.
            Some(names) if !names.is_empty() => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut found: Vec<TagId> = catalog.find_many(&names).into_iter().flatten().collect();
                found.sort_unstable();
                found.dedup();
                found
            }
            _ => catalog.select(&filter),
        };
        if exact && filter.names.is_none() {
            return found;
        }
        if self.asks_labels() {
            found.retain(|tag| {
                let tag = catalog.get(*tag);
                tag.is_some_and(|tag| self.value(&tag.definition.name, Some(&tag.definition.labels)) == Some(true))
            });
            return found;
        }
        let mut kept = Vec::with_capacity(found.len());
        catalog.names(&found, |name| kept.push(name.is_some_and(|name| self.value(name, Some(&[])) == Some(true))));
        let mut kept = kept.into_iter();
        found.retain(|_| kept.next().unwrap_or(false));
        found
    }

    /// Narrows a filter of the catalog's to what can fit; whether it then says all.
    fn narrow(&self, filter: &mut TagFilter) -> bool {
        match self {
            Node::Constant(value) => *value,
            Node::And(parts) => {
                let mut exact = true;
                for part in parts {
                    exact &= part.narrow(filter);
                }
                exact
            }
            Node::Or(_) | Node::Not(_) => false,
            Node::Test(field, test) => test.narrow(field, filter),
        }
    }
}

impl Test {
    fn value(&self, text: Option<&str>) -> Option<bool> {
        if let Test::IsNull = self {
            return Some(text.is_none());
        }
        let text = text?;
        Some(match self {
            Test::OneOf(values) => values.iter().any(|value| value == text),
            Test::Like { regex, .. } | Test::Match { regex, .. } => regex.is_match(text),
            Test::IsNull => false,
        })
    }

    fn narrow(&self, field: &Field, filter: &mut TagFilter) -> bool {
        match (field, self) {
            (Field::Name, Test::OneOf(values)) if filter.names.is_none() => {
                filter.names = Some(values.clone());
                false
            }
            (Field::Name, Test::Like { pattern, insensitive: false, .. }) if filter.prefix.is_none() => {
                let end = pattern.find(['%', '_', '\\']).unwrap_or(pattern.len());
                filter.prefix = (end > 0).then(|| pattern[..end].to_owned());
                end > 0 && &pattern[end..] == "%"
            }
            (Field::Name, Test::Match { regex, .. }) if filter.pattern.is_none() => {
                filter.pattern = Some(regex.clone());
                true
            }
            (Field::Label(key), Test::OneOf(values)) => {
                filter.conditions.push(LabelCondition::OneOf(key.clone(), values.clone()));
                true
            }
            (Field::Label(key), Test::IsNull) => {
                filter.conditions.push(LabelCondition::Absent(key.clone()));
                true
            }
            _ => false,
        }
    }
}

fn node(expr: &Expr) -> Result<Node, Error> {
    let negated = |negated: bool, node: Node| if negated { Node::Not(Box::new(node)) } else { node };
    Ok(match expr {
        Expr::Nested(inner) => node(inner)?,
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Node::Not(Box::new(node(expr)?)),
        Expr::Value(value) => match &value.value {
            Value::Boolean(value) => Node::Constant(*value),
            other => return Err(unsupported(other)),
        },
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => Node::And(vec![node(left)?, node(right)?]),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => Node::Or(vec![node(left)?, node(right)?]),
        Expr::BinaryOp { left, op, right } => compared(expr, left, op, right)?,
        Expr::InList { expr: of, list, negated: not } => {
            let values = list.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(|| unsupported(expr))?;
            negated(*not, Node::Test(field(of).ok_or_else(|| unsupported(expr))?, Test::OneOf(values)))
        }
        Expr::Like { negated: not, any: false, expr: of, pattern, escape_char } => {
            negated(*not, like(expr, of, pattern, escape_char.is_some(), false)?)
        }
        Expr::ILike { negated: not, any: false, expr: of, pattern, escape_char } => {
            negated(*not, like(expr, of, pattern, escape_char.is_some(), true)?)
        }
        Expr::IsNull(of) => Node::Test(field(of).ok_or_else(|| unsupported(expr))?, Test::IsNull),
        Expr::IsNotNull(of) => Node::Not(Box::new(Node::Test(field(of).ok_or_else(|| unsupported(expr))?, Test::IsNull))),
        other => return Err(unsupported(other)),
    })
}

fn compared(whole: &Expr, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Node, Error> {
    let not = |node: Node| Node::Not(Box::new(node));
    let (found, value) = match (field(left), text(right)) {
        (Some(found), Some(value)) => (found, value),
        _ => match (op, field(right), text(left)) {
            (BinaryOperator::Eq | BinaryOperator::NotEq, Some(found), Some(value)) => (found, value),
            _ => return Err(unsupported(whole)),
        },
    };
    let matched = |insensitive: bool| -> Result<Node, Error> {
        let regex = regex(&value, insensitive)?;
        Ok(Node::Test(found.clone(), Test::Match { pattern: value.clone(), insensitive, regex }))
    };
    Ok(match op {
        BinaryOperator::Eq => Node::Test(found, Test::OneOf(vec![value])),
        BinaryOperator::NotEq => not(Node::Test(found, Test::OneOf(vec![value]))),
        BinaryOperator::PGRegexMatch => matched(false)?,
        BinaryOperator::PGRegexIMatch => matched(true)?,
        BinaryOperator::PGRegexNotMatch => not(matched(false)?),
        BinaryOperator::PGRegexNotIMatch => not(matched(true)?),
        BinaryOperator::PGLikeMatch => like(whole, left, right, false, false)?,
        BinaryOperator::PGILikeMatch => like(whole, left, right, false, true)?,
        _ => return Err(unsupported(whole)),
    })
}

fn like(whole: &Expr, of: &Expr, pattern: &Expr, escapes: bool, insensitive: bool) -> Result<Node, Error> {
    let (Some(found), Some(pattern), false) = (field(of), text(pattern), escapes) else { return Err(unsupported(whole)) };
    let mut out = String::from("(?s)^");
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => {
                let next =
                    letters.next().ok_or_else(|| raise(Error::InvalidText, "LIKE pattern must not end with escape character"))?;
                out.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            }
            letter => out.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push('$');
    let regex = regex(&out, insensitive)?;
    Ok(Node::Test(found, Test::Like { pattern, insensitive, regex }))
}

fn regex(pattern: &str, insensitive: bool) -> Result<Regex, Error> {
    let built = regex::RegexBuilder::new(pattern).case_insensitive(insensitive).build();
    built.map_err(|error| raise(Error::InvalidRegex, format!("invalid regular expression: {error}")))
}

/// What of a tag an expression is.
fn field(expr: &Expr) -> Option<Field> {
    let is = |expr: &Expr, name: &str| matches!(expr, Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case(name));
    match expr {
        Expr::Nested(inner) => field(inner),
        Expr::Identifier(_) if is(expr, "name") || is(expr, "tag") => Some(Field::Name),
        Expr::CompoundFieldAccess { root, access_chain } if is(root, "labels") => match access_chain.as_slice() {
            [AccessExpr::Subscript(Subscript::Index { index })] => text(index).map(Field::Label),
            _ => None,
        },
        Expr::BinaryOp { left, op: BinaryOperator::LongArrow, right } if is(left, "labels") => text(right).map(Field::Label),
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("label") => {
            let FunctionArguments::List(list) = &call.args else { return None };
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(of)), FunctionArg::Unnamed(FunctionArgExpr::Expr(key))]
                    if is(of, "name") || is(of, "tag") =>
                {
                    text(key).map(Field::Label)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) => text(inner),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text.clone()),
            Value::DollarQuotedString(text) => Some(text.value.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Name => out.write_str("name"),
            Field::Label(key) => write!(out, "labels[{}]", quoted(key)),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |parts: &[Node], word: &str| {
            let part = |part: &Node| match part {
                Node::And(_) | Node::Or(_) => format!("({part})"),
                part => part.to_string(),
            };
            parts.iter().map(part).collect::<Vec<_>>().join(word)
        };
        match self {
            Node::Constant(value) => write!(out, "{value}"),
            Node::And(parts) => out.write_str(&joined(parts, " AND ")),
            Node::Or(parts) => out.write_str(&joined(parts, " OR ")),
            Node::Not(part) => match part.as_ref() {
                Node::Test(field, Test::IsNull) => write!(out, "{field} IS NOT NULL"),
                Node::Test(field, Test::OneOf(values)) if values.len() == 1 => write!(out, "{field} <> {}", quoted(&values[0])),
                part => write!(out, "NOT ({part})"),
            },
            Node::Test(field, Test::IsNull) => write!(out, "{field} IS NULL"),
            Node::Test(field, Test::OneOf(values)) => match values.as_slice() {
                [value] => write!(out, "{field} = {}", quoted(value)),
                values => write!(out, "{field} IN ({})", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")),
            },
            Node::Test(field, Test::Like { pattern, insensitive, .. }) => {
                write!(out, "{field} {} {}", if *insensitive { "ILIKE" } else { "LIKE" }, quoted(pattern))
            }
            Node::Test(field, Test::Match { pattern, insensitive, .. }) => {
                write!(out, "{field} {} {}", if *insensitive { "~*" } else { "~" }, quoted(pattern))
            }
        }
    }
}

impl fmt::Display for TagCondition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_back_from_its_text() {
        for (text, shown) in [
            ("name LIKE 'plant.%'", "name LIKE 'plant.%'"),
            ("(tag = 'a')", "name = 'a'"),
            ("labels ->> 'site' IN ('x', 'y')", "labels['site'] IN ('x', 'y')"),
            ("label(name, 'it''s') IS NOT NULL", "labels['it''s'] IS NOT NULL"),
            ("name ~ '^a' AND NOT labels['k'] = 'v' OR name = 'b'", "(name ~ '^a' AND labels['k'] <> 'v') OR name = 'b'"),
            ("name !~* 'x' AND (name NOT ILIKE 'Y_' OR true)", "NOT (name ~* 'x') AND (NOT (name ILIKE 'Y_') OR true)"),
            ("NOT (name = 'a' OR 'b' = name)", "NOT (name = 'a' OR name = 'b')"),
            ("NOT name IN ('a', 'b')", "NOT (name IN ('a', 'b'))"),
        ] {
            let read = TagCondition::parse(text).unwrap();
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(TagCondition::parse(shown).unwrap().to_string(), shown);
        }
        for (text, state) in [
            ("", "42601"),
            ("name", "0A000"),
            ("unit = 'kV'", "0A000"),
            ("name = unit", "0A000"),
            ("name ~ '('", "2201B"),
            ("name = 'a' name", "42601"),
            ("name LIKE 'a#%' ESCAPE '#'", "0A000"),
            ("name LIKE 'a\\'", "22P02"),
            ("name = (SELECT 'a')", "0A000"),
        ] {
            assert_eq!(TagCondition::parse(text).map_err(|error| error.sqlstate()).err(), Some(state), "{text}");
        }
    }

    #[test]
    fn a_condition_is_true_of_tags_as_in_a_query() {
        let site = |value: &str| vec![("site".to_owned(), value.to_owned())];
        for (text, name, labels, holds) in [
            ("name LIKE 'plant.%'", "plant.a", vec![], true),
            ("name LIKE 'plant.%'", "plants", vec![], false),
            ("name LIKE 'a\\_b'", "a_b", vec![], true),
            ("name LIKE 'a\\_b'", "axb", vec![], false),
            ("name LIKE 'a_b'", "a\nb", vec![], true),
            ("name ~ 'lan'", "plant", vec![], true),
            ("labels['site'] = 'x'", "a", site("x"), true),
            ("labels['site'] = 'x'", "a", vec![], false),
            // A label that is not there is NULL, and NOT NULL is NULL.
            ("labels['site'] <> 'x'", "a", vec![], false),
            ("NOT labels['site'] = 'x'", "a", site("y"), true),
            ("labels['site'] IS NULL", "a", vec![], true),
            ("labels['site'] = 'x' OR name = 'a'", "a", vec![], true),
        ] {
            assert_eq!(TagCondition::parse(text).unwrap().holds(name, &labels), holds, "{text} of {name}");
        }
        let both = TagCondition::parse("name LIKE 'p%' AND labels['site'] = 'x'").unwrap();
        assert_eq!((both.of_name("q"), both.of_name("p")), (Some(false), None));
    }
}
