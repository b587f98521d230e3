//! Cuts a plan into what nodes do and what is done here.
//!
//! From each leaf upwards a node of the plan goes down to the data where it works row by row, or partition by
//! partition, with what every node of the fleet knows: filters, projections, partial aggregates, the first n of a
//! sort. The first that does not is where the network begins. Names of tags are laid above it: beneath it a tag is
//! its ordinal, which may be handed on and grouped by, and nothing else.
//!
//! Promises: the plan gives the rows that it gave; where a node of it asked for one partition, it still gets one.

use super::away::Away;
use super::names::Names;
use super::part::{Part, Wanted};
use super::told::Told;
use super::travels::travels;
use crate::error::{Error, raise};
use crate::scan::node::SeriesScan;
use crate::scan::{Place, Target};
use crate::store::Route;
use crate::tables::partial::PartialScan;
use catalog::Catalog;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};
use datafusion_distributed::{DistributedLeafExec, NetworkCoalesceExec};
use kernel::TagSelection;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{SliceId, Timestamp};

/// The leaf of a fleet that a node of a plan is.
pub(crate) fn leaf_of(node: &dyn ExecutionPlan) -> Option<&Arc<Target>> {
    let series = node.downcast_ref::<SeriesScan>().map(SeriesScan::target);
    series.or_else(|| node.downcast_ref::<PartialScan>().map(PartialScan::target))
}

fn away_of(target: &Arc<Target>) -> Option<&Arc<Away>> {
    if let Place::Fleet(away) = &target.place { Some(away) } else { None }
}

