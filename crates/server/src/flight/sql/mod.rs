//! Flight SQL: statements, prepared statements, bulk ingestion and the catalogue, for ADBC, JDBC and their like.
//! `docs/flight.md` is the user's side.
//!
//! ```text
//!   GetFlightInfo(query) -> prepared -> ticket ... DoGet(ticket) -> run on the query runtime -> messages, as they are read
//!                (anything without rows)  -> run at once, answered with its count
//!   DoPut(update) -> run, a row of parameters each            DoPut(query) -> parameters are bound
//!   DoPut(ingest) -> columns -> commits, as DoPut of samples does
//!   GetFlightInfo, DoGet(catalogue) -> asked by SQL in the caller's session
//! ```
//!
//! Promises: every call runs as the user who was authenticated, in a session of the engine; a malformed or foreign message is
//! an error of its own call and no more; what is kept for a client is bounded.

mod catalogue;
mod encode;
pub(crate) mod error;
mod info;
mod ingest;
mod options;
mod parameters;
mod run;
mod session;

use super::message::{Decoder, Message};
use super::put::Open;
use crate::auth::Caller;
use crate::shared::Shared;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, Any, Command, CommandStatementIngest, DoPutPreparedStatementResult, DoPutUpdateResult,
    ProstMessageExt,
};
use arrow_flight::{
    ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData, FlightDescriptor, FlightEndpoint,
    FlightInfo, Ticket,
};
use bytes::Bytes;
use catalogue::answer;
use encode::Encoder;
use futures::stream::{self, BoxStream, StreamExt};
use parameters::Bound;
use prost::Message as _;
use query::Prepared;
use session::{Held, Sessions};
use std::sync::Arc;
use tonic::{Status, Streaming};

/// Names of the actions, and what each does.
const ACTIONS: [(&str, &str); 7] = [
    (
        "CreatePreparedStatement",
        "prepares a statement; ActionCreatePreparedStatementRequest -> ActionCreatePreparedStatementResult",
    ),
    ("ClosePreparedStatement", "forgets a prepared statement; ActionClosePreparedStatementRequest"),
    ("CancelFlightInfo", "cancels a query; CancelFlightInfoRequest -> CancelFlightInfoResult"),
    ("CancelQuery", "the same; ActionCancelQueryRequest -> ActionCancelQueryResult"),
    ("SetSessionOptions", "makes settings of the session; SetSessionOptionsRequest -> SetSessionOptionsResult"),
    ("GetSessionOptions", "tells settings of the session; GetSessionOptionsRequest -> GetSessionOptionsResult"),
    ("CloseSession", "ends the session; CloseSessionRequest -> CloseSessionResult"),
];
/// Actions that are known and refused.
const REFUSED: [&str; 5] =
    ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint", "CreatePreparedSubstraitPlan"];

/// A statement in its session, and what is bound to it.
type Meant = (Arc<Held>, Prepared, Option<Arc<Bound>>);

/// The door's SQL.
pub(crate) struct Sql {
    shared: Arc<Shared>,
    sessions: Arc<Sessions>,
}

