//! Texts of a page: lengths and bytes, compressed together by zstd.
//!
//! ```text
//!   page   raw length varint | zstd frame of: (length varint)* then all bytes
//! ```
//! Promises: at most `TEXT_PAGE_BYTES_MAX` are unpacked, whatever a page says of itself.

use super::chunk::PAGE_ROWS;
use super::integers::EncodedColumn;
use storage::wire::{Reader, put_varint};
use types::{Kind, TextColumn};

/// A page takes another text only while it has fewer bytes than this.
const PAGE_BYTES: usize = 64 * 1024;
/// A page has no more than this, with its lengths.
const TEXT_PAGE_BYTES_MAX: usize = Kind::TEXT_BYTES_MAX + PAGE_BYTES + PAGE_ROWS * 4;
const LEVEL: i32 = 3;

/// How many rows each page has.
#[must_use]
pub fn page_rows(lengths: &[u32]) -> Vec<usize> {
    let mut pages = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for length in lengths {
        if rows == PAGE_ROWS || bytes >= PAGE_BYTES {
            pages.push(rows);
            (rows, bytes) = (0, 0);
        }
        rows += 1;
        bytes += *length as usize;
    }
    if rows > 0 {
        pages.push(rows);
    }
    pages
}

/// Encodes texts that lie end to end, cut in pages.
#[must_use]
pub fn encode(lengths: &[u32], bytes: &[u8], page_rows: &[usize]) -> EncodedColumn {
    let mut column = EncodedColumn::default();
    let (mut row, mut at) = (0, 0);
    for rows in page_rows {
        let mut raw = Vec::new();
        let lengths = &lengths[row..row + rows];
        lengths.iter().for_each(|length| put_varint(&mut raw, u64::from(*length)));
        let len: usize = lengths.iter().map(|length| *length as usize).sum();
        raw.extend_from_slice(&bytes[at..at + len]);
        put_varint(&mut column.bytes, raw.len() as u64);
        let packed = zstd::bulk::compress(&raw, LEVEL).expect("zstd packs any bytes into memory that it sized itself");
        column.bytes.extend_from_slice(&packed);
        column.ends.push(column.bytes.len());
        (row, at) = (row + rows, at + len);
    }
    column
}

/// Decodes a page of `rows` texts and appends the wanted ones.
///
/// # Errors
/// What is wrong with the page; `out` is as it was.
pub fn page(page: &[u8], rows: usize, wanted: std::ops::Range<usize>, out: &mut TextColumn) -> Result<(), &'static str> {
    let mut reader = Reader::new(page);
    let len = reader.count(TEXT_PAGE_BYTES_MAX).ok_or("a page of texts is longer than any that is written")?;
    let raw = zstd::bulk::decompress(reader.rest(), len).map_err(|_| "zstd frame")?;
    if raw.len() != len {
        return Err("zstd frame is too short");
    }
    let mut reader = Reader::new(&raw);
    let mut ends = Vec::with_capacity(rows + 1);
    ends.push(0);
    let mut end = 0;
    for _ in 0..rows {
        end += reader.count(Kind::TEXT_BYTES_MAX).ok_or("lengths of texts")?;
        ends.push(end);
    }
    let bytes = reader.rest();
    if bytes.len() != end {
        return Err("lengths of texts don't sum to their bytes");
    }
    let text = |row: usize| &bytes[ends[row]..ends[row + 1]];
    if wanted.clone().any(|row| std::str::from_utf8(text(row)).is_err()) {
        return Err("a text is not UTF-8");
    }
    wanted.for_each(|row| out.push(text(row)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        let all: Vec<String> = (0..1300).map(|i| if i % 7 == 0 { String::new() } else { format!("alarm {i} 泵") }).collect();
        let mut all = all;
        all[600] = "x".repeat(Kind::TEXT_BYTES_MAX);
        let lengths: Vec<u32> = all.iter().map(|text| text.len() as u32).collect();
        let rows = page_rows(&lengths);
        assert!(rows.iter().sum::<usize>() == 1300 && rows.iter().all(|rows| *rows <= PAGE_ROWS) && rows.len() == 6);
        let column = encode(&lengths, all.concat().as_bytes(), &rows);
        let mut out = TextColumn::new();
        for (index, rows) in rows.iter().enumerate() {
            page(column.page(index), *rows, 0..*rows, &mut out).unwrap();
            assert!(page(&column.page(index)[..column.page(index).len() - 1], *rows, 0..*rows, &mut out).is_err());
        }
        assert!((0..1300).all(|row| out.get(row) == all[row].as_bytes()));
        let mut some = TextColumn::new();
        page(column.page(0), rows[0], 5..6, &mut some).unwrap();
        assert_eq!((some.len(), some.get(0)), (1, all[5].as_bytes()));
    }
}
