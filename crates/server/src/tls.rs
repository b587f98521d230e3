//! TLS by rustls: one certificate for all doors, TLS 1.2 and 1.3, read anew without a restart.
//!
//! Promises: a certificate or key that can't be used is refused at the start, by name, never answered by plaintext; one that comes
//! later and can't be used is told of, and the one in use stays. A connection keeps the certificate that it was greeted with, its
//! channel binding too.
//!
//! Shared state: what is in use, behind a lock that is held for the time of a copy of a pointer.

use crate::Error;
use crate::users::read_file;
use parking_lot::RwLock;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use world::Disk;

/// Where certificate and key lie, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// The certificate, followed by those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate of the doors.
pub(crate) struct Tls {
    disk: Arc<dyn Disk>,
    paths: TlsPaths,
    current: RwLock<Arc<Loaded>>,
}

/// A certificate and its key, read and checked.
pub(crate) struct Loaded {
    /// For the PostgreSQL door.
    pub(crate) pg: Arc<ServerConfig>,
    /// For the HTTP door.
    pub(crate) http: Arc<ServerConfig>,
    /// For the Flight door.
    pub(crate) flight: Arc<ServerConfig>,
    /// Passwords, bound to the channel.
    pub(crate) scram: ScramServerAuth,
    /// What was read.
    pems: [Vec<u8>; 2],
}

impl Tls {
    pub(crate) fn load(disk: &Arc<dyn Disk>, paths: &TlsPaths) -> Result<Arc<Tls>, Error> {
        let current = RwLock::new(Arc::new(Loaded::read(&**disk, paths, None)?.ok_or_else(|| none(paths))?));
        Ok(Arc::new(Tls { disk: Arc::clone(disk), paths: paths.clone(), current }))
    }

    /// What a connection that comes now is greeted with.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read())
    }

    /// Reads the files again. Whether they hold something else than before; that is in use then. It blocks.
    ///
    /// # Errors
    /// `Error::Tls`, `Error::Disk`: what is in use stays.
    pub(crate) fn reload(&self) -> Result<bool, Error> {
        let known = self.current();
        let Some(loaded) = Loaded::read(&*self.disk, &self.paths, Some(&known))? else { return Ok(false) };
        *self.current.write() = Arc::new(loaded);
        tracing::info!(certificate = %self.paths.certificate.display(), "another certificate is in use");
        Ok(true)
    }
}

fn none(paths: &TlsPaths) -> Error {
    Error::Tls { path: paths.certificate.clone(), problem: "it holds no certificate in PEM form".to_owned() }
}

impl Loaded {
    /// None where the files are those that are known.
    fn read(disk: &dyn Disk, paths: &TlsPaths, known: Option<&Loaded>) -> Result<Option<Loaded>, Error> {
        let wrong = |path: &PathBuf, problem: String| Error::Tls { path: path.clone(), problem };
        let read = |path: &PathBuf| read_file(disk, path).map_err(|cause| wrong(path, cause.to_string()));
        let pems = [read(&paths.certificate)?, read(&paths.key)?];
        if known.is_some_and(|known| known.pems == pems) {
            return Ok(None);
        }
        let certificates = CertificateDer::pem_slice_iter(&pems[0])
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| wrong(&paths.certificate, format!("{cause:?}")))?;
        if certificates.is_empty() {
            return Err(none(paths));
        }
        let key = PrivateKeyDer::from_pem_slice(&pems[1]).map_err(|cause| wrong(&paths.key, format!("{cause:?}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // A key that is not the certificate's is refused here.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| wrong(&paths.certificate, cause.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|cause| wrong(&paths.key, cause.to_string()))?;
        let mut scram = ScramServerAuth::new();
        if let Err(cause) = scram.configure_certificate(&pems[0]) {
            tracing::warn!(%cause, "passwords are not bound to the TLS channel: the certificate's signature is of no known kind");
        }
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        let (pg, http, flight) = (speaking(b"postgresql"), speaking(b"http/1.1"), speaking(b"h2"));
        Ok(Some(Loaded { pg, http, flight, scram, pems }))
    }
}
