//! Where a node is, who asks, and how the connection is protected, read as libpq reads it.
//!
//! Promises: `sslmode` (disable, prefer, require, verify-ca, verify-full) and `sslrootcert` mean what
//! they mean to psql; a password comes from the connection string, else PGPASSWORD, else the password
//! file; no error repeats the connection string, which may hold a password.
//! What it may not know: the environment of the process (it is handed in), how TLS is spoken.

use super::passfile;
use crate::Error;
use std::path::PathBuf;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// What is asked of the node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Nothing: the connection is encrypted where the node can, whoever it is.
    Anybody,
    /// A root in this file vouches for it.
    Chain(PathBuf),
    /// The same, and it is for the host that was asked for.
    Host(PathBuf),
}

/// Where and how to connect.
#[derive(Clone, Debug)]
pub struct Target {
    /// For tokio-postgres.
    pub config: Config,
    /// For the TLS part.
    pub trust: Trust,
}

/// What stands where the connection string is silent; each may be silent too.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// The host, or the directory of a socket.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The user; `meridian` where nobody says.
    pub user: Option<String>,
    /// The database.
    pub database: Option<String>,
}

/// Where a system keeps the roots that it trusts (`sslrootcert=system`).
const SYSTEM_ROOTS: [&str; 4] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"];

/// The values that stand in a connection string and that tokio-postgres does not read itself.
#[derive(Debug, Default)]
struct Protection {
    mode: Option<String>,
    roots: Option<String>,
    passfile: Option<String>,
}

impl Protection {
    /// Where the value of such a key goes; None for keys of tokio-postgres.
    fn place(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "sslmode" => Some(&mut self.mode),
            "sslrootcert" => Some(&mut self.roots),
            "passfile" => Some(&mut self.passfile),
            _ => None,
        }
    }
}

impl Target {
    /// Reads a connection string or URL; `environment` gives the variables of the process.
    ///
    /// # Errors
    /// `Error::Usage` for what is no connection string, and for a mode that is unknown or lacks its roots.
    pub fn read(to: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Target, Error> {
        Target::read_with(to, &Defaults::default(), environment)
    }

    /// The same, with what stands where it is silent.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_with(to: &str, defaults: &Defaults, environment: &dyn Fn(&str) -> Option<String>) -> Result<Target, Error> {
        let wrong = |problem: String| Error::Usage(format!("the connection string can't be read: {problem}"));
        let mut protection = Protection::default();
        let rest = if to.starts_with("postgres://") || to.starts_with("postgresql://") {
            take_from_url(to, &mut protection)
        } else {
            take_from_pairs(to, &mut protection)
        };
        let mut config: Config = rest.and_then(|rest| rest.parse().map_err(|error| shown(&error))).map_err(wrong)?;
        let home = environment("HOME").map(PathBuf::from);
        let mode = protection.mode.or_else(|| environment("PGSSLMODE")).unwrap_or_else(|| "prefer".to_owned());
        let roots = protection.roots.or_else(|| environment("PGSSLROOTCERT")).filter(|path| !path.is_empty());
        let usual_roots = home.as_ref().map(|home| home.join(".postgresql/root.crt"));
        let (ssl, trust) = read_mode(&mode, roots.as_deref(), usual_roots)?;
        config.ssl_mode(ssl);
        fill(&mut config, defaults);
        if config.get_password().is_none() {
            let path = protection.passfile.or_else(|| environment("PGPASSFILE")).map(PathBuf::from);
            let path = path.or_else(|| home.map(|home| home.join(".pgpass")));
            if let Some(password) = environment("PGPASSWORD").filter(|password| !password.is_empty()) {
                config.password(password);
            } else if let Some(password) = path.and_then(|path| passfile::find(&path, &asked(&config))) {
                config.password(password);
            }
        }
        Ok(Target { config, trust })
    }
}

