//! What the shell says of itself: commands, statements.
//!
//! Promises: each line is no longer than a terminal of 100 columns.

use super::shell::Shell;

const COMMANDS: &str = "\
Statements end with a semicolon. Tab completes words, tables, columns, and tags behind tag = '.
Ctrl-C cancels what runs, or clears what is typed; Ctrl-D or \\q ends.

Results
  \\g [FILE or |COMMAND]     run the statement again, or what is typed; the result to a file or program
  \\gx                       the same, a line a column
  \\gset [PREFIX]            the same, the row's values become variables
  \\watch [SECONDS [COUNT]]  run it again and again; Ctrl-C ends
  \\plot [STATEMENT]         draw a result: a column of times, columns of numbers, a line for each text
  \\x [on|off|auto]          a line a column; auto: where a table does not fit
  \\format NAME              table, csv, json, markdown, expanded
  \\t [on|off]               rows alone
  \\timing [on|off]          the time of each statement
  \\pset NAME VALUE          format, expanded, tuples_only, null TEXT, pager on|off
  \\o [FILE or |COMMAND]     results go there; without, back here

What there is (patterns: * and ?)
  \\d [NAME]                 tables, or the columns of one; \\dt tables, \\dv views, \\dn schemas
  \\df [PATTERN]             functions
  \\tags [PATTERN]           tags with kind, unit and newest value
  \\l, \\du                   databases, roles

Files and programs
  \\i FILE                   run a script
  \\copy TABLE FROM FILE [csv [header]]     rows of a file of this machine into a table
  \\copy TABLE|(QUERY) TO FILE [csv [header]]
  \\e [FILE]                 the statement in $EDITOR
  \\! [COMMAND]              a command of the system's shell
  \\cd [DIR]                 another directory

The session
  \\c [URL | DATABASE [USER [HOST [PORT]]]]   connect elsewhere, or again
  \\conninfo                 where this is connected to
  \\set [NAME [VALUE]]       a variable: :NAME, :'NAME' (a literal), :\"NAME\" (an identifier); \\unset NAME
  \\echo TEXT                say something
  \\p, \\r                    show or clear the statement
  \\s [FILE]                 the history
  \\h [STATEMENT]            how a statement is written
  \\q                        end
";

/// Statements, and how they are written.
const STATEMENTS: &[(&str, &str)] = &[
    ("BEGIN", "BEGIN [READ ONLY];  ..  COMMIT;\n\nGroups reads. A write inside is committed by itself."),
    ("COMMIT", "COMMIT;"),
    (
        "COPY",
        "COPY samples|integers|events|tags [(columns)] FROM STDIN [WITH (FORMAT csv, HEADER, DELIMITER ';', NULL '')];\nCOPY table|(query) TO STDOUT [WITH (FORMAT csv, HEADER)];\n\nWith files of this machine: \\copy.",
    ),
    (
        "DELETE",
        "DELETE FROM samples|integers|events|tags WHERE condition;\n\nDELETE FROM samples WHERE tag = 'a' AND time < '2026-01-01';",
    ),
    ("EXPLAIN", "EXPLAIN [ANALYZE] statement;"),
    (
        "INSERT",
        "INSERT INTO tags (name, kind, unit, description) VALUES ('boiler.pressure', 'f64', 'bar', 'steam drum');\nINSERT INTO samples (tag, time, value [, quality]) VALUES ('boiler.pressure', now(), 91.5);\nINSERT INTO table [(columns)] SELECT ..;",
    ),
    ("ROLLBACK", "ROLLBACK;"),
    (
        "SELECT",
        "[WITH name AS (query)]\nSELECT [DISTINCT [ON (..)]] expression [AS name], ..\nFROM table [AS alias] [JOIN table ON condition]\n[WHERE condition] [GROUP BY ..] [HAVING ..] [WINDOW ..] [QUALIFY ..]\n[ORDER BY expression [DESC] [NULLS LAST]] [LIMIT n] [OFFSET n];\n\nSELECT * FROM latest WHERE tag LIKE 'boiler.%';\nSELECT date_bin('1 minute', time) AS minute, avg(value) FROM samples\nWHERE tag = 'boiler.pressure' AND time > now() - INTERVAL '1 hour' GROUP BY minute ORDER BY minute \\plot",
    ),
    ("SET", "SET name = value;  SET TimeZone = 'Asia/Shanghai';"),
    ("SHOW", "SHOW name;  SHOW ALL;"),
    (
        "UPDATE",
        "UPDATE tags SET column = value, .. [WHERE condition];\n\nSamples are replaced by inserting again: the second write of (tag, time) stands.",
    ),
];

/// The names of statements.
pub fn statements() -> impl Iterator<Item = &'static str> {
    STATEMENTS.iter().map(|(name, _)| *name)
}

impl Shell {
    /// `\?`.
    pub fn help_commands(&mut self) -> bool {
        self.write(COMMANDS);
        true
    }

    /// `help`, as somebody types who is new.
    pub fn help_first(&mut self) -> bool {
        self.say("SQL statements end with a semicolon. \\? lists the commands, \\h the statements, \\d the tables, \\tags the tags; \\q ends.");
        true
    }

    /// `\h`.
    pub fn help_sql(&mut self, asked: &str) -> bool {
        let asked = asked.trim().trim_end_matches(';').to_ascii_uppercase();
        let found: Vec<&(&str, &str)> =
            STATEMENTS.iter().filter(|(name, _)| asked == "*" || (!asked.is_empty() && name.starts_with(&asked))).collect();
        if asked.is_empty() {
            let names: Vec<&str> = statements().collect();
            self.write(&format!("\\h STATEMENT says how it is written:\n  {}\n", names.join("  ")));
            return true;
        }
        if found.is_empty() {
            let names: Vec<&str> = statements().collect();
            return self.refuse(&format!(
                "there is no help on \"{}\"; there is on {}",
                super::print::clean(&asked),
                names.join(", ")
            ));
        }
        for (name, text) in found {
            let title = self.bold(name);
            self.write(&format!("{title}\n{text}\n\n"));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lines_fit() {
        assert!(super::COMMANDS.lines().all(|line| line.len() <= 104), "{:?}", super::COMMANDS.lines().map(str::len).max());
    }
}
