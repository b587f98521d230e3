//! The command line: what can be said, and who does it.
//!
//! Promises: exit status 0 = all is well; 1 = it failed, and why is on stderr; 2 = the command line
//! or the configuration is wrong (a start anew won't help); 3 = done, but some input was refused (`import`); 130 = Ctrl-C. `sql` has psql's: 2 = no
//! connection, 3 = a script was ended by an error.

use crate::config::{self, ConfigError, Loaded, SETTINGS};
use crate::terminal::{Ink, Terminal, say};
use crate::{Error, backup, bench, cert, check, demo, export, import, inspect, manual, serve, sql, top};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const ABOUT: &str = "Meridian: a real-time database for measurements, reached by psql.";

const EXAMPLES: &str = "\
Examples:
  meridian demo                                     see it work: real readings, a live grid, kill -9
  meridian serve --dir ./data --pg 127.0.0.1:5432   run a node
  meridian sql                                      talk to it; psql does too
  meridian top                                      watch it
  meridian import readings.csv --to postgres://meridian@127.0.0.1:5432/meridian --time date
  meridian export --table samples --tags 'boiler.%' --to boiler.parquet
  meridian bench table1                             the paper's five measurements, on this machine

Exit status: 0 well, 1 failed, 2 wrong command line or configuration, 3 some input refused, 130 interrupted.";

const SERVE_EXAMPLES: &str = "\
Examples:
  meridian serve --dir ./data
  meridian serve --dir ./data --pg 127.0.0.1:0 --ready-file ./ready      any free port, told in a file
  meridian serve --dir ./data --flight 127.0.0.1:5433 --memory-bytes 8GiB
  MERIDIAN_DURABILITY=200ms meridian serve --config meridian.toml --print-config

A flag stands above the environment (MERIDIAN_NAME), the environment above the file (--config),
the file above the default. SIGTERM or Ctrl-C stops gracefully, a second one at once.";

/// The whole command line.
pub fn command() -> Command {
    Command::new("meridian")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve_command())
        .subcommand(sql::Arguments::augment_args(Command::new("sql")))
        .subcommand(demo::Arguments::augment_args(Command::new("demo")))
        .subcommand(import::Arguments::augment_args(Command::new("import")))
        .subcommand(export::Arguments::augment_args(Command::new("export")))
        .subcommand(top::Arguments::augment_args(Command::new("top")))
        .subcommand(inspect::Arguments::augment_args(Command::new("inspect")))
        .subcommand(check::Arguments::augment_args(Command::new("check")))
        .subcommand(backup::TakeArguments::augment_args(Command::new("backup")))
        .subcommand(backup::RestoreArguments::augment_args(Command::new("restore")))
        .subcommand(backup::ListArguments::augment_args(Command::new("backups")))
        .subcommand(cert::Arguments::augment_args(Command::new("cert")))
        .subcommand(bench::command())
        .subcommand(manual::completions_command())
        .subcommand(manual::manual_command())
        .subcommand(docs_command())
}

fn docs_command() -> Command {
    let example = Arg::new("example").long("example").action(ArgAction::SetTrue);
    Command::new("config-docs")
        .about("Print docs/configuration.md, made from the declarations")
        .arg(example.help("A configuration file instead, with every setting in it and its default"))
        .hide(true)
}

fn serve_command() -> Command {
    let mut command = Command::new("serve")
        .about("Run a node")
        .after_help(SERVE_EXAMPLES)
        .arg(Arg::new("config").long("config").value_name("FILE").env("MERIDIAN_CONFIG").help("Configuration file (TOML)"))
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Show the values in force and where each came from, and end"),
        );
    for setting in SETTINGS {
        let name = setting.name.to_ascii_uppercase();
        let argument = Arg::new(setting.name)
            .long(setting.flag())
            .alias(setting.name)
            .value_name(name)
            .allow_hyphen_values(true)
            .help(config::flag_help(setting))
            .help_heading(setting.section);
        command = command.arg(argument);
    }
    command
}