fn fill(config: &mut Config, defaults: &Defaults) {
    if config.get_hosts().is_empty()
        && config.get_hostaddrs().is_empty()
        && let Some(host) = &defaults.host
    {
        config.host(host);
    }
    if let (true, Some(port)) = (config.get_ports().is_empty(), defaults.port) {
        config.port(port);
    }
    if config.get_user().is_none() {
        config.user(defaults.user.as_deref().unwrap_or("meridian"));
    }
    if let (None, Some(database)) = (config.get_dbname(), &defaults.database) {
        config.dbname(database);
    }
}

/// The message of tokio-postgres and what it wraps, which says where the string is wrong.
fn shown(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// What a line of the password file must fit.
fn asked(config: &Config) -> [String; 4] {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        // As libpq has it for sockets in the usual place.
        _ => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default().to_owned();
    let database = config.get_dbname().map_or_else(|| user.clone(), str::to_owned);
    [host, port, database, user]
}

fn read_mode(mode: &str, roots: Option<&str>, usual: Option<PathBuf>) -> Result<(SslMode, Trust), Error> {
    let found = match roots {
        Some("system") => {
            let system = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.is_file());
            let none = || Error::Usage("sslrootcert=system: this system has no file of trusted roots".to_owned());
            Some(system.ok_or_else(none)?)
        }
        Some(path) => Some(PathBuf::from(path)),
        None => usual.filter(|path| path.is_file()),
    };
    let needed = |found: Option<PathBuf>| {
        found.ok_or_else(|| {
            let hint = "give sslrootcert=FILE, or sslrootcert=system for the roots that this machine trusts";
            Error::Usage(format!("sslmode={mode} needs certificates to trust: {hint}"))
        })
    };
    if roots == Some("system") && mode != "verify-full" {
        return Err(Error::Usage(format!("sslrootcert=system needs sslmode=verify-full, not {mode}")));
    }
    Ok(match mode {
        "disable" => (SslMode::Disable, Trust::Anybody),
        "prefer" => (SslMode::Prefer, Trust::Anybody),
        // As libpq has it: roots that are there are used.
        "require" => (SslMode::Require, found.map_or(Trust::Anybody, Trust::Chain)),
        "verify-ca" => (SslMode::Require, Trust::Chain(needed(found)?)),
        "verify-full" => (SslMode::Require, Trust::Host(needed(found)?)),
        other => {
            let other: String = other.chars().take(32).collect();
            let known = "disable, prefer, require, verify-ca or verify-full";
            return Err(Error::Usage(format!("sslmode \"{other}\" is not known; give {known}")));
        }
    })
}

