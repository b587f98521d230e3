//! Ordinals into names of tags, on the node that has the tag table.
//!
//! Promises: rows and their order pass as they come; rows of tags that were dropped since the statement was planned
//! are left out.

use crate::engine::Engine;
use crate::passing::shown_by_name;
use crate::scan::batches::names_column;
use arrow::array::{AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use catalog::Catalog;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, PhysicalExpr, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;
use types::TagId;

/// The node.
pub(crate) struct Names {
    input: Arc<dyn ExecutionPlan>,
    /// Which columns of the input hold ordinals.
    columns: Arc<[usize]>,
    catalog: Arc<Catalog>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Names({:?})", self.columns)
    }
}

impl Names {
    /// A scan as the table shows it: names in place of ordinals, where it gives those.
    pub(crate) fn over_scan(scan: Arc<dyn ExecutionPlan>, shown: &Schema, engine: &Engine) -> Arc<dyn ExecutionPlan> {
        let differs = |index: &usize| scan.schema().field(*index).data_type() != shown.field(*index).data_type();
        let columns: Vec<usize> = (0..shown.fields().len()).filter(differs).collect();
        Names::over(scan, columns, &engine.catalog)
    }

    /// Names in place of these columns' ordinals.
    pub(crate) fn over(input: Arc<dyn ExecutionPlan>, columns: Vec<usize>, catalog: &Arc<Catalog>) -> Arc<dyn ExecutionPlan> {
        if columns.is_empty() {
            return input;
        }
        Arc::new(Names::new(input, columns.into(), Arc::clone(catalog)))
    }

    fn new(input: Arc<dyn ExecutionPlan>, columns: Arc<[usize]>, catalog: Arc<Catalog>) -> Names {
        let schema = named(&input.schema(), &columns);
        // Names have another order than ordinals: only orders that don't ask for them stay.
        let stays = |ordering: &LexOrdering| {
            ordering.iter().all(|key| collect_columns(&key.expr).iter().all(|column| !columns.contains(&column.index())))
        };
        let orderings = input.equivalence_properties().oeq_class().iter().filter(|ordering| stays(ordering)).cloned();
        let known = EquivalenceProperties::new_with_orderings(schema, orderings);
        let partitions = Partitioning::UnknownPartitioning(input.output_partitioning().partition_count());
        let properties = Arc::new(PlanProperties::new(known, partitions, input.pipeline_behavior(), input.boundedness()));
        Names { input, columns, catalog, properties }
    }

    /// What gives the ordinals.
    pub(crate) fn input(&self) -> &Arc<dyn ExecutionPlan> {
        &self.input
    }

    /// Which columns of it hold them.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The same over another input with the same columns.
    pub(crate) fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Names {
        Names::new(input, Arc::clone(&self.columns), Arc::clone(&self.catalog))
    }
}

fn named(schema: &Schema, columns: &[usize]) -> SchemaRef {
    let field = |(index, field): (usize, &Arc<Field>)| {
        if columns.contains(&index) {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
        } else {
            Arc::clone(field)
        }
    };
    Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// A batch with names in these columns.
fn renamed(batch: &RecordBatch, columns: &[usize], schema: &SchemaRef, catalog: &Catalog) -> Result<RecordBatch> {
    let mut arrays = batch.columns().to_vec();
    let mut keep: Option<Vec<bool>> = None;
    for column in columns {
        let ordinals = batch.column(*column).as_primitive::<UInt64Type>();
        let runs: Vec<&[u64]> = ordinals.values().chunk_by(|a, b| a == b).collect();
        let ids: Vec<TagId> = runs.iter().map(|run| TagId(run[0])).collect();
        let counts: Vec<u32> = runs.iter().map(|run| run.len() as u32).collect();
        let mut names = Vec::with_capacity(ids.len());
        let mut alive = Vec::with_capacity(ids.len());
        catalog.names(&ids, |name| {
            alive.push(name.is_some());
            names.push(name.unwrap_or_default().to_owned());
        });
        if alive.contains(&false) {
            let keep = keep.get_or_insert_with(|| vec![true; batch.num_rows()]);
            let alive = alive.iter().zip(&counts).flat_map(|(alive, count)| std::iter::repeat_n(*alive, *count as usize));
            keep.iter_mut().zip(alive).for_each(|(keep, alive)| *keep &= alive);
        }
        arrays[*column] = Arc::new(names_column(&names, &counts));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let whole = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?;
    Ok(match keep {
        None => whole,
        Some(keep) => filter_record_batch(&whole, &BooleanArray::from(keep))?,
    })
}

shown_by_name!(Names);

impl ExecutionPlan for Names {
    fn name(&self) -> &'static str {
        "Names"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        // It does, but whoever hears so puts sorts by name beneath, where there are only ordinals.
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(children.swap_remove(0))))
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (columns, catalog, schema) = (Arc::clone(&self.columns), Arc::clone(&self.catalog), self.schema());
        let batches = self.input.execute(partition, context)?;
        let batches = batches.map(move |batch| renamed(&batch?, &columns, &schema, &catalog));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}
