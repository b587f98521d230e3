//! What is made of the command line's declarations: manual pages, and completions for shells.
//!
//! Promises: a page for each command that the help shows, made of the same words.

use crate::Error;
use clap::{Arg, ArgMatches, Command};
use clap_complete::Shell;
use std::path::PathBuf;

/// `meridian completions SHELL`.
pub fn completions_command() -> Command {
    let shell = Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell)).value_name("SHELL");
    Command::new("completions")
        .about("Print completions for a shell")
        .after_help("Example:\n  meridian completions bash > ~/.local/share/bash-completion/completions/meridian")
        .arg(shell.help("Whose completions"))
}

/// `meridian manual DIR`.
pub fn manual_command() -> Command {
    let dir = Arg::new("dir").required(true).value_parser(clap::value_parser!(PathBuf)).value_name("DIR");
    Command::new("manual")
        .about("Write the manual pages (meridian.1 and one a command)")
        .arg(dir.help("An existing directory"))
        .hide(true)
}

/// The completions of a whole command line for the shell that is asked for.
#[must_use]
pub fn completions(matches: &ArgMatches, mut command: Command) -> String {
    let mut out = Vec::new();
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command, "meridian", &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes the manual pages of a whole command line.
///
/// # Errors
/// `Error::File`.
pub fn write(matches: &ArgMatches, command: Command) -> Result<(), Error> {
    let Some(dir) = matches.get_one::<PathBuf>("dir") else { return Ok(()) };
    clap_mangen::generate_to(command, dir).map_err(|cause| Error::File { path: dir.clone(), cause })
}
