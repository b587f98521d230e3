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
    let (element, values) = value::read_array(binary[0].as_ref().unwrap()).unwrap();
    assert_eq!((element, values), (25, vec![Some(&b"a"[..]), None, Some(&b"b c"[..])]));
    assert_eq!(value::read_array(binary[1].as_ref().unwrap()), Some((25, vec![])));
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
