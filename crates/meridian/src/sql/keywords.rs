//! Words of SQL, for colours and completion.
//!
//! Promises: in order, so that they can be searched; those that Meridian or PostgreSQL reads.

/// The words, in capitals.
#[rustfmt::skip]
pub const KEYWORDS: &[&str] = &[
    "ADD", "ALL", "ALTER", "ANALYZE", "AND", "ANY", "ARRAY", "AS", "ASC", "BEGIN", "BETWEEN", "BOOLEAN", "BY", "CASCADE",
    "CASE", "CAST", "COMMIT", "COPY", "CREATE", "CROSS", "CSV", "CURRENT", "CURRENT_DATE", "CURRENT_TIMESTAMP", "DATE",
    "DEALLOCATE", "DEFAULT", "DELETE", "DESC", "DISTINCT", "DOUBLE", "DROP", "ELSE", "END", "EXCEPT", "EXECUTE", "EXISTS",
    "EXPLAIN", "FALSE", "FETCH", "FILTER", "FIRST", "FOLLOWING", "FOR", "FORMAT", "FROM", "FULL", "GRANT", "GROUP",
    "HAVING", "HEADER", "IGNORE", "ILIKE", "IN", "INNER", "INSERT", "INTERSECT", "INTERVAL", "INTO", "IS", "ISOLATION",
    "JOIN", "LAST", "LATERAL", "LEFT", "LEVEL", "LIKE", "LIMIT", "NATURAL", "NOT", "NULL", "NULLS", "OFFSET", "ON", "ONLY",
    "OR", "ORDER", "OUTER", "OVER", "PARTITION", "PASSWORD", "PRECEDING", "PRECISION", "PREPARE", "QUALIFY", "RANGE",
    "READ", "RECURSIVE", "RELEASE", "RESET", "RESPECT", "RETURNING", "REVOKE", "RIGHT", "ROLE", "ROLLBACK", "ROW", "ROWS",
    "SELECT", "SESSION", "SET", "SHOW", "SIMILAR", "SOME", "START", "STDIN", "STDOUT", "TABLE", "THEN", "TIME", "TIMESTAMP",
    "TIMESTAMPTZ", "TO", "TRANSACTION", "TRUE", "UNBOUNDED", "UNION", "UPDATE", "USER", "USING", "VALUES", "VERBOSE",
    "VIEW", "WHEN", "WHERE", "WINDOW", "WITH", "WITHIN", "WITHOUT", "ZONE",
];

#[cfg(test)]
mod tests {
    #[test]
    fn they_are_in_order() {
        assert!(super::KEYWORDS.is_sorted());
    }
}
