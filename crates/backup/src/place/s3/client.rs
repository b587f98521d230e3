//! One request after another to an object store: signed, sent, tried again with growing pauses, given up when nobody waits.
//!
//! Promises: whoever waits is asked ten times a second whether to go on, whatever the network does: a request runs on a thread of
//! its own, which ends by itself after its pause or its timeout once nobody waits. A request that is asked for after work was given
//! up cleans up: it is tried once, and shortly. May not know what is asked.

use super::answer::Answer;
use super::settings::{S3Settings, Target};
use super::signing::{Unsigned, query, signed};
use crate::Error;
use crate::place::sha256;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use ureq::http;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use world::Clock;

/// Whether work is to be given up.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long cleaning up may take.
const CLEAN_MAX: Duration = Duration::from_secs(2);
/// How often whoever waits is asked.
const LOOK: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(16);
/// A store that never answered yet is tried so often: it may well not be there.
const TRIES_AT_FIRST: u32 = 3;
/// A page of a listing has at most 1,000 keys of 1 KiB, and what is said of them.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// A request.
#[derive(Clone, Default)]
pub(super) struct Request {
    pub(super) method: http::Method,
    /// Of the bucket where it is empty.
    pub(super) key: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

/// Asks one bucket.
pub(super) struct Client(Arc<Inner>);

struct Inner {
    agent: Agent,
    settings: S3Settings,
    target: Target,
    clock: Arc<dyn Clock>,
    stop: Stop,
    /// Whether it ever answered.
    answered: AtomicBool,
}

/// An answer that is to come. Whoever drops it waits no longer.
pub(super) struct Pending {
    client: Arc<Inner>,
    answer: Receiver<Result<Answer, Error>>,
    /// Never sent on: the thread sees that it is gone.
    _waits: Sender<()>,
    cleans: bool,
}

impl Client {
    pub(super) fn new(settings: S3Settings, clock: Arc<dyn Clock>, stop: Stop) -> Result<Client, Error> {
        let failed = |what: String| Error::Place { place: settings.name(), what };
        let target = settings.target().map_err(failed)?;
        let roots = if target.origin.starts_with("https") { roots(&settings).map_err(failed)? } else { Vec::new() };
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("meridian/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_MAX.min(settings.silence_max)))
            .timeout_resolve(Some(CONNECT_MAX.min(settings.silence_max)))
            .timeout_per_read(Some(settings.silence_max))
            .timeout_per_write(Some(settings.silence_max))
            .build()
            .new_agent();
        let answered = AtomicBool::new(false);
        Ok(Client(Arc::new(Inner { agent, settings, target, clock, stop, answered })))
    }

    pub(super) fn settings(&self) -> &S3Settings {
        &self.0.settings
    }

    /// Begins a request.
    pub(super) fn start(&self, request: Request) -> Result<Pending, Error> {
        let (done, answer) = channel();
        let (waits, gone) = channel();
        let (client, cleans) = (Arc::clone(&self.0), (self.0.stop)());
        let run = move || {
            // Whoever waited may be gone.
            let _ = done.send(client.answer(&request, cleans, &gone));
        };
        // Not a job of the runner: it may wait for a network for long, and the runner's threads are few.
        let thread = std::thread::Builder::new().name("s3".to_owned()).spawn(run);
        thread.map_err(|fault| self.failed(format!("starting a thread: {fault}")))?;
        Ok(Pending { client: Arc::clone(&self.0), answer, _waits: waits, cleans })
    }

    /// An answer that is a success.
    pub(super) fn ask(&self, request: Request) -> Result<Answer, Error> {
        let asked = told(&request);
        self.checked(&asked, self.start(request)?.wait()?)
    }

    /// An answer, if it is a success.
    pub(super) fn checked(&self, asked: &str, answer: Answer) -> Result<Answer, Error> {
        if answer.failed() { Err(self.failed(format!("{asked}: {}", answer.explained(&self.0.settings)))) } else { Ok(answer) }
    }

    pub(super) fn failed(&self, what: String) -> Error {
        Error::Place { place: self.0.settings.name(), what }
    }

    /// Whether work is to be given up.
    pub(super) fn stopped(&self) -> bool {
        (self.0.stop)()
    }
}

impl Clone for Client {
    fn clone(&self) -> Client {
        Client(Arc::clone(&self.0))
    }
}

impl Pending {
    /// The answer, whatever its status.
    pub(super) fn wait(&self) -> Result<Answer, Error> {
        loop {
            match self.answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if !self.cleans && (self.client.stop)() => return Err(Error::Cancelled),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Place { place: self.client.settings.name(), what: "a request's thread ended".to_owned() });
                }
            }
        }
    }
}

