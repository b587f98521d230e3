//! From the first byte to the first ReadyForQuery: encryption, cancel requests, the startup packet,
//! passwords, parameters.
//!
//! Promises: before a client is known, it can send at most one packet of `PACKET_BYTES_MAX`, take at
//! most `login_max`, and learn nothing of which users exist. Where TLS is configured and the
//! listener is reached from other machines, plaintext is refused.

use super::error::{Report, Severity};
use super::frame::{self, Fields};
use super::socket::{End, Socket, Wire};
use crate::Settings;
use crate::tls::Tls;
use crate::users::Users;
use bytes::Buf;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The longest packet taken before a client is known.
const PACKET_BYTES_MAX: usize = 10_000;
const VERSION_3_0: i32 = 3 << 16;
const CANCEL_REQUEST: i32 = 80_877_102;
const SSL_REQUEST: i32 = 80_877_103;
const GSS_REQUEST: i32 = 80_877_104;
const SCRAM: &str = "SCRAM-SHA-256";
const SCRAM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How a listener treats those who come.
#[derive(Clone)]
pub(crate) struct Policy {
    /// Whoever comes is believed.
    pub(crate) trusted: bool,
    /// Only TLS is spoken.
    pub(crate) tls_required: bool,
    /// For TLS.
    pub(crate) acceptor: Option<TlsAcceptor>,
    /// For SCRAM, with channel binding where there is a certificate.
    pub(crate) scram: ScramServerAuth,
}

impl Policy {
    pub(crate) fn new(trusted: bool, tls_required: bool, tls: Option<&Tls>) -> Policy {
        let mut scram = ScramServerAuth::new();
        if let Some(tls) = tls
            && let Err(cause) = scram.configure_certificate(&tls.certificate_pem)
        {
            tracing::warn!(%cause, "passwords are not bound to the TLS channel: the certificate's signature is of no known kind");
        }
        let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config.clone()));
        Policy { trusted, tls_required, acceptor, scram }
    }
}

/// What the first packets were.
pub(crate) enum Opening {
    /// A session is wanted.
    Session(Box<Wire>, Startup),
    /// A statement of another connection is to be cancelled.
    Cancel {
        /// Its process number.
        process: i32,
        /// Its secret.
        secret: Vec<u8>,
    },
}

/// The startup packet.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: String,
    pub(crate) time_zone: Option<String>,
    /// Settings to be made as if by SET.
    pub(crate) settings: Vec<(String, String)>,
    /// Whether the client asked for a newer minor protocol.
    newer: bool,
    /// Protocol options that are not known here.
    unknown: Vec<String>,
}

/// Reads the first packets, and encrypts the connection if the client asks for it.
pub(crate) async fn open(socket: TcpStream, policy: &Policy, settings: &Settings) -> Result<Opening, (Option<Wire>, End)> {
    let mut wire = Wire::new(Socket::Plain(socket), settings.message_bytes_max);
    let mut encrypted = false;
    loop {
        let length = match packet(&mut wire).await {
            Ok(length) => length,
            Err(end) => return Err((Some(wire), end)),
        };
        let packet = wire.input.split_to(length);
        let code = i32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        match code {
            SSL_REQUEST if !encrypted && policy.acceptor.is_some() => {
                wire = encrypt(wire, policy).await.map_err(|end| (None, end))?;
                encrypted = true;
            }
            SSL_REQUEST | GSS_REQUEST => {
                wire.output.bytes.push(b'N');
                if let Err(end) = wire.flush().await {
                    return Err((Some(wire), end));
                }
            }
            CANCEL_REQUEST if packet.len() >= 12 => {
                let mut rest = &packet[8..];
                return Ok(Opening::Cancel { process: rest.get_i32(), secret: rest.to_vec() });
            }
            _ if policy.tls_required && !encrypted => {
                let report =
                    Report::fatal("28000", "this server takes only encrypted connections").hinted("connect with sslmode=require");
                return Err((Some(wire), End::Fatal(report)));
            }
            _ => match Startup::parse(code, &packet[8..]) {
                Ok(startup) => return Ok(Opening::Session(Box::new(wire), startup)),
                Err(report) => return Err((Some(wire), End::Fatal(report))),
            },
        }
    }
}

async fn packet(wire: &mut Wire) -> Result<usize, End> {
    loop {
        if let Some(length) = frame::first_packet(&wire.input, PACKET_BYTES_MAX)? {
            return Ok(length);
        }
        wire.fill().await?;
    }
}

async fn encrypt(mut wire: Wire, policy: &Policy) -> Result<Wire, End> {
    let Some(acceptor) = &policy.acceptor else { return Err(End::Gone) };
    // Bytes sent before the handshake would be taken for encrypted ones afterwards (CVE-2021-23222).
    if !wire.input.is_empty() {
        return Err(End::Gone);
    }
    wire.output.bytes.push(b'S');
    wire.flush().await?;
    let limit = wire.message_bytes_max();
    let Socket::Plain(stream) = wire.into_socket() else { return Err(End::Gone) };
    let stream = acceptor.accept(stream).await.map_err(|cause| {
        tracing::info!(%cause, "a TLS handshake failed");
        End::Gone
    })?;
    Ok(Wire::new(Socket::Tls(Box::new(stream)), limit))
}

