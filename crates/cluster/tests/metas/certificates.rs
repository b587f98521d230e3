//! Certificates of a fleet, for the other tests; and what makes one invalid.

use cluster::Tls;
use cluster::certificates::{Authority, CertificateError, DAYS_MAX, NODE_NAME};
use cluster::lone::OwnCertificate;
use world::{Clock, RealClock};

/// Both sides of a connection between processes of one fleet.
pub struct Fleet {
    pub manager: OwnCertificate,
    pub node: Tls,
}

/// A new fleet, with an authority of its own.
pub fn fleet() -> Fleet {
    let now = RealClock::start().wall_us();
    let authority = Authority::make(now, 10).expect("an answer that is no fault");
    let bytes = authority.certified().certificate.into_bytes();
    let manager = authority.issue("manager-1", &[], now, 10).expect("an answer that is no fault");
    let node = authority.issue("node-1", &[], now, 10).expect("an answer that is no fault");
    Fleet {
        manager: OwnCertificate { authority: bytes.clone(), certificate: manager.certificate.into(), key: manager.key.into() },
        node: Tls { authority: bytes, own: Some((node.certificate.into(), node.key.into())), name: Some(NODE_NAME.to_owned()) },
    }
}

#[test]
fn an_authority_goes_on_from_its_files_and_knows_its_own_key() {
    let now = 1_795_000_000_000_000;
    let (ours, theirs) = (
        Authority::make(now, 3_650).expect("an answer that is no fault"),
        Authority::make(now, 3_650).expect("an answer that is no fault"),
    );
    let (our, their) = (ours.certified(), theirs.certified());
    let again = Authority::from_pem(&our.certificate, &our.key).expect("an answer that is no fault");
    assert_eq!(again.certified(), our);
    let node = again
        .issue("node-1", &["10.0.0.1".to_owned(), "db.example.org".to_owned()], now, 365)
        .expect("an answer that is no fault");
    let wrong =
        |certificate: &str, key: &str| matches!(Authority::from_pem(certificate, key), Err(CertificateError::Authority(_)));
    assert!(wrong(&our.certificate, &their.key));
    assert!(wrong(&node.certificate, &node.key), "a node vouches for nobody");
    assert!(wrong("", &our.key) && wrong(&our.certificate, ""));
    for (name, hosts, days) in
        [("", vec![], 1), ("a b", vec![], 1), ("a", vec!["é".to_owned()], 1), ("a", vec![], 0), ("a", vec![], DAYS_MAX + 1)]
    {
        assert!(matches!(ours.issue(name, &hosts, now, days), Err(CertificateError::Invalid(_))), "{name} {hosts:?} {days}");
    }
}
