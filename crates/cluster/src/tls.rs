//! What connections between processes are made with: rustls, of the fleet's certificates.
//!
//! Promises: both sides show a certificate of the fleet's authority. May not know what a connection carries.

use crate::calls::Tls;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt::Display;
use std::sync::Arc;

/// gRPC's name in the handshake (ALPN).
pub(crate) const GRPC: &[u8] = b"h2";

fn wrong(what: &'static str) -> impl Fn(&dyn Display) -> String {
    move |fault| format!("{what} can't be used: {fault}")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|fault| wrong(what)(&fault))?;
    if read.is_empty() { Err(wrong(what)(&"it is not in PEM form")) } else { Ok(read) }
}

fn authority(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "the authority's certificate")? {
        roots.add(certificate).map_err(|fault| wrong("the authority's certificate")(&fault))?;
    }
    Ok(Arc::new(roots))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|fault| wrong("the key")(&fault))
}

/// For whoever answers, in these protocols.
pub(crate) fn answering(tls: &Tls, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, String> {
    let failed = |fault: &dyn Display| wrong("the process's certificate")(fault);
    let (certificate, own) = tls.own.as_ref().ok_or_else(|| failed(&"there is none"))?;
    let roots = authority(&tls.authority)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|fault| failed(&fault))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|fault| failed(&fault))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate, "the process's certificate")?, key(own)?)
        .map_err(|fault| failed(&fault))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// For whoever asks, in one protocol, and the name that the other side must bear: the host where none is given.
pub(crate) fn asking(tls: &Tls, host: &str, protocol: &[u8]) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    let failed = |fault: &dyn Display| wrong("the process's certificate")(fault);
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|fault| failed(&fault))?
        .with_root_certificates(authority(&tls.authority)?);
    let mut config = match &tls.own {
        Some((certificate, own)) => config
            .with_client_auth_cert(certificates(certificate, "the process's certificate")?, key(own)?)
            .map_err(|fault| failed(&fault))?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = tls.name.clone().unwrap_or_else(|| bare.to_owned());
    let name = ServerName::try_from(name).map_err(|fault| wrong("the other side's name")(&fault))?;
    Ok((Arc::new(config), name))
}
