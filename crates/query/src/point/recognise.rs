//! Recognises point questions in a syntax tree.

use super::PointPlan;
use super::run::{Bound, Column, Limit, Operand, Plan, Question, Table};
use crate::names;
use crate::rewrite::order_keys;
use crate::schema;
use crate::session::Session;
use crate::time::{Zone, parse};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, FunctionArg, FunctionArgExpr, GroupByExpr, LimitClause, Query, Select, SelectItem, SetExpr,
    Statement as Tree, TableFactor, Value, WildcardAdditionalOptions,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The point plan of a statement and its parameters' types; None where it is no point question.
pub(crate) fn recognise(session: &Arc<Session>, tree: &Tree, types: &[Option<DataType>]) -> Option<(PointPlan, Vec<DataType>)> {
    let Tree::Query(query) = tree else { return None };
    let mut reader = Reader { zone: session.time_zone(), parameters: BTreeMap::new() };
    let (table, question, columns) = reader.query(query)?;
    let parameters = reader.types(types)?;
    let source = table.schema();
    let shown = names::of_query(query);
    let fields: Vec<Field> = columns.iter().map(|column| source.field(*column).clone()).collect();
    let schema: SchemaRef = Arc::new(names::shown(&Schema::new(fields), shown.as_ref()));
    let columns = columns.into_iter().map(|index| Column::of(source.field(index).name())).collect::<Option<Vec<_>>>()?;
    let inner =
        Arc::new(Plan { engine: Arc::clone(&session.engine), access: Arc::clone(&session.access), table, columns, question });
    Some((PointPlan { inner, schema }, parameters))
}

struct Reader {
    zone: Zone,
    parameters: BTreeMap<usize, DataType>,
}

#[derive(Default)]
struct Conditions {
    tag: Option<Operand<String>>,
    tags: Option<Operand<ScalarValue>>,
    lows: Vec<Bound>,
    highs: Vec<Bound>,
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

    fn query(&mut self, query: &Query) -> Option<(Table, Question, Vec<usize>)> {
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
        let scope = Scope { qualifier };
        if let Some(arguments) = args {
            let columns = scope.columns(select, &schema::VALUES_AT)?;
            let question = self.values_at(bare, &arguments.args, select, query)?;
            return Some((Table::ValuesAt, question, columns));
        }
        let table = Table::named(bare)?;
        let columns = scope.columns(select, table.schema())?;
        let question = self.conditions(&scope, select)?;
        Some((table, self.question(table, &scope, question, query)?, columns))
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

    fn question(&mut self, table: Table, scope: &Scope, found: Conditions, query: &Query) -> Option<Question> {
        let keys = order_keys(query.order_by.as_ref())?;
        let limit = match &query.limit_clause {
            None => None,
            Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) if limit_by.is_empty() => {
                Some(self.limit(limit)?)
            }
            Some(_) => return None,
        };
        if table == Table::Latest {
            let plain = keys.is_empty() && limit.is_none() && found.lows.is_empty() && found.highs.is_empty();
            return match (found.tag, found.tags) {
                (Some(tag), None) if plain => Some(Question::Latest(tag)),
                (None, Some(tags)) if plain => Some(Question::LatestMany(tags)),
                _ => None,
            };
        }
        let descending = match keys {
            [] => None,
            [key] if key.options.nulls_first.is_none() && scope.is(&key.expr, "time") => Some(key.options.asc == Some(false)),
            _ => return None,
        };
        // Without a limit or both ends the answer may be long: that is a plan's work, which streams.
        let short = limit.is_some() || (!found.lows.is_empty() && !found.highs.is_empty());
        let (tag, none) = (found.tag?, found.tags.is_none());
        (short && none).then_some(Question::Range {
            tag,
            lows: found.lows,
            highs: found.highs,
            descending: descending == Some(true),
            limit,
        })
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
                    out.lows.push(Bound { operand: self.time(low)?, strict: false });
                    out.highs.push(Bound { operand: self.time(high)?, strict: false });
                }
                Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. }
                    if scope.is(left, "tag") && out.tags.is_none() =>
                {
                    let right = if let Expr::Nested(inner) = right.as_ref() { inner } else { right };
                    out.tags = Some(self.array(right, schema::texts_type())?);
                }
                _ => return None,
            }
        }
        Some(out)
    }

    fn comparison(&mut self, out: &mut Conditions, column: &str, op: &BinaryOperator, other: &Expr) -> Option<()> {
        match (column, op) {
            ("tag", BinaryOperator::Eq) if out.tag.is_none() => out.tag = Some(self.text(other)?),
            ("time", BinaryOperator::Eq) => {
                let operand = self.time(other)?;
                out.lows.push(Bound { operand: operand.clone(), strict: false });
                out.highs.push(Bound { operand, strict: false });
            }
            ("time", BinaryOperator::Lt) => out.highs.push(Bound { operand: self.time(other)?, strict: true }),
            ("time", BinaryOperator::LtEq) => out.highs.push(Bound { operand: self.time(other)?, strict: false }),
            ("time", BinaryOperator::Gt) => out.lows.push(Bound { operand: self.time(other)?, strict: true }),
            ("time", BinaryOperator::GtEq) => out.lows.push(Bound { operand: self.time(other)?, strict: false }),
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

    fn time(&mut self, expr: &Expr) -> Option<Operand<i64>> {
        let names = ["timestamptz", "timestamp with time zone"];
        if let Expr::TypedString(typed) = expr {
            let Value::SingleQuotedString(text) = &typed.value.value else { return None };
            let known = names.contains(&typed.data_type.to_string().to_lowercase().as_str());
            return known.then(|| parse(text, self.zone).ok()).flatten().map(Operand::Value);
        }
        match value(uncast(expr, &names)?)? {
            Value::SingleQuotedString(text) => parse(text, self.zone).ok().map(Operand::Value),
            Value::Placeholder(name) => self.parameter(name, schema::time_type()).map(Operand::Parameter),
            _ => None,
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

/// The highest LIMIT that is answered at one go.
const LIMIT_MAX: u64 = 10_000;

fn folded(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn value(expr: &Expr) -> Option<&Value> {
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

fn plain_select(select: &Select) -> bool {
    let no_groups =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    let all = match &select.distinct {
        None | Some(Distinct::All) => true,
        Some(_) => false,
    };
    no_groups && all && select.having.is_none() && select.qualify.is_none() && select.named_window.is_empty()
}

/// The one table of the query, and how its columns may be named.
struct Scope {
    qualifier: String,
}

impl Scope {
    fn column(&self, expr: &Expr) -> Option<String> {
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

    fn is(&self, expr: &Expr, name: &str) -> bool {
        self.column(expr).is_some_and(|column| column == name)
    }

    /// The columns that a SELECT list names; None where it has anything else.
    fn columns(&self, select: &Select, schema: &Schema) -> Option<Vec<usize>> {
        let mut out = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    out.push(schema.index_of(&self.column(expr)?).ok()?);
                }
                SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                    out.extend(0..schema.fields().len())
                }
                _ => return None,
            }
        }
        Some(out)
    }
}
