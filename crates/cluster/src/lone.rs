//! A lone manager's meta, over the network: for small fleets that need no spare manager.
//!
//! What it is: a service that offers any `Meta` (in practice the embedded one), and `Remote`, which
//! is that meta for everybody else.
//! Promises: both sides know each other by certificates of the fleet's authority, and nobody else is
//! answered; a question meant for another meta is refused; a change that was not answered is in doubt.
//! May not know what keys mean.

mod messages;
mod remote;
mod service;

pub use crate::door::OwnCertificate;
pub use remote::{Remote, Settings};
pub use service::{MetaService, serve};

/// The service's name; the number is the layout's.
const SERVICE: &str = "meridian.Meta1";
const ASK: &str = "/meridian.Meta1/Ask";
const WATCH: &str = "/meridian.Meta1/Watch";
