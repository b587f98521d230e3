//! Expressions whose meaning is PostgreSQL's and not DataFusion's, once types are settled.
//!
//! - `timestamptz` meets `timestamp`, dates and intervals of days and months by the session's clocks;
//! - text of times, floats and intervals is what PostgreSQL writes;
//! - integers that overflow are an error; a float that becomes an integer is rounded; floats and numerics compare as floats;
//! - computed floats have one NaN; intervals compare by their length.

use crate::functions::{
    AS_TYPE, checked, divided, interval_key, is_decimal, is_moment, is_one_nan, joined, local, moment, moved, narrowed, negated,
    one_nan, one_zero, read_bytes, read_float, read_local, read_time, rounded, shown,
};
use crate::planning;
use crate::schema::{local_type, time_type};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue, internal_datafusion_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Case, Cast, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Union, cast, when};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The rule. It stands behind DataFusion's coercion of types.
#[derive(Debug)]
pub(super) struct Meaning;

impl AnalyzerRule for Meaning {
    fn name(&self) -> &'static str {
        "postgresql_meaning"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|node| {
            planning::check()?;
            // A scan's own conditions come later, from filters that this rule has seen.
            if matches!(node, LogicalPlan::TableScan(_)) {
                return Ok(Transformed::no(node));
            }
            let mut schema = merge_schema(&node.inputs());
            schema.merge(node.schema());
            let names = NamePreserver::new(&node);
            let (mixes, sorts) = (mixes_distinct(&node), matches!(node, LogicalPlan::Sort(_)));
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = if mixes { apart(expr) } else { expr };
                let expr = if sorts { key(expr, &schema) } else { expr };
                Ok(expr.transform_up(|expr| meant(expr, &schema))?.update_data(|expr| name.restore(expr)))
            })?
            .map_data(|node| united(node.recompute_schema()?))
        })?;
        Ok(rewritten.data)
    }
}

/// Whether an aggregate holds both a DISTINCT one and a sum of all.
fn mixes_distinct(node: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = node else { return false };
    let is = |wanted: fn(&AggregateFunction) -> bool| {
        aggregate.aggr_expr.iter().any(|expr| matches!(expr, Expr::AggregateFunction(call) if wanted(call)))
    };
    is(|call| call.params.distinct) && is(|call| !call.params.distinct && call.func.name() == "sum")
}

/// A sum that DataFusion does not make a sum of sums of, which would have another type.
fn apart(expr: Expr) -> Expr {
    match expr {
        Expr::AggregateFunction(mut call) if !call.params.distinct && call.func.name() == "sum" => {
            let always = || Box::new(Expr::Literal(ScalarValue::Boolean(Some(true)), None));
            call.params.filter.get_or_insert_with(always);
            Expr::AggregateFunction(call)
        }
        expr => expr,
    }
}

/// What rows are ordered by: -0 stands nowhere before 0.
fn key(expr: Expr, schema: &DFSchema) -> Expr {
    if is_float(&type_of(&expr, schema)) { one_zero(expr) } else { expr }
}

