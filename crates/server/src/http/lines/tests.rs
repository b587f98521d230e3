//! Lines against a plain model of their syntax, whole and cut anywhere.

use super::columns::Columns;
use super::cursor::{Cursor, Value};
use super::names::Named;
use super::reader::{Precision, Reader};
use super::series::{Series, Target};
use types::{Kind, TagId};

/// What tags there are, for tests: the place in the list is the ordinal.
#[derive(Default)]
struct Tags(Vec<(String, Kind)>);

impl Tags {
    /// Does what a request does with what is wanted.
    fn settle(&mut self, reader: &mut Reader, series: &mut Series) {
        let awaited = reader.wanted.awaited();
        let target = |tags: &Tags, at: usize| Some(Ok(Target { tag: TagId(at as u64), kind: tags.0[at].1 }));
        for want in &awaited {
            let want = &mut reader.wanted.wants[*want];
            let known = self.0.iter().position(|(name, _)| *name == want.named.name);
            want.found = known.and_then(|at| target(self, at));
        }
        let mut wanted = std::mem::take(&mut reader.wanted);
        wanted.plan();
        for want in awaited {
            let want = &mut wanted.wants[want];
            if let (None, Some(kind)) = (&want.found, want.planned) {
                self.0.push((want.named.name.clone(), kind));
                want.found = target(self, self.0.len() - 1);
            }
        }
        for form in &wanted.forms {
            if let Some(Ok(target)) = wanted.wants[form.want].found {
                series.learn(&form.key, &form.field, target);
            }
        }
        reader.wanted = wanted;
        reader.settle();
    }
}

/// A tag's name, a time, and bits or a text.
type Row = (String, i64, Result<u64, String>);

struct Outcome {
    rows: Vec<Row>,
    faults: String,
    kept: u64,
}

/// Reads a body in pieces of these lengths, over and over.
fn read(body: &[u8], pieces: &[usize]) -> Outcome {
    let (mut tags, mut series) = (Tags::default(), Series::default());
    let mut reader = Reader::new(Precision::Nanoseconds, 7);
    let mut body = body.to_vec();
    body.push(b'\n');
    let (mut bytes, mut at) = (Vec::new(), 0);
    let mut lengths = pieces.iter().cycle();
    while at < body.len() {
        let end = body.len().min(at + *lengths.next().unwrap());
        bytes.extend_from_slice(&body[at..end]);
        at = end;
        let read = reader.read(&bytes, &series);
        tags.settle(&mut reader, &mut series);
        bytes.drain(..read);
    }
    if !bytes.is_empty() {
        reader.faults.add(reader.line, "no end");
    }
    let name = |tag: u64| tags.0[tag as usize].0.clone();
    let rows = reader.columns.shown().into_iter().map(|(tag, time, value)| (name(tag), time, value)).collect();
    let kept = reader.kept;
    let faults = if reader.faults.count > 0 { std::mem::take(&mut reader.faults).message() } else { String::new() };
    Outcome { rows, faults, kept }
}

fn whole(body: &str) -> Outcome {
    read(body.as_bytes(), &[usize::MAX >> 1])
}

