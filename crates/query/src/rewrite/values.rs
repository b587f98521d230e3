//! VALUES as an operand of UNION and behind IN: DataFusion takes it there only as `SELECT * FROM (VALUES ..)`.

use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, TableFactor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// `SELECT * FROM (VALUES ..) AS __values` in the place of VALUES; anything else stays.
fn selected(body: &mut SetExpr) -> Result<(), Error> {
    if !matches!(body, SetExpr::Values(_)) {
        return Ok(());
    }
    let broken = || raise(Error::Internal, "internal error: a frame of our own does not parse");
    let frame = "SELECT * FROM (VALUES (1)) AS __values";
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(frame).and_then(|mut parser| parser.parse_query());
    let mut outer = *parsed.map_err(|_| broken())?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return Err(broken()) };
    let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|from| &mut from.relation) else {
        return Err(broken());
    };
    std::mem::swap(subquery.body.as_mut(), body);
    *body = *outer.body;
    Ok(())
}

/// Those that are operands of a query.
///
/// # Errors
/// A fault of ours.
pub(super) fn query(query: &mut Query) -> Result<(), Error> {
    let mut waiting = vec![query.body.as_mut()];
    while let Some(body) = waiting.pop() {
        if let SetExpr::SetOperation { left, right, .. } = body {
            selected(left)?;
            selected(right)?;
            waiting.extend([left.as_mut(), right.as_mut()]);
        }
    }
    Ok(())
}

/// Those behind IN.
///
/// # Errors
/// A fault of ours.
pub(super) fn expr(expr: &mut Expr) -> Result<(), Error> {
    match expr {
        Expr::InSubquery { subquery, .. } => selected(&mut subquery.body),
        _ => Ok(()),
    }
}
