//! What the fleet agrees on: reached as the setting `join` says.
//!
//! Promises: a meta that is not there yet is waited for, and that is said; one that says no is an error at once. May not know what
//! is kept there.

use super::certificates::Certificates;
use crate::Error;
use crate::config::{Config, JoinSetting};
use ::meta::embedded::Embedded;
use ::meta::{Error as MetaError, Meta};
use cluster::{Limits, etcd, lone};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use world::World;

/// How long a meta is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long between tries.
const PAUSE: Duration = Duration::from_millis(300);
/// How often it is said that one is waited for.
const SAID_EVERY: u32 = 20;

/// The meta, and whether this process keeps it.
pub struct Opened {
    pub meta: Arc<dyn Meta>,
    pub is_own: bool,
}

fn failed(join: &JoinSetting, fault: &MetaError) -> Error {
    Error::Fleet(format!("what the fleet agrees on can't be had ({}): {fault}", crate::config::shown(join)))
}

/// Opens it, or connects to it.
///
/// # Errors
/// `Error::Fleet`, `Error::Usage`.
pub async fn open(
    config: &Config,
    manages: bool,
    dir: &Path,
    certificates: &Certificates,
    world: &World,
) -> Result<Opened, Error> {
    let join = &config.join;
    match join {
        JoinSetting::Own if manages => {
            let (world, dir) = (world.clone(), dir.join("meta"));
            let opened = tokio::task::spawn_blocking(move || Embedded::open(&world, &dir, None)).await;
            let opened = opened.map_err(|fault| Error::Fleet(fault.to_string()))?;
            Ok(Opened { meta: Arc::new(opened.map_err(|fault| failed(join, &fault))?), is_own: true })
        }
        JoinSetting::Own => Err(Error::Usage(
            "a process that is no manager needs --join: https://HOST:PORT of the fleet's manager, or etcd://HOST:PORT,.."
                .to_owned(),
        )),
        JoinSetting::Manager(addresses) => {
            let connect = || {
                let settings = lone::Settings {
                    addresses: addresses.clone(),
                    identity: certificates.own().clone(),
                    limits: Limits::default(),
                };
                async { lone::Remote::connect(settings, None).await.map(|meta| Arc::new(meta) as Arc<dyn Meta>) }
            };
            Ok(Opened { meta: patiently(join, connect).await?, is_own: false })
        }
        JoinSetting::Etcd(places) => {
            let settings = etcd_settings(config, places, certificates)?;
            let connect = || {
                let (settings, random) = (settings.clone(), Arc::clone(&world.random));
                async move { etcd::Etcd::connect(settings, &*random, None).await.map(|meta| Arc::new(meta) as Arc<dyn Meta>) }
            };
            Ok(Opened { meta: patiently(join, connect).await?, is_own: false })
        }
    }
}

fn etcd_settings(config: &Config, places: &[String], certificates: &Certificates) -> Result<etcd::Settings, Error> {
    let identity = certificates.etcd().cloned();
    let scheme = if identity.is_some() { "https" } else { "http" };
    let user = match &config.etcd_user.0 {
        None => None,
        Some(text) => {
            let (name, password) =
                text.split_once(':').ok_or_else(|| Error::Usage("setting etcd_user: it is NAME:PASSWORD".to_owned()))?;
            Some((name.to_owned(), password.to_owned()))
        }
    };
    let endpoints = places.iter().map(|place| format!("{scheme}://{place}")).collect();
    Ok(etcd::Settings { endpoints, prefix: config.etcd_prefix.clone(), user, identity, limits: Limits::default() })
}

async fn patiently<F>(join: &JoinSetting, connect: impl Fn() -> F) -> Result<Arc<dyn Meta>, Error>
where
    F: Future<Output = Result<Arc<dyn Meta>, MetaError>>,
{
    let (begun, mut tries) = (tokio::time::Instant::now(), 0);
    loop {
        match connect().await {
            Ok(meta) => return Ok(meta),
            Err(MetaError::Unavailable(why)) if begun.elapsed() < PATIENCE => {
                if tries % SAID_EVERY == 0 {
                    tracing::info!(join = crate::config::shown(join), why, "waits for what the fleet agrees on");
                }
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(fault) => return Err(failed(join, &fault)),
        }
    }
}