/// Does what the command line says.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are no errors; clap knows which stream they go to.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(&matches) {
        Ok(code) => code,
        Err(error) => {
            let terminal = Terminal::stderr();
            eprintln!("{} {error}", terminal.ink(Ink::Red, "meridian:"));
            let mut cause = std::error::Error::source(&error);
            let mut said = error.to_string();
            while let Some(next) = cause {
                // Many errors repeat their cause in their own text.
                let text = next.to_string();
                if !said.contains(&text) {
                    eprintln!("  caused by: {text}");
                }
                said.push_str(&text);
                cause = next.source();
            }
            ExitCode::from(error.exit_status())
        }
    }
}

fn dispatch(matches: &ArgMatches) -> Result<ExitCode, Error> {
    match matches.subcommand() {
        Some(("serve", matches)) => {
            let loaded = serve_configuration(matches)?;
            if matches.get_flag("print-config") {
                say(&config::print_config(&loaded));
                return Ok(ExitCode::SUCCESS);
            }
            serve::run(&loaded)
        }
        Some(("sql", matches)) => sql::run(&arguments::<sql::Arguments>(matches)?),
        Some(("demo", matches)) => demo::run(&arguments::<demo::Arguments>(matches)?),
        Some(("import", matches)) => import::run(&arguments::<import::Arguments>(matches)?),
        Some(("export", matches)) => export::run(&arguments::<export::Arguments>(matches)?),
        Some(("top", matches)) => top::run(&arguments::<top::Arguments>(matches)?),
        Some(("inspect", matches)) => inspect::run(&arguments::<inspect::Arguments>(matches)?),
        Some(("check", matches)) => check::run(&arguments::<check::Arguments>(matches)?),
        Some(("backup", matches)) => backup::take(&arguments::<backup::TakeArguments>(matches)?),
        Some(("restore", matches)) => backup::restore(&arguments::<backup::RestoreArguments>(matches)?),
        Some(("backups", matches)) => backup::list(&arguments::<backup::ListArguments>(matches)?),
        Some(("cert", matches)) => cert::run(&arguments::<cert::Arguments>(matches)?),
        Some(("bench", matches)) => bench::run(matches),
        Some(("completions", matches)) => {
            say(&manual::completions(matches, command()));
            Ok(ExitCode::SUCCESS)
        }
        Some(("manual", matches)) => manual::write(matches, command()).map(|()| ExitCode::SUCCESS),
        Some(("config-docs", matches)) => {
            say(&if matches.get_flag("example") { config::example_file() } else { config::docs_page() });
            Ok(ExitCode::SUCCESS)
        }
        _ => unreachable!("clap lets no other command through"),
    }
}

/// The arguments of a command, read from what clap matched.
///
/// # Errors
/// `Error::Usage`.
pub fn arguments<T: FromArgMatches>(matches: &ArgMatches) -> Result<T, Error> {
    T::from_arg_matches(matches).map_err(|error| Error::Usage(error.to_string()))
}

fn serve_configuration(matches: &ArgMatches) -> Result<Loaded, ConfigError> {
    let flags: HashMap<&'static str, String> = SETTINGS
        .iter()
        .filter_map(|setting| matches.get_one::<String>(setting.name).map(|text| (setting.name, text.clone())))
        .collect();
    let environment: HashMap<String, String> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
    let file = matches.get_one::<String>("config").map(PathBuf::from);
    config::load(file.as_deref(), &environment, &flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_with_its_default_in_the_help() {
        let help = serve_command().render_long_help().to_string();
        for setting in SETTINGS {
            assert!(help.contains(&format!("--{}", setting.flag())), "{}", setting.name);
            assert!(help.contains(&setting.variable()), "{}", setting.name);
        }
    }

    #[test]
    fn a_flag_is_understood_with_dashes_and_underscores() {
        for flag in ["--memory-bytes", "--memory_bytes"] {
            let matches = serve_command().try_get_matches_from(["serve", flag, "1GiB"]).unwrap();
            assert_eq!(serve_configuration(&matches).unwrap().config.memory_bytes.bytes(), 1 << 30);
        }
        assert!(serve_command().try_get_matches_from(["serve", "--memory", "1GiB"]).is_err());
    }
}