#[test]
fn values_of_all_types_come_as_they_are() {
    let value = |text: &str| {
        let bytes = format!("{text}\n");
        match Cursor::new(bytes.as_bytes(), 1).value() {
            Ok(Value::Text(raw)) => format!("text {}", String::from_utf8_lossy(&super::cursor::unescaped_text(raw))),
            Ok(value) => format!("{value:?}"),
            Err(stop) => format!("{stop:?}"),
        }
    };
    for (text, expected) in [
        ("1", "Float(1.0)"),
        ("-1.5", "Float(-1.5)"),
        ("1.", "Float(1.0)"),
        (".5", "Float(0.5)"),
        ("-0", "Float(-0.0)"),
        ("1e3", "Float(1000.0)"),
        ("-2.5E-3", "Float(-0.0025)"),
        ("123456789012345678", "Float(1.2345678901234568e17)"),
        ("0.30000000000000004", "Float(0.30000000000000004)"),
        ("4.9e-324", "Float(5e-324)"),
        ("42i", "Integer(42)"),
        ("-42i", "Integer(-42)"),
        ("9223372036854775807i", "Integer(9223372036854775807)"),
        ("-9223372036854775808i", "Integer(-9223372036854775808)"),
        ("42u", "Integer(42)"),
        ("t", "Bool(true)"),
        ("FALSE", "Bool(false)"),
        ("\"\"", "text "),
        (r#""a\"b\\c\d""#, r#"text a"b\c\d"#),
        ("\"a\nb, c=1\"", "text a\nb, c=1"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
    for wrong in [
        "",
        "1x",
        "--1",
        "+1",
        "1e",
        "1e400",
        "NaN",
        "inf",
        "Infinity",
        "-",
        ".",
        "1.2.3",
        "1.5i",
        "i",
        "-1u",
        "tru",
        "truee",
        "9223372036854775808i",
        "9223372036854775808u",
        "0x1",
        "1_000",
    ] {
        assert!(value(wrong).starts_with("Fault"), "{wrong}: {}", value(wrong));
    }
}

#[test]
fn lines_become_rows_in_their_order() {
    let body = "cpu,b=2,a=1 usage=0.5,n=3i 1000\n\
                # a comment, with \"quotes\n\n  \t\n\
                cpu,a=1,b=2 usage=1.5 2000\r\n\
                log msg=\"two\nlines\",ok=t 3999\n\
                cpu,a=1,b=2 usage=2.5\n";
    let found = whole(body);
    let f = |value: f64| Ok(value.to_bits());
    let row = |name: &str, time, value| (name.to_owned(), time, value);
    assert_eq!(found.faults, "");
    assert_eq!(found.kept, 4);
    assert_eq!(
        found.rows,
        [
            row("cpu,a=1,b=2 usage", 1, f(0.5)),
            row("cpu,a=1,b=2 n", 1, Ok(3)),
            row("cpu,a=1,b=2 usage", 2, f(1.5)),
            row("log ok", 3, Ok(1)),
            row("cpu,a=1,b=2 usage", 7, f(2.5)),
            row("log msg", 3, Err("two\nlines".to_owned())),
        ]
    );
}

#[test]
fn lines_that_cannot_be_kept_are_named_and_leave_nothing() {
    let body = "m f=1 1000\n\
                m f=2i 2000\n\
                m\n\
                m f= 1\n\
                m g=1,f=\"x\" 3000\n\
                m,a= f=1 4000\n\
                m h=\"a\nb\",f=t 5000\n\
                m f=3 x\n\
                m f=4 9223372036854775808\n\
                m f=5 6000\n";
    let found = whole(body);
    assert_eq!(found.rows.iter().map(|row| (row.0.as_str(), row.1)).collect::<Vec<_>>(), [("m f", 1), ("m f", 6)]);
    for (line, what) in [
        (2, "field type conflict"),
        (3, "missing fields"),
        (4, "missing field value"),
        (5, "field type conflict"),
        (6, "missing tag value"),
        (7, "field type conflict"),
        (9, "invalid timestamp"),
        (10, "timestamp out of range"),
    ] {
        assert!(found.faults.contains(&format!("line {line}: {what}")), "line {line}: {}", found.faults);
    }
    assert!(found.faults.starts_with("partial write: ") && found.faults.ends_with(" dropped=8"), "{}", found.faults);
}

#[test]
fn times_are_cut_to_microseconds_towards_the_past() {
    for (precision, time, expected) in [
        (None, 1_999, Some(1)),
        (None, -1, Some(-1)),
        (Some("ns"), i64::MIN, Some(i64::MIN.div_euclid(1000))),
        (Some("u"), 5, Some(5)),
        (Some("us"), 5, Some(5)),
        (Some("ms"), -5, Some(-5_000)),
        (Some("s"), 5, Some(5_000_000)),
        (Some("m"), 1, Some(60_000_000)),
        (Some("h"), 1, Some(3_600_000_000)),
        (Some("s"), i64::MAX, None),
    ] {
        assert_eq!(Precision::of(precision).unwrap().micros(time), expected, "{precision:?} {time}");
    }
    assert_eq!(Precision::of(Some("d")), None);
}

#[test]
fn rows_are_taken_out_where_lines_were() {
    let mut columns = Columns::default();
    let mut marks = vec![columns.mark()];
    for line in 0..6_u64 {
        columns.push(TagId(line), line);
        if line % 2 == 1 {
            columns.push_text(TagId(line), line.to_string().as_bytes()).unwrap();
        }
        columns.set_time(types::Timestamp(line as i64));
        marks.push(columns.mark());
    }
    columns.take_out(&[(marks[0], marks[1]), (marks[3], marks[4]), (marks[4], marks[5])]);
    let left: Vec<_> = columns.shown().into_iter().map(|(tag, time, value)| (tag, time, value.is_ok())).collect();
    assert_eq!(left, [(1, 1, true), (2, 2, true), (5, 5, true), (1, 1, false), (5, 5, false)]);
}

/// Random numbers: the same from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }

    fn part(&mut self) -> &'static str {
        ["a", "b", "site one", "x,y", "k=v", "é", "a.b", "long_name_of_something", "Q\"q"][self.below(9)]
    }
}

/// A body, and the rows that it stands for: each part is escaped by the rules of the documentation.
fn made(dice: &mut Dice) -> (String, Vec<Row>) {
    let (mut body, mut samples, mut texts) = (String::new(), Vec::new(), Vec::new());
    let escaped = |text: &str| text.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ");
    for _ in 0..dice.below(40) {
        let measurement = ["m", "a b", "m,n"][dice.below(3)];
        let mut key = measurement.replace(',', "\\,").replace(' ', "\\ ");
        let count = dice.below(4);
        let mut tags: Vec<(&str, &str)> = Vec::new();
        while tags.len() < count {
            let tag = (dice.part(), dice.part());
            if tags.iter().all(|(name, _)| *name != tag.0) {
                tags.push(tag);
            }
        }
        for (name, value) in &tags {
            key.push_str(&format!(",{}={}", escaped(name), escaped(value)));
        }
        let time = dice.below(1_000_000) as i64;
        let mut fields = Vec::new();
        for at in 0..=dice.below(3) {
            // The name says the type, so that none conflicts with another.
            let (name, value) = match dice.below(4) {
                0 => {
                    let value = [0.0, -1.5, 1e300, 0.1, 123_456.789][dice.below(5)];
                    (format!("f {at}"), (format!("{value:?}"), Ok(f64::to_bits(value))))
                }
                1 => {
                    let value = [0, -1, i64::MAX, i64::MIN][dice.below(4)];
                    (format!("i,{at}"), (format!("{value}i"), Ok(value as u64)))
                }
                2 => (format!("b={at}"), ("true".to_owned(), Ok(1))),
                _ => {
                    let value = ["", "plain", "a \"quoted\" \\ text", "two\nlines, x=1", "#not a comment"][dice.below(5)];
                    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                    (format!("s{at}"), (format!("\"{quoted}\""), Err(value.to_owned())))
                }
            };
            fields.push((name, value));
        }
        let written: Vec<String> = fields.iter().map(|(name, (text, _))| format!("{}={text}", escaped(name))).collect();
        body.push_str(&format!("{key} {}", written.join(",")));
        let stamped = dice.below(4) > 0;
        if stamped {
            body.push_str(&format!(" {}", time * 1000 + 999));
        }
        body.push_str(["\n", "\r\n", "\n\n", "\n# comment \" \n"][dice.below(4)]);
        for (name, (_, value)) in fields {
            let named = Named::of(key.as_bytes(), escaped(&name).as_bytes()).unwrap().name;
            let row = (named, if stamped { time } else { 7 }, value);
            if row.2.is_ok() { samples.push(row) } else { texts.push(row) }
        }
    }
    samples.extend(texts);
    (body, samples)
}

#[test]
fn made_lines_come_back_however_they_are_cut() {
    let mut dice = Dice(0x5EED);
    for round in 0..600 {
        let (body, expected) = made(&mut dice);
        let pieces: Vec<usize> = (0..8).map(|_| 1 + dice.below(if round % 3 == 0 { 4 } else { 200 })).collect();
        for pieces in [&[usize::MAX >> 1][..], &pieces] {
            let found = read(body.as_bytes(), pieces);
            assert_eq!(found.faults, "", "round {round}: {body}");
            assert_eq!(found.rows, expected, "round {round}, pieces {pieces:?}: {body}");
        }
    }
}

/// Bytes that mean something in a line, and one that is no text.
const DAMAGE: &[u8] = b" ,=\"\\\n\r#-.0eitu\xff";

#[test]
fn damaged_lines_are_the_same_however_they_are_cut_and_harm_nothing() {
    let mut dice = Dice(0xBAD);
    for round in 0..4000 {
        let mut body = made(&mut dice).0.into_bytes();
        for _ in 0..=dice.below(6) {
            let at = dice.below(body.len() + 1);
            match dice.below(4) {
                0 => body.truncate(at),
                1 => body.insert(at, DAMAGE[dice.below(DAMAGE.len())]),
                2 if at < body.len() => drop(body.remove(at)),
                _ if at < body.len() => body[at] = DAMAGE[dice.below(DAMAGE.len())],
                _ => {}
            }
        }
        let whole = read(&body, &[usize::MAX >> 1]);
        let cut = read(&body, &[1 + dice.below(7), 1 + dice.below(60)]);
        let shown = String::from_utf8_lossy(&body);
        let dropped = |faults: &str| faults.rsplit('=').next().unwrap().to_owned();
        assert_eq!((whole.kept, dropped(&whole.faults)), (cut.kept, dropped(&cut.faults)), "round {round}: {shown}");
        assert_eq!(whole.rows, cut.rows, "round {round}: {shown}");
        assert!(whole.rows.iter().all(|(name, ..)| !name.is_empty()));
    }
}
