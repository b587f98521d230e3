//! Recognises point questions in a syntax tree.

use super::PointPlan;
use super::aggregated::{arguments, length_of};
use super::question::{Bound, Column, Limit, Moment, Operand, Order, Plan, Question, Range, Table, Tags};
use crate::names;
use crate::rewrite::order_keys;
use crate::schema;
use crate::session::Session;
use crate::time::{Zone, parse};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, Distinct, Expr, FunctionArg, FunctionArgExpr, GroupByExpr, LimitClause, OrderByExpr, Query, Select,
    SelectItem, SetExpr, Statement as Tree, TableFactor, UnaryOperator, Value, WildcardAdditionalOptions,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The point plan of a statement and its parameters' types; None where it is no point question.
pub(crate) fn recognise(session: &Arc<Session>, tree: &Tree, types: &[Option<DataType>]) -> Option<(PointPlan, Vec<DataType>)> {
    let Tree::Query(query) = tree else { return None };
    let local = session.engine.local.is_some();
    let mut reader = Reader { zone: session.time_zone(), parameters: BTreeMap::new(), local };
    let Read { table, question, fields, columns } = reader.query(query)?;
    let parameters = reader.types(types)?;
    let shown = names::of_query(query);
    let schema: SchemaRef = Arc::new(names::shown(&Schema::new(fields), shown.as_ref()));
    let inner =
        Arc::new(Plan { engine: Arc::clone(&session.engine), access: Arc::clone(&session.access), table, columns, question });
    Some((PointPlan { inner, schema }, parameters))
}

/// A statement that was read.
struct Read {
    table: Table,
    question: Question,
    /// Of the answer.
    fields: Vec<Field>,
    columns: Vec<Column>,
}

pub(super) struct Reader {
    zone: Zone,
    parameters: BTreeMap<usize, DataType>,
    /// Whether samples lie in this process.
    local: bool,
}

#[derive(Default)]
pub(super) struct Conditions {
    pub tags: Option<Tags>,
    pub lows: Vec<Bound>,
    pub highs: Vec<Bound>,
}

impl Reader {
    /// Types of all parameters; None where one is missing, or the client wants another type.
    fn types(&self, given: &[Option<DataType>]) -> Option<Vec<DataType>> {
        let fits = |wanted: &DataType, number: usize| match given.get(number - 1).cloned().flatten() {
            None => true,
            Some(found) => {
                found == *wanted || (*wanted == schema::time_type() && matches!(found, DataType::Timestamp(_, Some(_))))
            }
        };
        let highest = self.parameters.keys().next_back().copied().unwrap_or(0);
        let all = self.parameters.len() == highest && given.len() <= highest;
        (all && self.parameters.iter().all(|(number, wanted)| fits(wanted, *number)))
            .then(|| self.parameters.values().cloned().collect())
    }