/// A union whose columns may be NULL where those of its inputs may by now; other nodes as they are.
fn united(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Union(Union { inputs, schema }) = node else { return Ok(node) };
    let fields = schema.iter().enumerate().map(|(index, (table, field))| {
        let nullable = inputs.iter().any(|input| input.schema().field(index).is_nullable());
        (table.cloned(), Arc::new(field.as_ref().clone().with_nullable(nullable)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?;
    Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(schema) }))
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

fn is_float(kind: &DataType) -> bool {
    matches!(kind, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_local(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_))
}

fn is_interval(kind: &DataType) -> bool {
    matches!(kind, DataType::Interval(_))
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The type of an expression; none where it has none here.
fn type_of(expr: &Expr, schema: &DFSchema) -> DataType {
    expr.get_type(schema).unwrap_or(DataType::Null)
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}

fn meant(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Cast(Cast { expr: inner, field }) => match converted(*inner, schema, field.data_type()) {
            Ok(meant) => Transformed::yes(meant),
            Err(inner) => Transformed::no(Expr::Cast(Cast { expr: Box::new(inner), field })),
        },
        Expr::BinaryExpr(binary) => operated(binary, schema),
        Expr::Between(Between { expr, negated, low, high }) if is_interval(&type_of(&expr, schema)) => {
            let key = |expr: Box<Expr>| Box::new(interval_key(*expr));
            Transformed::yes(Expr::Between(Between { expr: key(expr), negated, low: key(low), high: key(high) }))
        }
        Expr::Between(between) if float_within(&between.expr, schema).is_some() => {
            let Between { expr, negated, low, high } = between;
            let expr = float_within(&expr, schema).cloned().map_or(expr, Box::new);
            let double = |expr: Box<Expr>| Box::new(as_double(*expr, schema));
            Transformed::yes(Expr::Between(Between { expr, negated, low: double(low), high: double(high) }))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval(&type_of(&expr, schema)) => {
            let list = list.into_iter().map(interval_key).collect();
            Transformed::yes(Expr::InList(InList { expr: Box::new(interval_key(*expr)), list, negated }))
        }
        Expr::IsTrue(inner) => Transformed::yes(is_truth(*inner, true, true)),
        Expr::IsFalse(inner) => Transformed::yes(is_truth(*inner, false, true)),
        Expr::IsNotTrue(inner) => Transformed::yes(is_truth(*inner, true, false)),
        Expr::IsNotFalse(inner) => Transformed::yes(is_truth(*inner, false, false)),
        Expr::InList(list) if list.list.iter().any(is_null) => Transformed::yes(unknown_among(list)),
        Expr::InList(list) if is_float(&type_of(&list.expr, schema)) => Transformed::yes(Expr::InList(settled(list))),
        Expr::Case(case) if case.expr.as_ref().is_some_and(|operand| is_float(&type_of(operand, schema))) => {
            Transformed::yes(Expr::Case(searched(case)))
        }
        Expr::ScalarFunction(call) if call.func.name() == "nullif" && is_float(&type_of(&call.args[0], schema)) => {
            let [value, other] = <[Expr; 2]>::try_from(call.args).map_err(|_| internal_datafusion_err!("nullif takes two"))?;
            let null = Expr::Literal(ScalarValue::try_from(&type_of(&value, schema))?, None);
            Transformed::yes(when(value.clone().eq(other), null).otherwise(value)?)
        }
        Expr::Negative(inner) if !is_literal(&inner) => match type_of(&inner, schema) {
            kind if kind.is_signed_integer() => Transformed::yes(negated(*inner)),
            kind if is_float(&kind) => Transformed::yes(one_nan(Expr::Negative(inner))),
            _ => Transformed::no(Expr::Negative(inner)),
        },
        Expr::ScalarFunction(mut call) if call.func.name() == AS_TYPE.name() => Transformed::yes(call.args.swap_remove(0)),
        // DataFusion's sets of floats tell -0 from 0.
        Expr::AggregateFunction(mut call) if call.params.distinct => {
            let zero = |arg: Expr| if is_float(&type_of(&arg, schema)) { one_zero(arg) } else { arg };
            call.params.args = call.params.args.into_iter().map(zero).collect();
            Transformed::yes(Expr::AggregateFunction(call))
        }
        Expr::WindowFunction(mut call) => {
            let params = &mut call.params;
            params.partition_by = std::mem::take(&mut params.partition_by).into_iter().map(|by| key(by, schema)).collect();
            for by in &mut params.order_by {
                by.expr = key(std::mem::take(&mut by.expr), schema);
            }
            Transformed::yes(Expr::WindowFunction(call))
        }
        Expr::ScalarFunction(call) if computes(call.func.name()) => {
            let expr = Expr::ScalarFunction(call);
            if is_float(&type_of(&expr, schema)) { Transformed::yes(one_nan(expr)) } else { Transformed::no(expr) }
        }
        expr => Transformed::no(expr),
    })
}

/// `x IS TRUE` and its sisters in the form that DataFusion runs them in: the words are never NULL to its planning and
/// may be to its running, and it refuses a plan over that.
fn is_truth(expr: Expr, truth: bool, same: bool) -> Expr {
    let op = if same { Operator::IsNotDistinctFrom } else { Operator::IsDistinctFrom };
    let truth = Expr::Literal(ScalarValue::Boolean(Some(truth)), None);
    Expr::BinaryExpr(BinaryExpr { left: Box::new(expr), op, right: Box::new(truth) })
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

/// A list with NULL in it, as the list without and NULL: DataFusion's simplifying of several lists forgets that
/// nothing is surely NOT IN such a one.
fn unknown_among(list: InList) -> Expr {
    let InList { expr, list, negated } = list;
    let known: Vec<Expr> = list.into_iter().filter(|item| !is_null(item)).collect();
    let unknown = Expr::Literal(ScalarValue::Boolean(None), None);
    if known.is_empty() {
        return unknown;
    }
    let known = Expr::InList(InList { expr, list: known, negated });
    if negated { known.and(unknown) } else { known.or(unknown) }
}

/// A list of floats that can be compared with bit by bit, as DataFusion does with constants and long lists.
fn settled(list: InList) -> InList {
    let zero = |item: Expr| match item {
        Expr::Literal(ScalarValue::Float64(Some(value)), metadata) => {
            Expr::Literal(ScalarValue::Float64(Some(value + 0.0)), metadata)
        }
        item if item.column_refs().is_empty() => one_zero(item),
        item => item,
    };
    InList { expr: Box::new(one_zero(*list.expr)), list: list.list.into_iter().map(zero).collect(), negated: list.negated }
}

/// `CASE x WHEN 1 ..` as `CASE WHEN x = 1 ..`: the one tells -0 from 0 and the other does not.
fn searched(case: Case) -> Case {
    let Case { expr: Some(operand), when_then_expr, else_expr } = case else { return case };
    let pairs = when_then_expr.into_iter().map(|(value, then)| (Box::new(operand.as_ref().clone().eq(*value)), then));
    Case { expr: None, when_then_expr: pairs.collect(), else_expr }
}

/// Functions that may leave a NaN of their own.
fn computes(name: &str) -> bool {
    ["acos", "acosh", "asin", "atanh", "cos", "cot", "exp", "ln", "log", "log10", "log2", "power", "sin", "sqrt", "tan"]
        .contains(&name)
}

/// A cast as PostgreSQL means it; the expression itself where DataFusion means the same.
fn converted(inner: Expr, schema: &DFSchema, to: &DataType) -> std::result::Result<Expr, Expr> {
    let from = &type_of(&inner, schema);
    let shows = is_time(from)
        || is_float(from)
        || is_interval(from)
        || matches!(from, DataType::Date32 | DataType::Binary | DataType::List(_));
    // Types of arguments are settled before this, and a text may be of any of its layouts.
    let text = |inner: Expr| if *from == DataType::Utf8 { inner } else { cast(inner, DataType::Utf8) };
    Ok(if is_text(to) && shows {
        let inner = if is_time(from) { exact(inner, from) } else { inner };
        cast(shown(inner), to.clone())
    } else if is_moment(to) && is_text(from) {
        cast(read_time(text(inner)), to.clone())
    } else if matches!(to, DataType::Timestamp(_, None) | DataType::Date32) && is_text(from) {
        cast(read_local(text(inner)), to.clone())
    } else if is_moment(to) && is_local(from) {
        cast(moment(cast(inner, local_type())), to.clone())
    } else if is_moment(from) && is_local(to) {
        cast(local(cast(inner, time_type())), to.clone())
    } else if to.is_integer() && is_float(from) {
        cast(rounded(inner), to.clone())
    } else if is_float(to) && is_text(from) {
        cast(read_float(text(inner), to), to.clone())
    } else if is_float(to) && is_decimal(from) {
        cast(double_of(inner), to.clone())
    } else if *to == DataType::Binary && is_text(from) {
        read_bytes(text(inner))
    } else if *to == DataType::Float32 && *from == DataType::Float64 {
        narrowed(inner)
    } else if let (true, DataType::Decimal128(precision, scale)) = (to.is_integer(), from)
        && *scale > 0
    {
        cast(cast(inner, DataType::Decimal128(*precision, 0)), to.clone())
    } else if let (true, DataType::Decimal256(precision, scale)) = (to.is_integer(), from)
        && *scale > 0
    {
        cast(cast(inner, DataType::Decimal256(*precision, 0)), to.clone())
    } else {
        return Err(inner);
    })
}

fn operated(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let BinaryExpr { left, op, right } = binary;
    let (a, b) = (type_of(&left, schema), type_of(&right, schema));
    let again = |left, right| Expr::BinaryExpr(BinaryExpr { left, op, right });
    if is_interval(&a) && is_interval(&b) && compares(op) {
        return Transformed::yes(again(Box::new(interval_key(*left)), Box::new(interval_key(*right))));
    }
    if is_time(&a) && is_interval(&b) && matches!(op, Operator::Plus | Operator::Minus) && !is_short(&right) {
        return Transformed::yes(moved(exact(*left, &a), *right, op == Operator::Minus));
    }
    if is_interval(&a) && is_time(&b) && op == Operator::Plus && !is_short(&left) {
        return Transformed::yes(moved(exact(*right, &b), *left, false));
    }
    if a.is_integer() && a == b && matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply) {
        let (left, right) = (*left, *right);
        return checked(op, left.clone(), right.clone())
            .map_or_else(|| Transformed::no(again(Box::new(left), Box::new(right))), Transformed::yes);
    }
    if op == Operator::StringConcat && is_text(&a) && is_text(&b) {
        let whole = joined(*left, *right);
        let wide = [DataType::Utf8View, DataType::LargeUtf8].into_iter().find(|kind| a == *kind || b == *kind);
        return Transformed::yes(match wide {
            Some(kind) => cast(whole, kind),
            None => whole,
        });
    }
    // Most were planned so; these are the ones whose types were not known then, and others rely on the type by now.
    if is_decimal(&a) && is_decimal(&b) && matches!(op, Operator::Divide | Operator::Modulo) {
        let kind = type_of(&again(left.clone(), right.clone()), schema);
        let (left, right) = (*left, *right);
        return divided(op, left.clone(), right.clone()).map_or_else(
            || Transformed::no(again(Box::new(left), Box::new(right))),
            |exact| Transformed::yes(cast(exact, kind)),
        );
    }
    if compares(op) && (float_within(&left, schema).is_some() || float_within(&right, schema).is_some()) {
        let double = |expr: Box<Expr>| Box::new(as_double(*expr, schema));
        return Transformed::yes(again(double(left), double(right)));
    }
    let arithmetic = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
    let expr = again(left, right);
    if arithmetic && is_float(&a) && is_float(&b) && !is_one_nan(&expr) {
        return Transformed::yes(one_nan(expr));
    }
    Transformed::no(expr)
}

/// The digits behind the point that a float is given where DataFusion compares it with a numeric.
const FLOAT_SCALE: i8 = 15;

/// The float that was made a numeric to be compared with one.
fn float_within<'a>(expr: &'a Expr, schema: &DFSchema) -> Option<&'a Expr> {
    let Expr::Cast(Cast { expr, field }) = expr else { return None };
    let made =
        matches!(field.data_type(), DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale >= FLOAT_SCALE);
    (made && is_float(&type_of(expr, schema))).then_some(expr)
}

/// One side of a comparison of a float with a numeric: both are doubles in PostgreSQL, so that what has no numeric (NaN, infinities,
/// large ones) can be compared, and small ones are not zero.
fn as_double(expr: Expr, schema: &DFSchema) -> Expr {
    let expr = float_within(&expr, schema).cloned().unwrap_or(expr);
    match type_of(&expr, schema) {
        DataType::Float64 => expr,
        kind if is_decimal(&kind) => double_of(expr),
        _ => cast(expr, DataType::Float64),
    }
}

/// A numeric as the nearest double: by its digits, since those that many have no double to be divided by ten with.
fn double_of(numeric: Expr) -> Expr {
    read_float(cast(numeric, DataType::Utf8), &DataType::Float64)
}

/// A time in microseconds.
fn exact(time: Expr, kind: &DataType) -> Expr {
    let wanted = if is_moment(kind) { time_type() } else { local_type() };
    if *kind == wanted { time } else { cast(time, wanted) }
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(..))
}

/// An interval written in the statement that has neither months nor days: it means the same by any clock.
fn is_short(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(span)), _) if span.months == 0 && span.days == 0)
}
