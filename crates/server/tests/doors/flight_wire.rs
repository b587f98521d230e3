//! The columnar door below gRPC: what real clients said, recorded and sent again with HTTP/2's frames and bytes changed.

use crate::flight::{array, batch};
use crate::flight_sql::{Sql, number, query};
use crate::node::{Node, samples, samples_schema, settings};
use crate::noise::{Noise, rounds};
use crate::watch::Watch;
use arrow::array::{Int64Array, StringArray};
use server::flight::client::{Client, Options};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;
use types::Kind;

/// What HTTP/2 begins with, and the head of each of its frames: length, type, flags, stream.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;

fn address(node: &Node) -> SocketAddr {
    node.server().flight_address().unwrap()
}

/// A place that hands on what one client says to the door, and writes it down until the client goes.
async fn relay(door: SocketAddr) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let recording = tokio::spawn(async move {
        let (mut client, mut to_client) = listener.accept().await.unwrap().0.into_split();
        let (mut from_door, mut to_door) = TcpStream::connect(door).await.unwrap().into_split();
        let back = tokio::spawn(async move { tokio::io::copy(&mut from_door, &mut to_client).await });
        let mut said = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while let Ok(read @ 1..) = client.read(&mut piece).await {
            said.extend_from_slice(&piece[..read]);
            to_door.write_all(&piece[..read]).await.unwrap();
        }
        back.abort();
        said
    });
    (url, recording)
}

/// What clients say in whole conversations.
async fn conversations(node: &Node) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let (url, said) = relay(address(node)).await;
    let putting = Client::connect(&url, &Options::default()).await.unwrap();
    let mut putter = putting.put(&["samples", "wire"], samples_schema()).await.unwrap();
    putter.send(1, &samples(&[(0, 1, 1.0), (0, 2, 2.0)])).await.unwrap();
    putter.send(2, &samples(&[(0, 3, 1.0)])).await.unwrap();
    putter.finish().await.unwrap();
    putting.resolve(&["t0", "nobody"]).await.unwrap();
    drop(putting);
    all.push(said.await.unwrap());
    let (url, said) = relay(address(node)).await;
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut client = Sql::new(channel);
    assert_eq!(number(&mut client, "SELECT count(*) FROM generate_series(1, 3000)").await, 3000);
    let mut statement = client.prepare("SELECT $1::text || 'x' AS t".to_owned(), None).await.unwrap();
    statement.set_parameters(batch(vec![("p", array(StringArray::from(vec!["a"])))])).unwrap();
    statement.execute().await.unwrap();
    statement.close().await.unwrap();
    query(&mut client, "SELECT * FROM tags").await.unwrap();
    let numbers = batch(vec![("x", array(Int64Array::from(vec![1, 2, 3])))]);
    let mut insert = client.prepare("SELECT $1::bigint".to_owned(), None).await.unwrap();
    insert.set_parameters(numbers).unwrap();
    insert.execute().await.unwrap();
    drop((insert, client));
    all.push(said.await.unwrap());
    all
}

/// The frames after the preface, each with its head.
fn frames(said: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut frames) = (said.strip_prefix(PREFACE).expect("an HTTP/2 client"), Vec::new());
    while rest.len() >= HEAD_BYTES {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        let end = (HEAD_BYTES + length).min(rest.len());
        frames.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    frames
}

/// Some frames are lost, doubled, exchanged, of another type, stream or length, or other than they were.
fn damage(noise: &mut Noise, frames: &mut Vec<Vec<u8>>) {
    for _ in 0..=noise.below(3) {
        let at = noise.below(frames.len());
        let other = noise.below(frames.len());
        match noise.below(8) {
            0 => frames.swap(at, other),
            1 => frames.insert(other, frames[at].clone()),
            2 if frames.len() > 1 => drop(frames.remove(at)),
            3 => frames[at][3] = noise.below(12) as u8,
            4 => frames[at][4] ^= 1 << noise.below(8),
            5 => frames[at][5..9].copy_from_slice(&(noise.next() as u32 & 0x8000_000F).to_be_bytes()),
            6 => frames[at][..3].copy_from_slice(&(noise.next() as u32).to_be_bytes()[1..]),
            _ => {
                let mut payload = frames[at].split_off(HEAD_BYTES);
                noise.damage(&mut payload);
                frames[at][..3].copy_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
                frames[at].extend_from_slice(&payload);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_conversations_harm_nobody() {
    let node = Node::start(server::Settings { login_max: Duration::from_secs(5), ..settings() });
    node.tags(&[Kind::F64]);
    let recorded: Vec<Vec<Vec<u8>>> = conversations(&node).await.iter().map(|said| frames(said)).collect();
    assert!(recorded.iter().all(|frames| frames.len() > 8), "conversations are more than their greetings");
    let (door, mut noise, watch) = (address(&node), Noise::seeded(23), Watch::begin());
    let mut client = Sql::new(Endpoint::from_shared(node.flight_url()).unwrap().connect().await.unwrap());
    for round in 0..rounds(400) {
        let mut frames = recorded[round % recorded.len()].clone();
        if round >= recorded.len() {
            damage(&mut noise, &mut frames);
        }
        let mut bytes = [PREFACE, &frames.concat()].concat();
        match noise.below(8) {
            0 => noise.damage(&mut bytes),
            1 => bytes.truncate(noise.below(bytes.len())),
            2 => bytes = noise.bytes(4_096),
            _ => {}
        }
        let talked = tokio::task::spawn_blocking(move || {
            let mut socket = std::net::TcpStream::connect(door).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            // The server may close in the middle of it.
            drop(socket.write_all(&bytes));
            drop(socket.shutdown(Shutdown::Write));
            let ended = socket.read_to_end(&mut Vec::new());
            ended.err().is_none_or(|fault| fault.kind() != std::io::ErrorKind::WouldBlock)
        });
        assert!(talked.await.unwrap(), "round {round}: the door keeps a connection whose client has said all it had to say");
        if round % 20 == 0 {
            assert_eq!(number(&mut client, "SELECT 1::bigint").await, 1, "round {round}");
        }
    }
    assert_eq!(number(&mut client, "SELECT 1::bigint").await, 1);
    watch.check(256);
    while node.engine.statements_running() > 0 {
        std::thread::yield_now();
    }
}
