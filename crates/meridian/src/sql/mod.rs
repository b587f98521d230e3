//! `meridian sql`: statements typed, read from a file or given, and their results.
//!
//! Flow: arguments -> `link` (the connection) -> `source` / `editor` (what is read) -> `scan` (where statements end) ->
//! `run` (sent, answered) or `commands` (backslash) -> `print` / `chart` (how it looks) -> `paper` (where it goes).
//! Promises: what psql has means here what it means there; nothing interactive where input or output is no terminal;
//! exit status 0 well, 1 failed, 2 no connection, 3 a script was ended by an error (ON_ERROR_STOP).
//! What it may not know: the node's insides; it is a client like any other.

mod chart;
mod commands;
mod complete;
mod copy;
mod describe;
mod edit;
mod editor;
mod graph;
mod help;
mod history;
mod keywords;
mod link;
mod paint;
mod paper;
mod print;
mod prompt;
mod report;
mod run;
mod scan;
mod shell;
mod source;
mod variables;
mod watch;
mod words;

use crate::Error;
use crate::client::Defaults;
use crate::terminal::{self, Terminal};
use clap::{ArgAction, Args};
pub use link::target;
use link::{Link, Secret};
use paper::Paper;
use print::{Expand, FORMATS, Format, Look};
use shell::{Done, Kept, Shell, status};
use source::Source;
use std::cell::RefCell;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::rc::Rc;

const EXAMPLES: &str = "\
Examples:
  meridian sql                                      type statements; \\? lists the commands
  meridian sql postgres://meridian@db.example:5432/meridian
  meridian sql -c 'SELECT * FROM latest'            one statement
  meridian sql -c \"\\plot SELECT time, value FROM samples WHERE tag = 'boiler.level'\"
  meridian sql --format csv -o tags.csv -c 'SELECT * FROM tags'
  meridian sql --format json -c 'SELECT * FROM tags' | jq '.[].name'
  meridian sql -f script.sql -v ON_ERROR_STOP=1     a script, to its first error
  meridian sql -v tag=boiler.level -f day.sql       :'tag' in the script is the literal
  zcat rows.csv.gz | meridian sql -c 'COPY samples FROM STDIN WITH (FORMAT csv)'

A password comes from the URL, PGPASSWORD, the password file (PGPASSFILE, ~/.pgpass), or
is asked for on the terminal. Where URL and flags are silent: PGHOST, PGPORT, PGUSER,
PGDATABASE, PGOPTIONS, PGCONNECT_TIMEOUT, PGSSLMODE, PGSSLROOTCERT; then
127.0.0.1:5432/meridian as meridian.

Exit status: 0 well, 1 failed, 2 no connection (or a wrong command line), 3 a script was
ended by an error (ON_ERROR_STOP), 130 interrupted. As psql's, a script whose statements
fail without ON_ERROR_STOP ends with 0.";

/// SQL at the terminal: completion, tables that fit, drawings; scripts, CSV, JSON
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub struct Arguments {
    /// A URL, key=value pairs, or the name of a database
    #[arg(value_name = "URL")]
    to: Option<String>,
    /// Run this, and end; may be given several times. A backslash command is one too
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Vec<String>,
    /// Run this script, and end; - is standard input; may be given several times
    #[arg(short, long, value_name = "FILE")]
    file: Vec<String>,
    /// How results are written
    #[arg(long, value_name = "FORMAT", value_parser = FORMATS.map(|(name, _)| name))]
    format: Option<String>,
    /// Results go to this file, or to a program where it begins with |
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// A variable: :NAME, :'NAME', :"NAME" in statements
    #[arg(short = 'v', long = "set", visible_alias = "variable", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Rows alone, without heads and feet
    #[arg(short = 't', long)]
    tuples_only: bool,
    /// A line a column
    #[arg(short = 'x', long)]
    expanded: bool,
    /// Say nothing but results
    #[arg(short, long)]
    quiet: bool,
    /// The host, or the directory of a socket
    #[arg(short = 'h', long, value_name = "HOST")]
    host: Option<String>,
    /// The port
    #[arg(short, long, value_name = "PORT")]
    port: Option<u16>,
    /// The user
    #[arg(short = 'U', long, value_name = "USER")]
    username: Option<String>,
    /// The database
    #[arg(short, long, value_name = "NAME")]
    dbname: Option<String>,
    /// Never ask for a password
    #[arg(short = 'w', long, conflicts_with = "password")]
    no_password: bool,
    /// Ask for a password before connecting
    #[arg(short = 'W', long)]
    password: bool,
    /// Print this
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Accepted for those who are used to it: there is no file of settings to leave out
    #[arg(short = 'X', long, hide = true)]
    no_psqlrc: bool,
}

