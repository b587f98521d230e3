//! A small authority of one's own, and the certificates by which the processes of a fleet know each other.
//!
//! Promises: a certificate of ours serves both sides of a connection, bears the name `NODE_NAME` (so that
//! a peer is believed for its authority's sake, wherever it runs) and the hosts it was made for (so that
//! clients can check those). Keys are P-256. May not know where files lie.

use rcgen::KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::time::Duration;
use thiserror::Error;
use time::OffsetDateTime;

/// The name that every certificate of a fleet bears, and that its processes ask each other for.
pub const NODE_NAME: &str = "node.meridian";

/// The authority's name. Always the same, so that key and certificate are enough to go on issuing.
const AUTHORITY_NAME: &str = "Meridian authority";

/// For clocks that differ: how long before it was made a certificate is valid.
const EARLIER: Duration = Duration::from_secs(86_400);

const DAY: Duration = Duration::from_secs(86_400);

/// Longest time that a certificate can be asked to be valid, in days: a hundred years.
pub const DAYS_MAX: u32 = 36_500;

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its key, PKCS #8. A secret.
    pub key: String,
}

/// Why no certificate was made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A number of days, a name or a host can't be meant.
    #[error("{0}")]
    Invalid(String),
    /// The authority's certificate or key is not one of ours.
    #[error("this is no authority of ours: {0}")]
    Authority(String),
    /// Making it failed.
    #[error("the certificate could not be made")]
    Make(#[source] rcgen::Error),
}

/// Who vouches for the processes of a fleet.
pub struct Authority {
    certificate: String,
    key: KeyPair,
}

impl Authority {
    /// A new one, valid from now on (microseconds since 1970) for so many days.
    ///
    /// # Errors
    /// `CertificateError`.
    pub fn make(now_us: i64, days: u32) -> Result<Authority, CertificateError> {
        let key = KeyPair::generate().map_err(CertificateError::Make)?;
        let params = valid(authority_params(), now_us, days)?;
        let certificate = params.self_signed(&key).map_err(CertificateError::Make)?.pem();
        Ok(Authority { certificate, key })
    }

    /// The one that these PEM texts hold.
    ///
    /// # Errors
    /// `CertificateError::Authority` where the key is not the certificate's, or either can't be read.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, CertificateError> {
        let wrong = |what: &str| CertificateError::Authority(what.to_owned());
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| wrong("the certificate is no PEM"))?;
        let key = KeyPair::from_pem(key).map_err(|_| wrong("the key is no PKCS #8 PEM"))?;
        // The public key stands in the certificate as it is.
        let public = key.public_key_raw();
        if !der.windows(public.len()).any(|window| window == public) {
            return Err(wrong("the key is not the certificate's"));
        }
        // Twice: as who it is, and as who vouches for it. Those that it issues bear the name once.
        if der.windows(AUTHORITY_NAME.len()).filter(|window| *window == AUTHORITY_NAME.as_bytes()).count() < 2 {
            return Err(wrong("it was not made by `meridian cert authority`"));
        }
        Ok(Authority { certificate: certificate.to_owned(), key })
    }

    /// Its certificate and key.
    #[must_use]
    pub fn certified(&self) -> Certified {
        Certified { certificate: self.certificate.clone(), key: self.key.serialize_pem() }
    }

    /// A certificate for a process, by name, on these hosts (DNS names or addresses; none is well),
    /// valid from now on for so many days.
    ///
    /// # Errors
    /// `CertificateError`.
    pub fn issue(&self, name: &str, hosts: &[String], now_us: i64, days: u32) -> Result<Certified, CertificateError> {
        if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            let text = format!("a node's name has 1 to 64 letters, digits, '-', '_' or '.', not \"{name}\"");
            return Err(CertificateError::Invalid(text));
        }
        let names: Vec<String> = [NODE_NAME.to_owned()].into_iter().chain(hosts.iter().cloned()).collect();
        let wrong = |_| CertificateError::Invalid(format!("the hosts {hosts:?} are no names or addresses"));
        let mut params = CertificateParams::new(names).map_err(wrong)?;
        params.distinguished_name = named(name);
        params.key_usages = vec![DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let params = valid(params, now_us, days)?;
        let key = KeyPair::generate().map_err(CertificateError::Make)?;
        let issuer = Issuer::new(authority_params(), &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(CertificateError::Make)?.pem();
        Ok(Certified { certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(AUTHORITY_NAME);
    // It vouches for processes, for no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyCertSign, CrlSign];
    params
}

fn valid(mut params: CertificateParams, now_us: i64, days: u32) -> Result<CertificateParams, CertificateError> {
    if days == 0 || days > DAYS_MAX {
        return Err(CertificateError::Invalid(format!("a certificate is valid for 1 to {DAYS_MAX} days, not {days}")));
    }
    let now = OffsetDateTime::from_unix_timestamp(now_us.div_euclid(1_000_000))
        .map_err(|_| CertificateError::Invalid("the clock is beyond all dates".to_owned()))?;
    params.not_before = now - EARLIER;
    params.not_after = now + DAY * days;
    Ok(params)
}
