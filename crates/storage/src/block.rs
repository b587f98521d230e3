//! The checksummed block: what every file of ours is made of.
//!
//! ```text
//!   block = crc u32 LE | payload
//!   crc   = CRC-32C(payload) xor fold(seal), seal = the file's identity and the block's offset
//! ```
//! Promises: a block that was read from the wrong place or the wrong file does not open, even when
//! its bytes are whole. It knows nothing of what the payload means, nor how long it is: its length
//! stands wherever its offset stands.

use crc_fast::{CrcAlgorithm, checksum};

/// Bytes that a block is longer than its payload.
pub const BLOCK_OVERHEAD: usize = 4;

/// Whose block it is: mixes into the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The identity of the file (of its store, slice and number), from `file_identity`.
    pub file: u64,
    /// Where the block begins in the file.
    pub offset: u64,
}

/// The identity of a file for its seals: a mix of store, slice and number.
#[must_use]
pub fn file_identity(store: u128, slice: u32, number: u64) -> u64 {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for word in [store as u64, (store >> 64) as u64, u64::from(slice), number] {
        state = mix(state ^ word);
    }
    state
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// CRC-32C of some bytes.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The checksum of a payload at its place.
#[must_use]
pub fn seal(payload: &[u8], seal: Seal) -> u32 {
    let place = mix(seal.file ^ mix(seal.offset));
    crc32c(payload) ^ (place as u32) ^ ((place >> 32) as u32)
}

/// Begins a block at the end of `out`: room for its checksum. Returns where the block begins in `out`.
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; BLOCK_OVERHEAD]);
    out.len() - BLOCK_OVERHEAD
}

/// Ends the block that `begin` began at `start` of `out`: fills in the checksum.
pub fn end(out: &mut [u8], start: usize, place: Seal) {
    let (head, payload) = out[start..].split_at_mut(BLOCK_OVERHEAD);
    head.copy_from_slice(&seal(payload, place).to_le_bytes());
}

/// The payload of a block, if its checksum is right; None where it is damaged or too short.
#[must_use]
pub fn open(block: &[u8], place: Seal) -> Option<&[u8]> {
    let (head, payload) = block.split_first_chunk::<BLOCK_OVERHEAD>()?;
    (u32::from_le_bytes(*head) == seal(payload, place)).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_only_whole_and_in_its_place() {
        let place = Seal { file: file_identity(7, 1, 2), offset: 4096 };
        let mut out = vec![9; 3];
        let start = begin(&mut out);
        out.extend_from_slice(b"payload");
        end(&mut out, start, place);
        assert_eq!(open(&out[start..], place), Some(&b"payload"[..]));
        assert_eq!(open(&out[start..], Seal { offset: 8192, ..place }), None);
        assert_eq!(open(&out[start..], Seal { file: file_identity(7, 1, 3), ..place }), None);
        for bit in 0..(out.len() - start) * 8 {
            let mut bad = out[start..].to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&bad, place), None, "bit {bit}");
        }
        assert_eq!(open(b"abc", place), None);
    }
}
