//! The words of tag changes: changes, batches of them, and the chain that batches make.
//!
//! Promises: a batch's hash covers its epoch, its changes and the hash before it, so that equal points mean equal
//! histories. They may not know what a change says.

use bytes::Bytes;
use types::{Epoch, Origin, Sequence};

/// A hash of all batches up to one: 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash(pub u128);

/// A place in the chain: how many batches there are up to it, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// The number of the batch.
    pub sequence: Sequence,
    /// The hash of the chain up to it.
    pub hash: ChainHash,
}

/// One change of the tag table, as someone asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Who asked, with its number: a repetition is the same change, and is applied once.
    pub origin: Origin,
    /// What it says; the catalog's matter.
    pub body: Bytes,
}

/// Changes that are prepared and committed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The epoch of the leader that chained it.
    pub epoch: Epoch,
    /// The point before it.
    pub prev: Point,
    /// Its own.
    pub point: Point,
    /// In order.
    pub changes: Vec<Change>,
}

impl Batch {
    /// The batch of these changes behind a point.
    #[must_use]
    pub fn after(prev: Point, epoch: Epoch, changes: Vec<Change>) -> Batch {
        let mut hash = Mixer::new(prev.hash.0);
        hash.number(prev.sequence.0);
        hash.number(epoch.0);
        for change in &changes {
            hash.number(change.origin.producer.0 as u64);
            hash.number((change.origin.producer.0 >> 64) as u64);
            hash.number(change.origin.number);
            hash.bytes(&change.body);
        }
        let point = Point { sequence: Sequence(prev.sequence.0 + 1), hash: ChainHash(hash.end()) };
        Batch { epoch, prev, point, changes }
    }

    /// What it takes of a message.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        80 + self.changes.iter().map(|change| change.body.len() as u64 + 32).sum::<u64>()
    }
}

/// Hashes bytes as chains are hashed.
#[must_use]
pub fn hash_bytes(seed: u64, bytes: &[u8]) -> u128 {
    let mut hash = Mixer::new(u128::from(seed));
    hash.bytes(bytes);
    hash.end()
}

/// Mixes words into 128 bits (two lanes of splitmix64's finaliser). Against accidents, not against enemies: who may
/// speak here has shown a certificate.
struct Mixer {
    a: u64,
    b: u64,
}

impl Mixer {
    fn new(seed: u128) -> Mixer {
        Mixer { a: seed as u64 ^ 0x6A09_E667_F3BC_C908, b: (seed >> 64) as u64 ^ 0xBB67_AE85_84CA_A73B }
    }

    fn number(&mut self, word: u64) {
        self.a = finish(self.a.rotate_left(5) ^ word).wrapping_add(self.b);
        self.b = finish(self.b.wrapping_add(word).wrapping_add(0x9E37_79B9_7F4A_7C15)) ^ self.a.rotate_left(32);
    }

    /// Their length, and eight at a time.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.number(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.number(u64::from_le_bytes(word));
        }
    }

    fn end(mut self) -> u128 {
        self.number(0x5851_F42D_4C95_7F2D);
        u128::from(self.a) << 64 | u128::from(self.b)
    }
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ProducerId;

    fn batch(prev: Point, epoch: u64, number: u64, bodies: &[&'static str]) -> Batch {
        let origin = Origin { producer: ProducerId(7), number };
        let changes = bodies.iter().map(|body| Change { origin, body: Bytes::from_static(body.as_bytes()) });
        Batch::after(prev, Epoch(epoch), changes.collect())
    }

    #[test]
    fn a_point_names_all_that_came_before() {
        let one = batch(Point::default(), 1, 1, &["a", "b"]);
        assert_eq!(one, batch(Point::default(), 1, 1, &["a", "b"]));
        let others = [
            batch(Point::default(), 2, 1, &["a", "b"]),
            batch(Point::default(), 1, 2, &["a", "b"]),
            batch(Point::default(), 1, 1, &["ab"]),
            batch(Point::default(), 1, 1, &["a", "b\0"]),
            batch(Point::default(), 1, 1, &["b", "a"]),
            batch(one.point, 1, 1, &["a", "b"]),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(other.point.hash, one.point.hash, "{other:?}");
            assert!(others[..i].iter().all(|before| before.point.hash != other.point.hash));
        }
        assert_eq!(others[5].point.sequence, Sequence(2));
    }
}
