//! Queries that go through a plan: planned once without parameters, optimised and run at each execution.

use crate::access::admit_plan;
use crate::block::with_own;
use crate::context::{PlanOptions, StatementContext, StatementRights};
use crate::engine::{batch_rows, sort_reserve};
use crate::error::{Error, from_datafusion, raise};
use crate::fleet;
use crate::frugal;
use crate::names;
use crate::outcome::Rows;
use crate::planning::{Planning, Size};
use crate::rewrite;
use crate::scan::Sort;
use crate::session::Session;
use crate::suggest;
use crate::tables::latest::LatestTable;
use crate::tables::series::SeriesTable;
use crate::tables::tags::TagTable;
use crate::tables::values_at_scan;
use crate::value::{parse_double, parse_real};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Statement as PlanStatement};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{self, Statement as Tree};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A planned query.
pub(crate) struct QueryPlan {
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
    pub command: &'static str,
}

impl QueryPlan {
    /// Plans a query. The answer's second part is the types of its parameters.
    pub(crate) async fn of(
        session: &Arc<Session>,
        mut tree: Tree,
        types: &[Option<DataType>],
        sql: &str,
    ) -> Result<(QueryPlan, Vec<DataType>), Error> {
        let shown = names::of(&tree);
        rewrite::tree(&mut tree)?;
        let command = match &tree {
            Tree::Explain { .. } => "EXPLAIN",
            _ => "SELECT",
        };
        let (plan, parameters) = planned(session, tree, types, sql).await?;
        let schema = Arc::new(names::shown(settled(session, &plan)?.schema().as_arrow(), shown.as_ref()));
        Ok((QueryPlan { plan, schema, command }, parameters))
    }

    /// Runs it.
    pub(crate) async fn run(
        &self,
        session: &Arc<Session>,
        params: Vec<ScalarValue>,
        types: &[DataType],
        sql: &str,
    ) -> Result<Rows, Error> {
        let batches = stream(session, &self.plan, params, types, sql).await?;
        let schema = Arc::clone(&self.schema);
        let renamed = batches.map(move |batch| batch.and_then(|batch| named(&batch, &schema)));
        Ok(Rows { schema: Arc::clone(&self.schema), batches: renamed.boxed(), command: self.command })
    }
}

fn named(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    // An optimised plan may know better that a column has no NULLs; the names and types are what counts.
    // It may also hold texts in another layout than the plan promised (CASE over a literal and a cast).
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else {
            arrow::compute::cast(column, field.data_type())
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    // Of no column at all rows are counted.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(Error::from)
}

/// The state in which one statement is planned and run: one snapshot, one moment.
pub(crate) fn statement_state(session: &Session, params: Vec<ScalarValue>) -> SessionState {
    state_of(session, StatementContext::of(session, params, Vec::new()))
}

/// The same for a try of a statement of a fleet.
pub(crate) fn fleet_state(session: &Session, params: Vec<ScalarValue>, avoided: Vec<String>, plan: &LogicalPlan) -> SessionState {
    let mut state = state_of(session, StatementContext::of(session, params, avoided));
    let zone = session.variable("timezone").unwrap_or_default();
    fleet::carry(&mut state, PlanOptions { zone }, matches!(plan, LogicalPlan::Analyze(_)));
    state
}

fn state_of(session: &Session, mut statement: StatementContext) -> SessionState {
    let mut state = session.planning().clone();
    if let Some((runtime, bytes)) = session.bounded_runtime() {
        statement = statement.bounded_by(runtime);
        let execution = &mut state.config_mut().options_mut().execution;
        execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(sort_reserve(bytes));
        if let Ok(rows) = ConfigNonZeroUsize::try_new(batch_rows(execution.batch_size.get(), bytes)) {
            execution.batch_size = rows;
        }
    }
    let rights = StatementRights(Arc::clone(&statement.rights));
    state.config_mut().set_extension(Arc::new(statement));
    state.config_mut().options_mut().extensions.insert(rights);
    let zone = session.variable("timezone").unwrap_or_default();
    state.config_mut().options_mut().extensions.insert(PlanOptions { zone });
    state.mark_start_execution();
    state
}

/// The plan whose schema has the types that come: a union has its first input's until types are settled.
fn settled(session: &Session, plan: &LogicalPlan) -> Result<LogicalPlan, Error> {
    if !plan.exists(|node| Ok(matches!(node, LogicalPlan::Union(_))))? {
        return Ok(plan.clone());
    }
    let state = session.planning();
    Ok(state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {})?)
}

/// What a plan reads of what can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Samples.
    samples: bool,
    integers: bool,
    events: bool,
    /// The newest of all of them.
    pub latest: bool,
    /// Those at times.
    pub values_at: bool,
    pub tags: bool,
    /// Any table, those of catalogues too.
    pub any: bool,
}

