//! TLS towards a node, by rustls.
//!
//! Promises: a certificate is held against what `Trust` asks for; a handshake that fails is never
//! followed by plaintext. One difference to webpki's strict rules: a certificate that itself stands among
//! the roots is trusted also where it says it is an authority, as self-made ones do (`openssl req -x509`).

use super::target::Trust;
use crate::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// Makes TLS connections for tokio-postgres.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the roots that `trust` names.
    ///
    /// # Errors
    /// `Error::File`, `Error::Input` where they are none.
    pub fn new(trust: &Trust) -> Result<Tls, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match trust {
            Trust::Anybody => Verifier { roots: None, name_counts: false, provider: Arc::clone(&provider) },
            Trust::Chain(path) => Verifier::with_roots(path, false, &provider)?,
            Trust::Host(path) => Verifier::with_roots(path, true, &provider)?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| Error::Usage(format!("TLS can't be set up: {cause}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Tls { config: Arc::new(config) })
    }

    /// Encrypts a connection to that host.
    ///
    /// # Errors
    /// Those of the handshake.
    pub async fn protect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        socket: S,
    ) -> io::Result<tokio_rustls::client::TlsStream<S>> {
        let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, socket).await
    }
}

/// What a node's certificate is held against.
#[derive(Debug)]
struct Verifier {
    /// The roots and what checks a chain against them; None: anybody will do.
    roots: Option<(Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>)>,
    name_counts: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    #[expect(clippy::disallowed_methods, reason = "a file of the user's, not of the store's")]
    fn with_roots(path: &Path, name_counts: bool, provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
        let wrong = |problem: String| Error::Input { path: path.to_path_buf(), problem };
        let pem = std::fs::read(path).map_err(|cause| Error::File { path: path.to_path_buf(), cause })?;
        let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let found = found.map_err(|cause| wrong(format!("it holds no certificates in PEM form: {cause:?}")))?;
        let mut store = RootCertStore::empty();
        let (taken, _) = store.add_parsable_certificates(found.iter().cloned());
        if taken == 0 {
            return Err(wrong("it holds no certificate that can be trusted".to_owned()));
        }
        let checks = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
            .build()
            .map_err(|cause| wrong(cause.to_string()))?;
        Ok(Verifier { roots: Some((found, checks)), name_counts, provider: Arc::clone(provider) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some((roots, checks)) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        match checks.verify_server_cert(certificate, between, name, stapled, now) {
            // The name is looked at last: the chain is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name_counts => Ok(ServerCertVerified::assertion()),
            // Dates are looked at first, then what the certificate says it is for.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) if roots.contains(certificate) => {
                if self.name_counts {
                    rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connect;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connect, Self::Error> {
        Ok(Connect { name: ServerName::try_from(host)?.to_owned(), connector: TlsConnector::from(Arc::clone(&self.config)) })
    }
}

/// One handshake to be made.
pub struct Connect {
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl TlsConnect<Socket> for Connect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { Ok(Stream(self.connector.connect(self.name, socket).await?)) })
    }
}

/// An encrypted connection.
pub struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
