//! The password file of PostgreSQL's clients: `host:port:database:user:password`, a line each.
//!
//! Promises: the first line that fits counts; `*` fits anything; `\:` and `\\` stand for themselves;
//! a file that others of the machine could read is passed over with a word, as libpq does.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The password for (host, port, database, user) in a file; None where there is none.
pub fn find(path: &Path, asked: &[String; 4]) -> Option<String> {
    // No such file is the usual case, and no reason for a word.
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        eprintln!("{} is passed over: others can read it; chmod 600 keeps it private", path.display());
        return None;
    }
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) => {
            eprintln!("{} is passed over: {cause}", path.display());
            return None;
        }
    };
    search(&text, asked)
}

fn search(text: &str, asked: &[String; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line).into_iter();
        let fits =
            asked.iter().all(|wanted| fields.next().is_some_and(|(field, plain)| (plain && field == "*") || field == *wanted));
        fits.then(|| fields.next()).flatten().map(|(password, _)| password)
    })
}

/// The five fields of a line, unescaped, and whether each was written without escapes. What follows
/// the fourth colon is the password, whatever is in it.
fn fields(line: &str) -> Vec<(String, bool)> {
    let mut out = vec![(String::new(), true)];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let count = out.len();
        let (field, plain) = out.last_mut().expect("there is a first field");
        match c {
            '\\' => {
                *plain = false;
                field.extend(chars.next());
            }
            ':' if count < 5 => out.push((String::new(), true)),
            c => field.push(c),
        }
    }
    out
}

/// Writes a file that only its owner can read.
#[cfg(test)]
pub fn write_private(path: &Path, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# comment\nshort:line\nh:1:d:u:one\n*:*:d:u:t\\:w\\\\o:x\n\\*:*:*:star:no\n*:*:*:*:\n";
        let ask =
            |host: &str, port: &str, database: &str, user: &str| search(text, &[host, port, database, user].map(str::to_owned));
        assert_eq!(ask("h", "1", "d", "u").as_deref(), Some("one"));
        assert_eq!(ask("h", "2", "d", "u").as_deref(), Some("t:w\\o:x"));
        assert_eq!(ask("h", "2", "d", "star").as_deref(), Some(""), "an escaped star is a star");
        assert_eq!(ask("*", "2", "d", "star").as_deref(), Some("no"));
        assert_eq!(search("h:1:d", &["h", "1", "d", "u"].map(str::to_owned)), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_passed_over() {
        let path = std::env::temp_dir().join(format!("meridian-passfile-{}", std::process::id()));
        write_private(&path, "*:*:*:*:secret\n");
        let asked = ["h", "1", "d", "u"].map(str::to_owned);
        assert_eq!(find(&path, &asked).as_deref(), Some("secret"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find(&path, &asked), None);
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::remove_file(&path).unwrap();
        assert_eq!(find(&path, &asked), None);
    }
}
