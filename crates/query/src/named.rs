//! Prepared statements by name: those of PREPARE and those of the wire's Parse are one list, as in PostgreSQL.
//!
//! Shared state: one mutex around a map by name. A statement that is taken out of it says so itself (`is_live`), so that a
//! connection may keep what it found without asking each time.

use crate::error::{Error, raise};
use crate::planning::Size;
use crate::prepared::{Planned, Prepared};
use crate::query::{QueryPlan, converted, plain};
use crate::session::Session;
use crate::write::{Literal, literal};
use crate::{Outcome, Rows, statements};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, CastKind, Expr, SelectItem, SetExpr, Statement as Tree, Value, VisitMut, VisitorMut, visit_expressions,
};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A prepared statement that has a name.
pub struct NamedStatement {
    pub(crate) planned: Arc<Planned>,
    /// What was sent to make it.
    pub(crate) text: Arc<str>,
    pub(crate) prepared_us: i64,
    /// Whether by PREPARE.
    pub(crate) by_sql: bool,
    live: AtomicBool,
}

impl NamedStatement {
    /// Whether it has not been deallocated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }
}

/// The named statements of one session.
#[derive(Default)]
pub(crate) struct Names {
    all: Mutex<BTreeMap<String, Arc<NamedStatement>>>,
}

fn unknown(name: &str) -> Error {
    raise(Error::UnknownStatement, format!("prepared statement \"{name}\" does not exist"))
}

