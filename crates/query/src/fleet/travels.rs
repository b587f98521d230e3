//! Which expressions every node of a fleet computes alike: those of columns, literals and functions that need
//! nothing of the session or of the tag table.

use crate::functions;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr, NotExpr,
    TryCastExpr,
};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use std::sync::{Arc, LazyLock};

/// What a node knows, for asking whether it knows a function.
static KNOWN: LazyLock<SessionState> = LazyLock::new(|| with_functions(SessionStateBuilder::new().with_default_features()));

/// A state with the functions that travel.
pub(crate) fn with_functions(builder: SessionStateBuilder) -> SessionState {
    let context = SessionContext::new_with_state(builder.build());
    functions::register_of_rules(&context);
    functions::register_everywhere(&context);
    context.state()
}

/// Whether nodes know an aggregate function.
pub(crate) fn known_aggregate(name: &str) -> bool {
    KNOWN.aggregate_functions().contains_key(name)
}

/// Whether an expression may be computed on a node, where these columns hold ordinals instead of names.
pub(crate) fn travels(expr: &Arc<dyn PhysicalExpr>, ordinals: &[usize]) -> bool {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return !ordinals.contains(&column.index());
    }
    let known = match expr.downcast_ref::<ScalarFunctionExpr>() {
        // Functions without arguments tell of the session or the node.
        Some(call) => {
            !call.args().is_empty()
                && call.fun().signature().volatility != Volatility::Volatile
                && KNOWN.scalar_functions().contains_key(call.fun().name())
        }
        None => {
            expr.is::<Literal>()
                || expr.is::<BinaryExpr>()
                || expr.is::<CaseExpr>()
                || expr.is::<CastExpr>()
                || expr.is::<TryCastExpr>()
                || expr.is::<InListExpr>()
                || expr.is::<IsNullExpr>()
                || expr.is::<IsNotNullExpr>()
                || expr.is::<LikeExpr>()
                || expr.is::<NegativeExpr>()
                || expr.is::<NotExpr>()
        }
    };
    known && expr.children().into_iter().all(|child| travels(child, ordinals))
}
