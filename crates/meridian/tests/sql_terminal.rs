//! `meridian sql` where somebody types: on a real terminal (tmux), by keys sent and pictures taken.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, PROGRAM, ask};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A terminal of its own, with a tmux server of its own.
struct Screen {
    socket: String,
}

/// How long something may take to be seen, on a machine that builds meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

impl Screen {
    fn open(name: &str, home: &Path, node: &Node, set: &str, size: (u16, u16)) -> Screen {
        let screen = Screen::start(name, home, node, set, size);
        screen.see("meridian=>");
        screen
    }

    fn start(name: &str, home: &Path, node: &Node, set: &str, size: (u16, u16)) -> Screen {
        let screen = Screen { socket: format!("meridian-{name}-{}", std::process::id()) };
        let home = home.display();
        let sql = format!(
            "env -u PAGER -u PSQL_PAGER -u LESS -u NO_COLOR -u PGPASSWORD -u LC_ALL -u LC_CTYPE HOME={home} XDG_DATA_HOME={home} LANG=C.UTF-8 {set} {PROGRAM} sql {}",
            node.url()
        );
        // What is seen last stays, with the exit status.
        let command = format!("{sql}; echo ended with $?; exec cat");
        let (across, down) = (size.0.to_string(), size.1.to_string());
        screen.tmux(&["-f", "/dev/null", "-u", "new-session", "-d", "-x", &across, "-y", &down, &command]);
        screen
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(arguments)
            .output()
            .expect("tmux, which `cargo xtask test` installs");
        assert!(output.status.success(), "tmux {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn keys(&self, text: &str, then: &[&str]) {
        if !text.is_empty() {
            // A semicolon at the end of an argument would end tmux's own command.
            let text = text.strip_suffix(';').map_or_else(|| text.to_owned(), |text| format!("{text}\\;"));
            self.tmux(&["send-keys", "-l", "--", &text]);
        }
        for key in then {
            self.tmux(&["send-keys", key]);
        }
    }

    fn picture(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the picture is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let picture = self.picture();
            if wanted(&picture) {
                return picture;
            }
            assert!(started.elapsed() < PATIENCE, "{what} is not seen:\n{picture}");
            std::thread::yield_now();
        }
    }

    fn see(&self, text: &str) -> String {
        self.until(text, |picture| picture.contains(text))
    }

