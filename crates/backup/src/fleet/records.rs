//! The writes of a slice that its files lack, as one object: zstd of them in order.
//!
//! ```text
//!   epoch u64, sequence u64 | epoch u64, sequence u64 of the one before | digest u64 | flags u8 (1: of a producer)
//!   | with 1: producer u128, number u64 | length u32 | body                                               all little endian
//! ```
//! Promises: what is read back follows one another without a hole. May not know what bodies mean.

use crate::Error;
use bytes::{Buf, BufMut, Bytes};
use protocol::Record;
use types::{Epoch, Origin, ProducerId, Sequence, Version};

const LEVEL: i32 = 1;
/// Bytes of a record besides its body and its producer.
const FIXED_BYTES: usize = 45;
const PRODUCER_BYTES: usize = 24;

/// Their object.
pub(super) fn encode(records: &[Record]) -> Result<Vec<u8>, Error> {
    let failed = |fault: std::io::Error| Error::Store(format!("a slice's writes: {fault}"));
    let mut packed = zstd::Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
    for record in records {
        let mut head = Vec::with_capacity(FIXED_BYTES + PRODUCER_BYTES);
        for version in [record.version, record.prev] {
            head.put_u64_le(version.epoch.0);
            head.put_u64_le(version.sequence.0);
        }
        head.put_u64_le(record.digest);
        head.put_u8(u8::from(record.origin.is_some()));
        if let Some(Origin { producer, number }) = record.origin {
            head.put_u128_le(producer.0);
            head.put_u64_le(number);
        }
        head.put_u32_le(record.body.len() as u32);
        std::io::Write::write_all(&mut packed, &head).map_err(failed)?;
        std::io::Write::write_all(&mut packed, &record.body).map_err(failed)?;
    }
    packed.finish().map_err(failed)
}

/// They, from their object, which was compared with its digest.
pub(super) fn decode(packed: &[u8]) -> Result<Vec<Record>, String> {
    let mut bytes = Bytes::from(zstd::decode_all(packed).map_err(|fault| fault.to_string())?);
    let (mut records, cut) = (Vec::<Record>::new(), || "it ends within a write".to_owned());
    while bytes.has_remaining() {
        (bytes.remaining() >= FIXED_BYTES).then_some(()).ok_or_else(cut)?;
        let mut version = || Version { epoch: Epoch(bytes.get_u64_le()), sequence: Sequence(bytes.get_u64_le()) };
        let (version, prev) = (version(), version());
        let digest = bytes.get_u64_le();
        let origin = match bytes.get_u8() {
            0 => None,
            _ => {
                (bytes.remaining() >= PRODUCER_BYTES + 4).then_some(()).ok_or_else(cut)?;
                Some(Origin { producer: ProducerId(bytes.get_u128_le()), number: bytes.get_u64_le() })
            }
        };
        let length = bytes.get_u32_le() as usize;
        (bytes.remaining() >= length).then_some(()).ok_or_else(cut)?;
        let body = bytes.split_to(length);
        if let Some(before) = records.last().filter(|before| before.version != prev) {
            return Err(format!("write {version} follows {prev}, and stands behind {}", before.version));
        }
        records.push(Record { version, prev, origin, digest, body });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, sequence: u64) -> Version {
        Version { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    #[test]
    fn writes_come_back_and_what_was_cut_off_is_told() {
        let origin = Some(Origin { producer: ProducerId(7 << 90), number: 9 });
        let record = |n: u64, origin| Record {
            version: at(2, n),
            prev: at(2, n - 1),
            origin,
            digest: n * 77,
            body: Bytes::from(vec![n as u8; n as usize]),
        };
        let records = vec![record(5, None), record(6, origin), record(7, None)];
        assert_eq!(decode(&encode(&records).unwrap()).unwrap(), records);
        assert_eq!(decode(&encode(&[]).unwrap()).unwrap(), []);
        let holed = encode(&[record(5, None), record(7, None)]).unwrap();
        assert!(decode(&holed).unwrap_err().contains("stands behind 2.5"));
        let whole = zstd::decode_all(&encode(&records).unwrap()[..]).unwrap();
        for length in 1..whole.len() {
            let cut = zstd::encode_all(&whole[..length], 1).unwrap();
            match decode(&cut) {
                Ok(some) => assert!(some.len() < records.len(), "{length}"),
                Err(told) => assert!(told.contains("within a write"), "{told}"),
            }
        }
    }
}