/// The actions that there are.
pub(crate) fn actions() -> impl Iterator<Item = ActionType> {
    let action = |(name, what): &(&str, &str)| ActionType { r#type: (*name).to_owned(), description: (*what).to_owned() };
    ACTIONS.iter().map(action)
}

/// Whether a descriptor is a command of Flight SQL, well-formed or not; paths are the columnar door's.
pub(crate) fn is_command(descriptor: Option<&FlightDescriptor>) -> bool {
    descriptor.is_some_and(|descriptor| !descriptor.cmd.is_empty())
}

/// Transactions are refused wherever they are asked for.
fn no_transactions() -> Status {
    error::new("0A000", "transactions are not supported: each statement is committed by itself; hint: use autocommit")
}

fn in_transaction(id: Option<&Bytes>) -> Result<(), Status> {
    if id.is_some_and(|id| !id.is_empty()) { Err(no_transactions()) } else { Ok(()) }
}

fn command(bytes: &[u8]) -> Result<Command, Status> {
    let any = Any::decode(bytes).map_err(error::malformed)?;
    Command::try_from(any).map_err(error::malformed)
}

/// A command that can't be used in this place.
fn misplaced(command: &Command, call: &str) -> Status {
    let shown: String = command.type_url().chars().take(120).collect();
    match command {
        Command::CommandStatementSubstraitPlan(_) => error::new("0A000", "Substrait plans are not supported; hint: send SQL"),
        _ => error::new("08P01", format!("{call} does not take a message of type \"{shown}\"")),
    }
}

/// A message of an action, in an Any.
fn unpacked<M: ProstMessageExt>(body: &[u8]) -> Result<M, Status> {
    let any = Any::decode(body).map_err(error::malformed)?;
    let unpacked = any.unpack().map_err(error::malformed)?;
    unpacked.ok_or_else(|| error::malformed(format!("expected {}, got \"{}\"", M::type_url(), any.type_url)))
}

impl Sql {
    pub(crate) fn new(shared: Arc<Shared>) -> Sql {
        Sql { sessions: Sessions::new(Arc::clone(&shared)), shared }
    }

    /// The statement that a command means, and what is bound to it.
    async fn statement(&self, caller: &Caller, command: &Command) -> Result<Option<Meant>, Status> {
        Ok(Some(match command {
            Command::CommandStatementQuery(query) => {
                in_transaction(query.transaction_id.as_ref())?;
                let held = self.sessions.of(caller).await?;
                let prepared = run::prepare(&self.shared, &held, query.query.clone()).await?;
                (held, prepared, None)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let (held, statement) = self.sessions.prepared(&query.prepared_statement_handle, caller)?;
                (held, statement.prepared.clone(), statement.bound())
            }
            _ => return Ok(None),
        }))
    }

    /// What a query gives, and where: statements without rows are done when this returns.
    pub(crate) async fn flight_info(&self, caller: &Caller, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let command = command(&descriptor.cmd)?;
        let info = |schema: &Schema| -> Result<FlightInfo, Status> {
            let info = FlightInfo::new().with_total_records(-1).with_total_bytes(-1);
            Ok(FlightInfo { schema: encode::schema_bytes(schema)?, ..info })
        };
        let Some((held, prepared, bound)) = self.statement(caller, &command).await? else {
            let schema = catalogue::schema(&command).ok_or_else(|| misplaced(&command, "GetFlightInfo"))?;
            let ticket = Ticket::new(descriptor.cmd.clone());
            return Ok(info(&schema)?.with_endpoint(FlightEndpoint::new().with_ticket(ticket)).with_descriptor(descriptor));
        };
        let Some(schema) = prepared.schema() else {
            let rows = run::update(&self.shared, &held, prepared, bound).await?;
            return Ok(info(&Schema::empty())?.with_total_records(count(rows)).with_descriptor(descriptor));
        };
        let handle = held.keep_ticket(&self.shared, session::Ticket { prepared, bound });
        let ticket = arrow_flight::sql::TicketStatementQuery { statement_handle: handle };
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.as_any().encode_to_vec()));
        Ok(info(&encode::schema(&schema))?.with_endpoint(endpoint).with_descriptor(descriptor).with_ordered(true))
    }

    /// The schema of what a query gives; nothing runs.
    pub(crate) async fn schema(&self, caller: &Caller, descriptor: &FlightDescriptor) -> Result<Bytes, Status> {
        let command = command(&descriptor.cmd)?;
        let schema: SchemaRef = match self.statement(caller, &command).await? {
            Some((_, prepared, _)) => {
                prepared.schema().map_or_else(|| Arc::new(Schema::empty()), |schema| encode::schema(&schema))
            }
            None => catalogue::schema(&command).ok_or_else(|| misplaced(&command, "GetSchema"))?,
        };
        encode::schema_bytes(&schema)
    }

    /// The rows of a ticket.
    pub(crate) async fn get(
        &self,
        caller: &Caller,
        ticket: &[u8],
    ) -> Result<BoxStream<'static, Result<FlightData, Status>>, Status> {
        let command = command(ticket)?;
        if let Command::TicketStatementQuery(ticket) = &command {
            let reading = self.sessions.read(&ticket.statement_handle, caller)?;
            // FETCH from a cursor that is closed by now.
            let gone = || error::new("34000", "the cursor of this ticket does not exist any more");
            let schema = reading.ticket.prepared.schema().ok_or_else(gone)?;
            return Ok(run::stream(&self.shared, reading, encode::schema(&schema)));
        }
        let Some(schema) = catalogue::schema(&command) else { return Err(misplaced(&command, "DoGet")) };
        let held = self.sessions.of(caller).await?;
        let batch = answer(&self.shared, &held.session, command).await?;
        let mut encoder = Encoder::new(schema);
        let mut messages = vec![encoder.head()];
        for piece in encode::pieces(&batch) {
            messages.extend(encoder.encode(&piece)?);
        }
        Ok(stream::iter(messages.into_iter().map(Ok)).boxed())
    }

    /// A DoPut whose first message is a command; the answer is its one result's bytes.
    pub(crate) async fn put(&self, caller: &Caller, first: FlightData, stream: Streaming<FlightData>) -> Result<Bytes, Status> {
        let descriptor = first.flight_descriptor.as_ref().map_or(&[][..], |descriptor| &descriptor.cmd);
        let command = command(descriptor)?;
        let batches = Batches { decoder: Decoder::of_any_type(), first: Some(first), stream };
        let updated = |rows: u64| Bytes::from(DoPutUpdateResult { record_count: count(rows) }.encode_to_vec());
        match command {
            Command::CommandStatementUpdate(update) => {
                in_transaction(update.transaction_id.as_ref())?;
                let held = self.sessions.of(caller).await?;
                let prepared = run::prepare(&self.shared, &held, update.query).await?;
                run::update(&self.shared, &held, prepared, None).await.map(updated)
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let (held, statement) = self.sessions.prepared(&update.prepared_statement_handle, caller)?;
                let bound = batches.bound(&self.shared, &statement.prepared).await?;
                let bound = bound.map(Arc::new).or_else(|| statement.bound());
                run::update(&self.shared, &held, statement.prepared.clone(), bound).await.map(updated)
            }
            Command::CommandPreparedStatementQuery(query) => {
                let (held, statement) = self.sessions.prepared(&query.prepared_statement_handle, caller)?;
                let bound = batches.bound(&self.shared, &statement.prepared).await?;
                held.bind(&self.shared, &statement, bound.unwrap_or_default())?;
                let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) };
                Ok(result.encode_to_vec().into())
            }
            Command::CommandStatementIngest(command) => self.ingest(caller, &command, batches).await.map(updated),
            other => Err(misplaced(&other, "DoPut")),
        }
    }

    async fn ingest(&self, caller: &Caller, command: &CommandStatementIngest, mut batches: Batches) -> Result<u64, Status> {
        let held = self.sessions.of(caller).await?;
        let _open = Open::new(&self.shared);
        let mut ingest = ingest::Ingest::begin(&self.shared, &held.session, command)?;
        let taken = async {
            while let Some(batch) = batches.next().await? {
                ingest.take(&batch).await?;
            }
            ingest.finish().await
        };
        match taken.await {
            Ok(rows) => Ok(rows),
            Err(status) => {
                let status = ingest.fail(status).await;
                if status.code() == tonic::Code::PermissionDenied {
                    held.session.refused(&format!("ingest into {}", command.table), status.message());
                }
                Err(status)
            }
        }
    }

    /// Does an action; None where it is none of Flight SQL.
    pub(crate) async fn action(&self, caller: &Caller, name: &str, body: &[u8]) -> Result<Option<Vec<Bytes>>, Status> {
        let one = |bytes: Vec<u8>| Ok(Some(vec![Bytes::from(bytes)]));
        match name {
            "CreatePreparedStatement" => one(self.create_prepared(caller, unpacked(body)?).await?.as_any().encode_to_vec()),
            "ClosePreparedStatement" => {
                let request: ActionClosePreparedStatementRequest = unpacked(body)?;
                self.sessions.close_prepared(&request.prepared_statement_handle, caller);
                Ok(Some(Vec::new()))
            }
            "CancelFlightInfo" => {
                let request = CancelFlightInfoRequest::decode(body).map_err(error::malformed)?;
                let status = self.cancel(caller, request.info.unwrap_or_default())?;
                one(CancelFlightInfoResult { status: status as i32 }.encode_to_vec())
            }
            "CancelQuery" => {
                let request: ActionCancelQueryRequest = unpacked(body)?;
                let info = FlightInfo::decode(request.info).map_err(error::malformed)?;
                let status = self.cancel(caller, info)?;
                // Both tell the same by the same numbers.
                one(ActionCancelQueryResult { result: status as i32 }.as_any().encode_to_vec())
            }
            "SetSessionOptions" => {
                let request = options::SetRequest::decode(body).map_err(error::malformed)?;
                let held = self.sessions.of(caller).await?;
                held.note_change();
                let session = Arc::clone(&held.session);
                let result = run::aside(&self.shared, async move { Ok(options::set_all(&session, request).await) }).await?;
                one(result.encode_to_vec())
            }
            "GetSessionOptions" => one(options::all(&self.sessions.of(caller).await?.session).encode_to_vec()),
            "CloseSession" => {
                self.sessions.close(caller);
                one(options::CloseResult { status: 1 }.encode_to_vec())
            }
            refused if REFUSED.contains(&refused) && refused.ends_with("Plan") => {
                Err(error::new("0A000", "Substrait plans are not supported; hint: send SQL"))
            }
            refused if REFUSED.contains(&refused) => Err(no_transactions()),
            _ => Ok(None),
        }
    }

    async fn create_prepared(
        &self,
        caller: &Caller,
        request: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        in_transaction(request.transaction_id.as_ref())?;
        let held = self.sessions.of(caller).await?;
        let prepared = run::prepare(&self.shared, &held, request.query).await?;
        let dataset_schema = prepared.schema().map(|schema| encode::schema_bytes(&encode::schema(&schema))).transpose()?;
        let parameters = prepared.parameters();
        let parameter_schema =
            (!parameters.is_empty()).then(|| encode::schema_bytes(&parameters::schema(parameters))).transpose()?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: held.keep_prepared(&self.shared, prepared)?,
            dataset_schema: dataset_schema.unwrap_or_default(),
            parameter_schema: parameter_schema.unwrap_or_default(),
        })
    }

    /// Cancels what the tickets of an answer stand for.
    fn cancel(&self, caller: &Caller, info: FlightInfo) -> Result<CancelStatus, Status> {
        let mut cancelled = false;
        for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
            if let Command::TicketStatementQuery(ticket) = command(&ticket.ticket)? {
                cancelled |= self.sessions.cancel(&ticket.statement_handle, caller);
            }
        }
        Ok(if cancelled { CancelStatus::Cancelled } else { CancelStatus::NotCancellable })
    }
}

