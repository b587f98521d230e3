//! Commands that show what there is: tables, functions, tags, databases, roles.
//!
//! Promises: each is an ordinary statement over catalogs that Meridian and PostgreSQL both have, so that its result can
//! be paged, redirected and written in every format; `*` and `?` are patterns, everything else stands for itself.

use super::link::Trouble;
use super::run::Way;
use super::shell::Shell;
use crate::client::quote;

const RELATIONS: &str = "SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' \
    WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'foreign table' END AS type \
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

impl Shell {
    /// Shows what a command asks for; None where there is no such command.
    pub fn describe(&mut self, name: &str, pattern: Option<&str>) -> Option<bool> {
        Some(match name.trim_end_matches(['+', 'S']) {
            "d" => match pattern {
                None => self.listed("'r', 'p', 'v', 'm', 'f'", None),
                Some(pattern) => self.columns(pattern),
            },
            "dt" => self.listed("'r', 'p', 'f'", pattern),
            "dv" => self.listed("'v', 'm'", pattern),
            "df" => self.functions(pattern),
            "tags" => self.tags(pattern),
            "dn" => self.found("SELECT nspname AS schema FROM pg_catalog.pg_namespace", "nspname", pattern),
            "l" => self.found("SELECT datname AS database FROM pg_catalog.pg_database", "datname", pattern),
            "du" | "dg" => {
                self.found("SELECT rolname AS role, rolsuper AS superuser FROM pg_catalog.pg_roles", "rolname", pattern)
            }
            _ => return None,
        })
    }

    fn show_rows(&mut self, sql: &str) -> bool {
        // What is listed is no statement of the user's: \g and \watch are about those.
        self.send_and_show(sql, &Way::default())
    }

    fn found(&mut self, select: &str, column: &str, pattern: Option<&str>) -> bool {
        let condition = pattern.map_or_else(String::new, |pattern| format!(" WHERE {}", like(column, pattern)));
        self.show_rows(&format!("{select}{condition} ORDER BY 1"))
    }

    fn listed(&mut self, kinds: &str, pattern: Option<&str>) -> bool {
        let condition = pattern.map_or_else(String::new, |pattern| format!(" AND {}", relation(pattern)));
        self.show_rows(&format!("{RELATIONS} AND c.relkind IN ({kinds}){condition} ORDER BY 1, 2"))
    }

    /// The columns of each table that fits.
    fn columns(&mut self, pattern: &str) -> bool {
        let named = pattern.contains('.');
        let all = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')";
        let hidden = if named { "" } else { " AND n.nspname NOT IN ('information_schema', 'pg_toast')" };
        let Some(found) = self.ask(&format!("{all} AND {}{hidden} ORDER BY 1, 2", relation(pattern))) else { return false };
        if found.rows.is_empty() {
            return self.refuse(&format!("there is no table \"{}\"; \\d lists them", super::print::clean(pattern)));
        }
        let mut fine = true;
        for row in found.rows {
            let [Some(schema), Some(name)] = row.as_slice() else { continue };
            let title = self.bold(&format!("{schema}.{name}"));
            if self.look.format == super::print::Format::Table && !self.look.bare {
                self.write(&format!("{title}\n"));
            }
            fine &= self.show_rows(&format!(
                "SELECT a.attname AS column, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, \
                 CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS nullable FROM pg_catalog.pg_attribute AS a \
                 JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
                quote(schema),
                quote(name)
            ));
        }
        fine
    }

    fn functions(&mut self, pattern: Option<&str>) -> bool {
        let condition = pattern.map_or_else(
            || " AND n.nspname NOT IN ('pg_catalog', 'information_schema')".to_owned(),
            |pattern| format!(" AND {}", like("p.proname", pattern)),
        );
        self.show_rows(&format!(
            "SELECT n.nspname AS schema, p.proname AS function, pg_catalog.pg_get_function_result(p.oid) AS result, \
             pg_catalog.pg_get_function_arguments(p.oid) AS arguments, \
             pg_catalog.obj_description(p.oid, 'pg_proc') AS description FROM pg_catalog.pg_proc AS p \
             JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE true{condition} ORDER BY 1, 2, 4"
        ))
    }

    /// Tags with their newest samples. A name of a tag has dots of its own: the pattern is of the whole name.
    fn tags(&mut self, pattern: Option<&str>) -> bool {
        let condition = pattern.map_or_else(String::new, |pattern| format!(" WHERE {}", like("t.name", pattern)));
        let select = |newest: &str| {
            format!(
                "SELECT t.name AS tag, t.kind, t.unit, {newest} AS value, l.time, l.quality, t.description \
                 FROM tags AS t LEFT JOIN latest AS l ON l.tag = t.name{condition} ORDER BY t.name"
            )
        };
        let sql = select("coalesce(l.text, l.value::text)");
        // An integer that no double holds is refused by `latest`: then values are left out, rather than all of it.
        let tried = self.link.borrow_mut().ask(&format!("SELECT max(value) FROM ({sql} LIMIT 1000) AS newest"), None);
        match tried {
            Err(Trouble::Report(report)) if report.code == "22003" => self.show_rows(&select("l.text")),
            Err(trouble) => {
                self.trouble(&trouble, &sql);
                false
            }
            Ok(_) => self.show_rows(&sql),
        }
    }
}

/// A condition: the column fits the pattern.
fn like(column: &str, pattern: &str) -> String {
    let plain = pattern.replace('"', "");
    if !plain.contains(['*', '?']) {
        return format!("{column} = {}", quote(&plain));
    }
    let mut out = String::new();
    for c in plain.chars() {
        match c {
            '*' => out.push('%'),
            '?' => out.push('_'),
            '%' | '_' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    format!("{column} LIKE {}", quote(&out))
}

/// The same for a relation, with or without its schema.
fn relation(pattern: &str) -> String {
    match pattern.split_once('.') {
        Some((schema, name)) => format!("{} AND {}", like("n.nspname", schema), like("c.relname", name)),
        None => like("c.relname", pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_conditions() {
        assert_eq!(like("a", "x"), "a = 'x'");
        assert_eq!(like("a", "x_y*?'"), "a LIKE 'x\\_y%_'''");
        assert_eq!(relation("meridian.*"), "n.nspname = 'meridian' AND c.relname LIKE '%'");
    }
}
