//! Requests as they come: parameters of the query string, and bodies piece by piece.
//!
//! Promises: a body is read only as it is asked for, so that whoever handles it bounds what is held; a body that stalls for
//! `login_max` ends its request; of a compressed body no more than some hundred KiB are decompressed ahead.

use super::reply::Fault;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, EXPECT, HeaderMap};
use std::io::Write;
use std::time::Duration;

/// Compressed bytes that are decompressed at one go: they make a thousand times as much at most.
const INFLATED_AT_ONCE: usize = 512;
/// How much of a body that is refused is read all the same, and for how long.
const DRAINED_MAX: usize = 64 << 20;
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The query string's parameters; of those with one name the first counts.
pub(crate) struct Parameters {
    all: Vec<(String, String)>,
    /// Whether bytes of one are no UTF-8.
    garbled: bool,
}

impl Parameters {
    pub(crate) fn of(query: Option<&str>) -> Parameters {
        Parameters::of_bytes(query.unwrap_or_default().as_bytes())
    }

    /// Those of a form.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Parameters {
        // As the parser decodes a part, before it puts another character in place of what is none.
        let whole = |part: &[u8]| {
            let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            percent_encoding::percent_decode(&spaced).decode_utf8().is_ok()
        };
        let garbled = !bytes.split(|byte| [b'&', b'='].contains(byte)).all(whole);
        Parameters { all: url::form_urlencoded::parse(bytes).into_owned().collect(), garbled }
    }

    /// Refuses what is no UTF-8.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.garbled { Err(not_utf8()) } else { Ok(()) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Adds others behind these.
    pub(crate) fn join(&mut self, others: Parameters) {
        self.all.extend(others.all);
        self.garbled |= others.garbled;
    }
}

/// A header's text; passwords in it may be UTF-8.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// A body on its way.
pub(crate) struct Upload {
    body: Incoming,
    stall_max: Duration,
    inflating: Option<MultiGzDecoder<Vec<u8>>>,
    /// What came and is not decompressed yet.
    packed: Bytes,
    /// An encoding that is not known.
    unknown: Option<String>,
    /// Whether the client waits to be told before it sends the body.
    asks_first: bool,
    /// Whether anything came.
    begun: bool,
    ended: bool,
}

impl Upload {
    /// The body of a request with these headers.
    pub(crate) fn new(body: Incoming, headers: &HeaderMap, stall_max: Duration) -> Upload {
        let encoding = header(headers, CONTENT_ENCODING.as_str()).unwrap_or("identity").trim().to_ascii_lowercase();
        let (inflating, unknown) = match encoding.as_str() {
            "identity" | "" => (None, None),
            "gzip" | "x-gzip" => (Some(MultiGzDecoder::new(Vec::new())), None),
            other => (None, Some(other.chars().take(32).collect())),
        };
        let asks_first = headers.contains_key(EXPECT);
        Upload { body, stall_max, inflating, packed: Bytes::new(), unknown, asks_first, begun: false, ended: false }
    }

    /// Reads what is left and throws it away, within bounds: a client that still sends would not hear the answer else.
    pub(crate) async fn drain(&mut self) {
        if self.asks_first {
            return;
        }
        let (mut left, deadline) = (DRAINED_MAX, tokio::time::Instant::now() + DRAIN_MAX);
        while !self.ended && left > 0 {
            let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, self.body.frame()).await else { return };
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    }

    /// The next piece; None at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if let Some(unknown) = &self.unknown {
            let message = format!("bodies are taken as they are or compressed with gzip, not as \"{unknown}\"");
            return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "0A000", message));
        }
        self.asks_first = false;
        loop {
            if let Some(inflating) = &mut self.inflating {
                while !self.packed.is_empty() {
                    let part = self.packed.split_to(self.packed.len().min(INFLATED_AT_ONCE));
                    inflating.write_all(&part).map_err(|cause| not_gzip(&cause))?;
                    if inflating.get_ref().len() >= super::encoder::PIECE_BYTES {
                        return Ok(Some(std::mem::take(inflating.get_mut()).into()));
                    }
                }
            }
            if self.ended {
                // Clients say so of all their requests, also of those without a body.
                let Some(mut inflating) = self.inflating.take().filter(|_| self.begun) else { return Ok(None) };
                inflating.try_finish().map_err(|cause| not_gzip(&cause))?;
                let last = std::mem::take(inflating.get_mut());
                return Ok((!last.is_empty()).then(|| last.into()));
            }
            match self.frame().await? {
                Some(bytes) if self.inflating.is_some() => self.packed = bytes,
                Some(bytes) => return Ok(Some(bytes)),
                None => self.ended = true,
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let next = tokio::time::timeout(self.stall_max, self.body.frame()).await;
            let Ok(next) = next else {
                self.ended = true;
                return Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "08006", "the body did not go on"));
            };
            match next {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers say nothing to us.
                    if let Ok(bytes) = frame.into_data() {
                        self.begun |= !bytes.is_empty();
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(cause)) => {
                    self.ended = true;
                    return Err(Fault::new(StatusCode::BAD_REQUEST, "08P01", format!("the body can't be read: {cause}")));
                }
            }
        }
    }

    /// The whole body, up to a limit.
    pub(crate) async fn whole(&mut self, bytes_max: usize) -> Result<Vec<u8>, Fault> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            if whole.len() + piece.len() > bytes_max {
                let message = format!("a body of more than {bytes_max} bytes is not taken");
                let fault = Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "54000", message);
                return Err(fault.hinted("raise the setting message_bytes_max"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

fn not_gzip(cause: &std::io::Error) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, "08P01", format!("the body is not gzip, or was cut off: {cause}"))
}

/// The body's bytes as text.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| not_utf8())
}

fn not_utf8() -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, "22021", "invalid byte sequence for encoding \"UTF8\"")
}