/// A count as messages hold it.
fn count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// The batches of a DoPut.
struct Batches {
    decoder: Decoder,
    first: Option<FlightData>,
    stream: Streaming<FlightData>,
}

impl Batches {
    async fn next(&mut self) -> Result<Option<arrow::array::RecordBatch>, Status> {
        loop {
            let data = match self.first.take() {
                Some(first) => first,
                None => match self.stream.message().await? {
                    Some(data) => data,
                    None => return Ok(None),
                },
            };
            if let Message::Batch(batch) = self.decoder.decode(&data).map_err(error::named)? {
                return Ok(Some(batch));
            }
        }
    }

    /// All rows, as parameters of a statement; None where no batch came.
    async fn bound(mut self, shared: &Shared, prepared: &Prepared) -> Result<Option<Bound>, Status> {
        let limit = shared.settings.flight_waiting_bytes_max;
        let mut bound: Option<Bound> = None;
        while let Some(batch) = self.next().await? {
            let bound = bound.get_or_insert_default();
            bound.push(batch, prepared.parameters())?;
            if bound.bytes() > limit {
                let message = format!("the parameters of one call take more than {limit} bytes");
                return Err(error::new("53400", message + "; hint: send fewer rows at once, or use bulk ingestion"));
            }
        }
        Ok(bound)
    }
}
