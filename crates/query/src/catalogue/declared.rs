//! PostgreSQL's relations as data: their names, numbers and columns.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One of PostgreSQL's relations.
pub(super) struct Declared {
    pub(super) schema: &'static str,
    pub(super) name: &'static str,
    pub(super) oid: i64,
    /// `r` a table, `v` a view.
    pub(super) kind: &'static str,
    /// Names and types of its columns.
    pub(super) columns: Vec<(&'static str, &'static str)>,
}

/// Those that have rows, or may have.
const FILLED: [&str; 29] = [
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_cursors",
    "pg_database",
    "pg_description",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_language",
    "pg_namespace",
    "pg_prepared_statements",
    "pg_proc",
    "pg_roles",
    "pg_settings",
    "pg_shadow",
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_user_tables",
    "pg_tables",
    "pg_tablespace",
    "pg_type",
    "pg_user",
    "pg_views",
];

/// The lines of a file of data.
pub(super) fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read(schema: &'static str, text: &'static str) -> Vec<Declared> {
    let relation = |line: &'static str| {
        let mut words = line.split(' ');
        let (name, oid, kind) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        let columns = words.map(|word| word.split_once(':')).collect::<Option<Vec<_>>>()?;
        Some(Declared { schema, name, oid, kind, columns })
    };
    // A test reads every line.
    lines(text).filter_map(relation).collect()
}

/// All of them.
pub(super) static DECLARED: LazyLock<Vec<Declared>> = LazyLock::new(|| {
    let mut all = read("pg_catalog", include_str!("pg_catalog.txt"));
    all.extend(read("information_schema", include_str!("information_schema.txt")));
    all
});

static OF_CATALOGUE: LazyLock<HashMap<&'static str, bool>> = LazyLock::new(|| {
    let own = DECLARED.iter().filter(|relation| relation.schema == "pg_catalog");
    own.map(|relation| (relation.name, FILLED.contains(&relation.name))).collect()
});

/// The number of a table of the catalogue.
pub(crate) fn number_of(name: &str) -> Option<i64> {
    DECLARED.iter().find(|relation| relation.schema == "pg_catalog" && relation.name == name).map(|relation| relation.oid)
}

/// Whether a table of the catalogue never has a row.
pub(crate) fn is_empty(name: &str) -> bool {
    OF_CATALOGUE.get(name) == Some(&false)
}

/// Whether the catalogue has a table of this name.
pub(crate) fn is_table(name: &str) -> bool {
    OF_CATALOGUE.contains_key(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_relation() {
        let given = lines(include_str!("pg_catalog.txt")).count() + lines(include_str!("information_schema.txt")).count();
        assert_eq!(DECLARED.len(), given);
        for name in FILLED {
            assert!(is_table(name) && !is_empty(name), "{name}");
        }
        assert!(is_empty("pg_trigger"));
        for relation in DECLARED.iter() {
            for (column, kind) in &relation.columns {
                assert!(
                    super::super::types::by_name(kind).is_some()
                        || kind.starts_with("pg_")
                        || *kind == "anyarray"
                        || *kind == "_pg_statistic",
                    "{}.{column}: {kind}",
                    relation.name
                );
            }
        }
    }
}
