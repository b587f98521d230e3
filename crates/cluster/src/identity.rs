//! Who a process is to the others, and whom it believes: replaced while it runs.
//!
//! Promises: what can't be used is refused, and what is in use stays; a connection keeps what it was made with, and each that is
//! made from then on, to either side, is made with what came last. May not know where certificates lie.
//!
//! Shared state: what is in use, behind a lock that is held for the time of a copy of a pointer. Who wants to know whether it is
//! still the same compares pointers.

use crate::calls::Tls;
use crate::certificates::NODE_NAME;
use crate::door::OwnCertificate;
use crate::tls;
use parking_lot::RwLock;
use std::sync::Arc;

/// What a process shows and whom it believes. Clones are the same one.
#[derive(Clone)]
pub struct Identity(Arc<RwLock<Arc<Tls>>>);

impl Identity {
    /// What connections that are made now are made with.
    pub(crate) fn current(&self) -> Arc<Tls> {
        Arc::clone(&self.0.read())
    }

    /// Has connections that are made from now on be made with this. Whether it is another than before.
    ///
    /// # Errors
    /// What can't be used of it, and why; what was in use stays.
    pub fn replace(&self, tls: Tls) -> Result<bool, String> {
        let known = self.current();
        if *known == tls {
            return Ok(false);
        }
        if known.own.is_some() {
            // A door stands on it.
            tls::answering(&tls, &[])?;
        }
        tls::asking(&tls, NODE_NAME, tls::GRPC)?;
        *self.0.write() = Arc::new(tls);
        Ok(true)
    }
}

impl From<Tls> for Identity {
    fn from(tls: Tls) -> Identity {
        Identity(Arc::new(RwLock::new(Arc::new(tls))))
    }
}

impl From<OwnCertificate> for Identity {
    fn from(own: OwnCertificate) -> Identity {
        let OwnCertificate { authority, certificate, key } = own;
        Tls { authority, own: Some((certificate, key)), name: Some(NODE_NAME.to_owned()) }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{Authority, Certified};

    fn authority() -> Authority {
        Authority::make(1_800_000_000_000_000, 10).expect("an authority")
    }

    fn node(authority: &Authority) -> Tls {
        let Certified { certificate, key } = authority.issue("n", &[], 1_800_000_000_000_000, 1).expect("a certificate");
        let believed = authority.certified().certificate.into_bytes();
        Tls { authority: believed, own: Some((certificate.into(), key.into())), name: Some(NODE_NAME.to_owned()) }
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_the_old_stays() {
        let authority = authority();
        let (first, second) = (node(&authority), node(&authority));
        let identity = Identity::from(first.clone());
        assert_eq!(identity.replace(first.clone()), Ok(false));
        let (certificate, key) = second.own.clone().expect("it has one");
        let old_key = first.own.clone().expect("it has one").1;
        let own = |certificate: &[u8], key: &[u8]| Tls { own: Some((certificate.to_vec(), key.to_vec())), ..first.clone() };
        for (wrong, words) in [
            (Tls { authority: b"garbage".to_vec(), ..second.clone() }, "the authority's certificate"),
            (own(b"garbage", &key), "the process's certificate"),
            (own(&certificate, b"garbage"), "the key"),
            (own(&certificate, &old_key), "the process's certificate"),
            (Tls { own: None, ..first.clone() }, "the process's certificate"),
        ] {
            let refused = identity.replace(wrong).expect_err("it can't be used");
            assert!(refused.contains(words), "{refused}");
            assert!(*identity.current() == first);
        }
        assert_eq!(identity.clone().replace(second.clone()), Ok(true));
        assert!(*identity.current() == second, "clones are the same one");
    }
}
