//! The page of the format and the code that writes it change together.

/// Code that decides bytes, without comments and tests.
fn code(source: &str) -> String {
    let lines = source.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    lines.filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_page_and_the_code_change_together() {
    let sources = [include_str!("../src/embedded/tables.rs"), include_str!("../src/witness.rs")];
    let code = crc_fast::crc32_iscsi(sources.map(code).concat().as_bytes());
    let page = crc_fast::crc32_iscsi(include_bytes!("../../../docs/formats/meta.md"));
    let why = "docs/formats/meta.md, tables.rs and witness.rs: look at all of them, then write these sums here";
    assert_eq!((code, page), (CODE_SUM, PAGE_SUM), "{why}");
}

const CODE_SUM: u32 = 182894362;
const PAGE_SUM: u32 = 234148551;
