//! How many tables a statement reads once each use of a table of WITH stands for all that it reads.
//!
//! DataFusion plans a table of WITH once for each place that names it: a few that name each other twice are more than
//! anybody can plan, and than memory holds.

use crate::error::{Error, raise};
use datafusion::sql::sqlparser::ast::{Ident, Query, Statement as Tree, TableFactor, Visit, Visitor};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// How many tables a statement may read.
const USES_MAX: usize = 5_000;

/// Refuses a statement that reads too many.
///
/// # Errors
/// `Error::TooComplex`.
pub(crate) fn check(tree: &Tree) -> Result<(), Error> {
    if tree.visit(&mut Uses::default()).is_continue() {
        return Ok(());
    }
    Err(raise(Error::TooComplex, format!("the statement reads more than {USES_MAX} tables"))
        .with_hint("a table of WITH counts as all that it reads, each time that it is named"))
}

#[derive(Default)]
struct Uses {
    /// Tables read so far, definitions that are not used yet left out.
    count: usize,
    /// Of each query around: what it defines by WITH, and how many tables that reads.
    scopes: Vec<HashMap<String, usize>>,
    /// The queries that define tables: their names, and the count where they began.
    defining: HashMap<*const Query, (String, usize)>,
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

impl Visitor for Uses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(defined) = self.defining.get_mut(&std::ptr::from_ref(query)) {
            defined.1 = self.count;
        }
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.defining.insert(std::ptr::from_ref(table.query.as_ref()), (folded(&table.alias.name), self.count));
        }
        self.scopes.push(HashMap::new());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some((name, began)) = self.defining.remove(&std::ptr::from_ref(query)) {
            let reads = self.count - began;
            self.count = began;
            if let Some(scope) = self.scopes.last_mut() {
                scope.insert(name, reads);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, .. } = factor else { return ControlFlow::Continue(()) };
        let known = match name.0.as_slice() {
            [part] => part.as_ident().map(folded).and_then(|name| self.scopes.iter().rev().find_map(|scope| scope.get(&name))),
            _ => None,
        };
        self.count += known.copied().unwrap_or(1).max(1);
        if self.count > USES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn counted(sql: &str) -> Option<usize> {
        let tree = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        let mut uses = Uses::default();
        tree.visit(&mut uses).is_continue().then_some(uses.count)
    }

    #[test]
    fn tables_of_with_count_as_what_they_read() {
        assert_eq!(counted("SELECT 1 FROM a, b JOIN c ON true WHERE EXISTS (SELECT 1 FROM d)"), Some(4));
        assert_eq!(counted("WITH x AS (SELECT 1 FROM a, b) SELECT 1 FROM c"), Some(1));
        assert_eq!(counted("WITH x AS (SELECT 1 FROM a, b), y AS (SELECT 1 FROM x, X) SELECT 1 FROM y, \"y\", \"Y\""), Some(9));
        // Inner names hide outer ones, and end with their query.
        let hidden = "WITH x AS (SELECT 1 FROM a, b) SELECT 1 FROM (WITH x AS (SELECT 1) SELECT 1 FROM x) AS z, x";
        assert_eq!(counted(hidden), Some(3));
        assert_eq!(counted("WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x) SELECT 1 FROM x"), Some(1));
        let doubled: Vec<_> = (0..40).map(|at| format!("c{} AS (SELECT 1 FROM c{at}, c{at})", at + 1)).collect();
        assert_eq!(counted(&format!("WITH {} SELECT 1 FROM c40", doubled.join(", "))), None);
    }
}
