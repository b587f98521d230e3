//! `meridian top`: one frame as text, and the live view on a real terminal (tmux), by keys sent and pictures taken.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, PROGRAM, ask, program, text};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long something may take to be seen, on a machine that builds meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of its own, with a tmux server of its own.
struct Screen {
    socket: String,
}

impl Screen {
    fn start(name: &str, command: &str) -> Screen {
        let screen = Screen { socket: format!("meridian-top-{name}-{}", std::process::id()) };
        // What is seen last stays, with the exit status and what the terminal is set to.
        let command = format!(
            "echo before; {command}; echo ended with $?; stty -a | tr ';' '\\n' | grep -ow -e '-\\?icanon' -e '-\\?echo'; exec cat"
        );
        screen.tmux(&["-f", "/dev/null", "-u", "new-session", "-d", "-x", "120", "-y", "30", &command]);
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

    fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the picture is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let picture = self.tmux(&["capture-pane", "-p"]);
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
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

fn top(node: &Node, flags: &str) -> String {
    format!(
        "env -u PGPASSWORD -u NO_COLOR -u LC_ALL LANG=C.UTF-8 TERM=screen-256color {PROGRAM} top --from {} {flags}",
        node.url()
    )
}

/// A statement that runs until it is ended.
fn sleeper(node: &Node) -> std::thread::JoinHandle<Result<Vec<Vec<String>>, String>> {
    let url = node.url();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            match client.simple_query("SELECT pg_sleep(600), 'the sleeper'").await {
                Ok(_) => Ok(Vec::new()),
                Err(error) => Err(error.as_db_error().map_or_else(String::new, |db| db.code().code().to_owned())),
            }
        })
    })
}

#[test]
fn one_frame_tells_what_the_node_does() {
    let dir = Dir::new("top-once");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    let asleep = sleeper(&node);
    let writing = {
        let url = node.url();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = std::sync::Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                while !flag.load(std::sync::atomic::Ordering::Relaxed) {
                    client
                        .batch_execute("INSERT INTO samples (tag, value) SELECT 'a', v FROM generate_series(1, 100) AS g(v)")
                        .await
                        .unwrap();
                }
            });
        });
        (writer, stop)
    };
    while ask(&node, "SELECT count(*) FROM meridian.queries WHERE query LIKE '%pg_sleep(600)%' AND query NOT LIKE '%count%'")[0]
        [0]
        == "0"
    {}
    let output = program().args(["top", "--from", &node.url(), "--every", "500ms"]).stdin(Stdio::null()).output().unwrap();
    writing.1.store(true, std::sync::atomic::Ordering::Relaxed);
    writing.0.join().unwrap();
    let frame = text(&output);
    assert!(output.status.success(), "{frame}");
    assert!(!frame.contains('\u{1b}'), "{frame}");
    let line = |begin: &str| frame.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}:\n{frame}"));
    assert!(line("meridian ").contains("up "));
    assert!(line("cpu ").contains("% of") && line("cpu ").contains("memory "), "{frame}");
    assert!(line("shares ").contains(" of "), "{frame}");
    assert!(!line("ingest ").contains("ingest   0.00 rows/s"), "{frame}");
    assert!(line("queries ").contains("p50 ") && !line("queries ").contains("p99 -"), "{frame}");
    assert!(line("store ").contains("log "), "{frame}");
    let sessions = line("sessions ");
    assert!(sessions.contains("active"), "{sessions}");
    let statement = frame.lines().find(|line| line.contains("the sleeper")).unwrap_or_else(|| panic!("{frame}"));
    assert!(statement.contains("meridian") && statement.contains("active"), "{statement}");
    ask(
        &node,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%the sleeper%' AND pid <> pg_backend_pid()",
    );
    assert_eq!(asleep.join().unwrap().unwrap_err(), "57014");
    // Whoever may not look is told so, and what is wrong with the command line.
    ask(&node, "CREATE ROLE blind LOGIN");
    let refused = program().args(["top", "--once", "--from", &node.url().replace("meridian@", "blind@")]).output().unwrap();
    assert!(refused.status.code() == Some(1) && text(&refused).contains("pg_monitor"), "{}", text(&refused));
    let wrong = program().args(["top", "--every", "1ms"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn keys_choose_cancel_and_quit_and_the_terminal_is_as_before() {
    let dir = Dir::new("top-live");
    let node = Node::start(&dir.join("store"), &[]);
    let screen = Screen::start("live", &top(&node, "--every 200ms"));
    screen.see("none that runs");
    let asleep = sleeper(&node);
    let picture = screen.see("the sleeper");
    assert!(picture.contains("q quit") && picture.contains("(by seconds)"), "{picture}");
    assert!(!picture.contains("before"), "the screen is another one:\n{picture}");
    screen.key("s");
    screen.see("(by user)");
    screen.key("i");
    screen.key("Space");
    screen.see("PAUSED");
    screen.key("Space");
    screen.until("no pause", |picture| !picture.contains("PAUSED"));
    screen.key("Down");
    screen.key("k");
    screen.see("c cancels its statement");
    screen.key("c");
    screen.see(": cancelled");
    assert_eq!(asleep.join().unwrap().unwrap_err(), "57014");
    screen.key("q");
    let picture = screen.see("ended with 0");
    assert!(picture.contains("before") && !picture.contains("q quit"), "what was there is there again:\n{picture}");
    let picture = screen.until("the terminal's settings", |picture| picture.contains("icanon") && picture.contains("echo"));
    assert!(!picture.contains("-icanon") && !picture.contains("-echo"), "{picture}");
}

#[test]
fn a_node_that_goes_and_ctrl_c_leave_the_terminal_as_before() {
    let dir = Dir::new("top-gone");
    let node = Node::start(&dir.join("store"), &[]);
    let screen = Screen::start("interrupted", &top(&node, "--every 200ms"));
    screen.see("ingest");
    screen.key("C-c");
    screen.see("ended with 130");
    drop(screen);
    let screen = Screen::start("gone", &top(&node, "--every 200ms"));
    screen.see("ingest");
    drop(node);
    let picture = screen.see("ended with 1");
    let settings = screen.until("the terminal's settings", |picture| picture.contains("icanon") && picture.contains("echo"));
    assert!(picture.contains("before") && !settings.contains("-icanon") && !settings.contains("-echo"), "{settings}");
}
