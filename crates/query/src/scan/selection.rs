//! From conditions on the tag to ordinals. Names, prefixes, patterns and labels go to the catalog's
//! own lookups; any other expression over the tag is computed once for each name, not for each row.

use super::condition::{Asked, Condition, asked, names_of, pattern_of, prefix_of};
use super::labelled::label_condition;
use crate::access::Reach;
use crate::engine::Engine;
use crate::error::{Error, raise};
use arrow::array::{Array, AsArray, RecordBatch, StringViewBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Catalog, TagFilter};
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use kernel::TagSelection;
use std::sync::Arc;
use types::{Kind, Kinds, TagId, TimeRange};

/// How many names are looked at at once.
const NAMES_AT_ONCE: u64 = 8192;

/// Finds the tags, of those given, for whose names an expression is true.
pub(crate) type Evaluate<'a> = dyn FnMut(&Expr, &[TagId]) -> Result<Vec<TagId>> + 'a;

/// What filters ask of the kernel together.
pub(crate) struct Selected {
    pub tags: TagSelection,
    pub range: TimeRange,
    pub good_only: bool,
}

/// Resolves filters (conjuncts) against the catalog as it stands. `within` narrows the tags further. Filters are
/// those that `asked` knows: another one would be left out silently, so it is an error. Of tags that are not within `reach`, no
/// expression of the user's is computed: its errors would tell of them.
pub(crate) fn select(
    engine: &Arc<Engine>,
    holds: &dyn Fn(Kind) -> bool,
    filters: &[Expr],
    within: Option<&Arc<[TagId]>>,
    reach: &Reach,
    evaluate: &mut Evaluate<'_>,
) -> Result<Selected> {
    let mut out = Selected { tags: TagSelection::All, range: TimeRange::ALL, good_only: false };
    let mut list: Option<Vec<TagId>> = match (within, reach.tags()) {
        (Some(within), Some(reach)) => Some(common(within, reach)),
        (only, None) | (None, only) => only.map(|tags| tags.to_vec()),
    };
    let mut filter = TagFilter::default();
    let mut filtered = false;
    let mut others = Vec::new();
    for expr in filters {
        let Some(Asked { condition, .. }) = asked(expr) else {
            return Err(raise(Error::Internal, format!("internal error: a scan was handed the condition {expr}")).into());
        };
        match condition {
            Condition::Never(true) => list = Some(Vec::new()),
            Condition::Never(false) => {}
            Condition::Time(range) => out.range = out.range.intersect(&range),
            Condition::Good => out.good_only = true,
            Condition::Tag(expr) => {
                if let Some(names) = names_of(&expr) {
                    let found = named(&engine.catalog, &names);
                    list = Some(list.map_or_else(|| found.clone(), |list| common(&list, &found)));
                } else if filter.pattern.is_none()
                    && let Some(pattern) = pattern_of(&expr)
                {
                    filter.pattern = Some(pattern);
                    filtered = true;
                } else if let Some(condition) = label_condition(&expr).filter(|_| reach.tells_labels()) {
                    filter.conditions.push(condition);
                    filtered = true;
                } else {
                    if filter.prefix.is_none()
                        && let Some(prefix) = prefix_of(&expr)
                    {
                        filter.prefix = Some(prefix);
                        filtered = true;
                    }
                    others.push(expr);
                }
            }
        }
    }
    if filtered {
        let found = engine.catalog.select(&filter);
        list = Some(list.map_or_else(|| found.clone(), |list| common(&list, &found)));
    }
    for expr in &others {
        let candidates = list.unwrap_or_else(|| engine.catalog.select(&TagFilter::default()));
        list = Some(evaluate(expr, &candidates)?);
    }
    if let Some(mut list) = list {
        list.retain(|tag| engine.catalog.kind(*tag).is_some_and(holds));
        out.tags = TagSelection::of(list);
    }
    Ok(out)
}

fn named(catalog: &Catalog, names: &[String]) -> Vec<TagId> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found: Vec<TagId> = catalog.find_many(&names).into_iter().flatten().collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The tags in both of two rising lists.
fn common(a: &[TagId], b: &[TagId]) -> Vec<TagId> {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.iter().copied().filter(|tag| long.binary_search(tag).is_ok()).collect()
}

/// The tags for whose names an expression over the column `tag` is true.
pub(crate) fn evaluate(state: &dyn Session, catalog: &Catalog, expr: &Expr, candidates: &[TagId]) -> Result<Vec<TagId>> {
    let schema = Arc::new(Schema::new(vec![Field::new("tag", DataType::Utf8View, true)]));
    let bare = expr.clone().transform(|node| {
        Ok(match node {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
            node => Transformed::no(node),
        })
    })?;
    let physical = state.create_physical_expr(bare.data, &DFSchema::try_from(Arc::clone(&schema))?)?;
    let mut out = Vec::new();
    for chunk in candidates.chunks(NAMES_AT_ONCE as usize) {
        let mut names = StringViewBuilder::with_capacity(chunk.len());
        catalog.names(chunk, |name| names.append_option(name));
        let names = names.finish();
        let alive: Vec<bool> = (0..chunk.len()).map(|row| names.is_valid(row)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(names)])?;
        let kept = physical.evaluate(&batch)?.into_array(chunk.len())?;
        let kept = kept.as_boolean();
        out.extend((0..chunk.len()).filter(|row| alive[*row] && kept.is_valid(*row) && kept.value(*row)).map(|row| chunk[row]));
    }
    Ok(out)
}
