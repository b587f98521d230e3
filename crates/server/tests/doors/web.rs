//! A client of HTTP/1.1 that sends what it is told, and tells an answer that was cut from a whole one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Web {
    pub stream: TcpStream,
    /// Bytes that came and are not taken yet.
    ahead: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether its end came as it was announced.
    pub whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Its body, which must be whole JSON.
    pub fn json(&self) -> serde_json::Value {
        assert!(self.whole, "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.text()))
    }

    /// The SQLSTATE of an error.
    pub fn sqlstate(&self) -> String {
        self.json()["error"]["sqlstate"].as_str().unwrap_or_default().to_owned()
    }
}

impl Web {
    pub fn connect(address: SocketAddr) -> Web {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Web { stream, ahead: Vec::new() }
    }

    /// Sends a request.
    pub fn send(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Sends a request and takes its answer.
    pub fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(method, target, headers, body);
        self.answer().unwrap()
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(count @ 1..) => {
                self.ahead.extend_from_slice(&piece[..count]);
                true
            }
            _ => false,
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
                self.ahead.drain(..end + 2);
                return Some(line);
            }
            if !self.more() {
                return None;
            }
        }
    }

    /// So many bytes, or what there is of them.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count && self.more() {}
        let count = count.min(self.ahead.len());
        self.ahead.drain(..count).collect()
    }

    /// The head of the next answer: its status and headers.
    pub fn head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some((status, headers));
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// A chunk of a chunked body; an empty one is the end, None a body that was cut.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(self.line()?.trim(), 16).ok()?;
        let chunk = self.bytes(length);
        let whole = chunk.len() == length && self.bytes(2) == b"\r\n";
        whole.then_some(chunk)
    }

    /// The next answer; None where the connection was closed without one.
    pub fn answer(&mut self) -> Option<Answer> {
        let (status, headers) = loop {
            let head = self.head()?;
            if head.0 != 100 {
                break head;
            }
        };
        let find = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let (mut body, mut whole) = (Vec::new(), true);
        if find("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            loop {
                match self.chunk() {
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => body.extend_from_slice(&chunk),
                    None => {
                        whole = false;
                        // What came of a chunk that was cut.
                        body.append(&mut self.ahead);
                        break;
                    }
                }
            }
        } else if let Some(length) = find("content-length").and_then(|length| length.parse().ok()) {
            body = self.bytes(length);
            whole = body.len() == length;
        }
        Some(Answer { status, headers, body, whole })
    }
}
