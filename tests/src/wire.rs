//! A client that speaks PostgreSQL's protocol by hand, so that it can do what no library would: stop in the
//! middle of a message, reset its connection, say nothing more.
//!
//! It promises only to send what it is told and to read whole messages.

use crate::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that has logged in.
pub struct RawClient {
    stream: TcpStream,
}

/// A message with its length.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a message of a test is short");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

impl RawClient {
    /// Connects and logs in.
    ///
    /// # Panics
    /// When the server does not answer as it should.
    pub async fn connect(server: &Server) -> RawClient {
        let stream = TcpStream::connect(&server.pg).await.expect("the server listens");
        let mut client = RawClient { stream };
        let body = b"\0\x03\0\0user\0test\0database\0meridian\0\0";
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        client.send(&[&length[..], body].concat()).await;
        client.until(b'Z').await;
        client
    }

    /// Sends bytes as they are. A server that has closed the connection is no failure.
    pub async fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes).await);
    }

    /// Begins a COPY FROM STDIN, and waits until the server asks for data.
    pub async fn begin_copy(&mut self, statement: &str) {
        self.send(&message(b'Q', &[statement.as_bytes(), b"\0"].concat())).await;
        self.until(b'G').await;
    }

    /// Sends COPY data in one message.
    pub async fn copy_data(&mut self, data: &[u8]) {
        self.send(&message(b'd', data)).await;
    }

    /// Sends a message of another kind.
    pub async fn say(&mut self, kind: u8, body: &[u8]) {
        self.send(&message(kind, body)).await;
    }

    /// Reads messages until one of this kind; the SQLSTATE of an error on the way, if there was one.
    /// A connection that ends counts as an answer.
    pub async fn until(&mut self, kind: u8) -> Option<String> {
        let mut state = None;
        loop {
            let mut head = [0; 5];
            if self.stream.read_exact(&mut head).await.is_err() {
                return state;
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length.saturating_sub(4)];
            if self.stream.read_exact(&mut body).await.is_err() {
                return state;
            }
            if head[0] == b'E' {
                let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"));
                state = code.map(|code| String::from_utf8_lossy(code).into_owned());
            }
            if head[0] == kind {
                return state;
            }
        }
    }

    /// Ends the connection by a reset: what was sent and not read yet is thrown away.
    ///
    /// # Panics
    /// When the system does not know the option.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket can be told to reset");
    }
}