/// Runs the shell.
///
/// # Errors
/// `Error::Usage`; what opening the output gives.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let flags = Defaults {
        host: arguments.host.clone(),
        port: arguments.port,
        user: arguments.username.clone(),
        database: arguments.dbname.clone(),
    };
    let target = target(arguments.to.as_deref(), &flags)?;
    let secret = match (arguments.no_password, arguments.password) {
        (true, _) => Secret::Never,
        (_, true) => Secret::Always,
        _ => Secret::Needed,
    };
    let link = match Link::connect(target, secret) {
        Ok(link) => link,
        Err(error @ (Error::Usage(_) | Error::Interrupted)) => return Err(error),
        Err(error) => {
            eprintln!("{} {error}", Terminal::stderr().ink(terminal::Ink::Red, "meridian:"));
            if error.to_string().contains("refused") {
                eprintln!("Does a node listen there? meridian serve runs one; meridian sql --help says how to reach another.");
            }
            return Ok(ExitCode::from(status::LOST));
        }
    };
    let mut shell = Shell::new(link, arguments)?;
    let ready = arguments.command.is_empty() && arguments.file.is_empty();
    if ready && shell.interactive {
        shell.converse();
    } else {
        shell.do_given(arguments, ready);
    }
    shell.link.borrow_mut().end();
    if let Err(cause) = std::mem::replace(&mut shell.paper, Paper::standard()).close() {
        shell.complain(&format!("the output can't be written: {cause}"));
        shell.status = shell.status.max(status::FAILED);
    }
    Ok(ExitCode::from(shell.status))
}

impl Shell {
    fn new(link: Link, arguments: &Arguments) -> Result<Shell, Error> {
        let given = !arguments.command.is_empty() || !arguments.file.is_empty();
        let interactive = !given && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let format = arguments.format.as_deref().and_then(Format::named).unwrap_or_default();
        let mut shell = Shell {
            link: Rc::new(RefCell::new(link)),
            look: Look {
                format,
                expand: if arguments.expanded { Expand::On } else { Expand::Auto },
                null: "NULL".to_owned(),
                bare: arguments.tuples_only,
                unicode: terminal::draws_unicode(),
                terminal: Terminal::stdout(),
                across: None,
            },
            paper: Paper::standard(),
            interactive,
            paged: true,
            timing: interactive && !arguments.quiet,
            quiet: arguments.quiet || matches!(format, Format::Csv | Format::Json | Format::Markdown) && !interactive,
            variables: variables::Variables::default(),
            scanner: scan::Scanner::default(),
            last: String::new(),
            done: Done::Shown,
            kept: Kept::default(),
            sources: Vec::new(),
            left: false,
            copied: false,
            data: None,
            nothing: std::io::sink(),
            over: false,
            status: 0,
        };
        for text in &arguments.variables {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            if !variables::is_name(name) {
                return Err(Error::Usage(format!("-v {text}: a variable is NAME=VALUE, a name letters, digits and underscores")));
            }
            shell.variables.set(name, value);
        }
        if let Some(output) = &arguments.output {
            shell.redirect(Some(&copy::home(output)))?;
        }
        Ok(shell)
    }

    /// Does what was given: the statements of the command line first, then the scripts.
    fn do_given(&mut self, arguments: &Arguments, standard_input: bool) {
        for text in &arguments.command {
            let fine = self.given(text);
            if self.over || (!fine && self.variables.is_on("ON_ERROR_STOP")) {
                return;
            }
        }
        let standard = standard_input.then(|| "-".to_owned());
        for name in arguments.file.iter().chain(&standard) {
            if self.over {
                return;
            }
            match Source::open(name) {
                Ok(source) => {
                    self.script(source);
                }
                Err(error) => {
                    self.complain(&error.to_string());
                    self.status = status::FAILED;
                    return;
                }
            }
        }
    }
}
