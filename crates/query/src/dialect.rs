//! The dialect that statements are parsed in: PostgreSQL's as sqlparser has it, but that the name of a named argument is a
//! name and no expression (`f(name => 1)`).
//!
//! Promises: parsing takes no longer for a call within a call. With expressions for names, which only `JSON_OBJECT('key': value)`
//! needs, each argument is parsed as a name first and then again: twice as long for each call around it.

use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use std::any::TypeId;

/// The dialect.
#[derive(Debug)]
pub(crate) struct Postgres;

const INNER: PostgreSqlDialect = PostgreSqlDialect {};

macro_rules! as_postgresql {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $gives:ty;)*) => {
        $(fn $name(&self $(, $arg: $kind)*) -> $gives { INNER.$name($($arg),*) })*
    };
}

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        false
    }

    // All others that PostgreSQL's dialect of sqlparser 0.62 has.
    as_postgresql! {
        identifier_quote_style(identifier: &str) -> Option<char>;
        is_delimited_identifier_start(ch: char) -> bool;
        is_identifier_start(ch: char) -> bool;
        is_identifier_part(ch: char) -> bool;
        supports_unicode_string_literal() -> bool;
        is_reserved_for_identifier(word: Keyword) -> bool;
        is_custom_operator_part(ch: char) -> bool;
        get_next_precedence(parser: &Parser) -> Option<Result<u8, ParserError>>;
        supports_filter_during_aggregation() -> bool;
        supports_group_by_expr() -> bool;
        prec_value(precedence: Precedence) -> u8;
        allow_extract_custom() -> bool;
        allow_extract_single_quotes() -> bool;
        supports_create_index_with_clause() -> bool;
        supports_explain_with_utility_options() -> bool;
        supports_listen_notify() -> bool;
        supports_factorial_operator() -> bool;
        supports_bitwise_shift_operators() -> bool;
        supports_comment_on() -> bool;
        supports_load_extension() -> bool;
        supports_named_fn_args_with_colon_operator() -> bool;
        supports_empty_projections() -> bool;
        supports_nested_comments() -> bool;
        supports_string_escape_constant() -> bool;
        supports_numeric_literal_underscores() -> bool;
        supports_array_typedef_with_brackets() -> bool;
        supports_geometric_types() -> bool;
        supports_set_names() -> bool;
        supports_alter_column_type_using() -> bool;
        supports_notnull_operator() -> bool;
        supports_interval_options() -> bool;
        supports_insert_table_alias() -> bool;
        supports_create_table_like_parenthesized() -> bool;
        supports_select_wildcard_with_alias() -> bool;
        supports_comma_separated_trim() -> bool;
        supports_xml_expressions() -> bool;
        supports_comment_optimizer_hint() -> bool;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_as_postgresql_reads_them() {
        for sql in [
            "SELECT a ->> 'b', c::int[], x << 2, 5 !, 1_000, E'\\n', U&'\\0041', $$q$$ FROM t /* a /* b */ */ WHERE a ~* 'x' NOTNULL",
            "SELECT extract('year' FROM t), INTERVAL '1 day' YEAR, sum(x) FILTER (WHERE y), trim('a', 'b') GROUP BY ROLLUP (a)",
            "INSERT INTO t AS u VALUES (1) RETURNING *",
            "SELECT * AS a FROM t",
            "SELECT",
            "EXPLAIN (ANALYZE, VERBOSE) SELECT 1",
            "SELECT f(1, VARIADIC ARRAY[1])",
        ] {
            let (theirs, ours) = (Parser::parse_sql(&INNER, sql), Parser::parse_sql(&Postgres, sql));
            assert_eq!(format!("{theirs:?}"), format!("{ours:?}"), "{sql}");
        }
        assert!(format!("{:?}", Parser::parse_sql(&Postgres, "SELECT f(a => 1)")).contains("Named"));
    }

    #[test]
    fn calls_in_calls_are_read_once() {
        // With each of them read twice it would not end.
        let sql = format!("SELECT {}1{}", "f(".repeat(45), ")".repeat(45));
        let parsed =
            Parser::new(&Postgres).with_recursion_limit(200).try_with_sql(&sql).and_then(|mut parser| parser.parse_statement());
        assert_eq!(parsed.map(|tree| tree.to_string()), Ok(sql));
    }
}
