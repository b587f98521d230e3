//! Flight SQL, by Arrow's own client for Rust: statements, tickets, sessions, updates, the catalogue, cancelling, limits, garbage.

use crate::flight::{array, batch};
use crate::node::{Node, settings};
use arrow::array::{AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::{FlightSqlServiceClient, PreparedStatement};
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandStatementIngest, CommandStatementQuery, ProstMessageExt,
    TableDefinitionOptions, TableExistsOption, TableNotExistOption, TicketStatementQuery,
};
use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo, Ticket};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use server::Settings;
use std::sync::Arc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use types::Kind;

pub type Sql = FlightSqlServiceClient<Channel>;

async fn channel(node: &Node) -> Channel {
    Endpoint::from_shared(node.flight_url()).unwrap().connect().await.unwrap()
}

pub async fn client(node: &Node) -> Sql {
    Sql::new(channel(node).await)
}

pub fn ticket(info: &FlightInfo) -> Ticket {
    let [endpoint] = info.endpoint.as_slice() else { panic!("one endpoint was expected: {info}") };
    assert!(endpoint.location.is_empty(), "the rows are here");
    endpoint.ticket.clone().unwrap()
}

/// The status behind an error of the client, which tells it in several ways.
pub fn status_of(error: &FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => (**status).clone(),
        other => panic!("no status: {other:?}"),
    }
}

pub async fn read(client: &mut Sql, ticket: Ticket) -> Result<RecordBatch, Status> {
    let rows = client.do_get(ticket).await.map_err(|error| status_of(&error))?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(|error: FlightError| status_of(&error))?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(concat_batches(&schema, &batches).unwrap())
}

pub async fn query(client: &mut Sql, sql: &str) -> Result<RecordBatch, Status> {
    let info = client.execute(sql.to_owned(), None).await.map_err(|error| status_of(&error))?;
    read(client, ticket(&info)).await
}

/// The one number that a query gives.
pub async fn number(client: &mut Sql, sql: &str) -> i64 {
    query(client, sql).await.unwrap().column(0).as_primitive::<Int64Type>().value(0)
}

pub async fn text(client: &mut Sql, sql: &str) -> String {
    query(client, sql).await.unwrap().column(0).as_string::<i32>().value(0).to_owned()
}

pub async fn told(client: &mut Sql, info: FlightInfo) -> RecordBatch {
    let schema = info.clone().try_decode_schema().unwrap();
    let batch = read(client, ticket(&info)).await.unwrap();
    if batch.num_rows() > 0 {
        assert_eq!(*batch.schema(), schema, "what is told beforehand is what comes");
    }
    batch
}