impl Inner {
    /// Tries until there is an answer that stays, or nobody waits.
    fn answer(&self, request: &Request, cleans: bool, gone: &Receiver<()>) -> Result<Answer, Error> {
        let (mut tried, mut pause) = (0, PAUSE_MIN);
        loop {
            let outcome = self.send(request, cleans);
            tried += 1;
            let answered = outcome.is_ok() || self.answered.load(Ordering::Relaxed);
            self.answered.store(answered, Ordering::Relaxed);
            let tries_max = match (cleans, answered) {
                (true, _) => 1,
                (false, true) => self.settings.tries_max,
                (false, false) => self.settings.tries_max.min(TRIES_AT_FIRST),
            };
            let fault = match outcome {
                Ok(answer) if !answer.passes() => return Ok(Answer { tried, ..answer }),
                Ok(answer) => answer.explained(&self.settings),
                Err(fault) => {
                    let (what, passes) = self.broken(&fault);
                    if !passes {
                        return Err(self.failed(&told(request), &what));
                    }
                    what
                }
            };
            if tried >= tries_max {
                let times = if tried == 1 { String::new() } else { format!(" (tried {tried} times)") };
                return Err(self.failed(&told(request), &format!("{fault}{times}")));
            }
            if !matches!(gone.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                return Err(Error::Cancelled);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn failed(&self, asked: &str, what: &str) -> Error {
        Error::Place { place: self.settings.name(), what: format!("{asked}: {what}") }
    }

    /// What a broken connection means, and whether it may well hold the next time.
    fn broken(&self, fault: &ureq::Error) -> (String, bool) {
        let (origin, said) = (&self.target.origin, fault.to_string());
        match fault {
            _ if said.contains("certificate") => (
                format!("{origin} has no certificate that is trusted here: {said}; AWS_CA_BUNDLE names a file of those that are"),
                false,
            ),
            _ if matches!(fault, ureq::Error::HostNotFound) || said.contains("failed to lookup address") => {
                (format!("no host is called so: {origin}: check AWS_ENDPOINT_URL or AWS_REGION"), true)
            }
            ureq::Error::Timeout(_) => (format!("{origin} did not answer in time: {said}"), true),
            ureq::Error::Io(fault) => (format!("no connection to {origin}: {fault}"), true),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TlsRequired => (said, false),
            _ => (format!("the connection to {origin} broke: {said}"), true),
        }
    }

    fn send(&self, request: &Request, cleans: bool) -> Result<Answer, ureq::Error> {
        let slash = if request.key.is_empty() && !self.target.path.is_empty() { "" } else { "/" };
        let path = format!("{}{slash}{}", self.target.path, super::signing::encoded(&request.key, "/"));
        let query = query(&request.query);
        let mut headers = vec![("host", self.target.host.clone())];
        headers.extend(request.headers.iter().cloned());
        let digest = sha256(&request.body);
        let unsigned = Unsigned { method: request.method.as_str(), path: &path, query: &query, sha256: &digest, headers };
        let headers = signed(unsigned, &self.settings.credentials, &self.settings.region, self.clock.wall_us());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut made =
            http::Request::builder().method(request.method.clone()).uri(format!("{}{path}{mark}{query}", self.target.origin));
        for (name, value) in headers {
            made = made.header(name, value);
        }
        let total = cleans.then_some(CLEAN_MAX);
        let answer = if matches!(request.method, http::Method::GET | http::Method::DELETE | http::Method::HEAD) {
            let made = self.agent.configure_request(made.body(())?).timeout_global(total).build();
            self.agent.run(made)
        } else {
            let made = self.agent.configure_request(made.body(&request.body[..])?).timeout_global(total).build();
            self.agent.run(made)
        };
        received(answer?, self.settings.part_bytes as u64)
    }
}

fn received(answer: http::Response<Body>, part_bytes: u64) -> Result<Answer, ureq::Error> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut made = Answer {
        status: answer.status().as_u16(),
        etag: header("etag"),
        range: header("content-range"),
        length: header("content-length").and_then(|length| length.parse().ok()),
        region: header("x-amz-bucket-region"),
        date: header("date"),
        ..Answer::default()
    };
    made.body = answer.into_body().with_config().limit(ANSWER_BYTES_MAX.max(part_bytes) + 1).read_to_vec()?;
    Ok(made)
}

/// What is asked, for people.
pub(super) fn told(request: &Request) -> String {
    let verb = match (request.method.as_str(), request.key.is_empty()) {
        ("GET", true) => return "listing".to_owned(),
        ("GET" | "HEAD", false) => "reading",
        ("DELETE", _) => "removing",
        _ => "writing",
    };
    format!("{verb} {}", request.key)
}

/// The certificates that a store's has to come from.
fn roots(settings: &S3Settings) -> Result<Vec<Certificate<'static>>, String> {
    let Some(pem) = &settings.roots else {
        let found = rustls_native_certs::load_native_certs();
        let roots: Vec<_> = found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        if !roots.is_empty() {
            return Ok(roots);
        }
        let why = found.errors.first().map_or_else(String::new, |fault| format!(" ({fault})"));
        return Err(format!(
            "this system has no certificates that a store's could come from{why}: install the package ca-certificates, or name a \
             file of them in AWS_CA_BUNDLE"
        ));
    };
    let wrong = |what: String| format!("AWS_CA_BUNDLE: {what}");
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let ureq::tls::PemItem::Certificate(root) = item.map_err(|fault| wrong(fault.to_string()))? {
            roots.push(root);
        }
    }
    if roots.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(roots) }
}
