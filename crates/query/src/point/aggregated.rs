//! Recognises aggregates of samples by tag and bins of time.

use super::question::{Item, Question, Totals};
use super::recognise::{Conditions, Reader, Scope, folded, value};
use crate::rewrite::order_keys;
use crate::schema::time_type;
use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Interval, Query, Select, SelectItem, Value,
};
use kernel::Bins;
use types::Timestamp;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// A length of time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub us: i64,
    /// Whether it is told in days, whose length is the calendar's where times are counted with it.
    pub days: bool,
}

/// The length of `'15 minutes'`: a number and a unit. None for anything else that an interval may be.
pub(super) fn length(text: &str) -> Option<Length> {
    let (number, unit) = text.trim().split_once(' ')?;
    let number: i64 = number.parse().ok()?;
    let (us, days) = match unit.trim().to_lowercase().as_str() {
        "microsecond" | "microseconds" => (1, false),
        "millisecond" | "milliseconds" => (1000, false),
        "second" | "seconds" => (SECOND_US, false),
        "minute" | "minutes" => (60 * SECOND_US, false),
        "hour" | "hours" => (3600 * SECOND_US, false),
        "day" | "days" => (DAY_US, true),
        "week" | "weeks" => (7 * DAY_US, true),
        _ => return None,
    };
    Some(Length { us: number.checked_mul(us)?, days })
}

/// The length that an expression of type interval, or a text that becomes one, says.
pub(super) fn length_of(expr: &Expr) -> Option<Length> {
    let inner = match expr {
        Expr::Interval(Interval { value, leading_field: None, leading_precision: None, last_field: None, .. }) => value,
        Expr::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("interval") => expr,
        expr => expr,
    };
    match value(inner)? {
        Value::SingleQuotedString(text) => length(text),
        _ => None,
    }
}

/// The arguments of a plain call.
pub(super) fn arguments(function: &Function) -> Option<(String, &[FunctionArg])> {
    let [name] = function.name.0.as_slice() else { return None };
    let bare = matches!(function.parameters, FunctionArguments::None)
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.over.is_none()
        && function.within_group.is_empty();
    let name = folded(name.as_ident()?);
    match &function.args {
        FunctionArguments::None if bare => Some((name, &[])),
        FunctionArguments::List(list) if bare && list.duplicate_treatment.is_none() && list.clauses.is_empty() => {
            Some((name, &list.args))
        }
        _ => None,
    }
}

fn plain(argument: &FunctionArg) -> Option<&Expr> {
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument { Some(expr) } else { None }
}

fn field_of(item: Item) -> Field {
    let kind = match item {
        Item::Tag => DataType::Utf8View,
        Item::Bin | Item::FirstTime | Item::LastTime => time_type(),
        Item::Count => DataType::Int64,
        _ => DataType::Float64,
    };
    Field::new("", kind, true)
}

/// What a SELECT list, GROUP BY and ORDER BY say of groups.
struct Grouping {
    items: Vec<Item>,
    names: Vec<Option<String>>,
    bins: Option<Bins>,
}