    fn query(&mut self, query: &Query) -> Option<Read> {
        let plain = query.with.is_none() && query.fetch.is_none();
        let SetExpr::Select(select) = query.body.as_ref() else { return None };
        if !plain || !plain_select(select) {
            return None;
        }
        let [from] = select.from.as_slice() else { return None };
        let TableFactor::Table { name, args, alias, .. } = &from.relation else { return None };
        if !from.joins.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return None;
        }
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        let bare = match parts.as_slice() {
            [table] => table.as_str(),
            [schema, table] if schema == "public" => table.as_str(),
            _ => return None,
        };
        let qualifier = alias.as_ref().map_or_else(|| bare.to_owned(), |alias| folded(&alias.name));
        if let Some(arguments) = args {
            let scope = Scope { qualifier, schema: &schema::VALUES_AT };
            let question = self.values_at(bare, &arguments.args, select, query)?;
            return scope.rows(select, Table::ValuesAt, question);
        }
        let table = Table::named(bare)?;
        let scope = Scope { qualifier, schema: table.schema() };
        let found = self.conditions(&scope, select)?;
        let is_call = |item: &SelectItem| {
            matches!(item, SelectItem::UnnamedExpr(Expr::Function(_)) | SelectItem::ExprWithAlias { expr: Expr::Function(_), .. })
        };
        if is_grouped(select) || select.projection.iter().any(is_call) {
            if table != Table::Samples || !self.local {
                return None;
            }
            let (question, fields) = self.totals(&scope, select, query, found)?;
            return Some(Read { table, question, fields, columns: Vec::new() });
        }
        let question = self.question(table, (&scope, select), found, query)?;
        scope.rows(select, table, question)
    }

    fn values_at(&mut self, name: &str, args: &[FunctionArg], select: &Select, query: &Query) -> Option<Question> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(tags)), FunctionArg::Unnamed(FunctionArgExpr::Expr(times))] = args else {
            return None;
        };
        let bare = select.selection.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
        if name != "values_at" || !bare {
            return None;
        }
        let times_type = DataType::List(Arc::new(Field::new("item", schema::time_type(), true)));
        Some(Question::ValuesAt { tags: self.array(tags, schema::texts_type())?, times: self.array(times, times_type)? })
    }

    fn question(
        &mut self,
        table: Table,
        (scope, select): (&Scope, &Select),
        found: Conditions,
        query: &Query,
    ) -> Option<Question> {
        let keys = order_keys(query.order_by.as_ref())?;
        let limit = self.limited(query)?;
        let tags = found.tags?;
        if table == Table::Latest {
            let plain = keys.is_empty() && limit.is_none() && found.lows.is_empty() && found.highs.is_empty();
            return match tags {
                Tags::One(tag) if plain => Some(Question::Latest(tag)),
                tags if plain => Some(Question::LatestMany(tags)),
                _ => None,
            };
        }
        let named = |key: &OrderByExpr| {
            let name = scope.ordered(select, &key.expr).filter(|_| key.options.nulls_first.is_none())?;
            Some((name, key.options.asc == Some(false)))
        };
        let keys = keys.iter().map(named).collect::<Option<Vec<_>>>()?;
        let keys: Vec<(&str, bool)> = keys.iter().map(|(name, descending)| (name.as_str(), *descending)).collect();
        let order = match keys.as_slice() {
            [] => Order::Free,
            [("time", descending)] => Order::Time { descending: *descending },
            [("tag", false)] => Order::Tag { descending: false },
            [("tag", false), ("time", descending)] => Order::Tag { descending: *descending },
            _ => return None,
        };
        // Without a limit or both ends the answer may be long: that is read as a stream, where it needs no sorting, or it is a
        // plan's work. In a fleet only the newest sample is found without one.
        let short = limit.is_some() || (!found.lows.is_empty() && !found.highs.is_empty());
        let one = matches!(tags, Tags::One(_));
        let streams = order == Order::Free || (one && !order.is_newest_first());
        let fits = if self.local { short || streams } else { short && one };
        fits.then_some(Question::Range(Range { tags, lows: found.lows, highs: found.highs, order, limit }))
    }

    /// LIMIT, if there is one and nothing else of its clause.
    pub(super) fn limited(&mut self, query: &Query) -> Option<Option<Limit>> {
        match &query.limit_clause {
            None => Some(None),
            Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) if limit_by.is_empty() => {
                self.limit(limit).map(Some)
            }
            Some(_) => None,
        }
    }

    fn limit(&mut self, expr: &Expr) -> Option<Limit> {
        match value(expr)? {
            Value::Number(number, _) => number.parse().ok().filter(|limit| *limit <= LIMIT_MAX).map(Limit::Rows),
            Value::Placeholder(name) => Some(Limit::Parameter(self.parameter(name, DataType::Int64)?)),
            _ => None,
        }
    }

    fn conditions(&mut self, scope: &Scope, select: &Select) -> Option<Conditions> {
        let mut out = Conditions::default();
        let mut waiting = vec![select.selection.as_ref()?];
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::Nested(inner) => waiting.push(inner),
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => waiting.extend([left.as_ref(), right.as_ref()]),
                Expr::BinaryOp { left, op, right } => {
                    let turned = scope.column(left).is_none();
                    let (column, other, op) = if turned { (right, left, turned_op(op)?) } else { (left, right, op.clone()) };
                    self.comparison(&mut out, scope.column(column)?.as_str(), &op, other)?;
                }
                Expr::Between { expr, negated: false, low, high } if scope.is(expr, "time") => {
                    out.lows.push(Bound { moment: self.time(low)?, strict: false });
                    out.highs.push(Bound { moment: self.time(high)?, strict: false });
                }
                Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. }
                    if scope.is(left, "tag") && out.tags.is_none() =>
                {
                    let right = if let Expr::Nested(inner) = right.as_ref() { inner } else { right };
                    out.tags = Some(match right.as_ref() {
                        Expr::Array(Array { elem, .. }) => self.listed(elem)?,
                        right => Tags::Array(self.array(right, schema::texts_type())?),
                    });
                }
                Expr::InList { expr, list, negated: false } if scope.is(expr, "tag") && out.tags.is_none() => {
                    out.tags = Some(self.listed(list)?);
                }
                _ => return None,
            }
        }
        Some(out)
    }

    fn comparison(&mut self, out: &mut Conditions, column: &str, op: &BinaryOperator, other: &Expr) -> Option<()> {
        match (column, op) {
            ("tag", BinaryOperator::Eq) if out.tags.is_none() => out.tags = Some(Tags::One(self.text(other)?)),
            ("time", BinaryOperator::Eq) => {
                let moment = self.time(other)?;
                out.lows.push(Bound { moment: moment.clone(), strict: false });
                out.highs.push(Bound { moment, strict: false });
            }
            ("time", BinaryOperator::Lt) => out.highs.push(Bound { moment: self.time(other)?, strict: true }),
            ("time", BinaryOperator::LtEq) => out.highs.push(Bound { moment: self.time(other)?, strict: false }),
            ("time", BinaryOperator::Gt) => out.lows.push(Bound { moment: self.time(other)?, strict: true }),
            ("time", BinaryOperator::GtEq) => out.lows.push(Bound { moment: self.time(other)?, strict: false }),
            _ => return None,
        }
        Some(())
    }

    /// The number (from 0) of a parameter, whose type must be the same wherever it stands.
    fn parameter(&mut self, name: &str, wanted: DataType) -> Option<usize> {
        let number: usize = name.strip_prefix('$')?.parse().ok().filter(|number| (1..=64).contains(number))?;
        let known = self.parameters.entry(number).or_insert_with(|| wanted.clone());
        (*known == wanted).then_some(number - 1)
    }

    fn text(&mut self, expr: &Expr) -> Option<Operand<String>> {
        match value(uncast(expr, &["text", "varchar", "character varying"])?)? {
            Value::SingleQuotedString(text) => Some(Operand::Value(text.clone())),
            Value::Placeholder(name) => self.parameter(name, DataType::Utf8).map(Operand::Parameter),
            _ => None,
        }
    }

    fn listed(&mut self, list: &[Expr]) -> Option<Tags> {
        let mut names = list.iter().map(|expr| self.text(expr)).collect::<Option<Vec<_>>>()?;
        Some(if names.len() == 1 { Tags::One(names.swap_remove(0)) } else { Tags::Listed(names) })
    }

    fn time(&mut self, expr: &Expr) -> Option<Moment> {
        match expr {
            Expr::Nested(inner) => return self.time(inner),
            Expr::BinaryOp { left, op: op @ (BinaryOperator::Plus | BinaryOperator::Minus), right } if is_now(left) => {
                // A day is as long as the zone's clocks say.
                let length = length_of(right).filter(|length| !length.days || matches!(self.zone, Zone::Utc))?;
                let offset = if *op == BinaryOperator::Minus { length.us.checked_neg()? } else { length.us };
                let interval = !matches!(right.as_ref(), Expr::Value(_));
                return interval.then_some(Moment::FromNow(offset));
            }
            expr if is_now(expr) => return Some(Moment::FromNow(0)),
            _ => {}
        }
        if let Some(Value::Placeholder(name)) = uncast(expr, &MOMENTS).and_then(value) {
            return self.parameter(name, schema::time_type()).map(|number| Moment::Given(Operand::Parameter(number)));
        }
        self.fixed_time(expr).map(|us| Moment::Given(Operand::Value(us)))
    }

    /// A moment that is written out: as a text, or in seconds.
    pub(super) fn fixed_time(&self, expr: &Expr) -> Option<i64> {
        match expr {
            Expr::TypedString(typed) => {
                let Value::SingleQuotedString(text) = &typed.value.value else { return None };
                let known = MOMENTS.contains(&typed.data_type.to_string().to_lowercase().as_str());
                known.then(|| parse(text, self.zone).ok()).flatten()
            }
            Expr::Function(function) => match arguments(function)? {
                (name, [FunctionArg::Unnamed(FunctionArgExpr::Expr(seconds))]) if name == "to_timestamp" => {
                    whole_seconds(seconds)
                }
                _ => None,
            },
            expr => match value(uncast(expr, &MOMENTS)?)? {
                Value::SingleQuotedString(text) => parse(text, self.zone).ok(),
                _ => None,
            },
        }
    }

    fn array(&mut self, expr: &Expr, wanted: DataType) -> Option<Operand<ScalarValue>> {
        let cast = ["text[]", "varchar[]", "timestamptz[]", "timestamp with time zone[]"];
        match value(uncast(expr, &cast)?)? {
            Value::Placeholder(name) => self.parameter(name, wanted).map(Operand::Parameter),
            _ => None,
        }
    }
}

