//! Spans to a collector: OTLP in protobuf, over HTTP or gRPC, from a thread of its own.
//!
//! Promises: nothing waits for the collector but this thread; spans that it does not take in time, or at all, are dropped and
//! counted (`meridian_spans_dropped_total`), and that it is away is said once, not at each try. At the end what waits is told, within
//! `TRY`. May not know what is traced.

mod grpc;
mod messages;

use crate::Error;
use crate::config::{Config, OtlpProtocol};
use messages::{Answer, Request};
use prost::Message;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use traces::{Finished, Value};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use world::World;

/// How long spans may wait until they are told, where few come.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take, and making its connection.
const TRY: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Spans of one request.
const SPANS_MAX: usize = 512;
/// As much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Whoever tells a collector of spans, until it is stopped.
pub struct Exporter(Option<JoinHandle<()>>);

/// How a collector is reached.
enum Way {
    Http(Agent),
    Grpc(grpc::Caller),
}

struct Sending {
    way: Way,
    url: String,
    resource: Vec<(&'static str, Value)>,
    /// Whether it was said that the collector takes nothing.
    away: bool,
}

/// Begins to record spans and to tell of them, where the configuration names a collector. `node` is who this process is in a fleet.
///
/// # Errors
/// `Error::Usage` where the system has no certificates for https, `Error::System`.
pub fn start(config: &Config, world: &World, node: Option<u64>) -> Result<Exporter, Error> {
    let Some(endpoint) = &config.otlp_endpoint.0 else { return Ok(Exporter(None)) };
    let (way, url) = match config.otlp_protocol {
        OtlpProtocol::Http => (Way::Http(agent(endpoint.starts_with("https:"))?), url(endpoint)),
        OtlpProtocol::Grpc => (Way::Grpc(grpc::Caller::new(endpoint)?), endpoint.clone()),
    };
    let (clock, random) = (Arc::clone(&world.clock), Arc::clone(&world.random));
    traces::install(traces::Settings { sample: config.otlp_sample.0, clock, random });
    let mut resource = vec![
        ("service.name", "meridian".into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("process.pid", i64::from(std::process::id()).into()),
    ];
    resource.extend(node.map(|node| ("service.instance.id", node.to_string().into())));
    let mut sending = Sending { way, url, resource, away: false };
    tracing::info!(collector = sending.url, sample = config.otlp_sample.0, "spans are told to a collector");
    let run = move || {
        while let Some(spans) = traces::take(PAUSE) {
            spans.chunks(SPANS_MAX).for_each(|spans| sending.tell(spans));
        }
    };
    let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(run);
    Ok(Exporter(Some(thread.map_err(Error::system("starting the thread that tells of spans"))?)))
}

impl Exporter {
    /// Tells of what waits, and ends.
    pub fn stop(self) {
        traces::stop();
        // A thread that panicked has said so.
        self.0.into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// As OTLP says: the path of traces follows the endpoint.
fn url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") }
}

/// The system's authorities.
fn roots() -> Result<Vec<CertificateDer<'static>>, Error> {
    let roots = rustls_native_certs::load_native_certs().certs;
    if roots.is_empty() {
        return Err(Error::Usage(
            "setting otlp_endpoint: this system has no certificates that a collector's could come from: install the package \
             ca-certificates, or name a file of them in SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    Ok(roots)
}

fn agent(encrypted: bool) -> Result<Agent, Error> {
    let roots = if encrypted { roots()? } else { Vec::new() };
    let roots = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .user_agent(concat!("meridian/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(TRY));
    Ok(config.build().new_agent())
}

impl Sending {
    fn tell(&mut self, spans: &[Finished]) {
        let fault = match self.send(spans) {
            Ok((refused, why)) => {
                traces::note_exported(spans.len() - refused);
                traces::note_dropped(refused);
                (refused > 0).then(|| format!("{refused} of {} spans were refused: {why}", spans.len()))
            }
            Err(fault) => {
                traces::note_dropped(spans.len());
                Some(fault)
            }
        };
        match fault {
            Some(fault) if !self.away => {
                tracing::warn!(fault, collector = self.url, "the collector does not take spans; they are dropped, and counted");
                self.away = true;
            }
            None if self.away => {
                tracing::info!(dropped = traces::counts().dropped, "the collector takes spans again");
                self.away = false;
            }
            _ => {}
        }
    }

    /// How many spans were refused, and why.
    fn send(&self, spans: &[Finished]) -> Result<(usize, String), String> {
        let request = Request::of(&self.resource, spans);
        let answer = match &self.way {
            Way::Http(agent) => self.post(agent, &request)?,
            Way::Grpc(caller) => caller.send(request)?,
        };
        let told = answer.partial_success.unwrap_or_default();
        let refused = usize::try_from(told.rejected_spans).unwrap_or_default().min(spans.len());
        Ok((refused, told.error_message))
    }

    fn post(&self, agent: &Agent, request: &Request) -> Result<Answer, String> {
        let body = request.encode_to_vec();
        let sent = agent.post(&self.url).header("content-type", "application/x-protobuf").send(&body[..]);
        let mut answer = sent.map_err(|fault| fault.to_string())?;
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        if !answer.status().is_success() {
            return Err(format!("it answers with status {}", answer.status()));
        }
        // What is no protobuf says nothing of spans that were refused.
        Ok(Answer::decode(&read.unwrap_or_default()[..]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_their_path() {
        for (given, used) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
            ("https://c/x/v1/traces", "https://c/x/v1/traces"),
        ] {
            assert_eq!(url(given), used);
        }
    }
}
