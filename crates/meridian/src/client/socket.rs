//! Sockets of the protocol's own client (`wire`): TCP or a local socket, TLS where it is asked for, the login.
//!
//! Promises: hosts are tried in their order; TLS that was asked for is never followed by plaintext; a password that
//! is needed and not known is told apart from every other failure.

use super::target::Target;
use super::tls::Tls;
use crate::Error;
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// What a connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// One place to connect to.
#[derive(Clone, Debug)]
pub enum Address {
    /// Host (a name or an address) and the name that its certificate is held against.
    Tcp(String, u16),
    /// The socket itself.
    Unix(PathBuf),
}

impl Address {
    /// All that a configuration names, in its order.
    pub fn all(config: &Config) -> Vec<Address> {
        let port = |i: usize| config.get_ports().get(i).or_else(|| config.get_ports().first()).copied().unwrap_or(5432);
        if config.get_hosts().is_empty() {
            return config.get_hostaddrs().iter().enumerate().map(|(i, ip)| Address::Tcp(ip.to_string(), port(i))).collect();
        }
        let of = |(i, host): (usize, &Host)| match host {
            Host::Tcp(host) => Address::Tcp(host.clone(), port(i)),
            Host::Unix(dir) => Address::Unix(dir.join(format!(".s.PGSQL.{}", port(i)))),
        };
        config.get_hosts().iter().enumerate().map(of).collect()
    }

    /// Opens it, with TLS where that is asked for. The answer says whether it is encrypted.
    ///
    /// # Errors
    /// Those of the network and of the handshake.
    pub async fn open(&self, target: &Target) -> io::Result<(Box<dyn Io>, bool)> {
        let (host, port) = match self {
            Address::Unix(path) => return Ok((Box::new(UnixStream::connect(path).await?), false)),
            Address::Tcp(host, port) => (host, *port),
        };
        let mut socket = TcpStream::connect((host.as_str(), port)).await?;
        socket.set_nodelay(true)?;
        let mode = target.config.get_ssl_mode();
        if mode == SslMode::Disable {
            return Ok((Box::new(socket), false));
        }
        let mut ask = BytesMut::new();
        frontend::ssl_request(&mut ask);
        socket.write_all(&ask).await?;
        match socket.read_u8().await? {
            b'S' => {}
            _ if mode == SslMode::Require => return Err(io::Error::other("the server has no TLS, and sslmode asks for it")),
            _ => return Ok((Box::new(socket), false)),
        }
        let tls = Tls::new(&target.trust).map_err(|error| io::Error::other(error.to_string()))?;
        Ok((Box::new(tls.protect(host, socket).await?), true))
    }
}

/// Why there is no session.
pub enum Refused {
    /// The server asks for a password, and none is known.
    Password,
    /// Anything else.
    Other(Error),
}

impl From<io::Error> for Refused {
    fn from(cause: io::Error) -> Refused {
        Refused::Other(failed(cause.to_string()))
    }
}

pub fn failed(problem: String) -> Error {
    Error::Node { doing: "connecting", problem }
}

/// Reads the next whole message.
pub async fn read_message(stream: &mut dyn Io, input: &mut BytesMut) -> io::Result<Message> {
    loop {
        if let Some(message) = Message::parse(input)? {
            return Ok(message);
        }
        input.reserve(16 << 10);
        if stream.read_buf(input).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
    }
}

/// Says who asks and proves it.
///
/// # Errors
/// `Refused::Password` where a password is needed and `target` has none.
pub async fn log_in(stream: &mut dyn Io, input: &mut BytesMut, target: &Target, name: &str) -> Result<(), Refused> {
    let config = &target.config;
    let user = config.get_user().unwrap_or("meridian");
    let mut parameters = vec![("client_encoding", "UTF8"), ("user", user), ("application_name", name)];
    parameters.extend(config.get_dbname().map(|database| ("database", database)));
    parameters.extend(config.get_options().map(|options| ("options", options)));
    let mut output = BytesMut::new();
    frontend::startup_message(parameters, &mut output)?;
    loop {
        stream.write_all(&output.split()).await?;
        let needed = || config.get_password().filter(|password| !password.is_empty()).ok_or(Refused::Password);
        match read_message(stream, input).await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => frontend::password_message(needed()?, &mut output)?,
            Message::AuthenticationMd5Password(body) => {
                let hash = md5_hash(user.as_bytes(), needed()?, body.salt());
                frontend::password_message(hash.as_bytes(), &mut output)?;
            }
            Message::AuthenticationSasl(body) => {
                if !body.mechanisms().any(|mechanism| Ok(mechanism == sasl::SCRAM_SHA_256))? {
                    return Err(Refused::Other(failed("the server knows no way to log in that is known here".to_owned())));
                }
                scram(stream, input, needed()?).await?;
            }
            Message::ErrorResponse(body) => {
                let report = super::wire::Report::read(&mut body.fields())?;
                return Err(Refused::Other(failed(report.in_a_line())));
            }
            Message::NoticeResponse(_) => {}
            _ => return Err(Refused::Other(failed("the server asks for a way to log in that is not known here".to_owned()))),
        }
    }
}

async fn scram(stream: &mut dyn Io, input: &mut BytesMut, password: &[u8]) -> Result<(), Refused> {
    let mut proof = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
    let mut output = BytesMut::new();
    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, proof.message(), &mut output)?;
    loop {
        stream.write_all(&output.split()).await?;
        match read_message(stream, input).await? {
            Message::AuthenticationSaslContinue(body) => {
                proof.update(body.data())?;
                frontend::sasl_response(proof.message(), &mut output)?;
            }
            Message::AuthenticationSaslFinal(body) => return Ok(proof.finish(body.data())?),
            Message::ErrorResponse(body) => {
                let report = super::wire::Report::read(&mut body.fields())?;
                return Err(Refused::Other(failed(report.in_a_line())));
            }
            _ => return Err(Refused::Other(failed("the server broke off the login".to_owned()))),
        }
    }
}
