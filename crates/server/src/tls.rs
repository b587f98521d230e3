//! TLS by rustls: one certificate for all doors. TLS 1.2 and 1.3.
//!
//! Promises: a certificate or key that can't be used is refused at the start, by name, never
//! answered by plaintext.

use crate::Error;
use crate::users::read_file;
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

/// A certificate and its key, read and checked.
pub(crate) struct Tls {
    /// For the PostgreSQL door.
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// For the HTTP door.
    pub(crate) http_config: Arc<rustls::ServerConfig>,
    /// The certificate as PEM, for the Flight door and SCRAM's channel binding.
    pub(crate) certificate_pem: Vec<u8>,
    /// The key as PEM, for the Flight door.
    pub(crate) key_pem: Vec<u8>,
}

impl Tls {
    pub(crate) fn load(disk: &dyn Disk, paths: &TlsPaths) -> Result<Tls, Error> {
        let wrong = |path: &PathBuf, problem: String| Error::Tls { path: path.clone(), problem };
        let certificate_pem = read_file(disk, &paths.certificate)?;
        let key_pem = read_file(disk, &paths.key)?;
        let certificates = CertificateDer::pem_slice_iter(&certificate_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| wrong(&paths.certificate, format!("{cause:?}")))?;
        if certificates.is_empty() {
            return Err(wrong(&paths.certificate, "it holds no certificate in PEM form".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|cause| wrong(&paths.key, format!("{cause:?}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| wrong(&paths.certificate, cause.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|cause| wrong(&paths.key, cause.to_string()))?;
        let mut http_config = config.clone();
        http_config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Tls { config: Arc::new(config), http_config: Arc::new(http_config), certificate_pem, key_pem })
    }
}
