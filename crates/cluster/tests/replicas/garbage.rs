//! What no process of a fleet would say, from one that has its certificate: frames, messages and bytes that are wrong end their own
//! connection, or are refused; the node goes on for everybody else.

#[path = "../../../server/tests/doors/noise.rs"]
mod noise;

use crate::PATIENCE;
use crate::fleet::Fleet;
use cluster::Tls;
use noise::{Noise, memory_kib, rounds};
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const PROTOCOLS: [&[u8]; 3] = [b"meridian-reads-1", b"meridian-writes-1", b"h2"];
/// What is asked by gRPC, of every service of a data node and of some that it has not.
const METHODS: [&str; 10] = [
    "/meridian.Data2/Look",
    "/meridian.Data2/Deliver",
    "/meridian.Data2/Pieces",
    "/meridian.Data2/Piece",
    "/meridian.Data2/Status",
    "/meridian.Data2/Maintain",
    "/meridian.Data2/HandOver",
    "/meridian.Kinds1/Read",
    "/meridian.Meta1/Ask",
    "/",
];
/// More than this is not held for whoever sends garbage, in KiB.
const MEMORY_KIB: u64 = 256 << 10;

/// As the wire has a question, so that it can be changed.
#[derive(Clone, PartialEq, Message)]
struct Reading {
    #[prost(message, repeated, tag = "1")]
    slices: Vec<OfSlice>,
    #[prost(uint64, repeated, tag = "2")]
    tags: Vec<u64>,
    #[prost(sfixed64, repeated, tag = "3")]
    times: Vec<i64>,
    #[prost(uint64, tag = "4")]
    limit_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct OfSlice {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(bool, optional, tag = "4")]
    primary: Option<bool>,
    #[prost(bool, optional, tag = "7")]
    any: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Writing {
    #[prost(uint32, tag = "1")]
    slice: u32,
    #[prost(bytes = "vec", tag = "2")]
    producer: Vec<u8>,
    #[prost(uint64, tag = "3")]
    number: u64,
    #[prost(bytes = "vec", tag = "4")]
    body: Vec<u8>,
    #[prost(uint64, tag = "5")]
    kinds_end: u64,
    #[prost(uint64, tag = "7")]
    limit_ms: u64,
}

fn frame(number: u64, message: &[u8]) -> Vec<u8> {
    let mut out = ((message.len() + 8) as u32).to_le_bytes().to_vec();
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(message);
    out
}

/// Questions, some of them sensible.
fn questions(noise: &mut Noise, writes: bool) -> Vec<u8> {
    let mut all = Vec::new();
    for number in 0..=noise.below(4) {
        let slices = (0..noise.below(4)).map(|slice| OfSlice {
            slice: [slice as u32, u32::MAX][usize::from(noise.below(8) == 0)],
            primary: (noise.below(2) == 0).then_some(true),
            any: (noise.below(4) == 0).then_some(true),
        });
        let reading = Reading {
            slices: slices.collect(),
            tags: (0..noise.below(200)).map(|tag| [tag as u64, noise.next()][usize::from(noise.below(8) == 0)]).collect(),
            times: Vec::new(),
            limit_ms: [5, 0, u64::MAX][noise.below(3)],
        };
        let times = vec![i64::MAX; [reading.tags.len(), 3][noise.below(2)]];
        let reading = Reading { times: if noise.below(2) == 0 { Vec::new() } else { times }, ..reading };
        let writing = Writing {
            slice: noise.below(6) as u32,
            producer: vec![1; [16, 0, 17][noise.below(3)]],
            number: noise.next(),
            body: noise.bytes(300),
            kinds_end: [4, 0, 5][noise.below(3)],
            limit_ms: 5,
        };
        let mut message = if writes { writing.encode_to_vec() } else { reading.encode_to_vec() };
        if noise.below(3) == 0 {
            noise.damage(&mut message);
        }
        all.extend(frame(number as u64, &message));
    }
    all
}

/// A call as HTTP/2 and gRPC have it, with a message of garbage.
fn call(noise: &mut Noise) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut all = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    for number in 0..=noise.below(3) {
        let field =
            |name: &str, value: &str| [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat();
        let path = METHODS[noise.below(METHODS.len())];
        let head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path),
            (":authority", "n"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        let head: Vec<u8> = head.iter().flat_map(|(name, value)| field(name, value)).collect();
        let stream = number as u32 * 2 + 1;
        all.extend(frame(1, 4, stream, &head));
        let message = noise.bytes(100);
        let told = [message.len() as u32, u32::MAX, 33 << 20][usize::from(noise.below(4) == 0) * (1 + noise.below(2))];
        let message = [&[noise.below(2) as u8][..], &told.to_be_bytes(), &message].concat();
        all.extend(frame(0, 1, stream, &message));
    }
    all
}

/// A connection of one who is let in.
async fn connect(address: &str, tls: &Tls, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&tls.authority).expect("a certificate")).expect("an authority");
    let (certificate, key) = tls.own.as_ref().expect("it has one");
    let own = vec![CertificateDer::from_pem_slice(certificate).expect("a certificate")];
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let mut config = config.with_client_auth_cert(own, PrivateKeyDer::from_pem_slice(key).expect("a key")).expect("its key");
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = "node.meridian".try_into().expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Says it all, and waits for the other side to end the connection.
async fn say(address: &str, tls: &Tls, protocol: &[u8], bytes: &[u8]) {
    let mut stream = connect(address, tls, protocol).await.expect("who has a certificate is let in");
    // The node may end it in the middle.
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
    drop(stream.read_to_end(&mut Vec::new()).await);
}

#[test]
fn garbage_from_within_the_fleet_harms_nobody() {
    let mut fleet = Fleet::start("garbage", 1);
    let writers = fleet.write();
    fleet.wait_for_writes(&writers, 20, PATIENCE);
    let (address, process) = fleet.place_of(0);
    let (tls, mut noise) = (fleet.tls().clone(), Noise::seeded(41));
    let before = memory_kib(&process);
    for round in 0..rounds(300) {
        let protocol = PROTOCOLS[noise.below(PROTOCOLS.len())];
        let mut bytes = if protocol == b"h2" { call(&mut noise) } else { questions(&mut noise, protocol == PROTOCOLS[1]) };
        match noise.below(6) {
            0 => noise.damage(&mut bytes),
            1 => bytes = noise.bytes(2_000),
            2 => bytes.truncate(noise.below(bytes.len() + 1)),
            _ => {}
        }
        let said = async { tokio::time::timeout(Duration::from_secs(30), say(&address, &tls, protocol, &bytes)).await };
        fleet.runtime().block_on(said).unwrap_or_else(|_| panic!("round {round}: the node keeps a connection that has ended"));
        if round % 50 == 0 {
            fleet.wait_for_writes(&writers, 5, PATIENCE);
        }
    }
    fleet.wait_for_writes(&writers, 20, PATIENCE);
    let acknowledged = fleet.stop(writers);
    fleet.check(&acknowledged);
    let more = memory_kib(&process).saturating_sub(before);
    assert!(more <= MEMORY_KIB, "{more} KiB more were in the node's memory");
    // Nothing has panicked there: it would have ended.
    assert!(fleet.end(0).0.success());
}