/// The names of the type of moments.
const MOMENTS: [&str; 2] = ["timestamptz", "timestamp with time zone"];

/// Whole seconds as microseconds, as far as a double has them exactly.
fn whole_seconds(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => whole_seconds(expr)?.checked_neg(),
        Expr::Nested(inner) => whole_seconds(inner),
        expr => match value(expr)? {
            Value::Number(number, _) => {
                let seconds = number.parse::<i64>().ok().filter(|seconds| (0..=1 << 32).contains(seconds))?;
                Some(seconds * 1_000_000)
            }
            _ => None,
        },
    }
}

fn is_now(expr: &Expr) -> bool {
    let Expr::Function(function) = expr else { return false };
    arguments(function).is_some_and(|(name, args)| args.is_empty() && matches!(name.as_str(), "now" | "current_timestamp"))
}

/// The highest LIMIT that is answered at one go.
const LIMIT_MAX: u64 = 10_000;

pub(super) fn folded(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

pub(super) fn value(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::Value(value) => Some(&value.value),
        Expr::Nested(inner) => value(inner),
        _ => None,
    }
}

/// What a cast to one of these types casts; an expression that is no cast as it is.
fn uncast<'a>(expr: &'a Expr, names: &[&str]) -> Option<&'a Expr> {
    match expr {
        Expr::Cast { expr, data_type, .. } => names.contains(&data_type.to_string().to_lowercase().as_str()).then_some(expr),
        Expr::Nested(inner) => uncast(inner, names),
        expr => Some(expr),
    }
}