impl Names {
    pub(crate) fn add(
        &self,
        name: &str,
        planned: &Arc<Planned>,
        text: &Arc<str>,
        by_sql: bool,
        session: &Session,
    ) -> Result<Arc<NamedStatement>, Error> {
        let limit = session.settings.statements_max;
        let mut all = self.all.lock();
        if all.contains_key(name) {
            return Err(raise(Error::DuplicateStatement, format!("prepared statement \"{name}\" already exists")));
        }
        if all.len() >= limit {
            return Err(raise(Error::Limit, format!("{limit} prepared statements are open already"))
                .with_hint("close those no longer needed, or raise the setting statements_max"));
        }
        let named = Arc::new(NamedStatement {
            planned: Arc::clone(planned),
            text: Arc::clone(text),
            prepared_us: session.engine.settings.clock.wall_us(),
            by_sql,
            live: AtomicBool::new(true),
        });
        all.insert(name.to_owned(), Arc::clone(&named));
        Ok(named)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<NamedStatement>> {
        self.all.lock().get(name).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// All, by name.
    pub(crate) fn list(&self) -> Vec<(String, Arc<NamedStatement>)> {
        self.all.lock().iter().map(|(name, named)| (name.clone(), Arc::clone(named))).collect()
    }

    /// Forgets one, or all.
    pub(crate) fn forget(&self, name: Option<&str>) -> Result<(), Error> {
        let mut all = self.all.lock();
        let gone = match name {
            Some(name) => vec![all.remove(name).ok_or_else(|| unknown(name))?],
            None => std::mem::take(&mut *all).into_values().collect(),
        };
        gone.iter().for_each(|named| named.live.store(false, Ordering::Relaxed));
        Ok(())
    }
}

/// EXECUTE of a named statement.
pub(crate) struct Execute {
    pub name: String,
    arguments: Vec<Expr>,
}

impl Execute {
    /// # Errors
    /// `Error::UnknownParameter`: arguments are no place for parameters of the statement around them.
    pub(crate) fn of(name: String, arguments: Vec<Expr>) -> Result<Self, Error> {
        let has_parameter = visit_expressions(&arguments, |expr| match expr {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => ControlFlow::Break(name.clone()),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        });
        match has_parameter {
            ControlFlow::Break(found) => Err(raise(Error::UnknownParameter, format!("there is no parameter {found}"))),
            ControlFlow::Continue(()) => Ok(Execute { name, arguments }),
        }
    }

    /// The statement of that name now.
    pub(crate) fn find(&self, session: &Session) -> Result<Arc<Planned>, Error> {
        let named = session.names.find(&self.name).ok_or_else(|| unknown(&self.name))?;
        if named.planned.is_execute() {
            return Err(raise(Error::Unsupported, "EXECUTE of an EXECUTE is not supported"));
        }
        Ok(Arc::clone(&named.planned))
    }

    /// Runs it; `sql` is its own text.
    pub(crate) async fn run(&self, session: &Arc<Session>, sql: &str) -> Result<Outcome, Error> {
        let planned = self.find(session)?;
        let params = self.values(session, &planned.parameters, sql).await?;
        Box::pin(Prepared::of(session, &planned, None).run(params)).await
    }

    fn check_count(&self, wanted: usize) -> Result<(), Error> {
        let given = self.arguments.len();
        if given == wanted {
            return Ok(());
        }
        Err(raise(Error::Syntax, format!("wrong number of parameters for prepared statement \"{}\"", self.name))
            .with_detail(format!("Expected {wanted} parameters but got {given}.")))
    }

    /// The arguments as the types wanted: literals as they stand, all else computed.
    async fn values(&self, session: &Arc<Session>, types: &[DataType], sql: &str) -> Result<Vec<ScalarValue>, Error> {
        self.check_count(types.len())?;
        let mut values = Vec::with_capacity(types.len());
        for (argument, wanted) in self.arguments.iter().zip(types) {
            values.push(match literal(argument) {
                Some(Literal::Null) => ScalarValue::try_from(wanted)?,
                Some(Literal::Number(text) | Literal::Text(text)) => session.parse_text(wanted, &text)?,
                Some(Literal::Bool(value)) => ScalarValue::Boolean(Some(value)).cast_to(wanted)?,
                _ => computed(session, argument, sql).await?,
            });
        }
        converted(values, types)
    }
}

/// The value of an expression that needs no row, of the statement `within`.
async fn computed(session: &Arc<Session>, expr: &Expr, within: &str) -> Result<ScalarValue, Error> {
    let (of, expr) = (Arc::clone(session), expr.clone());
    let work = async move {
        let sql = format!("SELECT {expr}");
        let tree = statements::parse(&sql)?.ok_or_else(|| raise(Error::Internal, "a query of our own is empty"))?;
        crate::guard::check(&tree, &sql)?;
        let (plan, _) = QueryPlan::of(&of, tree, &[], &sql).await?;
        Ok((plan, sql))
    };
    let (plan, sql) = session.engine.planners.run(Size::of(within), work.boxed()).await?;
    let Rows { mut batches, .. } = plan.run(session, Vec::new(), &[], &sql).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        if batch.num_rows() > 0 {
            return Ok(ScalarValue::try_from_array(batch.column(0), 0)?);
        }
    }
    Ok(ScalarValue::Null)
}

/// The types that PREPARE names.
pub(crate) async fn types_of(session: &Arc<Session>, types: Vec<ast::DataType>) -> Result<Vec<Option<DataType>>, Error> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let unknown: Vec<bool> = types.iter().map(|named| named.to_string().eq_ignore_ascii_case("unknown")).collect();
    let sql = "SELECT NULL";
    let mut tree = statements::parse(sql)?;
    if let Some(Tree::Query(query)) = &mut tree
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        let cast = |(data_type, unknown): (ast::DataType, &bool)| {
            let expr = Box::new(Expr::Value(Value::Null.into()));
            let data_type = if *unknown { ast::DataType::Text } else { data_type };
            SelectItem::UnnamedExpr(Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None })
        };
        select.projection = types.into_iter().zip(&unknown).map(cast).collect();
    }
    let tree = tree.ok_or_else(|| raise(Error::Internal, "a query of our own is empty"))?;
    let (plan, _) = QueryPlan::of(session, tree, &[], sql).await?;
    let fields = plan.schema.fields().iter().zip(unknown);
    Ok(fields.map(|(field, unknown)| (!unknown).then(|| plain(field.data_type()))).collect())
}

/// EXPLAIN EXECUTE: the named statement with the arguments in the places of its parameters.
pub(crate) fn spelled_out(session: &Session, tree: &mut Tree) -> Result<(), Error> {
    let Tree::Explain { statement, .. } = tree else { return Ok(()) };
    let Tree::Execute { name: Some(name), parameters, using, .. } = statement.as_ref() else { return Ok(()) };
    if !using.is_empty() {
        return Err(raise(Error::Syntax, "EXECUTE .. USING is not PostgreSQL's"));
    }
    let name = name.0.last().and_then(|part| part.as_ident());
    let name = name.map(|ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() });
    let execute = Execute::of(name.unwrap_or_default(), parameters.clone())?;
    let planned = execute.find(session)?;
    execute.check_count(planned.parameters.len())?;
    let inner = statements::parse(&planned.sql)?;
    let mut inner = inner.ok_or_else(|| raise(Error::Unsupported, "EXPLAIN of an empty statement is not supported"))?;
    let _ = inner.visit(&mut Filled(&execute.arguments));
    **statement = inner;
    Ok(())
}

struct Filled<'a>(&'a [Expr]);

impl VisitorMut for Filled<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok())
            && let Some(argument) = number.checked_sub(1).and_then(|at| self.0.get(at))
        {
            *expr = Expr::Nested(Box::new(argument.clone()));
        }
        ControlFlow::Continue(())
    }
}
