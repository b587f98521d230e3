//! A certificate that is replaced while the server runs: every door greets those who come later with the new one.

use crate::flight_sql;
use crate::node::{Node, directory, settings};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use server::{Error, Settings, TlsPaths};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// A certificate of localhost, and its key.
fn made() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// A connection to a door, whose certificate must be among those that are trusted.
async fn connect(address: SocketAddr, first: &[u8], pems: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    pems.iter().for_each(|pem| roots.add(der(pem).into()).unwrap());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let mut socket = TcpStream::connect(address).await?;
    if !first.is_empty() {
        socket.write_all(first).await?;
        assert_eq!(socket.read_u8().await?, b'S');
    }
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await
}

/// Which certificates the doors greet with.
async fn greeted(node: &Node, pems: &[&str]) -> Vec<Vec<u8>> {
    let flight = node.flight_url().strip_prefix("http://").unwrap().parse().unwrap();
    let ssl_request: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    let mut found = Vec::new();
    for (address, first) in [(node.pg(), ssl_request), (flight, &[]), (node.http(), &[])] {
        let stream = connect(address, first, pems).await.unwrap();
        found.push(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec());
    }
    found
}

async fn flight_answers(node: &Node, pem: &str) {
    let url = node.flight_url().replace("http://127.0.0.1", "https://localhost");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    let channel = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let mut client = flight_sql::Sql::new(channel);
    assert_eq!(flight_sql::number(&mut client, "SELECT 1::bigint").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_is_in_use_without_a_restart() {
    let dir = directory();
    std::fs::create_dir_all(&dir).unwrap();
    let paths = TlsPaths { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") };
    let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    let ((first, first_key), (second, second_key)) = (made(), made());
    write(&paths.certificate, &first);
    write(&paths.key, &first_key);
    let node = Node::start(Settings { tls: Some(paths.clone()), ..settings() });
    let both = [first.as_str(), second.as_str()];
    assert_eq!(greeted(&node, &both).await, vec![der(&first); 3]);
    assert!(!node.server().reload_certificate().unwrap(), "nothing has changed");
    let mut kept = connect(node.http(), &[], &both).await.unwrap();

    // What can't be used is told of, and the one in use stays.
    for (certificate, key) in [("garbage", &first_key), (second.as_str(), &first_key), (first.as_str(), &second_key)] {
        write(&paths.certificate, certificate);
        write(&paths.key, key);
        let refused = node.server().reload_certificate().unwrap_err();
        assert!(matches!(refused, Error::Tls { .. }), "{refused}");
        assert_eq!(greeted(&node, &both).await, vec![der(&first); 3]);
    }

    write(&paths.certificate, &second);
    write(&paths.key, &second_key);
    assert!(node.server().reload_certificate().unwrap());
    assert_eq!(greeted(&node, &both).await, vec![der(&second); 3]);
    flight_answers(&node, &second).await;
    assert!(connect(node.http(), &[], &[&first]).await.is_err(), "who trusts only the old one does not take the new one");
    // Connections that are there stay.
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    std::fs::remove_dir_all(&dir).unwrap();
}
