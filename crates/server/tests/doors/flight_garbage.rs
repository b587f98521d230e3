//! Messages that are gRPC's and Flight's, and say what no client would: each ends its own call with an error, and harms nobody else.

use crate::flight::{array, batch, put};
use crate::flight_sql::{Sql, number, ticket};
use crate::node::{Node, samples, settings};
use crate::noise::{Noise, rounds};
use crate::watch::Watch;
use arrow::array::{Float64Array, Int64Array, ListArray, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{Int32Type, UInt32Type};
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::{
    ActionBeginTransactionRequest, ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionEndTransactionRequest, Any, CommandGetTables, CommandPreparedStatementQuery, CommandPreparedStatementUpdate,
    CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt, TicketStatementQuery,
};
use arrow_flight::{Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use types::Kind;

/// No call of garbage takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Streams of batches as clients send them: plain, with dictionaries, with lists.
async fn streams() -> Vec<Vec<FlightData>> {
    let tags: arrow::array::DictionaryArray<UInt32Type> = ["t0", "t1", "t0"].into_iter().collect();
    let named = batch(vec![
        ("tag", array(tags)),
        ("time", array(Int64Array::from(vec![1, 2, 3]))),
        ("value", array(Float64Array::from(vec![1.0, 2.0, 3.0]))),
        ("quality", array(UInt8Array::from(vec![192, 0, 64]))),
    ]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let lists = batch(vec![("name", array(StringArray::from(vec!["a", "b", "c"]))), ("x", array(lists))]);
    let mut all = Vec::new();
    for batches in [vec![samples(&[(0, 1, 1.0), (0, 2, 2.0)]); 3], vec![named.clone(), named], vec![lists]] {
        let encoded = FlightDataEncoderBuilder::new()
            .with_dictionary_handling(DictionaryHandling::Resend)
            .with_flight_descriptor(Some(FlightDescriptor::new_path(vec!["samples".to_owned()])))
            .build(stream::iter(batches.into_iter().map(Ok::<RecordBatch, _>)));
        all.push(encoded.try_collect().await.unwrap());
    }
    all
}

/// A word of a message is made so large that whoever believes it runs out of memory.
fn overstate(noise: &mut Noise, bytes: &mut [u8]) {
    let words = bytes.len() / 4;
    if words > 1 {
        let at = noise.below(words - 1) * 4;
        let huge = [i64::MAX, 1 << 40, -1, i64::from(i32::MAX), 1 << 31, i64::MIN][noise.below(6)];
        bytes[at..at + 8].copy_from_slice(&huge.to_le_bytes());
    }
}

/// A stream whose messages are not what they were, nor where.
fn spoil(noise: &mut Noise, all: &[Vec<FlightData>]) -> Vec<FlightData> {
    let mut stream = all[noise.below(all.len())].clone();
    for _ in 0..=noise.below(3) {
        if stream.is_empty() {
            break;
        }
        let (at, other) = (noise.below(stream.len()), noise.below(stream.len()));
        let stranger = &all[noise.below(all.len())];
        let stranger = &stranger[noise.below(stranger.len())];
        let message = &mut stream[at];
        let (mut header, mut body) = (message.data_header.to_vec(), message.data_body.to_vec());
        match noise.below(11) {
            0 => noise.damage(&mut header),
            1 => noise.damage(&mut body),
            2 => overstate(noise, &mut header),
            3 => overstate(noise, &mut body),
            // A schema of other columns than those that come, or columns of another schema.
            4 => header = stranger.data_header.to_vec(),
            5 => body = stranger.data_body.to_vec(),
            6 => body.truncate(noise.below(body.len() + 1)),
            7 => header = noise.bytes(256),
            8 => message.app_metadata = noise.bytes(32).into(),
            _ => {}
        }
        (message.data_header, message.data_body) = (header.into(), body.into());
        match noise.below(6) {
            0 => stream.swap(at, other),
            // A dictionary or a batch that comes twice, or not at all.
            1 => stream.insert(other, stream[at].clone()),
            2 => drop(stream.remove(at)),
            3 => stream.push(FlightData::default()),
            _ => {}
        }
    }
    stream
}

/// What can be asked for, as Flight SQL writes it; with handles of whoever asks, and of somebody else.
struct Words {
    commands: Vec<Vec<u8>>,
    actions: Vec<(String, Vec<u8>)>,
    mine: Vec<Vec<u8>>,
    theirs: Vec<Vec<u8>>,
}

impl Words {
    fn of(mine: Vec<Vec<u8>>, theirs: Vec<Vec<u8>>) -> Words {
        let mut commands: Vec<Any> = vec![
            CommandStatementQuery { query: "SELECT * FROM generate_series(1, 5000)".into(), transaction_id: None }.as_any(),
            CommandStatementUpdate { query: "SET timezone = 'UTC'".into(), transaction_id: Some(vec![7; 9].into()) }.as_any(),
            CommandGetTables { table_types: vec!["x".into()], include_schema: true, ..Default::default() }.as_any(),
            CommandStatementIngest { table: "samples".into(), ..Default::default() }.as_any(),
            CommandStatementIngest { table: "\"".into(), temporary: true, ..Default::default() }.as_any(),
        ];
        let mut actions = vec![
            ("resolve".to_owned(), b"t0\nt1".to_vec()),
            ("CloseSession".to_owned(), Vec::new()),
            ("CancelFlightInfo".to_owned(), vec![0x0A, 0xFF]),
            ("GetSessionOptions".to_owned(), Vec::new()),
            ("SetSessionOptions".to_owned(), vec![0x0A, 3, 0x0A, 1, b'x']),
        ];
        let mut act = |name: &str, any: Any| actions.push((name.to_owned(), any.encode_to_vec()));
        let query = "SELECT $1::bigint, $2::text[]".to_owned();
        act("CreatePreparedStatement", ActionCreatePreparedStatementRequest { query, transaction_id: None }.as_any());
        act("BeginTransaction", ActionBeginTransactionRequest {}.as_any());
        act("EndTransaction", ActionEndTransactionRequest { transaction_id: vec![1].into(), action: 77 }.as_any());
        for handle in mine.iter().chain(&theirs) {
            let handle = || handle.clone().into();
            commands.push(CommandPreparedStatementQuery { prepared_statement_handle: handle() }.as_any());
            commands.push(CommandPreparedStatementUpdate { prepared_statement_handle: handle() }.as_any());
            commands.push(TicketStatementQuery { statement_handle: handle() }.as_any());
            // Closed before, or while, it is used.
            let closing = ActionClosePreparedStatementRequest { prepared_statement_handle: handle() };
            act("ClosePreparedStatement", closing.as_any());
        }
        Words { commands: commands.iter().map(Any::encode_to_vec).collect(), actions, mine, theirs }
    }

    fn command(&self, noise: &mut Noise) -> Vec<u8> {
        let mut command = self.commands[noise.below(self.commands.len())].clone();
        match noise.below(4) {
            0 => noise.damage(&mut command),
            1 if noise.below(3) == 0 => command = noise.bytes(200),
            _ => {}
        }
        command
    }

    fn descriptor(&self, noise: &mut Noise) -> FlightDescriptor {
        match noise.below(4) {
            0 => FlightDescriptor::new_path(vec![
                ["samples", "events", "tags", "latest", ""][noise.below(5)].to_owned();
                noise.below(4)
            ]),
            1 => FlightDescriptor { r#type: noise.next() as i32, cmd: noise.bytes(20).into(), path: vec!["x".into()] },
            _ => FlightDescriptor::new_cmd(self.command(noise)),
        }
    }

    fn action(&self, noise: &mut Noise) -> Action {
        let (name, mut body) = self.actions[noise.below(self.actions.len())].clone();
        if noise.below(2) == 0 {
            noise.damage(&mut body);
        }
        let name = if noise.below(20) == 0 { "Nothing".to_owned() } else { name };
        Action { r#type: name, body: body.into() }
    }
}

/// How a call ended that answers with a stream.
async fn drained<T>(answer: Result<tonic::Response<Streaming<T>>, Status>) -> Result<(), Status> {
    let mut messages = answer?.into_inner();
    while messages.message().await?.is_some() {}
    Ok(())
}

/// One who is let in, and asks as one likes.
struct Stranger {
    client: FlightServiceClient<Channel>,
    token: String,
}

impl Stranger {
    fn asks<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request
    }

    async fn ask(&mut self, noise: &mut Noise, words: &Words, streams: &[Vec<FlightData>]) -> Result<(), Status> {
        let mut sent = spoil(noise, streams);
        if let Some(first) = sent.first_mut().filter(|_| noise.below(2) == 0) {
            first.flight_descriptor = Some(words.descriptor(noise));
        }
        match noise.below(12) {
            0..=3 => {
                let request = self.asks(stream::iter(sent));
                drained(self.client.do_put(request).await).await
            }
            4 | 5 => {
                let request = self.asks(Ticket::new(words.command(noise)));
                drained(self.client.do_get(request).await).await
            }
            6 => {
                let request = self.asks(words.descriptor(noise));
                self.client.get_flight_info(request).await.map(drop)
            }
            7 => {
                let request = self.asks(words.descriptor(noise));
                self.client.get_schema(request).await.map(drop)
            }
            8 => {
                let request = self.asks(stream::iter(sent));
                drained(self.client.do_exchange(request).await).await
            }
            9 => {
                let greeting = HandshakeRequest { protocol_version: noise.next(), payload: noise.bytes(40).into() };
                let request = self.asks(stream::iter(vec![greeting; noise.below(3)]));
                drained(self.client.handshake(request).await).await
            }
            10 => {
                let request = self.asks(Criteria { expression: noise.bytes(20).into() });
                drained(self.client.list_flights(request).await).await?;
                let request = self.asks(Empty {});
                drained(self.client.list_actions(request).await).await
            }
            _ => {
                let request = self.asks(words.action(noise));
                drained(self.client.do_action(request).await).await
            }
        }
    }
}

async fn let_in(node: &Node, user: &str, password: &str) -> (Sql, Channel) {
    let channel = Endpoint::from_shared(node.flight_url()).unwrap().connect().await.unwrap();
    let mut client = Sql::new(channel.clone());
    client.handshake(user, password).await.unwrap();
    (client, channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_harm_nobody() {
    let node = Node::start(server::Settings {
        loopback_trusted: false,
        password: Some("geheim".to_owned()),
        flight_message_bytes_max: 1 << 20,
        ..settings()
    });
    node.tags(&[Kind::F64, Kind::Text]);
    node.users.set_password("other", "anders").unwrap();
    let (mut good, _) = let_in(&node, "meridian", "geheim").await;
    let (mut bad, channel) = let_in(&node, "other", "anders").await;
    let handle = |ticket: Ticket| {
        let any = Any::decode(ticket.ticket).unwrap();
        any.unpack::<TicketStatementQuery>().unwrap().unwrap().statement_handle.to_vec()
    };
    let theirs = good.execute("SELECT 42::bigint".into(), None).await.unwrap();
    let mine = bad.execute("SELECT 1::bigint".into(), None).await.unwrap();
    let words = Words::of(vec![handle(ticket(&mine)), vec![]], vec![handle(ticket(&theirs)), vec![0xFF; 16]]);
    assert_ne!(words.mine[0], words.theirs[0]);
    let streams = streams().await;
    let mut stranger = Stranger { client: FlightServiceClient::new(channel), token: bad.token().unwrap().clone() };
    let (mut noise, watch, mut refused) = (Noise::seeded(31), Watch::begin(), 0);
    for round in 0..rounds(1_500) {
        let asked = tokio::time::timeout(PATIENCE, stranger.ask(&mut noise, &words, &streams)).await;
        if let Err(status) = asked.unwrap_or_else(|_| panic!("round {round} is not answered")) {
            refused += 1;
            let ours = status.message().contains("internal error");
            assert!(status.code() != Code::Unknown && !ours, "round {round}: {status:?}");
            if status.code() == Code::Unauthenticated {
                // It closed its session, or broke the connection's.
                let (again, channel) = let_in(&node, "other", "anders").await;
                stranger = Stranger { client: FlightServiceClient::new(channel), token: again.token().unwrap().clone() };
            }
        }
        if round % 50 == 0 {
            assert_eq!(number(&mut good, "SELECT 1::bigint").await, 1, "round {round}");
        }
    }
    assert!(refused > rounds(500), "only {refused} were refused");
    watch.check(256);
    // What is somebody else's was neither used up nor closed.
    let rows: Vec<RecordBatch> = good.do_get(ticket(&theirs)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    while node.engine.statements_running() > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_given_up_leave_nothing_open() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let streams = streams().await;
    let channel = Endpoint::from_shared(node.flight_url()).unwrap().connect().await.unwrap();
    let (mut client, mut noise) = (FlightServiceClient::new(channel), Noise::seeded(37));
    for _ in 0..rounds(100) {
        let cut = noise.below(3);
        // It goes on for ever, and is dropped after its first answers.
        let endless = stream::iter(streams[0].clone()).take(1 + cut).chain(stream::pending());
        if let Ok(answers) = tokio::time::timeout(Duration::from_millis(noise.below(5) as u64), client.do_put(endless)).await {
            drop(answers);
        }
    }
    assert_eq!(put(&node, &["samples"], 1, &samples(&[(0, 100, 1.0)])).await.unwrap()[0].rows, 1);
    let begun = std::time::Instant::now();
    while node.engine.statements_running() > 0 {
        assert!(begun.elapsed() < PATIENCE, "a statement of a call that was given up runs on");
        std::thread::yield_now();
    }
}
