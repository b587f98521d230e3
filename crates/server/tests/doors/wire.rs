//! A client of the PostgreSQL protocol that sends what it is told, byte by byte if need be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Raw {
    pub stream: TcpStream,
}

/// A message: its type byte and its body.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw { stream }
    }

    /// Connects and logs in where everybody is trusted.
    pub fn log_in(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address);
        raw.startup(&[("user", "meridian"), ("database", "d")]);
        let messages = raw.until(b'Z');
        assert_eq!(messages[0].0, b'R');
        raw
    }

    pub fn startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = (3_u32 << 16).to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
        }
        body.push(0);
        let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        self.send(&packet);
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn query(&mut self, sql: &str) {
        self.send(&message(b'Q', format!("{sql}\0").as_bytes()));
    }

    /// The next message; None where the server has closed the connection.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// All messages up to one of that type, or to the end of the connection.
    pub fn until(&mut self, kind: u8) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(message) = self.next() {
            let last = message.0 == kind;
            messages.push(message);
            if last {
                break;
            }
        }
        messages
    }
}

/// The field of an error or notice.
pub fn field(body: &[u8], name: u8) -> Option<String> {
    let mut fields = body.split(|byte| *byte == 0);
    fields.find(|field| field.first() == Some(&name)).map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
}

/// The SQLSTATE of the first error among messages.
pub fn sqlstate(messages: &[(u8, Vec<u8>)]) -> Option<String> {
    messages.iter().find(|(kind, _)| *kind == b'E').and_then(|(_, body)| field(body, b'C'))
}

/// The types of messages, as text.
pub fn kinds(messages: &[(u8, Vec<u8>)]) -> String {
    messages.iter().map(|(kind, _)| *kind as char).collect()
}
