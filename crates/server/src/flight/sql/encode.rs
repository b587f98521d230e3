//! Answers as Arrow messages that drivers take: types that some of them choke on become plain ones, and no message is much
//! longer than `MESSAGE_BYTES`.
//!
//! Promises: the schema that is told beforehand is the stream's; dictionaries, views and run ends become the values they
//! stand for; times keep their zone; a batch is split between rows, never within one.

use super::error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::{FlightData, IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use tonic::Status;

/// How long a message is meant to be: gRPC's clients take 4 MiB unless told otherwise.
const MESSAGE_BYTES: usize = 1 << 20;
/// Where drivers read SQL's name of a column's type.
pub(crate) const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";

/// The type that stands for one on the wire.
fn plain(data_type: &DataType) -> DataType {
    let field = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())));
    match data_type {
        DataType::Null | DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::List(item) | DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// The schema of an answer, as it is told and sent.
pub(crate) fn schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        let metadata = HashMap::from([(TYPE_NAME.to_owned(), query::type_name(field.data_type()))]);
        Field::new(field.name(), plain(field.data_type()), field.is_nullable()).with_metadata(metadata)
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// A schema as messages hold it within themselves.
pub(crate) fn schema_bytes(schema: &Schema) -> Result<Bytes, Status> {
    let message: IpcMessage = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(faulty)?;
    Ok(message.0)
}

/// About how many bytes some rows of a column take.
fn bytes_of(column: &ArrayRef) -> usize {
    let views = |lengths: usize| lengths + column.len() * 16;
    match column.data_type() {
        DataType::Utf8View => views(column.as_string_view().lengths().map(|length| length as usize).sum()),
        DataType::BinaryView => views(column.as_binary_view().lengths().map(|length| length as usize).sum()),
        _ => column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()),
    }
}

/// The parts of a batch that make a message each.
pub(crate) fn pieces(batch: &RecordBatch) -> Vec<RecordBatch> {
    let mut done = Vec::new();
    split(batch.clone(), &mut done);
    done
}

fn split(batch: RecordBatch, done: &mut Vec<RecordBatch>) {
    let (rows, bytes) = (batch.num_rows(), batch.columns().iter().map(bytes_of).sum::<usize>());
    if rows < 2 || bytes <= MESSAGE_BYTES {
        done.push(batch);
        return;
    }
    // Rows are not all alike: each half is measured again.
    split(batch.slice(0, rows / 2), done);
    split(batch.slice(rows / 2, rows - rows / 2), done);
}

/// Writes the messages of one stream.
pub(crate) struct Encoder {
    schema: SchemaRef,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    context: IpcWriteContext,
}

impl Encoder {
    pub(crate) fn new(schema: SchemaRef) -> Encoder {
        Encoder {
            schema,
            options: IpcWriteOptions::default(),
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            context: IpcWriteContext::default(),
        }
    }

    /// The first message.
    pub(crate) fn head(&self) -> FlightData {
        SchemaAsIpc::new(&self.schema, &self.options).into()
    }

    /// The messages of a batch.
    pub(crate) fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>, Status> {
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(faulty)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(faulty)?;
        let encoded = self.generator.encode(&batch, &mut self.dictionaries, &self.options, &mut self.context);
        let (dictionaries, data) = encoded.map_err(faulty)?;
        Ok(dictionaries.into_iter().chain([data]).map(FlightData::from).collect())
    }
}

fn faulty(cause: ArrowError) -> Status {
    tracing::error!(%cause, "an answer could not be encoded");
    error::new("XX000", format!("internal error: the answer could not be encoded: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array, ListBuilder, StringArray, StringViewArray, StringViewBuilder};
    use arrow::datatypes::{Int32Type, TimeUnit};
    use arrow_flight::utils::flight_data_to_batches;

    #[test]
    fn what_drivers_choke_on_becomes_plain() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(plain(&time), time);
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        lists.append_value([Some("a"), None]);
        lists.append_null();
        let names: DictionaryArray<Int32Type> = [Some("x"), None].into_iter().collect();
        let columns: Vec<(&str, ArrayRef, bool)> = vec![
            ("view", Arc::new(StringViewArray::from(vec![Some("text"), None])), true),
            ("dictionary", Arc::new(names), true),
            ("list", Arc::new(lists.finish()), true),
            ("nothing", Arc::new(arrow::array::NullArray::new(2)), true),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let told = schema(&batch.schema());
        let mut encoder = Encoder::new(told.clone());
        let mut messages = vec![encoder.head()];
        messages.extend(encoder.encode(&batch).unwrap());
        let back = flight_data_to_batches(&messages).unwrap();
        assert_eq!(back[0].schema(), told);
        for (at, expected) in [(0, "text"), (1, "x")] {
            let column: &StringArray = back[0].column(at).as_string();
            assert_eq!((column.value(0), column.is_null(1)), (expected, true));
        }
        let list = back[0].column(2).as_list::<i32>().value(0);
        assert_eq!((list.as_string::<i32>().value(0), list.is_null(1)), ("a", true));
        assert_eq!(back[0].column(3).null_count(), 2);
    }

    #[test]
    fn messages_are_about_as_long_as_they_should_be() {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1_000_000));
        // All long texts stand at the end.
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(
            (0..1000).map(|row| if row < 997 { String::new() } else { "x".repeat(700_000) }),
        ));
        for column in [numbers, texts] {
            let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
            let pieces = pieces(&batch);
            assert_eq!(pieces.iter().map(RecordBatch::num_rows).sum::<usize>(), batch.num_rows());
            let mut encoder = Encoder::new(schema(&batch.schema()));
            for piece in &pieces {
                for message in encoder.encode(piece).unwrap() {
                    assert!(message.data_body.len() <= MESSAGE_BYTES + 4096, "{}", message.data_body.len());
                }
            }
        }
        let empty = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert_eq!(pieces(&empty).len(), 1);
    }
}
