//! What the processes of a fleet under test show each other: one authority, one certificate for all.

use cluster::Tls;
use cluster::certificates::{Authority, NODE_NAME};
use cluster::door::OwnCertificate;
use std::path::Path;
use world::{Clock, RealClock};

/// Issues a certificate, and leaves it in a directory for the processes to read.
pub fn issue(directory: &Path) -> (Tls, OwnCertificate) {
    let now = RealClock::start().wall_us();
    let authority = Authority::make(now, 10).expect("an authority");
    let (certified, of_node) = (authority.certified(), authority.issue("node", &[], now, 10).expect("a certificate"));
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).expect("it is written");
    write("authority.pem", &certified.certificate);
    write("node.pem", &of_node.certificate);
    write("node.key", &of_node.key);
    read(directory)
}

/// What was issued into a directory.
pub fn read(directory: &Path) -> (Tls, OwnCertificate) {
    let read = |name: &str| std::fs::read(directory.join(name)).expect("the test wrote it");
    let (authority, certificate, key) = (read("authority.pem"), read("node.pem"), read("node.key"));
    let own = Some((certificate.clone(), key.clone()));
    let tls = Tls { authority: authority.clone(), own, name: Some(NODE_NAME.to_owned()) };
    (tls, OwnCertificate { authority, certificate, key })
}
