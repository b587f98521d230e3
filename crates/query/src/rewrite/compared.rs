//! Rows compared column by column, and operators that have a function's name elsewhere.
//!
//! - `(a, b) IN ((1, 2), ..)` is, for some pair, `a = 1 AND b = 2`; beside it stands `a IN (..) AND b IN (..)`, which
//!   is true, false or NULL wherever the whole is so or it is true, and which scans can be pruned by;
//! - `(a, b) < (c, d)` is `a < c OR (a = c AND b < d)`, and so on: what pages by a key;
//! - `|/ x`, `||/ x` and `@ x` are `sqrt`, `cbrt` and `abs`, `~x` is `-1 - x`; `x SIMILAR TO pattern` is a regular expression.

use super::selects::call;
use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

/// The columns of a row, `(a, b)` or `ROW(a, b)`.
fn columns(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(columns) => Some(columns.clone()),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            list.args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                    _ => None,
                })
                .collect()
        }
        _ => None,
    }
}

fn nested(expr: Expr) -> Box<Expr> {
    Box::new(Expr::Nested(Box::new(expr)))
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: nested(left), op, right: nested(right) }
}

/// All of them joined by one operator, as a tree that is as low as it can be.
fn joined(mut parts: Vec<Expr>, op: &BinaryOperator) -> Option<Expr> {
    while parts.len() > 1 {
        let mut pairs = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => binary(left, op.clone(), right),
                None => left,
            });
        }
        parts = pairs;
    }
    parts.pop()
}

fn same_length(left: &[Expr], right: &[Expr]) -> Result<(), Error> {
    if left.len() == right.len() && !left.is_empty() {
        return Ok(());
    }
    Err(raise(Error::Syntax, "unequal number of entries in row expressions"))
}

fn equal(left: &[Expr], right: &[Expr]) -> Option<Expr> {
    let pairs = left.iter().zip(right).map(|(left, right)| binary(left.clone(), BinaryOperator::Eq, right.clone()));
    joined(pairs.collect(), &BinaryOperator::And)
}

/// Whether the left row comes before (or after) the right one.
fn ordered(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    let strict = match op {
        BinaryOperator::LtEq => &BinaryOperator::Lt,
        BinaryOperator::GtEq => &BinaryOperator::Gt,
        other => other,
    };
    let last = left.len() - 1;
    let mut out = binary(left[last].clone(), op.clone(), right[last].clone());
    for at in (0..last).rev() {
        let (left, right) = (&left[at], &right[at]);
        let here = binary(left.clone(), strict.clone(), right.clone());
        let later = binary(binary(left.clone(), BinaryOperator::Eq, right.clone()), BinaryOperator::And, out);
        out = binary(here, BinaryOperator::Or, later);
    }
    Some(out)
}

fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    match op {
        Eq => equal(left, right),
        NotEq => Some(Expr::UnaryOp { op: UnaryOperator::Not, expr: nested(equal(left, right)?) }),
        Lt | LtEq | Gt | GtEq => ordered(left, op, right),
        _ => None,
    }
}

fn among(row: &[Expr], list: &[Vec<Expr>], negated: bool) -> Option<Expr> {
    let whole = joined(list.iter().filter_map(|item| equal(row, item)).collect(), &BinaryOperator::Or)?;
    let mut parts: Vec<Expr> = row
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let mut values: Vec<Expr> = Vec::with_capacity(list.len());
            let mut seen = std::collections::HashSet::new();
            for item in list {
                if seen.insert(item[at].to_string()) {
                    values.push(item[at].clone());
                }
            }
            Expr::InList { expr: Box::new(column.clone()), list: values, negated: false }
        })
        .collect();
    parts.push(whole);
    let all = joined(parts, &BinaryOperator::And)?;
    Some(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: nested(all) } } else { Expr::Nested(Box::new(all)) })
}

/// A pattern of SIMILAR TO as a regular expression for the whole text.
fn similar(pattern: &str) -> String {
    let mut out = String::from("^(?s:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if let Some(next) = chars.next() {
                    out.push('\\');
                    out.push(next);
                }
            }
            '[' | ']' => {
                in_class = c == '[';
                out.push(c);
            }
            _ if in_class => out.push(c),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '.' | '^' | '$' => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    out
}

/// Rewrites an expression that compares rows, or has one of the operators.
pub(super) fn expr(expr: &mut Expr) -> Result<(), Error> {
    let instead = match expr {
        Expr::InList { expr: row, list, negated } => {
            let Some(row) = columns(row) else { return Ok(()) };
            let Some(list) = list.iter().map(columns).collect::<Option<Vec<_>>>() else { return Ok(()) };
            list.iter().try_for_each(|item| same_length(&row, item))?;
            among(&row, &list, *negated)
        }
        Expr::BinaryOp { left, op, right } => {
            let (Some(left), Some(right)) = (columns(left), columns(right)) else { return Ok(()) };
            same_length(&left, &right)?;
            compared(&left, op, &right).map(|compared| Expr::Nested(Box::new(compared)))
        }
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: of } => {
            let minus_one = Expr::value(Value::Number("-1".to_owned(), false));
            Some(Expr::Nested(Box::new(binary(minus_one, BinaryOperator::Minus, of.as_ref().clone()))))
        }
        Expr::UnaryOp { op, expr: of } => {
            let name = match op {
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGAbs => "abs",
                _ => return Ok(()),
            };
            Some(call(name, vec![of.as_ref().clone()]))
        }
        Expr::SimilarTo { negated, expr: text, pattern, escape_char: None } => {
            let Expr::Value(value) = pattern.as_ref() else { return Ok(()) };
            let Value::SingleQuotedString(pattern) = &value.value else { return Ok(()) };
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            Some(binary(text.as_ref().clone(), op, Expr::value(Value::SingleQuotedString(similar(pattern)))))
        }
        Expr::Collate { expr: text, collation } => {
            // Texts are compared by their bytes, which is what these mean.
            let own = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_ascii_lowercase());
            if !["c", "posix", "ucs_basic"].contains(&own.unwrap_or_default().as_str()) {
                return Ok(());
            }
            Some(text.as_ref().clone())
        }
        Expr::Value(value) => match &value.value {
            Value::UnicodeStringLiteral(text) => Some(Expr::value(Value::SingleQuotedString(text.clone()))),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    if let Some(instead) = instead {
        *expr = instead;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn rewritten(sql: &str) -> String {
        let mut parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap().parse_expr().unwrap();
        expr(&mut parsed).unwrap();
        parsed.to_string()
    }

    #[test]
    fn rows_become_columns() {
        assert_eq!(rewritten("(a, b) = (1, 2)"), "(((a) = (1)) AND ((b) = (2)))");
        assert_eq!(rewritten("(a, b) >= (1, 2)"), "(((a) > (1)) OR (((a) = (1)) AND ((b) >= (2))))");
        assert_eq!(rewritten("(a) in (1)"), "(a) IN (1)");
        assert!(rewritten("(a, b) in ((1, 2), (1, 3))").contains("(a IN (1)) AND (b IN (2, 3))"));
        let mut uneven = Parser::new(&PostgreSqlDialect {}).try_with_sql("(a, b) = (1, 2, 3)").unwrap().parse_expr().unwrap();
        assert_eq!(expr(&mut uneven).unwrap_err().sqlstate(), "42601");
    }

    #[test]
    fn patterns_of_similar_to() {
        assert_eq!(similar("a%_(b|c)[%._]{2}.\\%"), "^(?s:a.*.(b|c)[%._]{2}\\.\\%)$");
    }
}