impl Startup {
    fn parse(code: i32, body: &[u8]) -> Result<Startup, Report> {
        if code >> 16 != 3 {
            let message = format!("unsupported protocol {}.{}: this server speaks 3.0", code >> 16, code & 0xffff);
            return Err(Report::fatal("08P01", message));
        }
        let mut startup = Startup { newer: code > VERSION_3_0, ..Startup::default() };
        let mut fields = Fields::new(body);
        loop {
            let name = utf8(fields.text()?)?;
            if name.is_empty() {
                break;
            }
            startup.set(name, utf8(fields.text()?)?);
        }
        if startup.user.is_empty() {
            return Err(Report::fatal("28000", "no user name was given"));
        }
        if startup.database.is_empty() {
            startup.database = startup.user.clone();
        }
        Ok(startup)
    }

    fn set(&mut self, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "user" => value.clone_into(&mut self.user),
            "database" => value.clone_into(&mut self.database),
            "application_name" => value.clone_into(&mut self.application_name),
            "timezone" => self.time_zone = Some(value.to_owned()),
            // "-c name=value -c name=value", with backslashes before blanks in values.
            "options" => self.options(value),
            "replication" => {}
            other if other.starts_with("_pq_.") => self.unknown.push(name.to_owned()),
            _ => self.settings.push((name.to_owned(), value.to_owned())),
        }
    }

    fn options(&mut self, text: &str) {
        let mut words: Vec<String> = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => words.last_mut().into_iter().for_each(|word| word.extend(letters.next())),
                ' ' => words.push(String::new()),
                _ => words.last_mut().into_iter().for_each(|word| word.push(letter)),
            }
        }
        for word in words.iter().filter(|word| !word.is_empty() && *word != "-c") {
            let word = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
            if let Some((name, value)) = word.split_once('=') {
                self.set(name, value);
            }
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Report> {
    std::str::from_utf8(bytes).map_err(|_| Report::fatal("22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// Makes sure who the client is, and says so. Ends with a fatal error where it can't.
pub(crate) async fn authenticate(wire: &mut Wire, startup: &Startup, policy: &Policy, users: &Users) -> Result<(), End> {
    if startup.newer || !startup.unknown.is_empty() {
        let unknown: Vec<&str> = startup.unknown.iter().map(String::as_str).collect();
        wire.output.negotiate_protocol(0, &unknown);
    }
    if policy.trusted {
        let believed = users.roles().believe(&startup.user);
        believed.map_err(|error| End::Fatal(Report { severity: Severity::Fatal, ..super::report_of(&error) }))?;
    } else {
        scram(wire, startup, policy, users).await?;
    }
    wire.output.authentication_ok();
    Ok(())
}

async fn scram(wire: &mut Wire, startup: &Startup, policy: &Policy, users: &Users) -> Result<(), End> {
    let bound = wire.is_encrypted() && policy.scram.supports_channel_binding();
    let server = if bound { policy.scram.clone() } else { ScramServerAuth::new() };
    wire.output.authentication_sasl(if bound { &[SCRAM_PLUS, SCRAM] } else { &[SCRAM] });
    let first = password_message(wire).await?;
    let mut fields = Fields::new(&first);
    let mechanism = fields.text()?;
    if mechanism != SCRAM.as_bytes() && !(bound && mechanism == SCRAM_PLUS.as_bytes()) {
        return Err(End::Fatal(Report::fatal("28000", "the client chose an authentication mechanism that was not offered")));
    }
    let data = fields.value()?.ok_or(frame::FrameError::Malformed("empty SASL response"))?;
    let secret = users.verifier(&startup.user).secret();
    let broken = |cause: pgwire::error::PgWireError| {
        tracing::info!(%cause, "a SCRAM exchange failed");
        End::Fatal(Report::fatal("08P01", "malformed SCRAM message"))
    };
    let (answer, waiting) = server.on_client_first_message_with_secret(data, secret).map_err(broken)?;
    wire.output.authentication_sasl_data(false, &answer);
    let last = password_message(wire).await?;
    match waiting.on_client_final_message(&last) {
        Ok(answer) => wire.output.authentication_sasl_data(true, &answer),
        Err(_) => {
            let message = format!("password authentication failed for user \"{}\"", startup.user);
            return Err(End::Fatal(Report::fatal("28P01", message)));
        }
    }
    Ok(())
}

async fn password_message(wire: &mut Wire) -> Result<Vec<u8>, End> {
    wire.flush().await?;
    loop {
        if let Some(frame) = frame::next(&wire.input, PACKET_BYTES_MAX)? {
            if frame.kind != b'p' {
                return Err(End::Fatal(Report::fatal("08P01", "expected a password message")));
            }
            let body = wire.input[frame.body.clone()].to_vec();
            wire.consume(&frame);
            return Ok(body);
        }
        wire.fill().await?;
    }
}
