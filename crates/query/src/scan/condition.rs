//! What of a filter the kernel can be asked for: conditions on the tag alone, ranges of time, and
//! good quality. Everything else stays with DataFusion.
//!
//! Promises: a condition that is `exact` keeps exactly the rows that the expression keeps.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};
use types::{Quality, TimeRange, Timestamp};

/// A condition that the kernel can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// An expression over the column `tag` alone.
    Tag(Expr),
    /// A range of time.
    Time(TimeRange),
    /// Only good quality.
    Good,
}

/// What a filter asks of the kernel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub condition: Condition,
    /// Whether the filter need not be applied again.
    pub exact: bool,
}

/// What one conjunct of a filter asks for.
pub(crate) fn asked(expr: &Expr) -> Option<Asked> {
    if only_tag(expr) {
        return Some(Asked { condition: Condition::Tag(expr.clone()), exact: true });
    }
    if let Some((range, exact)) = range_of(expr) {
        return Some(Asked { condition: Condition::Time(range), exact });
    }
    is_good(expr).then_some(Asked { condition: Condition::Good, exact: true })
}

/// The name of a column.
pub(crate) fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name()),
        _ => None,
    }
}

/// Whether an expression depends on the tag and nothing else, the same at every row of a tag.
fn only_tag(expr: &Expr) -> bool {
    let mut seen = false;
    let mut fits = true;
    // The closure returns no error.
    let _ = expr.apply(|node| {
        match node {
            Expr::Column(column) if column.name() == "tag" => seen = true,
            Expr::Column(_) | Expr::Placeholder(_) | Expr::OuterReferenceColumn(..) => fits = false,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => fits = false,
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::Unnest(_) => fits = false,
            Expr::ScalarFunction(ScalarFunction { func, .. }) if func.signature().volatility == Volatility::Volatile => {
                fits = false
            }
            _ => {}
        }
        Ok(if fits { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    seen && fits
}

/// The microseconds of a time written in the plan.
pub(crate) fn literal_us(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), _), _) => Some(*us),
        _ => None,
    }
}

/// The range of time in which an expression can hold, and whether it holds in all of it.
fn range_of(expr: &Expr) -> Option<(TimeRange, bool)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => match (range_of(left), range_of(right)) {
            (Some((a, exact_a)), Some((b, exact_b))) => Some((a.intersect(&b), exact_a && exact_b)),
            (Some((range, _)), None) | (None, Some((range, _))) => Some((range, false)),
            (None, None) => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((a, _), (b, _)) = (range_of(left)?, range_of(right)?);
            let hull = match (a.is_empty(), b.is_empty()) {
                (true, _) => b,
                (_, true) => a,
                _ => TimeRange { first: a.first.min(b.first), last: a.last.max(b.last) },
            };
            Some((hull, false))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if column_name(left) == Some("time") => {
            compared(*op, literal_us(right)?).map(|range| (range, true))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if column_name(right) == Some("time") => {
            compared(op.swap()?, literal_us(left)?).map(|range| (range, true))
        }
        Expr::Between(between) if !between.negated && column_name(&between.expr) == Some("time") => {
            let (first, last) = (literal_us(&between.low)?, literal_us(&between.high)?);
            Some((TimeRange { first: Timestamp(first), last: Timestamp(last) }, true))
        }
        Expr::InList(list) if !list.negated && column_name(&list.expr) == Some("time") => {
            let times = list.list.iter().map(literal_us).collect::<Option<Vec<_>>>()?;
            let (first, last) = (times.iter().min()?, times.iter().max()?);
            Some((TimeRange { first: Timestamp(*first), last: Timestamp(*last) }, first == last))
        }
        _ => None,
    }
}

const EMPTY: TimeRange = TimeRange { first: Timestamp::MAX, last: Timestamp::MIN };

fn compared(op: Operator, us: i64) -> Option<TimeRange> {
    let until = |last: Option<i64>| last.map_or(EMPTY, |last| TimeRange { first: Timestamp::MIN, last: Timestamp(last) });
    let from = |first: Option<i64>| first.map_or(EMPTY, |first| TimeRange { first: Timestamp(first), last: Timestamp::MAX });
    Some(match op {
        Operator::Eq => TimeRange::at(Timestamp(us)),
        Operator::Lt => until(us.checked_sub(1)),
        Operator::LtEq => until(Some(us)),
        Operator::Gt => from(us.checked_add(1)),
        Operator::GtEq => from(Some(us)),
        _ => return None,
    })
}

/// Whether an expression keeps the good qualities and no others: the highest quarter of the byte.
fn is_good(expr: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return false };
    let number = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Int16(Some(number)), _) => Some(i64::from(*number)),
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => Some(*number),
        _ => None,
    };
    let good = i64::from(Quality::GOOD.0);
    match (column_name(left), number(right), number(left), column_name(right)) {
        (Some("quality"), Some(number), _, _) => {
            (*op == Operator::GtEq && number == good) || (*op == Operator::Gt && number == good - 1)
        }
        (_, _, Some(number), Some("quality")) => {
            (*op == Operator::LtEq && number == good) || (*op == Operator::Lt && number == good - 1)
        }
        _ => false,
    }
}

/// The names that an expression allows, where it is a list of names: `tag = 'a'`, `tag IN (..)`, ORs of them.
pub(crate) fn names_of(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (column_name(left), column_name(right)) {
            (Some("tag"), None) => text(right).map(|name| vec![name]),
            (None, Some("tag")) => text(left).map(|name| vec![name]),
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut names = names_of(left)?;
            names.extend(names_of(right)?);
            Some(names)
        }
        Expr::InList(list) if !list.negated && column_name(&list.expr) == Some("tag") => list.list.iter().map(text).collect(),
        _ => None,
    }
}

/// The beginning that every name must have: of `tag LIKE 'abc%'` and `starts_with(tag, 'abc')`.
pub(crate) fn prefix_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Like(like)
            if !like.negated
                && !like.case_insensitive
                && like.escape_char.is_none()
                && column_name(&like.expr) == Some("tag") =>
        {
            let pattern = text(&like.pattern)?;
            let end = pattern.find(['%', '_', '\\']).unwrap_or(pattern.len());
            (end > 0).then(|| pattern[..end].to_owned())
        }
        Expr::ScalarFunction(call)
            if call.func.name() == "starts_with" && call.args.len() == 2 && column_name(&call.args[0]) == Some("tag") =>
        {
            text(&call.args[1])
        }
        _ => None,
    }
}

/// The regular expression of `tag ~ 'pattern'`.
pub(crate) fn pattern_of(expr: &Expr) -> Option<regex::Regex> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::RegexMatch, right }) = expr else { return None };
    (column_name(left) == Some("tag")).then(|| regex::Regex::new(&text(right)?).ok()).flatten()
}

/// A text written in the plan.
pub(crate) fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), _) => text.clone(),
        Expr::Cast(cast) => text(&cast.expr),
        _ => None,
    }
}