pub fn sqlstate(status: &Status) -> &str {
    status.metadata().get("sqlstate").map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_come_in_types_that_drivers_know() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut client = client(&node).await;
    assert_eq!(
        client
            .execute_update("INSERT INTO samples VALUES ('t0', '2024-01-01', 1.5), ('t0', '2024-01-02', 2.5)".into(), None)
            .await
            .unwrap(),
        2
    );
    let info = client.execute("SELECT * FROM samples ORDER BY time".into(), None).await.unwrap();
    let schema = info.clone().try_decode_schema().unwrap();
    let types: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(types, [&DataType::Utf8, &time, &DataType::Float64, &DataType::Int16]);
    assert_eq!(schema.field(1).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "timestamp with time zone");
    assert_eq!((info.total_records, info.total_bytes), (-1, -1));
    let rows = told(&mut client, info).await;
    assert_eq!(rows.num_rows(), 2);
    // No rows: the schema comes all the same.
    let info = client.execute("SELECT tag, value FROM samples WHERE tag = 'nobody'".into(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    assert!(stream.next().await.is_none());
    assert_eq!(stream.schema().unwrap().fields().len(), 2);
    // GetSchema runs nothing.
    let command = CommandStatementQuery { query: "SELECT pg_sleep(600), 1::bigint AS x".into(), transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let schema = client.inner_mut().get_schema(descriptor.clone()).await.unwrap().into_inner();
    let schema = Schema::try_from(schema).unwrap();
    assert_eq!(schema.field(1).name(), "x");
    let polled = client.inner_mut().poll_flight_info(descriptor).await.unwrap().into_inner();
    assert!(polled.flight_descriptor.is_none() && polled.info.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client_asks_over_one_connection() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let client = node.flight().await;
    let mut rows = 0;
    for sql in ["SELECT * FROM generate_series(1, 100000)", "SELECT name FROM tags", "SELECT value FROM samples WHERE tag = 't0'"]
    {
        let mut answer = client.query(sql).await.unwrap();
        while let Some(batch) = answer.next().await.unwrap() {
            rows += batch.num_rows();
        }
    }
    assert_eq!(rows, 100_001);
    let code = async |sql| match client.query(sql).await {
        Ok(mut answer) => loop {
            match answer.next().await {
                Ok(batch) => assert!(batch.is_some(), "{sql} ended as if nothing were wrong"),
                Err(status) => break status.code(),
            }
        },
        Err(status) => status.code(),
    };
    assert_eq!(code("SELECT * FROM nothing").await, Code::NotFound);
    assert_eq!(code("SELECT 1 / (x - 5) FROM generate_series(1, 9) AS g (x)").await, Code::InvalidArgument);
    assert_eq!(code("INSERT INTO samples VALUES ('t0', now(), 1)").await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_stream_in_small_messages_and_wait_for_their_reader() {
    let node = Node::plain();
    let mut client = client(&node).await;
    let info =
        client.execute("SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 200000) AS g(n)".into(), None).await.unwrap();
    let mut messages = client.inner_mut().do_get(ticket(&info)).await.unwrap().into_inner();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(message) = messages.message().await.unwrap() {
        assert!(message.data_body.len() < 2 << 20, "a message of {} bytes", message.data_body.len());
        bytes += message.data_body.len();
        rows += usize::from(!message.data_body.is_empty());
    }
    assert!(bytes > 200_000_000 && rows > 100, "{bytes} bytes in {rows} messages");
    // Read only at its beginning, it is not made beyond what fits into the windows, and ends with its reader.
    let info = client
        .execute("SELECT a.n FROM generate_series(1, 100000) a(n), generate_series(1, 100000) b(n)".into(), None)
        .await
        .unwrap();
    let mut messages = client.inner_mut().do_get(ticket(&info)).await.unwrap().into_inner();
    messages.message().await.unwrap().unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM meridian.queries WHERE query LIKE 'SELECT a.n FROM%'").await, 1);
    drop(messages);
    while number(&mut client, "SELECT count(*) FROM meridian.queries WHERE query LIKE 'SELECT a.n FROM%'").await > 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_carry_their_sqlstate() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut client = client(&node).await;
    for (sql, code, state) in [
        ("SELECT * FROM nothing", Code::NotFound, "42P01"),
        ("SELEC 1", Code::InvalidArgument, "42601"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "42601"),
        ("SELECT 1/0", Code::InvalidArgument, "22012"),
        ("SELECT 'x'::float8", Code::InvalidArgument, "22P02"),
        ("COPY samples TO STDOUT", Code::Unimplemented, "0A000"),
        ("COPY samples FROM STDIN", Code::Unimplemented, "0A000"),
        ("INSERT INTO samples VALUES ('nobody', now(), 1)", Code::NotFound, "23503"),
        ("INSERT INTO tags (name, kind) VALUES ('t0', 'f64')", Code::AlreadyExists, "23505"),
        ("DELETE FROM latest", Code::Unimplemented, "0A000"),
    ] {
        let status = query(&mut client, sql).await.unwrap_err();
        assert_eq!((status.code(), sqlstate(&status)), (code, state), "{sql}: {status:?}");
        assert!(status.message().ends_with(&format!("(SQLSTATE {state})")), "{sql}: {}", status.message());
    }
    // Blanks and comments are nothing, and SET is a setting of the session.
    for sql in ["", "-- nothing", "SET timezone = 'Asia/Shanghai'"] {
        assert!(client.execute(sql.into(), None).await.unwrap().endpoint.is_empty(), "{sql}");
    }
    assert_eq!(text(&mut client, "SHOW timezone").await, "Asia/Shanghai");
    assert_eq!(node.server().counts().failed_statements, 8, "COPY is refused before it fails");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once_and_for_its_user() {
    let node = Node::start(Settings { loopback_trusted: false, password: Some("geheim".to_owned()), ..settings() });
    let mut first = client(&node).await;
    // Nobody without a name, and nobody with a wrong password.
    assert_eq!(query(&mut first, "SELECT 1").await.unwrap_err().code(), Code::Unauthenticated);
    for (user, password) in [("meridian", "x"), ("nobody", "geheim"), ("", "")] {
        assert!(client(&node).await.handshake(user, password).await.is_err(), "{user}");
    }
    first.handshake("meridian", "geheim").await.unwrap();
    let info = first.execute("SELECT 1::bigint".into(), None).await.unwrap();
    assert_eq!(read(&mut first, ticket(&info)).await.unwrap().num_rows(), 1);
    let again = read(&mut first, ticket(&info)).await.unwrap_err();
    assert_eq!((again.code(), sqlstate(&again)), (Code::InvalidArgument, "08P01"), "{again:?}");
    // Another connection of the same user may read it; it runs with the settings of whoever asked.
    first.execute("SET timezone = 'Asia/Shanghai'".into(), None).await.unwrap();
    let info = first.execute("SHOW timezone".into(), None).await.unwrap();
    let mut second = client(&node).await;
    second.handshake("meridian", "geheim").await.unwrap();
    assert_eq!(read(&mut second, ticket(&info)).await.unwrap().column(0).as_string::<i32>().value(0), "Asia/Shanghai");
    assert_eq!(text(&mut second, "SHOW timezone").await, "UTC", "each login is a session");
    // Another user may not, nor close or cancel what is not theirs.
    node.users.set_password("other", "anders").unwrap();
    let mut first = client(&node).await;
    first.handshake("meridian", "geheim").await.unwrap();
    let mut third = client(&node).await;
    third.handshake("other", "anders").await.unwrap();
    assert_eq!(text(&mut third, "SELECT current_user").await, "other");
    let info = first.execute("SELECT 1::bigint".into(), None).await.unwrap();
    assert_eq!(read(&mut third, ticket(&info)).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(cancel(&mut third, &info).await, CancelStatus::NotCancellable);
    assert_eq!(read(&mut first, ticket(&info)).await.unwrap().num_rows(), 1);
    // Tickets that were never given.
    for handle in [&b""[..], b"x", &[0; 20], &[0xff; 20], &[0; 4096]] {
        let forged = TicketStatementQuery { statement_handle: handle.to_vec().into() };
        let status = read(&mut first, Ticket::new(forged.as_any().encode_to_vec())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    // A token ends its session with CloseSession; the next call has a new one.
    second.execute("SET read_consistency = 'any'".into(), None).await.unwrap();
    action(&mut second, "CloseSession", Vec::new()).await.unwrap();
    assert_eq!(text(&mut second, "SHOW read_consistency").await, "primary");
}

async fn action(client: &mut Sql, name: &str, body: Vec<u8>) -> Result<Vec<bytes::Bytes>, Status> {
    let action = Action { r#type: name.to_owned(), body: body.into() };
    let results = client.do_action(action).await.map_err(|error| status_of(&error))?;
    results.map_ok(|result| result.body).try_collect().await
}

async fn cancel(client: &mut Sql, info: &FlightInfo) -> CancelStatus {
    let request = CancelFlightInfoRequest { info: Some(info.clone()) };
    let results = action(client, "CancelFlightInfo", request.encode_to_vec()).await.unwrap();
    CancelFlightInfoResult::decode(results[0].clone()).unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_can_be_cancelled() {
    let node = Node::plain();
    let mut client = client(&node).await;
    // While it runs: the reader is told.
    let info = client.execute("SELECT pg_sleep(600)".into(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    while number(&mut client, "SELECT count(*) FROM meridian.queries WHERE query = 'SELECT pg_sleep(600)'").await == 0 {}
    assert_eq!(cancel(&mut client, &info).await, CancelStatus::Cancelled);
    let status = status_of(&stream.next().await.unwrap().unwrap_err());
    assert_eq!((status.code(), sqlstate(&status)), (Code::Cancelled, "57014"));
    while number(&mut client, "SELECT count(*) FROM meridian.queries WHERE query = 'SELECT pg_sleep(600)'").await > 0 {}
    assert_eq!(cancel(&mut client, &info).await, CancelStatus::NotCancellable);
    // Before it runs, by the older action.
    let info = client.execute("SELECT 1".into(), None).await.unwrap();
    let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let results = action(&mut client, "CancelQuery", request.as_any().encode_to_vec()).await.unwrap();
    let result: ActionCancelQueryResult = Any::decode(results[0].clone()).unwrap().unpack().unwrap().unwrap();
    assert_eq!(result.result, CancelStatus::Cancelled as i32);
    assert_eq!(read(&mut client, ticket(&info)).await.unwrap_err().code(), Code::InvalidArgument);
    // By the limit of the session.
    client.execute("SET statement_timeout = '50ms'".into(), None).await.unwrap();
    let status = query(&mut client, "SELECT pg_sleep(600)").await.unwrap_err();
    assert_eq!((status.code(), sqlstate(&status)), (Code::Cancelled, "57014"));
    let error =
        client.execute_update("INSERT INTO tags (name, kind) SELECT 'x', 'f64' WHERE pg_sleep(600) IS NULL".into(), None).await;
    assert_eq!(sqlstate(&status_of(&error.unwrap_err())), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_cancels_what_runs() {
    let mut node = Node::plain();
    let mut client = client(&node).await;
    let info = client.execute("SELECT pg_sleep(600)".into(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    while number(&mut client, "SELECT count(*) FROM meridian.queries WHERE query = 'SELECT pg_sleep(600)'").await == 0 {}
    let server = node.server.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop());
    let status = status_of(&stream.next().await.unwrap().unwrap_err());
    assert_eq!(sqlstate(&status), "57014", "{status:?}");
    drop((stream, client));
    stopping.join().unwrap().unwrap();
}

pub async fn prepared(client: &mut Sql, sql: &str) -> PreparedStatement<Channel> {
    client.prepare(sql.to_owned(), None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_tell_what_they_take_and_give() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::F64]);
    let mut client = client(&node).await;
    let mut insert = prepared(&mut client, "INSERT INTO samples (tag, time, value) VALUES ($1, $2, $3)").await;
    assert!(insert.dataset_schema().unwrap().fields().is_empty());
    let wanted: Vec<&DataType> = insert.parameter_schema().unwrap().fields().iter().map(|field| field.data_type()).collect();
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(wanted, [&DataType::Utf8, &time, &DataType::Float64]);
    let rows = |tags: Vec<&str>, value: f64| {
        let times = (0..tags.len() as i64).map(|at| at * 1_000_000);
        batch(vec![
            ("tag", array(StringArray::from(tags.clone()))),
            ("time", array(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
            ("value", array(Float64Array::from(vec![value; tags.len()]))),
        ])
    };
    insert.set_parameters(rows(vec!["t0", "t1", "t0"], 1.5)).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 3);
    assert_eq!(number(&mut client, "SELECT count(*) FROM samples").await, 3);
    // What fails keeps what was done before it, and says so.
    insert.set_parameters(rows(vec!["t1", "nobody", "t1"], 2.5)).unwrap();
    let status = status_of(&insert.execute_update().await.unwrap_err());
    assert_eq!(sqlstate(&status), "23503");
    assert!(status.message().starts_with("parameters 2: ") && status.message().contains("changed 1 rows"), "{status:?}");
    insert.set_parameters(batch(vec![("x", array(Int64Array::from(vec![1])))])).unwrap();
    assert_eq!(sqlstate(&status_of(&insert.execute_update().await.unwrap_err())), "08P01");
    insert.close().await.unwrap();

    let mut select = prepared(&mut client, "SELECT tag, value FROM samples WHERE tag = $1 ORDER BY time").await;
    assert_eq!(select.dataset_schema().unwrap().field(0).data_type(), &DataType::Utf8);
    let unbound = select.execute().await.unwrap();
    assert_eq!(sqlstate(&read(&mut client, ticket(&unbound)).await.unwrap_err()), "08P01");
    // A query runs once a row of parameters.
    select.set_parameters(batch(vec![("tag", array(StringArray::from(vec!["t0", "t1", "nobody"])))])).unwrap();
    let info = select.execute().await.unwrap();
    assert_eq!(told(&mut client, info).await.num_rows(), 4);
    select.set_parameters(batch(vec![("tag", array(StringArray::from(vec!["t1"])))])).unwrap();
    let info = select.execute().await.unwrap();
    assert_eq!(read(&mut client, ticket(&info)).await.unwrap().num_rows(), 2);
    select.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_a_client_is_bounded() {
    let limits = Settings { statements_max: 3, flight_waiting_bytes_max: 64 << 10, connections_max: 2, ..settings() };
    let node = Node::start(limits);
    let mut client = client(&node).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(prepared(&mut client, "SELECT $1::bigint").await);
    }
    let status = status_of(&client.prepare("SELECT 1".into(), None).await.err().unwrap());
    assert_eq!((status.code(), sqlstate(&status)), (Code::ResourceExhausted, "53400"));
    kept.pop().unwrap().close().await.unwrap();
    kept.push(prepared(&mut client, "SELECT $1::bigint").await);
    // What is bound, in bytes: of one call, and of the session.
    let many = |rows: i64| batch(vec![("n", array(Int64Array::from_iter_values(0..rows)))]);
    kept[0].set_parameters(many(100_000)).unwrap();
    assert_eq!(sqlstate(&status_of(&kept[0].execute().await.unwrap_err())), "53400");
    for at in [0, 1] {
        kept[at].set_parameters(many(3_000)).unwrap();
        kept[at].execute().await.unwrap();
    }
    kept[2].set_parameters(many(3_000)).unwrap();
    assert_eq!(sqlstate(&status_of(&kept[2].execute().await.unwrap_err())), "53400");
    // Tickets that nobody reads: the oldest go.
    let oldest = client.execute("SELECT 0".into(), None).await.unwrap();
    for _ in 0..256 {
        client.execute("SELECT 1".into(), None).await.unwrap();
    }
    assert_eq!(read(&mut client, ticket(&oldest)).await.unwrap_err().code(), Code::InvalidArgument);
    // Sessions: one that would not be missed gives way, others do not; one whose connection is closed leaves its place.
    let mut blank = self::client(&node).await;
    assert_eq!(query(&mut blank, "SELECT 1").await.unwrap().num_rows(), 1);
    let mut second = self::client(&node).await;
    second.execute("SET timezone = 'Asia/Shanghai'".into(), None).await.unwrap();
    let mut third = self::client(&node).await;
    let status = query(&mut third, "SELECT 1").await.unwrap_err();
    assert_eq!((status.code(), sqlstate(&status)), (Code::ResourceExhausted, "53300"));
    drop(second);
    while query(&mut third, "SELECT 1").await.is_err() {}
}

pub fn append(table: &str) -> CommandStatementIngest {
    CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: TableNotExistOption::Fail as i32,
            if_exists: TableExistsOption::Append as i32,
        }),
        table: table.to_owned(),
        ..CommandStatementIngest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_loads_go_the_columnar_way() {
    let node = Node::plain();
    node.tags(&[Kind::F64, Kind::I64, Kind::Text]);
    let mut client = client(&node).await;
    let part = |from: i64, tag: &str| {
        let rows = 5_000;
        batch(vec![
            ("tag", array(StringArray::from(vec![tag; rows as usize]))),
            ("time", array(TimestampMicrosecondArray::from_iter_values(from..from + rows).with_timezone("+08:00"))),
            ("value", array(Float64Array::from_iter_values((from..from + rows).map(|n| n as f64)))),
        ])
    };
    let parts = |wrong: bool| {
        let parts = (0..20).map(move |at| Ok(part(at * 5_000, if wrong && at == 19 { "nobody" } else { "t0" })));
        futures::stream::iter(parts)
    };
    let commits = number(&mut client, "SELECT commits FROM meridian.node").await;
    assert_eq!(client.execute_ingest(append("samples"), parts(false)).await.unwrap(), 100_000);
    assert_eq!(number(&mut client, "SELECT commits FROM meridian.node").await, commits + 1, "a load of this size is one commit");
    assert_eq!(number(&mut client, "SELECT count(*) FROM samples").await, 100_000);
    client.execute_update("DELETE FROM samples".into(), None).await.unwrap();
    // A load that fails keeps nothing, up to the size of a commit.
    let status = status_of(&client.execute_ingest(append("samples"), parts(true)).await.unwrap_err());
    assert_eq!((status.code(), sqlstate(&status)), (Code::NotFound, "23503"));
    assert!(status.message().starts_with("row 95000: "), "{status:?}");
    assert_eq!(number(&mut client, "SELECT count(*) FROM samples").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_asks_for_the_rights_of_its_own_table() {
    let node = Node::plain();
    node.tags(&[Kind::I64, Kind::F64]);
    let boss = node.client().await;
    boss.batch_execute(
        "CREATE USER whole; CREATE USER others; GRANT INSERT ON integers TO whole; GRANT INSERT ON samples TO others",
    )
    .await
    .unwrap();
    let part = |from: i64| {
        batch(vec![
            ("tag", array(StringArray::from(vec!["t0"; 10]))),
            ("time", array(TimestampMicrosecondArray::from_iter_values(from..from + 10).with_timezone("+00:00"))),
            ("value", array(Int64Array::from_iter_values(from..from + 10))),
        ])
    };
    for (user, table, expect) in [
        ("whole", "integers", Ok(10)),
        ("whole", "samples", Err("42501")),
        ("others", "integers", Err("42501")),
        ("others", "events", Err("42501")),
    ] {
        let mut client = client(&node).await;
        client.handshake(user, "").await.unwrap();
        let done = client.execute_ingest(append(table), futures::stream::iter([Ok(part(0))])).await;
        let done = done.map_err(|error| sqlstate(&status_of(&error)).to_owned());
        assert_eq!(done, expect.map_err(str::to_owned), "{user} into {table}");
    }
}