fn turned_op(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty())
}

fn plain_select(select: &Select) -> bool {
    let all = match &select.distinct {
        None | Some(Distinct::All) => true,
        Some(_) => false,
    };
    all && select.having.is_none() && select.qualify.is_none() && select.named_window.is_empty()
}

/// The one table of the query, and how its columns may be named.
pub(super) struct Scope {
    qualifier: String,
    schema: &'static Schema,
}

impl Scope {
    pub(super) fn column(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Identifier(name) => Some(folded(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if folded(table) == self.qualifier => Some(folded(column)),
                _ => None,
            },
            Expr::Nested(inner) => self.column(inner),
            _ => None,
        }
    }

    pub(super) fn is(&self, expr: &Expr, name: &str) -> bool {
        self.column(expr).is_some_and(|column| column == name)
    }

    /// Whether the table has a column.
    pub(super) fn has(&self, name: &str) -> bool {
        self.schema.index_of(name).is_ok()
    }

    /// The column that a key of ORDER BY means: that which has its number or its alias in the SELECT list, or its name.
    fn ordered(&self, select: &Select, key: &Expr) -> Option<String> {
        if let Some(Value::Number(number, _)) = value(key) {
            let index = number.parse::<usize>().ok()?.checked_sub(1)?;
            let named =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }).then_some(());
            select.projection.iter().take(index + 1).try_for_each(named)?;
            return match select.projection.get(index)? {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => self.column(expr),
                _ => None,
            };
        }
        let name = self.column(key)?;
        let mut aliased = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if matches!(key, Expr::Identifier(_)) && folded(alias) == name => {
                Some(expr)
            }
            _ => None,
        });
        match (aliased.next(), aliased.next()) {
            (None, _) => Some(name),
            (Some(expr), None) => self.column(expr),
            (Some(_), Some(_)) => None,
        }
    }

    /// A question whose rows have the columns that a SELECT list names; None where it has anything else.
    fn rows(&self, select: &Select, table: Table, question: Question) -> Option<Read> {
        let mut indices = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    indices.push(self.schema.index_of(&self.column(expr)?).ok()?);
                }
                SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                    indices.extend(0..self.schema.fields().len())
                }
                _ => return None,
            }
        }
        let fields: Vec<Field> = indices.into_iter().map(|index| self.schema.field(index).clone()).collect();
        let columns = fields.iter().map(|field| Column::of(field.name())).collect::<Option<Vec<_>>>()?;
        (!columns.is_empty()).then_some(Read { table, question, fields, columns })
    }
}
