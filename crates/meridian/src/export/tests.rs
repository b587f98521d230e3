//! Export: what is asked, what files hold by their names, numerics, and files that are whole or not there.

use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(words: &[&str]) -> Arguments {
    Line::try_parse_from(["export"].iter().chain(words)).unwrap().arguments
}

#[test]
fn what_is_asked_is_a_statement_whose_values_are_literals() {
    for (words, expected) in [
        (&["--table", "samples"][..], "SELECT tag, time, value, quality FROM samples"),
        (&["--table", "latest"], "SELECT tag, time, value, text, quality, age FROM latest ORDER BY tag"),
        (
            &["--table", "events", "--tags", "o'neill.%", "--since", "2026-01-01", "--until", "x' OR ''='"],
            "SELECT tag, time, text, quality FROM events WHERE tag LIKE 'o''neill.%' AND time >= TIMESTAMPTZ '2026-01-01' \
             AND time < TIMESTAMPTZ 'x'' OR ''''='''",
        ),
        (
            &["--table", "samples", "--kind", "f32,double"],
            "SELECT tag, time, value, quality FROM samples WHERE tag IN (SELECT name FROM tags WHERE kind IN ('f32', 'f64'))",
        ),
        (&["--query", " SELECT 1 ; \n"], "SELECT 1"),
    ] {
        let words = [words, &["--to", "x.csv"]].concat();
        assert_eq!(Question::of(&arguments(&words)).unwrap().sql, expected);
    }
    let tags = Question::of(&arguments(&["--table", "tags", "--tags", "a%", "--to", "-"])).unwrap().sql;
    assert!(tags.starts_with("SELECT name, description") && tags.ends_with(" WHERE name LIKE 'a%' ORDER BY ordinal"), "{tags}");
    for words in [["--table", "tags", "--since", "2026-01-01"], ["--table", "samples", "--kind", "f65"]] {
        let words = [&words[..], &["--to", "-"]].concat();
        assert_eq!(Question::of(&arguments(&words)).unwrap_err().exit_status(), 2);
    }
    for words in [&["--to", "-"][..], &["--query", "SELECT 1", "--table", "tags", "--to", "-"]] {
        assert!(Line::try_parse_from(["export"].iter().chain(words)).is_err(), "{words:?}");
    }
}

#[test]
fn names_tell_what_files_hold() {
    for (words, form) in [
        (&["a.csv"][..], Form::Csv),
        (&["A.CSV.GZ"], Form::CsvGz),
        (&["a.parquet"], Form::Parquet),
        (&["a.feather"], Form::Arrow),
        (&["a.arrows"], Form::Arrows),
        (&["-"], Form::Csv),
        (&["a.txt", "--format", "arrow"], Form::Arrow),
    ] {
        let words = [&["--table", "tags", "--to"], words].concat();
        assert_eq!(Form::of(&arguments(&words)).unwrap(), form, "{words:?}");
    }
    assert!(Form::of(&arguments(&["--table", "tags", "--to", "a.txt"])).is_err());
}

#[test]
fn numerics_are_read_as_they_are_sent() {
    let numeric = |digits: &[u16], weight: i16, sign: u16, scale: u16| {
        let head = [digits.len() as u16, weight as u16, sign, scale];
        let raw: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
        numeric::text(&raw)
    };
    for (digits, weight, sign, scale, expected) in [
        (&[][..], 0, 0, 0, "0"),
        (&[], 0, 0, 3, "0.000"),
        (&[1], 0, 0x4000, 0, "-1"),
        (&[1], 1, 0, 0, "10000"),
        (&[12, 3456], 1, 0, 0, "123456"),
        (&[5000], -1, 0, 1, "0.5"),
        (&[12], -2, 0x4000, 10, "-0.0000001200"),
        (&[3, 1400], 0, 0, 2, "3.14"),
        (&[], 0, 0xC000, 0, "NaN"),
        (&[], 0, 0xF000, 0, "-Infinity"),
    ] {
        assert_eq!(numeric(digits, weight, sign, scale).as_deref(), Some(expected));
    }
    assert_eq!(numeric(&[10_000], 0, 0, 0), None);
    assert_eq!(numeric::text(b"\0\x02\0\0\0\0\0\0\0\x01"), None);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
fn a_file_has_its_name_only_when_it_is_whole() {
    let dir = std::env::temp_dir().join(format!("meridian-place-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (path, part) = (dir.join("a.csv"), dir.join("a.csv.part"));
    std::fs::write(&part, "left by one that was killed").unwrap();
    let (place, mut output) = Place::open(&path, false).unwrap();
    output.write_all(b"one").unwrap();
    assert!(part.exists() && !path.exists());
    let other = Place::open(&path, false).map(drop).unwrap_err().to_string();
    assert!(other.contains("another export is writing it"), "{other}");
    assert_eq!(place.written(), 3);
    place.finish().unwrap();
    assert!(!part.exists());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    let there = Place::open(&path, false).map(drop).unwrap_err().to_string();
    assert!(there.contains("--replace"), "{there}");
    let (place, mut output) = Place::open(&path, true).unwrap();
    output.write_all(b"half of").unwrap();
    drop(place);
    assert!(!part.exists());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one", "what was there is there until the new one is whole");
    let (place, _) = Place::open(&dir.join("b.csv"), false).unwrap();
    std::fs::write(dir.join("b.csv"), "another's").unwrap();
    assert!(place.finish().is_err());
    assert_eq!(std::fs::read_to_string(dir.join("b.csv")).unwrap(), "another's");
    assert!(Place::open(&dir, true).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
}