/// Takes our parameters out of a URL; gives what is left of it.
fn take_from_url(url: &str, protection: &mut Protection) -> Result<String, String> {
    // A password may hold a question mark: parameters begin behind the user's part.
    let user_end = url.find('@').unwrap_or(0);
    let Some(start) = url[user_end..].find('?').map(|at| user_end + at) else { return Ok(url.to_owned()) };
    let mut kept = Vec::new();
    for pair in url[start + 1..].split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match protection.place(key) {
            Some(place) => *place = Some(percent_decoded(value).ok_or_else(|| format!("the value of {key} is not UTF-8"))?),
            None => kept.push(pair),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok(format!("{}{mark}{}", &url[..start], kept.join("&")))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// Takes our parameters out of `key = value` pairs; gives the others, written anew.
fn take_from_pairs(text: &str, protection: &mut Protection) -> Result<String, String> {
    let mut kept = String::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').ok_or_else(|| "a parameter has no \"=\"".to_owned())?;
        let (value, after) = pair_value(value.trim_start())?;
        rest = after.trim_start();
        match protection.place(key.trim()) {
            Some(place) => *place = Some(value),
            None => {
                let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
                kept.push_str(&format!("{}='{escaped}' ", key.trim()));
            }
        }
    }
    Ok(kept)
}

/// The value at the front, quoted or up to the next blank, and what follows it.
fn pair_value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.starts_with('\'');
    let mut out = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((out, &text[at + 1..])),
            c if !quoted && c.is_whitespace() => return Ok((out, &text[at..])),
            c => out.push(c),
        }
    }
    if quoted { Err("a quote is left open".to_owned()) } else { Ok((out, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(to: &str, variables: &[(&str, &str)]) -> Result<Target, String> {
        let environment = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Target::read(to, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_mean_what_they_mean_to_psql() {
        let roots = || PathBuf::from("/r/a b.crt");
        for (to, variables, ssl, trust) in [
            ("postgres://h", &[][..], SslMode::Prefer, Trust::Anybody),
            ("postgres://u:p?w@h:1/d?sslmode=disable&application_name=x", &[], SslMode::Disable, Trust::Anybody),
            ("postgres://h", &[("PGSSLMODE", "require")], SslMode::Require, Trust::Anybody),
            ("postgres://h?sslmode=prefer", &[("PGSSLMODE", "require")], SslMode::Prefer, Trust::Anybody),
            ("postgres://h?sslmode=require&sslrootcert=/r/a%20b.crt", &[], SslMode::Require, Trust::Chain(roots())),
            ("host=h sslmode = verify-ca sslrootcert='/r/a b.crt'", &[], SslMode::Require, Trust::Chain(roots())),
            ("host=h sslmode=verify-full", &[("PGSSLROOTCERT", "/r/a b.crt")], SslMode::Require, Trust::Host(roots())),
        ] {
            let target = read(to, variables).expect(to);
            assert_eq!((target.config.get_ssl_mode(), target.trust), (ssl, trust), "{to}");
            assert_eq!(target.config.get_hosts(), [Host::Tcp("h".to_owned())], "{to}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (to, expected) in [
            ("postgres://u:hunter2@h?sslmode=verify-full", "needs certificates to trust"),
            ("postgres://u:hunter2@h?sslmode=allow", "sslmode \"allow\" is not known"),
            ("postgres://u:hunter2@h?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
            ("postgres://u:hunter2@h:notaport", "port"),
            ("host=h password='hunter2", "a quote is left open"),
            ("host=h password=hunter2 nonsense", "no \"=\""),
            ("host=h password=hunter2 nonsense=1", "nonsense"),
        ] {
            let error = read(to, &[]).expect_err(to);
            assert!(error.contains(expected) && !error.contains("hunter2"), "{to}: {error}");
        }
    }

    #[test]
    fn a_password_comes_from_the_nearest_place() {
        let path = std::env::temp_dir().join(format!("meridian-target-{}", std::process::id()));
        passfile::write_private(&path, "h:5433:d:u:from-file\n*:*:*:meridian:other\n");
        let file = path.to_str().unwrap();
        let password = |to: &str, variables: &[(&str, &str)]| {
            read(to, variables).unwrap().config.get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let both = [("PGPASSWORD", "from-environment"), ("PGPASSFILE", file)];
        for (to, variables, expected) in [
            ("postgres://u:from-url@h:5433/d", &both[..], Some("from-url")),
            ("postgres://u@h:5433/d", &both, Some("from-environment")),
            ("postgres://u@h:5433/d", &both[1..], Some("from-file")),
            ("host=h port=5433 dbname=d user=u", &both[1..], Some("from-file")),
            ("postgres://h", &both[1..], Some("other")),
            ("postgres://u@h:5432/d", &both[1..], None),
            ("postgres://u@h:5433/d", &[], None),
        ] {
            assert_eq!(password(to, variables).as_deref(), expected, "{to}");
        }
        assert_eq!(password(&format!("host=h passfile={file}"), &[]).as_deref(), Some("other"));
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn pairs_are_read_with_quotes_and_escapes() {
        let target = read(r"user='o\'brien' host = h password=a\ b\\c dbname=''", &[]).unwrap();
        assert_eq!(target.config.get_user(), Some("o'brien"));
        assert_eq!(target.config.get_password(), Some(&b"a b\\c"[..]));
    }
}
