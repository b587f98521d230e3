//! Every type that a query can return, written as text and as binary, against what PostgreSQL writes.

use super::*;
use arrow::array::{
    Decimal128Array, DictionaryArray, DurationMicrosecondArray, Float64Array, Int64Array, LargeStringArray, ListBuilder,
    StringBuilder, TimestampMicrosecondArray, TimestampNanosecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use std::sync::Arc;

fn written(array: ArrayRef, binary: bool) -> Result<Vec<Option<Vec<u8>>>, Report> {
    let column = Column::new(&array, binary, Zone::Utc)?;
    let mut rows = Vec::new();
    for row in 0..array.len() {
        let mut out = Vec::new();
        column.write(row, &mut out)?;
        let mut fields = crate::pg::frame::Fields::new(&out);
        rows.push(fields.value().unwrap().map(<[u8]>::to_vec));
        fields.end().unwrap();
    }
    Ok(rows)
}

fn texts(array: ArrayRef) -> Vec<Option<String>> {
    written(array, false).unwrap().into_iter().map(|row| row.map(|bytes| String::from_utf8(bytes).unwrap())).collect()
}

#[test]
fn every_type_has_its_text() {
    let rows: Vec<(ArrayRef, Vec<Option<&str>>)> = vec![
        (Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), vec![Some("t"), None, Some("f")]),
        (Arc::new(UInt8Array::from(vec![255])), vec![Some("255")]),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), vec![Some("4294967295")]),
        (Arc::new(Int64Array::from(vec![i64::MIN])), vec![Some("-9223372036854775808")]),
        (Arc::new(UInt64Array::from(vec![7])), vec![Some("7")]),
        (Arc::new(Float64Array::from(vec![Some(-0.0), None])), vec![Some("-0"), None]),
        (Arc::new(LargeStringArray::from(vec!["x"])), vec![Some("x")]),
        (Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("a"), None, Some("a")])), vec![Some("a"), None, Some("a")]),
        (Arc::new(TimestampMicrosecondArray::from(vec![1]).with_timezone("UTC")), vec![Some("1970-01-01 00:00:00.000001+00")]),
        (Arc::new(TimestampNanosecondArray::from(vec![1_000])), vec![Some("1970-01-01 00:00:00.000001")]),
        (Arc::new(Decimal128Array::from(vec![-12345]).with_precision_and_scale(10, 2).unwrap()), vec![Some("-123.45")]),
        (Arc::new(DurationMicrosecondArray::from(vec![1_500_000])), vec![Some("00:00:01.5")]),
    ];
    for (array, expected) in rows {
        let expected: Vec<Option<String>> = expected.into_iter().map(|text| text.map(str::to_owned)).collect();
        assert_eq!(texts(Arc::clone(&array)), expected, "{}", array.data_type());
    }
}

#[test]
fn lists_are_arrays() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("a"), None, Some("b c")]);
    builder.append_value([] as [Option<&str>; 0]);
    builder.append_null();
    let array: ArrayRef = Arc::new(builder.finish());
    let expected = vec![Some("{a,NULL,\"b c\"}".to_owned()), Some("{}".to_owned()), None];
    assert_eq!(texts(Arc::clone(&array)), expected);
    let binary = written(array, true).unwrap();
    let array = value::read_array(binary[0].as_ref().unwrap()).unwrap();
    assert_eq!((array.shape, array.values), (vec![3], vec![Some(&b"a"[..]), None, Some(&b"b c"[..])]));
    assert_eq!(binary[0].as_ref().unwrap()[8..12], 25_i32.to_be_bytes());
    let empty = value::read_array(binary[1].as_ref().unwrap()).unwrap();
    assert_eq!((empty.shape, empty.values), (vec![], vec![]));
    assert_eq!(binary[2], None);
}

#[test]
fn binary_forms_are_those_of_postgresql() {
    let one = |array: ArrayRef| written(array, true).unwrap()[0].clone().unwrap();
    assert_eq!(one(Arc::new(Float64Array::from(vec![1.5]))), 1.5_f64.to_be_bytes());
    assert_eq!(one(Arc::new(TimestampMicrosecondArray::from(vec![EPOCH_US + 5]))), 5_i64.to_be_bytes());
    assert_eq!(one(Arc::new(UInt8Array::from(vec![192]))), 192_i16.to_be_bytes());
    assert_eq!(one(Arc::new(arrow::array::Date32Array::from(vec![10957]))), 0_i32.to_be_bytes());
}

#[test]
fn what_does_not_fit_is_refused() {
    let state = |array: ArrayRef, binary: bool| written(array, binary).unwrap_err().sqlstate;
    assert_eq!(state(Arc::new(UInt64Array::from(vec![u64::MAX])), false), "22003");
    assert_eq!(state(Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN])), true), "22008");
    assert_eq!(
        texts(Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN]))),
        [Some("290309-12-21 19:59:05.224192 BC".to_owned())]
    );
}

type Lists = Option<Vec<Option<Vec<Option<i32>>>>>;

fn lists_of_lists(rows: &[Lists]) -> ArrayRef {
    let mut builder = ListBuilder::new(ListBuilder::new(arrow::array::Int32Builder::new()));
    for row in rows {
        for list in row.iter().flatten() {
            builder.values().values().append_slice(&[]);
            list.iter().flatten().for_each(|item| builder.values().values().append_option(*item));
            builder.values().append(list.is_some());
        }
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

#[test]
fn arrays_of_arrays_have_dimensions() {
    let list = |items: &[i32]| Some(items.iter().copied().map(Some).collect());
    let rows = vec![
        Some(vec![list(&[1, 2]), list(&[3, 4])]),
        None,
        Some(vec![]),
        Some(vec![list(&[]), list(&[])]),
        Some(vec![Some(vec![None, Some(7)])]),
    ];
    let array = lists_of_lists(&rows);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(texts(Arc::clone(&array)), [some("{{1,2},{3,4}}"), None, some("{}"), some("{}"), some("{{NULL,7}}")]);
    assert_eq!(PgType::of(array.data_type()).oid, 1007);
    let binary = written(Arc::clone(&array), true).unwrap();
    let words = |words: &[i32]| Some(words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>());
    assert_eq!(binary[0], words(&[2, 0, 23, 2, 1, 2, 1, 4, 1, 4, 2, 4, 3, 4, 4]));
    assert_eq!(binary[2], words(&[0, 0, 23]));
    assert_eq!(binary[4], words(&[2, 1, 23, 1, 1, 2, 1, -1, 4, 7]));
    // A part of an array is looked at where it begins.
    assert_eq!(texts(array.slice(4, 1)), [some("{{NULL,7}}")]);
    for ragged in [vec![list(&[1]), list(&[2, 3])], vec![list(&[1]), None]] {
        for binary in [false, true] {
            assert_eq!(written(lists_of_lists(&[Some(ragged.clone())]), binary).unwrap_err().sqlstate, "2202E");
        }
    }
}

#[test]
fn items_are_quoted_once() {
    let mut builder = ListBuilder::new(ListBuilder::new(ListBuilder::new(StringBuilder::new())));
    builder.values().values().append_value([Some("a\"\\"), Some(""), Some("null"), None]);
    builder.values().append(true);
    builder.append(true);
    assert_eq!(texts(Arc::new(builder.finish())), [Some(r#"{{{"a\"\\","","null",NULL}}}"#.to_owned())]);
}
