//! Refuses what the parser takes but the planner would leave out or get wrong.
//!
//! Promises: a statement that passes means what it says. Forms are let through by name; what is not
//! known to be right is refused with 0A000 until it is.

use crate::error::find_word;
use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, JoinConstraint, JoinOperator, LimitClause, OrderByKind, Query, Select, SelectFlavor,
    SetExpr, Statement as Tree, TableFactor, TableWithJoins, Value, Visit, Visitor, WindowFrameUnits, WindowType,
    visit_expressions,
};
use std::ops::ControlFlow;

/// Checks a statement.
///
/// # Errors
/// `Error::Unsupported`, at its place where that can be told.
pub(crate) fn check(tree: &Tree, sql: &str) -> Result<(), Error> {
    statement(tree)?;
    match tree.visit(&mut Guard) {
        ControlFlow::Break((what, word)) => {
            Err(raise(Error::Unsupported, format!("{what} is not supported")).at(word.and_then(|word| find_word(sql, word))))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn statement(tree: &Tree) -> Result<(), Error> {
    match tree {
        Tree::Query(_) | Tree::Insert(_) | Tree::Update(_) | Tree::Delete(_) | Tree::Copy { .. } => Ok(()),
        Tree::Explain { statement: inner, query_plan, estimate, format, options, .. } => {
            if !matches!(inner.as_ref(), Tree::Query(_)) {
                return Err(raise(Error::Unsupported, "EXPLAIN of anything but a query is not supported"));
            }
            if *query_plan || *estimate || format.is_some() || options.as_ref().is_some_and(|options| !plain_options(options)) {
                return Err(raise(Error::Unsupported, "EXPLAIN options other than ANALYZE and VERBOSE are not supported"));
            }
            Ok(())
        }
        Tree::CreateTable(_) | Tree::CreateView(_) | Tree::CreateIndex(_) | Tree::AlterTable(_) => {
            Err(raise(Error::Unsupported, "tables, views and indexes can't be made or changed yet")
                .with_hint("tags are made with INSERT INTO tags (name, kind, ..) VALUES (..)"))
        }
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(raise(Error::Unsupported, format!("{} is not supported", words.join(" ").to_uppercase())))
        }
    }
}

fn plain_options(options: &[datafusion::sql::sqlparser::ast::UtilityOption]) -> bool {
    options.iter().all(|option| ["analyze", "verbose"].contains(&option.name.value.to_ascii_lowercase().as_str()))
}

/// What is refused, and a word of it to point at.
type Refusal = (&'static str, Option<&'static str>);

struct Guard;

fn refuse_if(conditions: &[(bool, &'static str, Option<&'static str>)]) -> ControlFlow<Refusal> {
    match conditions.iter().find(|(met, ..)| *met) {
        Some((_, what, word)) => ControlFlow::Break((*what, *word)),
        None => ControlFlow::Continue(()),
    }
}

impl Visitor for Guard {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        let limit_by = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit_by, .. }) => !limit_by.is_empty(),
            Some(LimitClause::OffsetCommaLimit { .. }) => true,
            None => false,
        };
        let order_all = query.order_by.as_ref().is_some_and(|order| {
            order.interpolate.is_some()
                || match &order.kind {
                    OrderByKind::All(_) => true,
                    OrderByKind::Expressions(keys) => keys.iter().any(|key| key.with_fill.is_some()),
                }
        });
        let limited = matches!(
            &query.limit_clause,
            Some(LimitClause::LimitOffset { limit: Some(_), .. } | LimitClause::OffsetCommaLimit { .. })
        );
        let odd_fetch = query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties || fetch.percent || limited);
        let data_change = match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => true,
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) | SetExpr::Table(_) => {
                false
            }
        };
        let materialized = query.with.as_ref().is_some_and(|with| with.cte_tables.iter().any(|cte| cte.from.is_some()));
        refuse_if(&[
            (sorted_unnest(query), "unnest in a list together with ORDER BY (put it into FROM)", Some("unnest")),
            (!query.locks.is_empty(), "locking rows (FOR UPDATE, FOR SHARE)", Some("for")),
            (query.for_clause.is_some(), "a FOR clause", Some("for")),
            (query.settings.is_some(), "a SETTINGS clause", Some("settings")),
            (query.format_clause.is_some(), "a FORMAT clause", Some("format")),
            (!query.pipe_operators.is_empty(), "pipe syntax", None),
            (limit_by, "this form of LIMIT", Some("limit")),
            (order_all, "this form of ORDER BY", Some("order")),
            (odd_fetch, "this form of FETCH", Some("fetch")),
            (data_change, "changing data inside a query", None),
            (materialized, "this form of WITH", Some("with")),
        ])
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        refuse_if(&[
            (select.top.is_some(), "TOP", Some("top")),
            (select.into.is_some(), "SELECT INTO", Some("into")),
            (select.exclude.is_some(), "EXCLUDE", Some("exclude")),
            (select.select_modifiers.is_some(), "a modifier of SELECT", None),
            (!select.lateral_views.is_empty(), "LATERAL VIEW", Some("lateral")),
            (select.prewhere.is_some(), "PREWHERE", Some("prewhere")),
            (!select.connect_by.is_empty(), "CONNECT BY", Some("connect")),
            (!select.cluster_by.is_empty(), "CLUSTER BY", Some("cluster")),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY", Some("distribute")),
            (!select.sort_by.is_empty(), "SORT BY", Some("sort")),
            (select.value_table_mode.is_some(), "AS VALUE and AS STRUCT", Some("as")),
            (!matches!(select.flavor, SelectFlavor::Standard), "FROM before SELECT", Some("from")),
        ])?;
        select.from.iter().try_for_each(joins)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        match factor {
            TableFactor::Table {
                name, with_hints, version, with_ordinality, partitions, json_path, sample, index_hints, ..
            } => {
                // psql asks so of triggers, which there are none of.
                let ordinality = *with_ordinality && !name.to_string().ends_with("pg_partition_ancestors");
                refuse_if(&[
                    (version.is_some(), "reading a table as of an earlier time or version", Some("of")),
                    (sample.is_some(), "TABLESAMPLE", Some("tablesample")),
                    (!with_hints.is_empty() || !index_hints.is_empty(), "a table hint", Some("with")),
                    (ordinality, "WITH ORDINALITY", Some("ordinality")),
                    (!partitions.is_empty(), "PARTITION after a table", Some("partition")),
                    (json_path.is_some(), "a path into a table", None),
                ])
            }
            TableFactor::Derived { sample, .. } => refuse_if(&[(sample.is_some(), "TABLESAMPLE", Some("tablesample"))]),
            TableFactor::NestedJoin { table_with_joins, .. } => joins(table_with_joins),
            TableFactor::UNNEST { with_offset, with_ordinality, .. } => refuse_if(&[
                (*with_offset, "WITH OFFSET", Some("offset")),
                (*with_ordinality, "WITH ORDINALITY", Some("ordinality")),
            ]),
            TableFactor::Function { with_ordinality, .. } => {
                refuse_if(&[(*with_ordinality, "WITH ORDINALITY", Some("ordinality"))])
            }
            TableFactor::TableFunction { .. } => refuse_if(&[(true, "TABLE(..)", Some("table"))]),
            TableFactor::Pivot { .. } | TableFactor::Unpivot { .. } => refuse_if(&[(true, "PIVOT", Some("pivot"))]),
            TableFactor::MatchRecognize { .. } => refuse_if(&[(true, "MATCH_RECOGNIZE", Some("match_recognize"))]),
            _ => refuse_if(&[(true, "this form of a table in FROM", Some("from"))]),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        match expr {
            Expr::Function(function) => {
                let sets = !matches!(function.parameters, FunctionArguments::None);
                let groups = matches!(&function.over, Some(WindowType::WindowSpec(spec))
                    if spec.window_frame.as_ref().is_some_and(|frame| matches!(frame.units, WindowFrameUnits::Groups) && frame.end_bound.is_none()));
                let series = is_called(function, "generate_series");
                refuse_if(&[
                    (series, "generate_series outside FROM", Some("generate_series")),
                    (sets, "a function with two lists of arguments", None),
                    (groups, "this window frame", Some("groups")),
                ])
            }
            Expr::OuterJoin(_) => refuse_if(&[(true, "(+) for outer joins", None)]),
            Expr::SimilarTo { pattern, escape_char, .. } => {
                let constant =
                    matches!(pattern.as_ref(), Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
                refuse_if(&[(!constant || escape_char.is_some(), "SIMILAR TO anything but a constant", Some("similar"))])
            }
            Expr::Prior(_) => refuse_if(&[(true, "PRIOR", Some("prior"))]),
            Expr::MatchAgainst { .. } => refuse_if(&[(true, "MATCH .. AGAINST", Some("match"))]),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn is_called(function: &Function, name: &str) -> bool {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    last.is_some_and(|ident| ident.value.eq_ignore_ascii_case(name))
}

/// The planner sorts by what is not unnested yet.
fn sorted_unnest(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let found = visit_expressions(&select.projection, |expr| match expr {
        Expr::Function(function) if is_called(function, "unnest") => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    query.order_by.is_some() && found.is_break()
}

fn joins(table: &TableWithJoins) -> ControlFlow<Refusal> {
    table.joins.iter().try_for_each(|join| {
        let constraint = match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::LeftSemi(constraint)
            | JoinOperator::RightSemi(constraint)
            | JoinOperator::LeftAnti(constraint)
            | JoinOperator::RightAnti(constraint) => constraint,
            JoinOperator::AsOf { .. } => return ControlFlow::Break(("ASOF JOIN", Some("asof"))),
            _ => return ControlFlow::Break(("this form of JOIN", Some("join"))),
        };
        let without = matches!(constraint, JoinConstraint::None);
        let needs = !matches!(join.join_operator, JoinOperator::CrossJoin(_));
        refuse_if(&[(join.global, "GLOBAL JOIN", Some("global")), (without && needs, "a JOIN without ON or USING", Some("join"))])
    })
}
