//! Long constants that DataFusion would repeat for each row of a batch are repeated by a function of ours, which
//! refuses what is too much (`functions/spread.rs`).
//!
//! Arguments of functions stay what they are: those take a constant as one value.

use crate::functions::{is_long, spread};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub(super) struct SpreadConstants;

impl OptimizerRule for SpreadConstants {
    fn name(&self) -> &'static str {
        "spread_constants"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_down(|expr| Ok(spreading(expr)))?.update_data(|expr| name.restore(expr)))
        })
    }
}

fn spreading(expr: Expr) -> Transformed<Expr> {
    match &expr {
        Expr::Literal(value, _) if is_long(value) => Transformed::new(spread(expr), true, TreeNodeRecursion::Jump),
        Expr::ScalarFunction(_) => Transformed::new(expr, false, TreeNodeRecursion::Jump),
        _ => Transformed::no(expr),
    }
}