/// The slices that all leaves of a plan can need, rising; None where it has no leaf of a fleet.
pub(crate) fn slices_of_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Vec<SliceId>>> {
    let mut slices: Option<BTreeSet<SliceId>> = None;
    plan.apply(|node| {
        if let Some(away) = leaf_of(node.as_ref()).and_then(away_of) {
            slices.get_or_insert_default().extend(&away.slices);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(slices.map(|slices| slices.into_iter().collect()))
}

/// A subtree: on its way down to the nodes, or done here.
enum Piece {
    Down(Down),
    Here(Arc<dyn ExecutionPlan>),
}

/// What nodes do, in so many tasks; `ordinals` are columns that stand for names.
struct Down {
    plan: Arc<dyn ExecutionPlan>,
    tasks: usize,
    ordinals: Vec<usize>,
}

/// Cuts plans of one statement.
pub(crate) struct Cutter<'a> {
    pub route: Arc<Route>,
    /// What the statement wants of each owner of the route.
    pub wanted: Vec<Arc<Wanted>>,
    pub catalog: &'a Arc<Catalog>,
}

impl Cutter<'_> {
    /// The whole plan, in one partition.
    pub(crate) fn cut(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let piece = self.piece(plan)?;
        Ok(single(self.here(piece)?))
    }

    fn piece(&self, node: &Arc<dyn ExecutionPlan>) -> Result<Piece> {
        if let Some(away) = leaf_of(node.as_ref()).and_then(away_of) {
            return self.leaf(node, away);
        }
        let mut pieces = Vec::new();
        for child in node.children() {
            pieces.push(self.piece(child)?);
        }
        if pieces.len() == 1 && matches!(pieces[0], Piece::Down(_)) {
            return match pieces.swap_remove(0) {
                Piece::Down(down) => self.over(node, down),
                here => Ok(here),
            };
        }
        let mut children = Vec::with_capacity(pieces.len());
        for (piece, was) in pieces.into_iter().zip(node.children()) {
            children.push(apart(node, as_before(self.here(piece)?, was)));
        }
        if children.is_empty() { Ok(Piece::Here(Arc::clone(node))) } else { with_children(node, children).map(Piece::Here) }
    }

    /// A node over what goes down.
    fn over(&self, node: &Arc<dyn ExecutionPlan>, down: Down) -> Result<Piece> {
        if let Some(names) = node.downcast_ref::<Names>() {
            let ordinals = names.columns().to_vec();
            return Ok(Piece::Down(Down { ordinals, ..down }));
        }
        if let Some(lifted) = lifted(node, &down)? {
            return Ok(Piece::Down(lifted));
        }
        if let Some(sort) = node.downcast_ref::<SortExec>()
            && !sort.preserve_partitioning()
            && keys_travel(sort, &down.ordinals)
        {
            // Each node sorts its own, and they are merged here.
            let plan = Arc::new(sorted(sort, Arc::clone(&down.plan)));
            let below = self.here(Piece::Down(Down { plan, ..down }))?;
            let merge = SortPreservingMergeExec::new(sort.expr().clone(), below).with_fetch(sort.fetch());
            return Ok(Piece::Here(Arc::new(merge)));
        }
        let was = node.children()[0];
        let child = apart(node, as_before(self.here(Piece::Down(down))?, was));
        with_children(node, vec![child]).map(Piece::Here)
    }

    /// What is done here, over the network where the rest is not.
    fn here(&self, piece: Piece) -> Result<Arc<dyn ExecutionPlan>> {
        match piece {
            Piece::Here(plan) => Ok(plan),
            Piece::Down(Down { plan, tasks, ordinals }) => {
                let boundary = NetworkCoalesceExec::try_new(Told::over(plan), tasks, 1)?;
                Ok(Names::over(Arc::new(boundary), ordinals, self.catalog))
            }
        }
    }

    /// A leaf as one part a node.
    fn leaf(&self, node: &Arc<dyn ExecutionPlan>, away: &Arc<Away>) -> Result<Piece> {
        // The first to plan this leaf tells EXPLAIN who reads it.
        let _ = away.route.set(Arc::clone(&self.route));
        let mut parts = Vec::new();
        for (owner, wanted) in self.route.owners.iter().zip(&self.wanted) {
            let held = |slice: &SliceId| away.slices.binary_search(slice).is_ok();
            let slices: Vec<SliceId> = owner.slices.iter().map(|(slice, _)| *slice).filter(held).collect();
            if !slices.is_empty() {
                parts.push(Part::away(&owner.node, &owner.url, Arc::clone(wanted), slices, away.dropped.clone()));
            }
        }
        let covered: usize = parts.iter().map(|part| part.slices.len()).sum();
        if covered != away.slices.len() {
            let message =
                format!("{} of {} slices have no node that may read them", away.slices.len() - covered, away.slices.len());
            return Err(raise(Error::Unavailable, message).into());
        }
        let Some(first) = parts.first().cloned() else {
            let partitions = node.output_partitioning().partition_count();
            return Ok(Piece::Here(Arc::new(EmptyExec::new(node.schema()).with_partitions(partitions))));
        };
        if parts.len() == 1 {
            // The engine takes a boundary between one task and one task away, and would read here: so there is a
            // second one, which reads nothing.
            parts.push(Part::away(&first.node, &first.url, first.wanted, Vec::new(), first.dropped));
        }
        let tasks = parts.len();
        let variants = parts.into_iter().map(|part| variant(node, part, away)).collect::<Result<Vec<_>>>()?;
        let plan = Arc::new(DistributedLeafExec::try_new(Arc::clone(node), variants)?);
        Ok(Piece::Down(Down { plan, tasks, ordinals: Vec::new() }))
    }
}

/// A leaf as one node reads it.
fn variant(node: &Arc<dyn ExecutionPlan>, part: Part, away: &Away) -> Result<Arc<dyn ExecutionPlan>> {
    let lost = || raise(Error::Internal, "internal error: a leaf of a fleet is of no known sort");
    let target = leaf_of(node.as_ref()).ok_or_else(lost)?;
    let rule = away.engine.store.rule();
    let tags = match &target.tags {
        _ if part.slices.is_empty() => TagSelection::List(Arc::new([])),
        TagSelection::List(tags) if rule.ignores_time() => {
            let held = |slice: SliceId| part.slices.binary_search(&slice).is_ok();
            TagSelection::List(tags.iter().copied().filter(|tag| held(rule.slice(*tag, Timestamp(0)))).collect())
        }
        tags => tags.clone(),
    };
    let target = Arc::new(Target { place: Place::Node(Arc::new(part)), tags, ..target.as_ref().clone() });
    if let Some(scan) = node.downcast_ref::<SeriesScan>() {
        return Ok(Arc::new(scan.of_part(target)));
    }
    node.downcast_ref::<PartialScan>().map(|scan| Arc::new(scan.of_part(target)) as _).ok_or_else(|| lost().into())
}

fn with_children(node: &Arc<dyn ExecutionPlan>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node).replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// One partition of all.
fn single(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if plan.output_partitioning().partition_count() == 1 { plan } else { Arc::new(CoalescePartitionsExec::new(plan)) }
}

/// One partition where there was one, and in the order that each of several has.
fn as_before(plan: Arc<dyn ExecutionPlan>, was: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let several = plan.output_partitioning().partition_count() > 1;
    if was.output_partitioning().partition_count() > 1 || !several {
        return plan;
    }
    match plan.output_ordering().cloned() {
        Some(order) => Arc::new(SortPreservingMergeExec::new(order, plan)),
        None => single(plan),
    }
}

/// A boundary apart from a node that has a limit and leaves out, joins or sorts rows: the engine would have each task give no more
/// rows than the limit, whatever the node then does with them (`push_fetch_into_network_coalesce`).
fn apart(node: &Arc<dyn ExecutionPlan>, child: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let hands_on = node.is::<CoalescePartitionsExec>() || node.is::<SortPreservingMergeExec>() || node.is::<GlobalLimitExec>();
    if hands_on || node.is::<LocalLimitExec>() || !child.is::<NetworkCoalesceExec>() {
        return child;
    }
    Arc::new(CooperativeExec::new(child))
}

/// The column that an expression is, and nothing more.
fn bare(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// A sort of each partition of its own.
fn sorted(sort: &SortExec, input: Arc<dyn ExecutionPlan>) -> SortExec {
    SortExec::new(sort.expr().clone(), input).with_preserve_partitioning(true).with_fetch(sort.fetch())
}

fn keys_travel(sort: &SortExec, ordinals: &[usize]) -> bool {
    sort.expr().iter().all(|key| travels(&key.expr, ordinals))
}

/// A node beneath the network, where it can go there.
fn lifted(node: &Arc<dyn ExecutionPlan>, down: &Down) -> Result<Option<Down>> {
    let Down { plan, tasks, ordinals } = down;
    let input = Arc::clone(plan);
    let placed = |plan: Arc<dyn ExecutionPlan>, ordinals: Vec<usize>| -> Result<Option<Down>> {
        Ok(Some(Down { plan, tasks: *tasks, ordinals }))
    };
    if node.is::<CooperativeExec>() {
        return placed(input, ordinals.clone());
    }
    if node.is::<LocalLimitExec>() {
        return placed(with_children(node, vec![input])?, ordinals.clone());
    }
    if let Some(filter) = node.downcast_ref::<FilterExec>() {
        if !travels(filter.predicate(), ordinals) {
            return Ok(None);
        }
        let ordinals = match filter.projection() {
            None => ordinals.clone(),
            Some(kept) => (0..kept.len()).filter(|index| ordinals.contains(&kept[*index])).collect(),
        };
        return placed(with_children(node, vec![input])?, ordinals);
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let exprs = projection.expr();
        let handed_on = |expr: &Arc<dyn PhysicalExpr>| bare(expr).is_some_and(|column| ordinals.contains(&column));
        if !exprs.iter().all(|shown| handed_on(&shown.expr) || travels(&shown.expr, ordinals)) {
            return Ok(None);
        }
        let still = (0..exprs.len()).filter(|index| handed_on(&exprs[*index].expr)).collect();
        return placed(Arc::new(ProjectionExec::try_new(exprs.to_vec(), input)?), still);
    }
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        if !sort.preserve_partitioning() || !keys_travel(sort, ordinals) {
            return Ok(None);
        }
        return placed(Arc::new(sorted(sort, input)), ordinals.clone());
    }
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        return Ok(partial(aggregate, input, ordinals)?.map(|(plan, ordinals)| Down { plan, tasks: *tasks, ordinals }));
    }
    Ok(None)
}

