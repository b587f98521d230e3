//! Import: shapes, bad rows, and what would be sent.

use super::shape::{Names, RawSample, Shape};
use super::source::Row;
use super::time::TimeReader;
use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(line: &str) -> Arguments {
    let words = ["import", "f.csv", "--to", "postgres://x"].into_iter().chain(line.split_whitespace());
    Line::try_parse_from(words).unwrap().arguments
}

fn heads(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

/// The samples of each row as "tag time value quality", or the reason why it is refused.
fn check(line: &str, head: &str, rows: &[(&str, &str)]) {
    let mut names = Names::default();
    let arguments = arguments(line);
    let shape = Shape::of(&arguments, &heads(head), &mut names).unwrap();
    let times = TimeReader::new(&arguments.time_format, &arguments.time_zone).unwrap();
    for (text, expected) in rows {
        let row = Row { number: 7, cells: text.split(',').collect::<Vec<_>>().into(), ..Row::default() };
        let (mut samples, mut texts) = (Vec::new(), String::new());
        let taken = shape.take(&row, &times, &mut names, &mut samples, &mut texts);
        let shown = |sample: &RawSample| {
            let value = &texts[sample.text.0 as usize..sample.text.1 as usize];
            format!("{} {} {value} {}", names.all()[sample.tag as usize], sample.time, sample.quality)
        };
        match taken {
            Ok(()) => assert_eq!(samples.iter().map(shown).collect::<Vec<_>>().join("; "), *expected, "{text}"),
            Err(reason) => {
                assert!(reason.contains(expected) && !expected.is_empty(), "{text}: {reason}");
                assert!(samples.is_empty() && texts.is_empty());
            }
        }
    }
}

#[test]
fn wide_rows() {
    check(
        "--time t --prefix p. --time-format s",
        "t,a,b",
        &[
            ("1,2,3", "p.a 1000000 2 good; p.b 1000000 3 good"),
            ("1,,3", "p.b 1000000 3 good"),
            ("1,,", ""),
            (",2,3", "has no time"),
            ("x,2,3", "time \"x\""),
            ("1,2", "has 2 columns where the head has 3"),
            ("1,2,3,4", "has 4 columns"),
        ],
    );
    check("--time T --columns b --map b=B --time-format s", "t,a,b", &[("1,2,3", "B 1000000 3 good")]);
    check(
        "--time t --quality q --time-format s",
        "t,a,q",
        &[("1,2,bad", "a 1000000 2 bad"), ("1,2,", "a 1000000 2 good"), ("1,2,x", "quality \"x\"")],
    );
}

#[test]
fn long_rows() {
    check(
        "--time t --tag n --value v --prefix p. --map z=Z --time-format ms",
        "n,t,v",
        &[
            ("a,1,5", "p.a 1000 5 good"),
            ("z,1,5", "Z 1000 5 good"),
            (",1,5", "has no tag"),
            ("a,1,", ""),
            ("a,,5", "has no time"),
        ],
    );
}

#[test]
fn shapes_that_make_no_sense_are_said() {
    for (line, head, expected) in [
        ("--time x", "t,a", "no column \"x\" (--time)"),
        ("--time t", "t", "no column left"),
        ("--time t --columns c", "t,a", "no column \"c\""),
        ("--time t --map a=x --map b=x", "t,a,b", "two columns would be the tag \"x\""),
        ("--time t --map a", "t,a", "write COLUMN=TAG"),
        ("--time t --tag a", "t,a,b", "both --tag and --value"),
        ("--time t", "t,,b", "can't be empty"),
    ] {
        let error = Shape::of(&arguments(line), &heads(head), &mut Names::default()).unwrap_err();
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn names_beyond_the_limit_are_refused_before_they_reach_the_node() {
    let long = "n".repeat(types::TagDefinition::NAME_BYTES_MAX + 1);
    let row = format!("{long},1,5");
    check("--time t --tag n --value v --time-format s", "n,t,v", &[(row.as_str(), "has 1025 bytes")]);
}

#[test]
fn refused_rows_are_counted_told_and_kept() {
    let path = std::env::temp_dir().join(format!("meridian-reject-{}.csv", std::process::id()));
    let mut refused = Refused::new(1, Some(&path), &heads("t,a")).unwrap();
    for (number, cells) in [(2, vec!["x", "1"]), (3, vec!["y"])] {
        refused.add(number, Some(&cells.into()), format!("row {number}, \"odd\"")).unwrap();
    }
    refused.finish().unwrap();
    assert_eq!((refused.count(), refused.shown().len()), (2, 1));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "t,a,refused_row,refused_because\nx,1,2,\"row 2, \"\"odd\"\"\"\ny,3,\"row 3, \"\"odd\"\"\"\n");
    assert!(Refused::new(1, Some(&path), &[]).is_err(), "a file that exists is not written over");
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::remove_file(&path).unwrap();
}
