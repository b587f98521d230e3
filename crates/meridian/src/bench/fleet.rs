//! The tags of a large plant by number, and a sample of each for any step: what `bench capacity` writes
//! and holds answers against.
//!
//! Promises: everything follows from tag, step and seed by a hash, so that nothing is kept and ten million
//! tags cost the client no memory. Names have about 40 bytes; a hundred tags share a station, whose
//! name is a label, and a hundred thousand a region.

use crate::grid::{Columns, Sample, hash};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::ops::Range;
use std::sync::Arc;

/// Tags of a station.
pub const STATION_TAGS: u64 = 100;
/// Tags of a region.
pub const REGION_TAGS: u64 = STATION_TAGS * REGION_STATIONS;
const REGION_STATIONS: u64 = 1000;
const START_US: i64 = 1_704_067_200_000_000; // 2024-01-01 00:00:00 UTC
const STEP_US: i64 = 60_000_000;

/// What is measured, in what kind and unit.
const MEASURES: [(&str, &str, &str); 5] = [
    ("voltage", "f64", "kV"),
    ("current", "f64", "A"),
    ("power", "f64", "MW"),
    ("energy", "f64", "kWh"),
    ("breaker", "bool", ""),
];

/// The tags.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// From which all values come.
    pub seed: u64,
}

fn measure(tag: u64) -> (&'static str, &'static str, &'static str) {
    MEASURES[(tag % MEASURES.len() as u64) as usize]
}

fn feeder(tag: u64) -> u64 {
    tag % STATION_TAGS / MEASURES.len() as u64
}

impl Fleet {
    /// The name of a tag's station: the label `station`.
    pub fn station(&self, tag: u64) -> String {
        format!("station{:06}", tag / STATION_TAGS)
    }

    /// The name of a tag's region: the label `region`.
    pub fn region(&self, tag: u64) -> String {
        format!("region{:03}", tag / STATION_TAGS / REGION_STATIONS)
    }

    /// What all names of a station's tags begin with.
    pub fn station_prefix(&self, tag: u64) -> String {
        format!("grid.{}.{}.", self.region(tag), self.station(tag))
    }

    /// A tag's name.
    pub fn name(&self, tag: u64) -> String {
        format!("{}feeder{:02}.{}", self.station_prefix(tag), feeder(tag), measure(tag).0)
    }

    /// A tag's unit.
    pub fn unit(&self, tag: u64) -> &'static str {
        measure(tag).2
    }

    /// A tag's description.
    pub fn description(&self, tag: u64) -> String {
        format!("{} of feeder {} in station {}", measure(tag).0, feeder(tag), tag / STATION_TAGS)
    }

    fn labels(&self, tag: u64) -> String {
        format!(r#"{{"region": "{}", "station": "{}"}}"#, self.region(tag), self.station(tag))
    }

    /// The columns of a batch of tags.
    pub fn tag_schema() -> SchemaRef {
        let field = |name: &str| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(["name", "kind", "unit", "description", "labels"].map(field).to_vec()))
    }

    /// These tags, to be made.
    pub fn tag_batch(&self, schema: &SchemaRef, tags: Range<u64>) -> RecordBatch {
        let texts = |of: &dyn Fn(u64) -> String| Arc::new(StringArray::from_iter_values(tags.clone().map(of))) as ArrayRef;
        let words = |of: &dyn Fn(u64) -> &'static str| Arc::new(StringArray::from_iter_values(tags.clone().map(of))) as ArrayRef;
        let arrays = vec![
            texts(&|tag| self.name(tag)),
            words(&|tag| measure(tag).1),
            words(&|tag| self.unit(tag)),
            texts(&|tag| self.description(tag)),
            texts(&|tag| self.labels(tag)),
        ];
        RecordBatch::try_new(Arc::clone(schema), arrays).expect("the columns are those of the schema, and equally long")
    }

    /// The sample of a tag's step.
    pub fn sample(&self, tag: u64, step: u64) -> Sample {
        let bits = hash(self.seed, tag, step);
        let part = |below: u64| (bits % below) as f64;
        let value = match tag % MEASURES.len() as u64 {
            0 => 110.0 + part(2_000) / 100.0,
            1 => part(60_000) / 100.0,
            2 => part(300_000) / 1000.0,
            3 => (hash(self.seed, tag, u64::MAX) % 1_000_000 + step) as f64,
            _ => part(2),
        };
        let late_ms = (bits >> 40) as i64 & 0x3F;
        let quality = if bits >> 54 == 0 { 0 } else { 192 };
        Sample { time: START_US + step as i64 * STEP_US + late_ms * 1000, value, quality }
    }

    /// The samples of a step of these tags.
    pub fn columns(&self, tags: Range<u64>, step: u64) -> Columns {
        let mut columns = Columns::with_room((tags.end - tags.start) as usize);
        for tag in tags {
            let sample = self.sample(tag, step);
            columns.tags.push(tag);
            columns.times.push(sample.time);
            columns.values.push(sample.value);
            columns.qualities.push(sample.quality);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn tags_are_as_large_plants_name_them() {
        let fleet = Fleet { seed: 1 };
        assert_eq!(fleet.name(1_234_567), "grid.region012.station012345.feeder13.power");
        assert!(fleet.name(9_999_999).starts_with(&fleet.station_prefix(9_999_900)));
        assert_eq!(fleet.station(9_999_999), "station099999");
        let schema = Fleet::tag_schema();
        let batch = fleet.tag_batch(&schema, 100..205);
        assert_eq!(batch.column(0).as_string::<i32>().value(104), fleet.name(204));
        assert_eq!(batch.column(1).as_string::<i32>().value(4), "bool");
        let mut names: Vec<String> = (0..1000).map(|tag| fleet.name(tag)).collect();
        names.dedup();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn samples_can_be_asked_for_again() {
        let fleet = Fleet { seed: 7 };
        let columns = fleet.columns(50..80, 3);
        let again = fleet.sample(61, 3);
        assert_eq!((columns.times[11], columns.values[11], columns.qualities[11]), (again.time, again.value, again.quality));
        assert!(fleet.sample(61, 4).time > again.time);
        assert!((0..500).all(|tag| tag % 5 != 4 || [0.0, 1.0].contains(&fleet.sample(tag, 0).value)));
    }
}