/// A plan, and which of its columns hold ordinals.
type WithOrdinals = (Arc<dyn ExecutionPlan>, Vec<usize>);

/// A partial aggregate beneath the network: grouped by ordinals where it was by names.
fn partial(aggregate: &AggregateExec, input: Arc<dyn ExecutionPlan>, ordinals: &[usize]) -> Result<Option<WithOrdinals>> {
    let groups = aggregate.group_expr();
    let handed_on = |expr: &Arc<dyn PhysicalExpr>| bare(expr).is_some_and(|column| ordinals.contains(&column));
    let keys = groups.expr();
    // The NULLs of grouping sets are of the names' type.
    let sets = groups.has_grouping_set() && !ordinals.is_empty();
    let fits = *aggregate.mode() == AggregateMode::Partial
        && !sets
        && keys.iter().all(|(expr, _)| handed_on(expr) || travels(expr, ordinals))
        && aggregate.aggr_expr().iter().all(|part| {
            let sorted = part.order_bys().iter().all(|key| travels(&key.expr, ordinals));
            sorted
                && super::travels::known_aggregate(part.fun().name())
                && part.expressions().iter().all(|expr| travels(expr, ordinals))
        })
        && aggregate.filter_expr().iter().flatten().all(|filter| travels(filter, ordinals));
    if !fits {
        return Ok(None);
    }
    let still = (0..keys.len()).filter(|index| handed_on(&keys[*index].0)).collect();
    let schema = input.schema();
    let (parts, filters) = (aggregate.aggr_expr().to_vec(), aggregate.filter_expr().to_vec());
    let moved = AggregateExec::try_new(AggregateMode::Partial, groups.clone(), parts, filters, input, schema)?;
    Ok(Some((Arc::new(moved.with_limit_options(aggregate.limit_options())), still)))
}