    /// Waits for the prompt, with nothing typed behind it.
    fn ready(&self) -> String {
        self.until("the prompt", |picture| picture.trim_end().ends_with("meridian=>"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

fn node(name: &str) -> (Dir, Node) {
    let dir = Dir::new(name);
    let node = Node::start(&dir.join("store"), &[]);
    ask(
        &node,
        "INSERT INTO tags (name, kind, unit) VALUES ('boiler.level', 'f64', 'm'), ('boiler.flow', 'f64', 't/h'), ('note', 'text', '')",
    );
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) SELECT 'boiler.level', t, 1.5 FROM generate_series(TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01 01:00', INTERVAL '1 minute') AS t",
    );
    (dir, node)
}

#[test]
fn statements_of_several_lines_and_the_history_of_earlier_sessions() {
    let (dir, node) = node("sql-typed");
    let screen = Screen::open("typed", &dir.0, &node, "TERM=screen-256color", (100, 30));
    screen.keys("SELECT 40 + 2", &["Enter"]);
    screen.keys("  AS answer", &["Enter"]);
    screen.keys(";", &["Enter"]);
    let picture = screen.until("the answer", |picture| picture.contains("(1 row)") && picture.contains("Time: "));
    assert!(
        picture.contains(" answer ") && picture.contains("     42") && picture.contains("│") || picture.contains("────────"),
        "{picture}"
    );
    screen.keys("SET a.secret = 'password';", &["Enter"]);
    screen.until("an answer", |picture| picture.contains("SET a.secret") && picture.trim_end().ends_with("meridian=>"));
    // What is typed is cleared, not run.
    screen.keys("SELECT 'never", &["C-c"]);
    screen.until("a clear prompt", |picture| picture.trim_end().ends_with("meridian=>") && picture.contains("'never"));
    screen.keys("", &["C-d"]);
    screen.see("ended with 0");
    let file = dir.join("meridian/history");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(kept, "SELECT 40 + 2\\n  AS answer\\n;\n");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions()) & 0o777, 0o600);
    drop(screen);
    let screen = Screen::open("again", &dir.0, &node, "TERM=screen-256color", (100, 30));
    screen.keys("", &["Up"]);
    screen.see("AS answer");
    screen.keys("", &["Enter"]);
    screen.see("(1 row)");
}

#[test]
fn names_and_tags_are_completed() {
    let (dir, node) = node("sql-tab");
    let screen = Screen::open("tab", &dir.0, &node, "TERM=screen-256color", (100, 30));
    screen.keys("SELECT val", &["Tab"]);
    screen.until("columns", |picture| picture.contains("value") || picture.contains("values_at"));
    screen.keys(" FROM sam", &["Tab"]);
    screen.see("FROM samples");
    screen.keys(" WHERE tag = 'boi", &["Tab"]);
    screen.until("both tags", |picture| picture.contains("boiler.flow") && picture.contains("boiler.level"));
    screen.keys("l", &["Tab"]);
    screen.see("tag = 'boiler.level'");
    screen.keys(" LIMIT 1;", &["Enter"]);
    screen.see("(1 row)");
    screen.keys("SHOW read_c", &["Tab"]);
    screen.see("SHOW read_consistency");
    screen.keys(";", &["Enter"]);
    screen.see("primary");
    screen.keys("SELECT * FROM meridian.sli", &["Tab"]);
    screen.see("meridian.slices");
}

#[test]
fn ctrl_c_cancels_at_the_server_and_the_session_goes_on() {
    let (dir, node) = node("sql-cancel");
    let screen = Screen::open("cancel", &dir.0, &node, "TERM=screen-256color", (100, 30));
    screen.keys("SELECT pg_sleep(3600);", &["Enter"]);
    let started = Instant::now();
    while !ask(&node, "SELECT query FROM meridian.queries").iter().any(|row| row[0].contains("pg_sleep(3600)")) {
        assert!(started.elapsed() < PATIENCE, "the statement does not run");
    }
    screen.keys("", &["C-c"]);
    screen.see("ERROR:  57014");
    screen.ready();
    screen.keys("SELECT 6 * 7 AS answer;", &["Enter"]);
    screen.see("     42");
    // A result that does not end is left with the pager, and cancelled for that alone.
    screen.keys("SELECT g FROM generate_series(1, 3000000000) AS g(g);", &["Enter"]);
    screen.until("the pager", |picture| picture.trim_end().ends_with(':'));
    screen.keys("q", &[]);
    let picture = screen.ready();
    assert!(!picture.contains("canceling"), "{picture}");
    screen.keys("\\q", &["Enter"]);
    screen.see("ended with 0");
}

#[test]
fn what_is_seen_fits_the_terminal() {
    let (dir, node) = node("sql-picture");
    let screen = Screen::open("picture", &dir.0, &node, "TERM=screen-256color", (70, 24));
    screen.keys("SELECT repeat('long ', 40) AS text, tag, time FROM samples LIMIT 2;", &["Enter"]);
    let picture = screen.see("(2 rows)");
    assert!(picture.contains('…') && picture.contains("2026-01-01 00:00:00+00") && picture.contains('│'), "{picture}");
    screen.keys("SELECT *, time AS a, time AS b, time AS c FROM samples LIMIT 1;", &["Enter"]);
    assert!(screen.see("RECORD 1").contains("quality"));
    screen.keys("\\plot SELECT time, value FROM samples;", &["Enter"]);
    let picture = screen.see("value 1.5");
    assert!(
        picture.contains("00:30") && picture.contains('┤') && picture.chars().any(|c| ('\u{2801}'..='\u{28FF}').contains(&c)),
        "{picture}"
    );
    screen.keys("\\watch 3600", &["Enter"]);
    screen.see("every 3600 s, Ctrl-C ends");
    screen.see("└┬");
    screen.keys("", &["C-c"]);
    screen.ready();
    let inked = screen.tmux(&["capture-pane", "-p", "-e"]);
    assert!(inked.contains("\u{1b}[36m"), "the line has an ink: {inked:?}");
    screen.keys("SELECT", &["Enter"]);
    screen.keys("nope FROM samples;", &["Enter"]);
    screen.see("LINE 2: nope FROM samples");
}

#[test]
fn a_terminal_that_knows_nothing_will_do() {
    let (dir, node) = node("sql-dumb");
    let screen = Screen::open("dumb", &dir.0, &node, "TERM=dumb NO_COLOR=1 PAGER=", (80, 24));
    screen.keys("SELECT 'a' AS x,", &["Enter"]);
    screen.see("meridian->");
    screen.keys("2 AS y;", &["Enter"]);
    let picture = screen.see("(1 row)");
    assert!(picture.contains(" a |") && picture.contains("---+---"), "{picture}");
    screen.keys("\\plot SELECT time, value FROM samples;", &["Enter"]);
    let picture = screen.see("* value 1.5");
    assert!(picture.is_ascii(), "{picture}");
    assert!(!screen.tmux(&["capture-pane", "-p", "-e"]).contains("\u{1b}[3"), "no inks");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let dir = Dir::new("sql-secret");
    let node = Node::start(&dir.join("store"), &["--password", "s3cret", "--loopback-trusted", "false"]);
    let screen = Screen::start("secret", &dir.0, &node, "TERM=screen-256color", (80, 24));
    screen.see("Password for user meridian:");
    screen.keys("s3crxx", &["BSpace", "BSpace"]);
    screen.keys("et", &["Enter"]);
    let picture = screen.see("meridian=>");
    assert!(!picture.contains("s3c"), "{picture}");
    screen.keys("SELECT 6 * 7 AS answer;", &["Enter"]);
    screen.see("     42");
}
