//! `meridian cert authority` and `meridian cert node NAME`: certificates by which the processes of a fleet
//! know each other, for those who have no authority of their own.
//!
//! Promises: keys are readable by their owner alone; nothing is overwritten unless `--replace` says so, and
//! an authority never; each file is whole or not there.

use crate::Error;
use crate::terminal::say;
use cluster::certificates::{Authority, CertificateError, Certified};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use world::{Clock, RealClock};

const EXAMPLES: &str = "\
Examples:
  meridian cert authority --dir ./certs
  meridian cert node manager-1 --dir ./certs
  meridian cert node data-7 --dir ./certs --host 10.0.0.7 --host data-7.example.org

authority.key vouches for whatever it signs: keep it off the nodes. A node needs authority.crt, its own
NAME.crt and its own NAME.key. docs/certificates.md says more.";

/// Make certificates for the processes of a fleet
#[derive(Debug, clap::Args)]
#[command(about = "Make a small authority, and certificates by which the processes of a fleet know each other")]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make the authority: authority.crt and authority.key
    Authority {
        /// Where its files go; made if it is not there
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// For how many days it is valid
        #[arg(long, value_name = "DAYS", default_value_t = 3_650)]
        days: u32,
    },
    /// Make the certificate of a process: NAME.crt and NAME.key
    Node {
        /// The process's name, as logs will show it
        name: String,
        /// Where the authority's files are, and the new ones go
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A host or address at which clients may ask for it by that name; can be given again
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// For how many days it is valid
        #[arg(long, value_name = "DAYS", default_value_t = 365)]
        days: u32,
        /// Replace the certificate and key of that name
        #[arg(long)]
        replace: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// `Error::Usage` where what was asked for can't be made, `Error::File`, and `Error::Input` where the
/// authority's files are none of ours.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Error> {
    let now = RealClock::start().wall_us();
    match &arguments.what {
        What::Authority { dir, days } => {
            let authority = Authority::make(now, *days).map_err(|error| refused(dir, error))?;
            write(dir, "authority", &authority.certified(), false)?;
            say(&format!("the authority is in {}; next: meridian cert node NAME --dir {0}\n", dir.display()));
        }
        What::Node { name, dir, hosts, days, replace } => {
            if name == "authority" {
                return Err(Error::Usage("\"authority\" is the authority's own name: give the node another".to_owned()));
            }
            let (certificate, key) = (dir.join("authority.crt"), dir.join("authority.key"));
            let authority = Authority::from_pem(&read(&certificate)?, &read(&key)?).map_err(|error| refused(&key, error))?;
            let certified = authority.issue(name, hosts, now, *days).map_err(|error| refused(&key, error))?;
            write(dir, name, &certified, *replace)?;
            say(&format!("{name} needs {0}/authority.crt, {0}/{name}.crt and {0}/{name}.key\n", dir.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(path: &Path, error: CertificateError) -> Error {
    match error {
        CertificateError::Invalid(text) => Error::Usage(text),
        error => Error::Input { path: path.to_path_buf(), problem: error.to_string() },
    }
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |cause| Error::File { path, cause }
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => {
            let problem = "there is no authority here: begin with `meridian cert authority`".to_owned();
            Error::Input { path: path.to_path_buf(), problem }
        }
        _ => Error::File { path: path.to_path_buf(), cause },
    })
}

/// Writes both files under other names and then gives them theirs, so that each is whole or not there.
#[expect(clippy::disallowed_methods, reason = "files of the user's own, no store's")]
fn write(dir: &Path, name: &str, certified: &Certified, replace: bool) -> Result<(), Error> {
    let places = [
        (dir.join(format!("{name}.crt")), &certified.certificate, 0o644),
        (dir.join(format!("{name}.key")), &certified.key, 0o600),
    ];
    if let Some((path, ..)) = places.iter().find(|(path, ..)| path.exists()).filter(|_| !replace) {
        let problem = if name == "authority" {
            "there is one already; what it vouches for would be worth nothing. Give another --dir"
        } else {
            "there is one already; say --replace to make another"
        };
        return Err(Error::Input { path: path.clone(), problem: problem.to_owned() });
    }
    std::fs::create_dir_all(dir).map_err(file(dir))?;
    for (path, text, mode) in &places {
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(*mode).open(&new);
        let written = made.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.and_then(|()| std::fs::rename(&new, path)).map_err(file(path))?;
    }
    Ok(())
}