impl Reader {
    /// Aggregates, and their columns.
    pub(super) fn totals(
        &mut self,
        scope: &Scope,
        select: &Select,
        query: &Query,
        found: Conditions,
    ) -> Option<(Question, Vec<Field>)> {
        let mut grouping = Grouping { items: Vec::new(), names: Vec::new(), bins: None };
        for item in &select.projection {
            let (expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => (expr, None),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(folded(alias))),
                _ => return None,
            };
            let item = self.item(scope, expr, &mut grouping.bins)?;
            grouping.items.push(item);
            grouping.names.push(name);
        }
        let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return None };
        if !modifiers.is_empty() || grouping.items.is_empty() {
            return None;
        }
        let shows_bins = grouping.bins;
        let (mut by_tag, mut by_bin) = (false, false);
        for key in keys {
            match self.key(scope, key, &mut grouping, false)? {
                Item::Tag => by_tag = true,
                Item::Bin => by_bin = true,
                _ => return None,
            }
        }
        let shown = |item| grouping.items.contains(&item);
        // Whatever is shown must be grouped by; bins of ORDER BY alone are left to a plan.
        if (shown(Item::Tag) && !by_tag) || (shows_bins.is_some() && !by_bin) {
            return None;
        }
        let bins = grouping.bins.filter(|_| by_bin);
        let mut order = Vec::new();
        for key in order_keys(query.order_by.as_ref())? {
            if key.options.nulls_first.is_some() {
                return None;
            }
            let item = self.key(scope, &key.expr, &mut grouping, true)?;
            let grouped = (item == Item::Tag && by_tag) || (item == Item::Bin && by_bin && grouping.bins == bins);
            grouped.then(|| order.push((item, key.options.asc == Some(false))))?;
        }
        let limit = self.limited(query)?;
        let fields = grouping.items.iter().map(|item| field_of(*item)).collect();
        let (tags, lows, highs) = (found.tags?, found.lows, found.highs);
        let totals = Totals { tags, lows, highs, bins, by_tag, items: grouping.items, order, limit };
        Some((Question::Totals(totals), fields))
    }

    /// What a key names: an item by its number or its alias, or the tag or bins by themselves. GROUP BY prefers a column of
    /// the table to an alias, ORDER BY an alias.
    fn key(&mut self, scope: &Scope, expr: &Expr, grouping: &mut Grouping, ordering: bool) -> Option<Item> {
        if let Some(Value::Number(number, _)) = value(expr) {
            let number: usize = number.parse().ok()?;
            return grouping.items.get(number.checked_sub(1)?).copied();
        }
        if let Expr::Identifier(name) = expr {
            let name = folded(name);
            let is_column = scope.has(&name);
            if ordering || !is_column {
                let mut named = grouping.names.iter().zip(&grouping.items).filter(|(alias, _)| alias.as_ref() == Some(&name));
                match (named.next(), named.next()) {
                    (Some((_, item)), None) => return Some(*item),
                    (Some(_), Some(_)) => return None,
                    (None, _) => {}
                }
            }
        }
        self.item(scope, expr, &mut grouping.bins)
    }

    /// An item of the SELECT list. `bins` are those found so far: there is one kind of them.
    fn item(&mut self, scope: &Scope, expr: &Expr, bins: &mut Option<Bins>) -> Option<Item> {
        if scope.is(expr, "tag") {
            return Some(Item::Tag);
        }
        let Expr::Function(function) = expr else { return None };
        let (name, args) = arguments(function)?;
        if matches!(name.as_str(), "date_bin" | "time_bucket") {
            let found = self.bins(scope, args)?;
            let known = *bins.get_or_insert(found);
            return (known == found).then_some(Item::Bin);
        }
        let of = |column: &str, argument: &FunctionArg| plain(argument).is_some_and(|expr| scope.is(expr, column));
        match (name.as_str(), args) {
            ("count", [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) => Some(Item::Count),
            // No column of samples is ever NULL.
            ("count", [argument])
                if plain(argument).is_some_and(|expr| scope.column(expr).is_some_and(|name| scope.has(&name))) =>
            {
                Some(Item::Count)
            }
            ("count", [argument]) if matches!(plain(argument).and_then(value), Some(Value::Number(..))) => Some(Item::Count),
            ("sum", [argument]) if of("value", argument) => Some(Item::Sum),
            ("avg", [argument]) if of("value", argument) => Some(Item::Average),
            ("min", [argument]) if of("value", argument) => Some(Item::Least),
            ("max", [argument]) if of("value", argument) => Some(Item::Greatest),
            ("min", [argument]) if of("time", argument) => Some(Item::FirstTime),
            ("max", [argument]) if of("time", argument) => Some(Item::LastTime),
            ("first", [argument, time]) if of("value", argument) && of("time", time) => Some(Item::First),
            ("last", [argument, time]) if of("value", argument) && of("time", time) => Some(Item::Last),
            _ => None,
        }
    }

    fn bins(&mut self, scope: &Scope, args: &[FunctionArg]) -> Option<Bins> {
        let (width, time, origin) = match args {
            [width, time] => (width, time, None),
            [width, time, origin] => (width, time, Some(origin)),
            _ => return None,
        };
        if !scope.is(plain(time)?, "time") {
            return None;
        }
        let width_us = length_of(plain(width)?).map(|length| length.us).filter(|us| *us > 0)?;
        let origin = match origin {
            None => 0,
            Some(origin) => self.fixed_time(plain(origin)?)?,
        };
        Some(Bins { origin: Timestamp(origin), width_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_a_number_and_a_unit() {
        let us = |text: &str| length(text).map(|length| length.us);
        assert_eq!(us("1 minute"), Some(60_000_000));
        assert_eq!(us(" 15  Minutes "), Some(900_000_000));
        assert_eq!(us("-3 days"), Some(-3 * DAY_US));
        assert!(length("1 week").unwrap().days && !length("24 hours").unwrap().days);
        for text in ["", "1", "minute", "1 month", "1 hour 2 minutes", "00:01:00", "1.5 hours", "99999999999999 weeks"] {
            assert_eq!(length(text), None, "{text}");
        }
    }
}
