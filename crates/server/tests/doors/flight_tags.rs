//! Tags by the columnar door: every property, in every form, and what is refused.

use crate::flight::{array, batch, put};
use crate::node::Node;
use arrow::array::{
    DictionaryArray, DurationSecondArray, Float32Array, Float64Array, Int64Array, IntervalMonthDayNanoArray, ListBuilder,
    MapBuilder, StringArray, StringBuilder,
};
use arrow::datatypes::{Int32Type, IntervalMonthDayNano};
use tonic::Code;
use types::{Compression, Kind, Limits, TagDefinition, TagId};

fn texts(values: &[&str]) -> arrow::array::ArrayRef {
    array(StringArray::from(values.to_vec()))
}

/// What both forms below define.
fn expected(name: &str) -> TagDefinition {
    TagDefinition {
        description: "inlet".to_owned(),
        unit: "bar".to_owned(),
        labels: vec![("line".to_owned(), "7".to_owned()), ("site".to_owned(), "north \"1\"".to_owned())],
        limits: Limits { low_low: None, low: Some(-1.5), high: Some(9.0), high_high: Some(10.0) },
        cadence_us: 90_000_000,
        compression: Compression::SwingingDoor { deviation: 0.25, span_us: 3_600_000_000 },
        ..TagDefinition::new(name, Kind::F32)
    }
}

fn definition(node: &Node, ordinal: u64) -> TagDefinition {
    node.engine.catalog().get(TagId(ordinal)).unwrap().definition
}

#[tokio::test(flavor = "multi_thread")]
async fn every_property_comes_in_its_own_type_and_as_text() {
    let node = Node::plain();
    let mut labels = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (key, value) in [("site", "north \"1\""), ("line", "7")] {
        labels.keys().append_value(key);
        labels.values().append_value(value);
    }
    labels.append(true).unwrap();
    labels.append(false).unwrap();
    let mut states = ListBuilder::new(StringBuilder::new());
    states.append(false);
    ["off", "a,b"].iter().for_each(|state| states.values().append_value(state));
    states.append(true);
    let hour = IntervalMonthDayNano::new(0, 0, 3_600_000_000_000);
    let typed = batch(vec![
        ("span", array(IntervalMonthDayNanoArray::from(vec![Some(hour), None]))),
        ("deviation", array(Float32Array::from(vec![Some(0.25), None]))),
        ("compression", array(StringArray::from(vec![Some("swinging_door"), None]))),
        ("cadence", array(DurationSecondArray::from(vec![Some(90), None]))),
        ("high_high", array(Int64Array::from(vec![Some(10), None]))),
        ("high", array(Float64Array::from(vec![Some(9.0), None]))),
        ("low", array(Float64Array::from(vec![Some(-1.5), None]))),
        ("low_low", array(Float64Array::from(vec![None, None]))),
        ("labels", array(labels.finish())),
        ("states", array(states.finish())),
        ("unit", array(["bar", "bar"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("description", array(StringArray::from(vec![Some("inlet"), None]))),
        ("kind", texts(&["f32", "state"])),
        ("name", texts(&["typed", "valve"])),
    ]);
    assert_eq!(put(&node, &["tags"], 1, &typed).await.unwrap()[0].rows, 2);
    assert_eq!(definition(&node, 0), expected("typed"));
    let valve = TagDefinition {
        states: vec!["off".to_owned(), "a,b".to_owned()],
        unit: "bar".to_owned(),
        ..TagDefinition::new("valve", Kind::State)
    };
    assert_eq!(definition(&node, 1), valve);

    let written = batch(vec![
        ("name", texts(&["text", "gate"])),
        ("kind", texts(&["f32", "state"])),
        ("description", texts(&["inlet", ""])),
        ("unit", texts(&["bar", "bar"])),
        ("states", array(StringArray::from(vec![None, Some("{off,\"a,b\"}")]))),
        ("labels", texts(&["{\"site\": \"north \\\"1\\\"\", \"line\": \"7\"}", "{}"])),
        ("low", array(StringArray::from(vec![Some("-1.5"), None]))),
        ("high", array(StringArray::from(vec![Some("9"), None]))),
        ("high_high", array(StringArray::from(vec![Some("1e1"), None]))),
        ("cadence", array(StringArray::from(vec![Some("90 seconds"), None]))),
        ("compression", texts(&["swinging_door", "lossless"])),
        ("deviation", array(StringArray::from(vec![Some("0.25"), None]))),
        ("span", array(StringArray::from(vec![Some("1 hour"), None]))),
    ]);
    assert_eq!(put(&node, &["tags"], 1, &written).await.unwrap()[0].rows, 2);
    assert_eq!(definition(&node, 2), expected("text"));
    assert_eq!(definition(&node, 3), TagDefinition { name: "gate".to_owned(), ..valve });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_defines_no_tag_is_refused_with_its_row() {
    let node = Node::plain();
    let check = async |column: &str, values: arrow::array::ArrayRef, part: &str| {
        let columns = vec![("name", texts(&["a", "b"])), ("kind", texts(&["f64", "f64"])), (column, values)];
        let status = put(&node, &["tags"], 1, &batch(columns)).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().contains(part), "{column}: {status:?}");
    };
    check("labels", texts(&["{}", "{"]), "row 1: labels must be a JSON object").await;
    check("labels", array(Float64Array::from(vec![1.0, 2.0])), "column \"labels\" has type Float64; it may be Map").await;
    check("states", texts(&["{", ""]), "row 0: malformed array").await;
    check("states", texts(&["{on}", "{on}"]), "only tags of kind state").await;
    check("low", texts(&["1", "low"]), "row 1: invalid input syntax").await;
    check("low", array(Float64Array::from(vec![1.0, f64::NAN])), "limits must not be NaN").await;
    check("cadence", texts(&["1 s", "1 month"]), "row 1: months have no fixed length").await;
    check("cadence", array(DurationSecondArray::from(vec![-1, 1])), "the cadence is -1000000 us").await;
    check("cadence", array(DurationSecondArray::from(vec![i64::MAX, 1])), "").await;
    check("compression", texts(&["lossless", "zip"]), "row 1: unknown compression \"zip\"").await;
    check("ordinal", array(Int64Array::from(vec![7, 8])), "there is no place for column \"ordinal\"").await;
    check("name", texts(&["a", "b"]), "two columns \"name\"").await;
    let nameless = batch(vec![("name", array(StringArray::from(vec![Some("a"), None]))), ("kind", texts(&["f64", "f64"]))]);
    assert!(put(&node, &["tags"], 1, &nameless).await.unwrap_err().message().contains("row 1: null value in column \"name\""));
    assert_eq!(node.engine.catalog().len(), 0);
}
