//! The certificates of a process of a fleet, as they lie on disk: read at the start, and again while it runs.
//!
//! Promises: what can't be read or used at the start is refused there; what can't be later is named in the log, once, and what is
//! in use stays. A new certificate and its authorities come into use together. May not know what connections carry.

use crate::Error;
use crate::config::Config;
use cluster::certificates::NODE_NAME;
use cluster::{Identity, Tls};
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

/// How often the files are looked at.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Certificates in use, and where others may lie one day.
pub struct Certificates {
    own: Watched,
    etcd: Option<Watched>,
}

/// Files, and what was made of them.
struct Watched {
    files: Files,
    identity: Identity,
}

enum Files {
    /// authority.crt, NAME.crt and NAME.key of a directory.
    Own { dir: PathBuf, name: String },
    /// The certificate of an etcd's authority.
    Etcd(PathBuf),
}

#[expect(clippy::disallowed_methods, reason = "files of the user's own, no store's")]
fn bytes(path: PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(&path).map_err(|cause| Error::File { path, cause })
}

impl Files {
    fn tls(&self) -> Result<Tls, Error> {
        match self {
            Files::Own { dir, name } => {
                let authority = bytes(dir.join("authority.crt"))?;
                let own = (bytes(dir.join(format!("{name}.crt")))?, bytes(dir.join(format!("{name}.key")))?);
                Ok(Tls { authority, own: Some(own), name: Some(NODE_NAME.to_owned()) })
            }
            Files::Etcd(path) => Ok(Tls { authority: bytes(path.clone())?, own: None, name: None }),
        }
    }

    fn shown(&self) -> String {
        match self {
            Files::Own { dir, name } => format!("authority.crt, {name}.crt and {name}.key in {}", dir.display()),
            Files::Etcd(path) => path.display().to_string(),
        }
    }

    fn watched(self) -> Result<Watched, Error> {
        let identity = self.tls()?.into();
        Ok(Watched { files: self, identity })
    }
}

impl Watched {
    fn reload(&self) -> Result<bool, String> {
        let shown = || self.files.shown();
        let read = self.files.tls().map_err(|fault| fault.to_string())?;
        let changed = self.identity.replace(read).map_err(|fault| format!("{}: {fault}", shown()))?;
        if changed {
            tracing::info!(files = shown(), "other certificates are in use between the fleet's processes");
        }
        Ok(changed)
    }
}

impl Certificates {
    /// Reads them where the configuration says.
    ///
    /// # Errors
    /// `Error::Usage` where it names none; `Error::File`.
    pub fn read(config: &Config) -> Result<Certificates, Error> {
        let dir: &Path = config.fleet_certificates.as_deref().ok_or_else(|| {
            Error::Usage(
                "the processes of a fleet know each other by certificates: give --fleet-certificates DIR (and --fleet-name NAME); \
                 `meridian cert` makes some"
                    .to_owned(),
            )
        })?;
        let own = Files::Own { dir: dir.to_path_buf(), name: config.fleet_name.clone() };
        let etcd = config.etcd_authority.clone().map(Files::Etcd);
        Ok(Certificates { own: own.watched()?, etcd: etcd.map(Files::watched).transpose()? })
    }

    /// Who this process is to the others.
    pub fn own(&self) -> &Identity {
        &self.own.identity
    }

    /// How an etcd is spoken to that has a certificate.
    pub fn etcd(&self) -> Option<&Identity> {
        self.etcd.as_ref().map(|etcd| &etcd.identity)
    }

    /// Reads the files again; whether any of them hold something else. What can't be used is told, and what was in use stays.
    fn reload(&self) -> (bool, Vec<String>) {
        let (mut changed, mut told) = (false, Vec::new());
        for watched in std::iter::once(&self.own).chain(&self.etcd) {
            match watched.reload() {
                Ok(one) => changed |= one,
                Err(fault) => told.push(fault),
            }
        }
        (changed, told)
    }

    /// What SIGHUP asks for. It blocks.
    pub fn reload_now(&self) {
        match self.reload() {
            (false, told) if told.is_empty() => tracing::info!("SIGHUP: the fleet's certificates are the same as before"),
            (_, told) => {
                told.iter().for_each(|cause| tracing::error!(cause, "SIGHUP: the fleet's certificates in use stay"));
            }
        }
    }
}

/// Reads the files again from time to time, for as long as somebody uses what they hold.
pub async fn renew(certificates: Weak<Certificates>) {
    let mut known = Vec::new();
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let Some(certificates) = certificates.upgrade() else { return };
        // The runtime may end.
        let Ok((_, told)) = tokio::task::spawn_blocking(move || certificates.reload()).await else { return };
        if told != known {
            told.iter().for_each(|cause| tracing::warn!(cause, "the fleet's certificates in use stay"));
            known = told;
        }
    }
}