impl Tables {
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Tables, Error> {
        let mut read = Tables::default();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Ok(provider) = source_as_provider(&scan.source)
            {
                read.any = true;
                read.tags |= provider.downcast_ref::<TagTable>().is_some();
                read.latest |= provider.downcast_ref::<LatestTable>().is_some();
                read.values_at |= values_at_scan(scan);
                match provider.downcast_ref::<SeriesTable>().map(|table| table.sort) {
                    Some(Sort::Doubles) => read.samples = true,
                    Some(Sort::Integers) => read.integers = true,
                    Some(Sort::Texts) => read.events = true,
                    None => {}
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(read)
    }

    /// Whether it reads a table of samples.
    pub(crate) fn has(&self, sort: Sort) -> bool {
        match sort {
            Sort::Doubles => self.samples,
            Sort::Integers => self.integers,
            Sort::Texts => self.events,
        }
    }

    /// Whether it reads any table of samples.
    pub(crate) fn series(&self) -> bool {
        self.samples || self.integers || self.events
    }
}

/// Optimises and starts a plan; the rows as they come.
pub(crate) async fn stream(
    session: &Session,
    plan: &LogicalPlan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<futures::stream::BoxStream<'static, Result<RecordBatch, Error>>, Error> {
    admit_plan(&session.access.rights(), plan)?;
    session.admit_read(plan)?;
    let sql: Arc<str> = sql.into();
    let shown = |error: DataFusionError| from_datafusion(&error, &sql);
    let values = converted(params, types)?;
    let planners = Planning { planners: Arc::clone(&session.engine.planners), size: Size::optimised(&sql) };
    let plan = bound(&planners, plan, &values).await.map_err(shown)?;
    let plan = with_own(session, plan).await?;
    let stream = if session.engine.local.is_some() {
        frugal::run(planners, statement_state(session, values), &plan).await
    } else {
        fleet::run(&planners, session, values, &plan).await
    };
    let stream = stream.map_err(shown)?;
    let text = Arc::clone(&sql);
    Ok(stream.map(move |batch| batch.map_err(|error| from_datafusion(&error, &text))).boxed())
}

/// A plan with its parameters' values in it.
pub(crate) async fn bound(
    planning: &Planning,
    plan: &LogicalPlan,
    values: &[ScalarValue],
) -> Result<LogicalPlan, DataFusionError> {
    if values.is_empty() {
        return Ok(plan.clone());
    }
    let (plan, values) = (plan.clone(), ParamValues::from(values.to_vec()));
    planning.run(async move { plan.with_param_values(values) }).await
}

/// Parameters as the types that the plan wants.
pub(crate) fn converted(params: Vec<ScalarValue>, types: &[DataType]) -> Result<Vec<ScalarValue>, Error> {
    let convert = |(value, wanted): (ScalarValue, &DataType)| {
        if value.data_type() == *wanted {
            return Ok(value);
        }
        match (wanted, value.try_as_str()) {
            (DataType::Float64, Some(Some(text))) => Ok(ScalarValue::Float64(Some(parse_double(text)?))),
            (DataType::Float32, Some(Some(text))) => Ok(ScalarValue::Float32(Some(parse_real(text)?))),
            _ => value.cast_to(wanted).map_err(Error::from),
        }
    };
    params.into_iter().zip(types).map(convert).collect()
}

async fn to_plan(session: &Session, tree: Tree) -> Result<LogicalPlan, DataFusionError> {
    session.planning().statement_to_plan(Parsed::Statement(Box::new(tree))).await
}

/// Plans a statement and finds its parameters' types: those given, those that where they stand tells, those inferred, else text.
pub(crate) async fn planned(
    session: &Arc<Session>,
    tree: Tree,
    given: &[Option<DataType>],
    sql: &str,
) -> Result<(LogicalPlan, Vec<DataType>), Error> {
    let highest = rewrite::highest_parameter(&tree);
    let shown = |error: DataFusionError| suggest::improved(from_datafusion(&error, sql), session, sql);
    if highest == 0 {
        let plan = to_plan(session, tree).await.map_err(shown)?;
        refuse_writes(&plan)?;
        return Ok((plan, Vec::new()));
    }
    let inferred = match to_plan(session, tree.clone()).await {
        Ok(plan) => inferred_types(&plan).map_err(shown)?,
        Err(_) => BTreeMap::new(),
    };
    let placed = rewrite::placed_parameters(&tree);
    let type_of = |number: usize| {
        let given = given.get(number - 1).cloned().flatten();
        let given = match (given, placed.get(&number)) {
            (Some(given), Some(placed)) => Some(as_deep(given, placed)),
            (given, placed) => given.or_else(|| placed.cloned()),
        };
        given.or_else(|| inferred.get(&number).cloned()).map_or(DataType::Utf8, |found| plain(&found))
    };
    let types: Vec<DataType> = (1..=highest).map(type_of).collect();
    let data_types = types.iter().map(sql_type).collect::<Result<Vec<_>, _>>()?;
    let (explain, inner) = match tree {
        Tree::Explain { statement, analyze, verbose, .. } => (Some((analyze, verbose)), statement),
        tree => (None, Box::new(tree)),
    };
    let prepare = Tree::Prepare { name: ast::Ident::new("p"), data_types, statement: inner };
    let plan = to_plan(session, prepare).await.map_err(shown)?;
    let LogicalPlan::Statement(PlanStatement::Prepare(prepare)) = plan else {
        return Err(raise(Error::Internal, "internal error: PREPARE was planned as something else"));
    };
    let plan = Arc::unwrap_or_clone(prepare.input);
    refuse_writes(&plan)?;
    if explain.is_some() {
        return Err(raise(Error::Unsupported, "EXPLAIN of a statement with parameters is not supported")
            .with_hint("write the values into the statement"));
    }
    Ok((plan, types))
}

/// A client's array, which says nothing of its dimensions, with as many as where it stands.
fn as_deep(given: DataType, placed: &DataType) -> DataType {
    match (&given, placed) {
        (DataType::List(item), DataType::List(inner)) if matches!(inner.data_type(), DataType::List(_)) => {
            if matches!(item.data_type(), DataType::List(_)) {
                return given;
            }
            DataType::new_list(as_deep(given, inner.data_type()), true)
        }
        _ => given,
    }
}

/// Only queries come here; whatever else DataFusion would do by itself is refused.
fn refuse_writes(plan: &LogicalPlan) -> Result<(), Error> {
    let inner = match plan {
        LogicalPlan::Explain(explain) => explain.plan.as_ref(),
        LogicalPlan::Analyze(analyze) => analyze.input.as_ref(),
        plan => plan,
    };
    let refused = matches!(inner, LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_));
    if refused { Err(raise(Error::Unsupported, "this statement is not supported")) } else { Ok(()) }
}

fn inferred_types(plan: &LogicalPlan) -> Result<BTreeMap<usize, DataType>, DataFusionError> {
    let mut out = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(placeholder) = expr {
                    let number = placeholder.id.trim_start_matches('$').parse::<usize>().ok();
                    if let (Some(number), Some(field)) = (number, &placeholder.field) {
                        out.insert(number, field.data_type().clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(out)
}

/// The one type that stands for all of its sort.
pub(crate) fn plain(found: &DataType) -> DataType {
    match found {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::Dictionary(_, value) => plain(value),
        DataType::LargeList(item) | DataType::ListView(item) => {
            DataType::List(Arc::new(Field::new("item", plain(item.data_type()), true)))
        }
        DataType::List(item) => {
            let plain = Field::new("item", plain(item.data_type()), true);
            DataType::List(Arc::new(plain.with_metadata(item.metadata().clone())))
        }
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => crate::schema::time_type(),
        DataType::Timestamp(_, None) => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Int8 => DataType::Int16,
        // The other side says how many digits it has, not how many a parameter may have.
        DataType::Decimal128(precision, scale) if *precision < 38 || *scale < 10 => DataType::Decimal128(38, (*scale).max(10)),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => DataType::Decimal128(38, 10),
        other => other.clone(),
    }
}

/// The name by which SQL knows a type.
fn sql_type(wanted: &DataType) -> Result<ast::DataType, Error> {
    use ast::{ArrayElemTypeDef, ExactNumberInfo, TimezoneInfo};
    Ok(match wanted {
        DataType::Boolean => ast::DataType::Boolean,
        DataType::Int16 => ast::DataType::SmallInt(None),
        DataType::Int32 => ast::DataType::Integer(None),
        DataType::Int64 => ast::DataType::BigInt(None),
        DataType::Float32 => ast::DataType::Real,
        DataType::Float64 => ast::DataType::DoublePrecision,
        DataType::Utf8 => ast::DataType::Text,
        DataType::Binary => ast::DataType::Bytea,
        DataType::Date32 => ast::DataType::Date,
        DataType::Timestamp(_, None) => ast::DataType::Timestamp(Some(6), TimezoneInfo::None),
        DataType::Timestamp(_, Some(_)) => ast::DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone),
        DataType::Interval(_) => ast::DataType::Interval { fields: None, precision: None },
        DataType::Time64(_) => ast::DataType::Time(None, TimezoneInfo::None),
        DataType::Decimal128(precision, scale) => {
            ast::DataType::Numeric(ExactNumberInfo::PrecisionAndScale(u64::from(*precision), i64::from(*scale)))
        }
        DataType::List(item) => {
            ast::DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(sql_type(item.data_type())?), None))
        }
        other => return Err(raise(Error::ParameterType, format!("parameters of type {other} are not supported"))),
    })
}
