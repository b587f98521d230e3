//! The columnar door: kinds, dictionaries, numbers, refusals, disconnects, and damaged streams.

use crate::node::{Node, samples, samples_schema, settings};
use crate::noise::{Noise, rounds};
use crate::watch::Watch;
use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, Schema, UInt32Type};
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightData, FlightDescriptor};
use futures::TryStreamExt;
use server::flight::Ack;
use std::sync::Arc;
use tonic::{Code, Status};
use types::Kind;

pub type Columns<'a> = Vec<(&'a str, ArrayRef)>;

pub fn batch(columns: Columns<'_>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

pub fn array<T: arrow::array::Array + 'static>(array: T) -> ArrayRef {
    Arc::new(array)
}

/// Sends one batch on a stream of its own.
pub async fn put(node: &Node, path: &[&str], number: u64, batch: &RecordBatch) -> Result<Vec<Ack>, Status> {
    let mut putter = node.flight().await.put(path, batch.schema()).await?;
    // Where the server ends the stream first, its reason is among the acknowledgements.
    let _ = putter.send(number, batch).await;
    putter.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_doubles_nothing() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let first = put(&node, &["samples", "plant 7"], 1, &samples(&[(0, 1, 1.0), (0, 2, 2.0)])).await.unwrap();
    assert_eq!((first[0].number, first[0].rows, first[0].duplicate), (1, 2, false));
    let again = put(&node, &["samples", "plant 7"], 1, &samples(&[(0, 1, 9.0), (0, 2, 9.0)])).await.unwrap();
    assert_eq!((again[0].number, again[0].rows, again[0].duplicate), (1, 0, true));
    assert_eq!(node.bits_at(0, 5), Some(2.0_f64.to_bits()));
    // Another producer, and none at all, are their own.
    assert!(!put(&node, &["samples", "plant 8"], 1, &samples(&[(0, 3, 3.0)])).await.unwrap()[0].duplicate);
    assert!(!put(&node, &["samples"], 1, &samples(&[(0, 4, 4.0)])).await.unwrap()[0].duplicate);
    assert_eq!(node.bits_at(0, 5), Some(4.0_f64.to_bits()));
    assert_eq!(node.server().counts().flight_rows, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_flight_are_acknowledged_in_order() {
    let node = Node::plain();
    node.tags(&[Kind::F64; 10]);
    let rows: Vec<(u64, i64, f64)> = (0..1000).map(|row| (row % 10, row as i64, row as f64)).collect();
    let mut putter = node.flight().await.put(&["samples", "p"], samples_schema()).await.unwrap();
    let batch = samples(&rows);
    let (mut sender, mut acks) = {
        putter.send(1, &batch).await.unwrap();
        putter.split()
    };
    let sending = tokio::spawn(async move {
        for number in 2..=200 {
            sender.send(number, &batch).await.unwrap();
        }
        sender.end();
    });
    for number in 1..=200 {
        let ack = acks.next().await.unwrap().unwrap();
        assert_eq!((ack.number, ack.rows, ack.duplicate), (number, 1000, false));
    }
    assert_eq!(acks.next().await.unwrap(), None);
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_waits_when_too_much_is_in_flight() {
    let node = Node::start(server::Settings { flight_waiting_bytes_max: 1, ..settings() });
    node.tags(&[Kind::F64]);
    let mut putter = node.flight().await.put(&["samples"], samples_schema()).await.unwrap();
    for number in 1..=20 {
        putter.send(number, &samples(&[(0, number as i64, 0.5)])).await.unwrap();
    }
    assert_eq!(putter.finish().await.unwrap().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_type_becomes_the_kind_of_its_tag() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::F32, Kind::I32, Kind::I64, Kind::Bool, Kind::State]);
    let times = array(Int64Array::from(vec![1; 6]));
    let tags = array(UInt32Array::from(vec![0, 1, 2, 3, 4, 5]));
    let one_of_each: Vec<ArrayRef> = vec![
        array(Float64Array::from(vec![1.0; 6])),
        array(Float32Array::from(vec![1.0; 6])),
        array(Int64Array::from(vec![1; 6])),
        array(Int32Array::from(vec![1; 6])),
        array(UInt32Array::from(vec![1; 6])),
        array(BooleanArray::from(vec![true; 6])),
    ];
    let expected = [1.0_f64.to_bits(), u64::from(1.0_f32.to_bits()), 1, 1, 1, 1];
    for values in one_of_each {
        let kind = values.data_type().clone();
        let batch = batch(vec![("tag", tags.clone()), ("time", times.clone()), ("value", values)]);
        put(&node, &["samples"], 1, &batch).await.unwrap();
        for (tag, bits) in expected.iter().enumerate() {
            assert_eq!(node.bits_at(tag as u64, 1), Some(*bits), "{kind} into tag {tag}");
        }
    }
    // What a double can't hold comes whole as an integer, NaN's bits as they are.
    let columns = |tag: u32, value: ArrayRef| {
        vec![("tag", array(UInt32Array::from(vec![tag]))), ("time", array(Int64Array::from(vec![2]))), ("value", value)]
    };
    put(&node, &["samples"], 1, &batch(columns(3, array(Int64Array::from(vec![i64::MAX]))))).await.unwrap();
    assert_eq!(node.bits_at(3, 2), Some(i64::MAX as u64));
    let nan = f64::from_bits(0x7ff0_0000_0000_0001);
    put(&node, &["samples"], 1, &batch(columns(0, array(Float64Array::from(vec![nan]))))).await.unwrap();
    assert_eq!(node.bits_at(0, 2), Some(nan.to_bits()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_wrong_anywhere_is_kept_nowhere() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::I32, Kind::Text]);
    let f64s = |values: Vec<Option<f64>>| array(Float64Array::from(values));
    let good_time = || array(Int64Array::from(vec![1, 1]));
    let two = |second: u64| array(UInt64Array::from(vec![0, second]));
    let cases: Vec<(Columns, Code, &str)> = vec![
        (vec![("tag", two(99)), ("time", good_time()), ("value", f64s(vec![Some(1.0); 2]))], Code::NotFound, "row 1"),
        (
            vec![("tag", two(1)), ("time", good_time()), ("value", f64s(vec![Some(0.5); 2]))],
            Code::InvalidArgument,
            "row 1: value 0.5",
        ),
        (vec![("tag", two(2)), ("time", good_time()), ("value", f64s(vec![Some(1.0); 2]))], Code::InvalidArgument, "row 1"),
        (
            vec![("tag", two(0)), ("time", good_time()), ("value", f64s(vec![Some(1.0), None]))],
            Code::InvalidArgument,
            "row 1: column \"value\" is null",
        ),
        (
            vec![
                ("tag", two(0)),
                ("time", array(TimestampNanosecondArray::from(vec![1000, 1001]))),
                ("value", f64s(vec![Some(1.0); 2])),
            ],
            Code::InvalidArgument,
            "row 1: time 1001 ns",
        ),
        (
            vec![
                ("tag", two(0)),
                ("time", array(TimestampMillisecondArray::from(vec![1, i64::MAX]))),
                ("value", f64s(vec![Some(1.0); 2])),
            ],
            Code::InvalidArgument,
            "row 1: time",
        ),
        (
            vec![("tag", two(0)), ("time", good_time()), ("value", array(StringArray::from(vec!["a", "b"])))],
            Code::InvalidArgument,
            "row 0",
        ),
        (vec![("tag", two(0)), ("time", good_time())], Code::InvalidArgument, "no column \"value\""),
        (
            vec![("tag", two(0)), ("when", good_time()), ("value", f64s(vec![Some(1.0); 2]))],
            Code::InvalidArgument,
            "no column \"time\"",
        ),
        (
            vec![("tag", array(StringArray::from(vec!["t0", "t0"]))), ("time", good_time()), ("value", f64s(vec![Some(1.0); 2]))],
            Code::InvalidArgument,
            "column \"tag\" has type Utf8",
        ),
    ];
    for (columns, code, words) in cases {
        let status = put(&node, &["samples"], 1, &batch(columns)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(words), "{words:?} is not in {:?}", status.message());
        assert_eq!(node.bits_at(0, 5), None, "{status:?}");
    }
    for path in [&["nowhere"][..], &[], &["samples", "a", "b"]] {
        assert_eq!(put(&node, path, 1, &samples(&[(0, 1, 1.0)])).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_batch_nothing_more_of_the_stream_is_kept() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut putter = node.flight().await.put(&["samples", "p"], samples_schema()).await.unwrap();
    putter.send(1, &samples(&[(0, 1, 1.0)])).await.unwrap();
    putter.send(2, &samples(&[(9, 2, 2.0)])).await.unwrap();
    let _ = putter.send(3, &samples(&[(0, 3, 3.0)])).await;
    assert_eq!(putter.ack().await.unwrap().unwrap().number, 1);
    let status = putter.ack().await.unwrap_err();
    assert!(status.message().starts_with("batch 2: row 0"), "{status:?}");
    assert_eq!(node.bits_at(0, 9), Some(1.0_f64.to_bits()));
    // Mended and sent again under the same numbers, all of it is kept.
    let mut putter = node.flight().await.put(&["samples", "p"], samples_schema()).await.unwrap();
    putter.send(2, &samples(&[(0, 2, 2.0)])).await.unwrap();
    putter.send(3, &samples(&[(0, 3, 3.0)])).await.unwrap();
    assert!(putter.finish().await.unwrap().iter().all(|ack| !ack.duplicate));
    assert_eq!(node.bits_at(0, 9), Some(3.0_f64.to_bits()));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_must_rise() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    for numbers in [[0, 1], [5, 5], [5, 4]] {
        let mut putter = node.flight().await.put(&["samples", "p"], samples_schema()).await.unwrap();
        for number in numbers {
            let _ = putter.send(number, &samples(&[(0, 1, 1.0)])).await;
        }
        assert_eq!(putter.finish().await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_once_as_a_dictionary() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::F64]);
    let named = |names: &[&str], time: i64| {
        let tags: DictionaryArray<UInt32Type> = names.iter().copied().collect();
        let times = Int64Array::from(vec![time; names.len()]);
        let values = Float64Array::from_iter_values((0..names.len()).map(|row| row as f64 + time as f64));
        batch(vec![("tag", array(tags)), ("time", array(times)), ("value", array(values))])
    };
    let first = named(&["t1", "t0", "t1"], 1);
    let mut putter = node.flight().await.put(&["samples"], first.schema()).await.unwrap();
    putter.send(1, &first).await.unwrap();
    putter.send(2, &named(&["t0"], 10)).await.unwrap();
    assert_eq!(putter.ack().await.unwrap().unwrap().rows, 3);
    assert_eq!(putter.ack().await.unwrap().unwrap().rows, 1);
    // A name that was not there when its dictionary came may be there when a batch uses it.
    node.tags(&[Kind::F64]);
    putter.send(3, &named(&["t2", "t9"][..1], 20)).await.unwrap();
    assert_eq!(putter.finish().await.unwrap()[0].rows, 1);
    assert_eq!((node.bits_at(1, 5), node.bits_at(0, 15)), (Some(3.0_f64.to_bits()), Some(10.0_f64.to_bits())));
    let status = put(&node, &["samples"], 1, &named(&["t0", "nobody"], 1)).await.unwrap_err();
    assert!(status.code() == Code::NotFound && status.message().contains("row 1: there is no tag \"nobody\""), "{status:?}");
    let signed: DictionaryArray<Int32Type> = ["t0"].into_iter().collect();
    let columns = vec![
        ("tag", array(signed)),
        ("time", array(Int64Array::from(vec![30]))),
        ("value", array(Float64Array::from(vec![9.0]))),
    ];
    assert_eq!(put(&node, &["samples"], 1, &batch(columns)).await.unwrap()[0].rows, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn qualities_and_events_are_kept() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::Text]);
    let good = batch(vec![
        ("quality", array(UInt8Array::from(vec![0]))),
        ("value", array(Float64Array::from(vec![1.5]))),
        ("time", array(Int64Array::from(vec![1]))),
        ("tag", array(UInt64Array::from(vec![0]))),
    ]);
    put(&node, &["samples"], 1, &good).await.unwrap();
    let reading = node.engine.local().unwrap().latest(types::TagId(0)).unwrap().unwrap();
    assert_eq!(reading.quality, types::Quality::BAD);
    let events = batch(vec![
        ("tag", array(UInt64Array::from(vec![1, 1]))),
        ("time", array(Int64Array::from(vec![1, 2]))),
        ("text", array(StringArray::from(vec!["", "阀门打开"]))),
    ]);
    put(&node, &["events"], 1, &events).await.unwrap();
    let reading = node.engine.local().unwrap().latest(types::TagId(1)).unwrap().unwrap();
    assert_eq!(reading.value, kernel::Datum::Text("阀门打开".as_bytes().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_made_and_resolved() {
    let node = Node::plain();
    let names: Vec<String> = (0..5000).map(|number| format!("plant/line{}/温度{number}", number % 7)).collect();
    let tags = batch(vec![
        ("name", array(StringArray::from_iter_values(&names))),
        ("kind", array(["f64", "i32"].iter().cycle().take(5000).copied().collect::<DictionaryArray<Int32Type>>())),
        ("unit", array(StringArray::from_iter(names.iter().enumerate().map(|(row, _)| (row % 2 == 0).then_some("°C"))))),
        (
            "labels",
            array(StringArray::from_iter(
                (0..5000).map(|row| (row % 3 != 0).then(|| format!(r#"{{"site": "s{}", "area": 7}}"#, row / 100))),
            )),
        ),
    ]);
    let acks = put(&node, &["tags"], 1, &tags).await.unwrap();
    assert_eq!(acks[0].rows, 5000);
    let client = node.flight().await;
    let asked: Vec<&str> = names.iter().rev().map(String::as_str).chain(["nobody"]).collect();
    let expected: Vec<Option<u64>> = (0..5000).rev().map(Some).chain([None]).collect();
    assert_eq!(client.resolve(&asked).await.unwrap(), expected);
    assert_eq!(node.engine.catalog().get(types::TagId(4)).unwrap().definition.unit, "°C");
    let labels = |tag| node.engine.catalog().get(types::TagId(tag)).unwrap().definition.labels;
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(labels(4_999), [label("area", "7"), label("site", "s49")]);
    assert_eq!(labels(4_998), []);
    // All or none.
    let half = batch(vec![
        ("name", array(StringArray::from(vec!["new", &names[0]]))),
        ("kind", array(StringArray::from(vec!["f64"; 2]))),
    ]);
    assert_eq!(put(&node, &["tags"], 1, &half).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(client.resolve(&["new"]).await.unwrap(), [None]);
    let wrong =
        batch(vec![("name", array(StringArray::from(vec!["a", "b"]))), ("kind", array(StringArray::from(vec!["f64", "f65"])))]);
    assert!(put(&node, &["tags"], 1, &wrong).await.unwrap_err().message().contains("row 1: unknown kind \"f65\""));
    let list = batch(vec![
        ("name", array(StringArray::from(vec!["a"]))),
        ("kind", array(StringArray::from(vec!["f64"]))),
        ("labels", array(StringArray::from(vec!["[1]"]))),
    ]);
    assert!(put(&node, &["tags"], 1, &list).await.unwrap_err().message().contains("row 0: labels must be a JSON object"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_whole_batches() {
    let node = Node::plain();
    node.tags(&[Kind::F64; 100]);
    let rows: Vec<(u64, i64, f64)> = (0..100).map(|tag| (tag, 1, tag as f64)).collect();
    let mut putter = node.flight().await.put(&["samples"], samples_schema()).await.unwrap();
    putter.send(1, &samples(&rows)).await.unwrap();
    putter.ack().await.unwrap();
    for number in 2..50 {
        let rows: Vec<(u64, i64, f64)> = (0..100).map(|tag| (tag, number as i64, tag as f64)).collect();
        putter.send(number, &samples(&rows)).await.unwrap();
    }
    drop(putter);
    let last = |tag: u64| node.engine.local().unwrap().latest(types::TagId(tag)).unwrap().unwrap().time;
    let seen: Vec<_> = (0..100).map(last).collect();
    assert!(seen[0].0 >= 1);
    // The node stops cleanly with the stream cut off.
}

/// A stream of messages as a client would send them.
async fn messages(batches: Vec<RecordBatch>) -> Vec<FlightData> {
    let stream = FlightDataEncoderBuilder::new()
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_flight_descriptor(Some(FlightDescriptor::new_path(vec!["samples".to_owned()])))
        .build(futures::stream::iter(batches.into_iter().map(Ok)));
    stream.try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_streams_harm_nobody() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::Text]);
    let tags: DictionaryArray<UInt32Type> = ["t0", "t0", "t0"].into_iter().collect();
    let named = batch(vec![
        ("tag", array(tags)),
        ("time", array(Int64Array::from(vec![1, 2, 3]))),
        ("value", array(Float64Array::from(vec![1.0, 2.0, 3.0]))),
        ("quality", array(UInt8Array::from(vec![192, 0, 64]))),
    ]);
    let events = batch(vec![
        ("tag", array(UInt64Array::from(vec![1, 1]))),
        ("time", array(Int64Array::from(vec![1, 2]))),
        ("value", array(StringArray::from(vec!["one", "two"]))),
    ]);
    let streams = [
        messages(vec![samples(&[(0, 1, 1.0), (0, 2, 2.0)]); 3]).await,
        messages(vec![named]).await,
        messages(vec![events]).await,
    ];
    let channel = tonic::transport::Endpoint::from_shared(node.flight_url()).unwrap().connect().await.unwrap();
    let mut client = FlightServiceClient::new(channel);
    let (mut noise, watch) = (Noise::seeded(11), Watch::begin());
    let mut refused = 0;
    for round in 0..rounds(1500) {
        let mut stream = streams[round % streams.len()].clone();
        let at = noise.below(stream.len());
        let message = &mut stream[at];
        let target = if noise.below(3) == 0 { &mut message.data_body } else { &mut message.data_header };
        let mut bytes = target.to_vec();
        noise.damage(&mut bytes);
        *target = bytes.into();
        if noise.below(8) == 0 {
            stream.swap(0, at);
        }
        let answer = client.do_put(futures::stream::iter(stream)).await;
        let Ok(answers) = answer else { continue };
        let mut answers = answers.into_inner();
        loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(status) => {
                    assert_ne!(status.code(), Code::Unknown, "{status:?}");
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(refused > rounds(500), "only {refused} of the damaged streams were refused");
    for body in [&b""[..], b"garbage", &[0xff; 64]] {
        let action = Action { r#type: "resolve".to_owned(), body: body.to_vec().into() };
        assert_eq!(client.do_action(action).await.unwrap_err().code(), Code::InvalidArgument);
    }
    // And all is well.
    assert_eq!(put(&node, &["samples"], 1, &samples(&[(0, 100, 1.0)])).await.unwrap()[0].rows, 1);
    watch.check(256);
}
