//! Which bucket a repository lies in, who asks, and how long: read from `s3://bucket/prefix` and the variables that every program
//! that speaks S3 reads.
//!
//! Promises: what is missing or can't be meant is told with the variable's name; a secret is told to nobody. May not know where
//! variables come from: they are handed in.

use super::signing::Credentials;
use crate::Error;
use std::path::Path;
use std::time::Duration;
use ureq::http::Uri;
use world::{Access, Disk};

/// All that an object store is asked with.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// What the keys of the repository begin with, without a slash at either end.
    pub prefix: String,
    /// Where the store listens: `http://host:port` or https; AWS's where there is none.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Who asks.
    pub credentials: Credentials,
    /// Certificates in PEM that the store's has to come from; the system's where there are none.
    pub roots: Option<Vec<u8>>,
    /// An object that is larger is sent in parts of so many bytes, and read so.
    pub part_bytes: usize,
    /// A connection that is silent for so long is given up.
    pub silence_max: Duration,
    /// A request is tried so often at most.
    pub tries_max: u32,
}

/// Parts are at least 5 MiB for Amazon.
const PART_BYTES: usize = 8 << 20;
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// With pauses of 32 s in all: a store that is started anew is waited for.
const TRIES_MAX: u32 = 8;

impl S3Settings {
    /// The settings of a repository that is called `s3://bucket/prefix`.
    ///
    /// # Errors
    /// `Error::Place`: what is missing.
    pub fn read(name: &str, variable: &dyn Fn(&str) -> Option<String>, disk: &dyn Disk) -> Result<S3Settings, Error> {
        let wrong = |what: String| Error::Place { place: name.to_owned(), what };
        let path = name.strip_prefix("s3://").ok_or_else(|| wrong("it is written s3://bucket/prefix".to_owned()))?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err(wrong(format!("\"{bucket}\" is no bucket's name: it is written s3://bucket/prefix")));
        }
        let set = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()));
        let needed = |name: &str| set(&[name]).ok_or_else(|| wrong(format!("{name} is not set: {KEYS}")));
        let credentials = Credentials {
            key_id: needed("AWS_ACCESS_KEY_ID")?,
            secret: needed("AWS_SECRET_ACCESS_KEY")?,
            session_token: set(&["AWS_SESSION_TOKEN"]),
        };
        let endpoint = set(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        // What is not Amazon's mostly has no regions, and takes this one.
        let region = set(&["AWS_REGION", "AWS_DEFAULT_REGION"]).or_else(|| endpoint.as_ref().map(|_| "us-east-1".to_owned()));
        let region = region.ok_or_else(|| {
            wrong(
                "AWS_REGION is not set: the bucket's region, as eu-central-1; AWS_ENDPOINT_URL for a store that is not Amazon's"
                    .to_owned(),
            )
        })?;
        let roots = match set(&["AWS_CA_BUNDLE"]) {
            None => None,
            Some(path) => Some(bytes(disk, Path::new(&path)).map_err(|fault| wrong(format!("AWS_CA_BUNDLE: {fault}")))?),
        };
        Ok(S3Settings {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint,
            region,
            credentials,
            roots,
            part_bytes: PART_BYTES,
            silence_max: SILENCE_MAX,
            tries_max: TRIES_MAX,
        })
    }

    /// How people call the repository.
    pub(super) fn name(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}", self.bucket, self.prefix)
    }

    /// Where requests go.
    pub(super) fn target(&self) -> Result<Target, String> {
        let S3Settings { bucket, region, .. } = self;
        let Some(endpoint) = &self.endpoint else {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            // A certificate for *.s3.REGION.amazonaws.com is none for a bucket with dots in its name.
            let (host, path) = if bucket.contains('.') {
                (format!("s3.{region}.{domain}"), format!("/{bucket}"))
            } else {
                (format!("{bucket}.s3.{region}.{domain}"), String::new())
            };
            return Ok(Target { origin: format!("https://{host}"), host, path });
        };
        let wrong = || format!("AWS_ENDPOINT_URL \"{endpoint}\" is not written http://host:port or https://host:port");
        let uri: Uri = endpoint.trim().parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
        // A password in an address would be shown with it.
        if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(wrong());
        }
        let usual = if scheme == "http" { 80 } else { 443 };
        let host = match authority.port_u16() {
            Some(port) if port != usual => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        let path = format!("{}/{bucket}", uri.path().trim_end_matches('/'));
        Ok(Target { origin: format!("{scheme}://{host}"), host, path })
    }
}

const KEYS: &str = "a key for the bucket is read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of whoever reads or writes the \
                    repository: for meridian_backup() and `meridian backup` that is the node";

/// Where requests go.
pub(super) struct Target {
    /// Scheme and host.
    pub(super) origin: String,
    /// The header `host`.
    pub(super) host: String,
    /// The bucket's path: empty where the host names it.
    pub(super) path: String,
}

fn bytes(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, world::DiskError> {
    let file = disk.open(path, Access::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}
