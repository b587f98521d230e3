//! Flight SQL: what there is to be asked, what is refused, and garbage.

use crate::flight_sql::{Sql, append, client, prepared, query, read, sqlstate, status_of, ticket, told};
use crate::node::Node;
use crate::noise::Noise;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};
use arrow_flight::sql::{
    Any, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandPreparedStatementQuery, CommandStatementQuery, CommandStatementUpdate, EndTransaction, ProstMessageExt, SqlInfo,
    SqlSupportedTransaction,
};
use arrow_flight::{Action, FlightData, FlightDescriptor, IpcMessage, Ticket};
use prost::Message;
use tonic::Code;
use types::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_refused_wherever_they_are_asked_for() {
    let node = Node::plain();
    let mut client = client(&node).await;
    assert_eq!(status_of(&client.begin_transaction().await.unwrap_err()).code(), Code::Unimplemented);
    let end = client.end_transaction(b"x".to_vec().into(), EndTransaction::Commit).await;
    assert_eq!(status_of(&end.unwrap_err()).code(), Code::Unimplemented);
    let id = Some(bytes::Bytes::from_static(b"1"));
    assert_eq!(status_of(&client.execute("SELECT 1".into(), id.clone()).await.unwrap_err()).code(), Code::Unimplemented);
    assert_eq!(status_of(&client.execute_update("SELECT 1".into(), id).await.unwrap_err()).code(), Code::Unimplemented);
    for sql in ["BEGIN", "START TRANSACTION READ ONLY"] {
        assert_eq!(sqlstate(&query(&mut client, sql).await.err().unwrap_or_else(|| panic!("{sql}"))), "0A000");
    }
    assert_eq!(query(&mut client, "SELECT 1").await.unwrap().num_rows(), 1);
    // No block was left behind: what is written is there.
    client.execute_update("INSERT INTO tags (name) VALUES ('a')".into(), None).await.unwrap();
    client.execute_update("INSERT INTO samples VALUES ('a', now(), 1)".into(), None).await.unwrap();
    let written = query(&mut client, "SELECT count(*) FROM samples").await.unwrap();
    assert_eq!(written.column(0).as_primitive::<Int64Type>().value(0), 1);
    assert_eq!(sqlstate(&query(&mut client, "DECLARE c CURSOR FOR SELECT 1").await.err().unwrap()), "25P01");
    // Cursors that need no block are a session's own.
    for sql in ["DECLARE c CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 9) AS g(n)", "PREPARE p AS SELECT $1 + 1"] {
        client.execute_update(sql.into(), None).await.unwrap();
    }
    assert_eq!(query(&mut client, "FETCH 4 FROM c").await.unwrap().num_rows(), 4);
    assert_eq!(query(&mut client, "EXECUTE p(1)").await.unwrap().num_rows(), 1);
    client.execute_update("CLOSE c".into(), None).await.unwrap();
    assert_eq!(sqlstate(&query(&mut client, "FETCH 4 FROM c").await.err().unwrap()), "34000");
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerTransaction, SqlInfo::FlightSqlServerName]).await.unwrap();
    let told = told(&mut client, info).await;
    assert_eq!(told.num_rows(), 2);
    let names = told.column(0).as_primitive::<UInt32Type>();
    let transaction = (0..2).find(|row| names.value(*row) == SqlInfo::FlightSqlServerTransaction as u32).unwrap();
    let value = told.column(1).as_union().value(transaction);
    assert_eq!(value.as_primitive::<Int32Type>().value(0), SqlSupportedTransaction::None as i32);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_told() {
    let node = Node::plain();
    let mut client = client(&node).await;
    let names = |batch: &RecordBatch, column: usize| -> Vec<String> {
        batch.column(column).as_string::<i32>().iter().map(|name| name.unwrap().to_owned()).collect()
    };
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(names(&told(&mut client, info).await, 0), ["meridian"]);
    let schemas = async |client: &mut Sql, catalog: Option<&str>, pattern: Option<&str>| {
        let question =
            CommandGetDbSchemas { catalog: catalog.map(str::to_owned), db_schema_filter_pattern: pattern.map(str::to_owned) };
        let info = client.get_db_schemas(question).await.unwrap();
        read(client, ticket(&info)).await.unwrap()
    };
    let all = names(&schemas(&mut client, None, None).await, 1);
    assert!(
        ["information_schema", "meridian", "pg_catalog", "public"].iter().all(|name| all.iter().any(|known| known == name)),
        "{all:?}"
    );
    assert_eq!(names(&schemas(&mut client, Some("meridian"), Some("publi_")).await, 1), ["public"]);
    assert_eq!(schemas(&mut client, Some("elsewhere"), None).await.num_rows(), 0);
    let question = CommandGetTables {
        db_schema_filter_pattern: Some("public".into()),
        table_types: vec!["TABLE".into()],
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(question.clone()).await.unwrap();
    let tables = told(&mut client, info).await;
    let found = names(&tables, 2);
    assert_eq!(found, ["events", "integers", "samples", "tags"]);
    let views = CommandGetTables { table_types: vec!["VIEW".into()], include_schema: false, ..question.clone() };
    let info = client.get_tables(views).await.unwrap();
    assert_eq!(names(&told(&mut client, info).await, 2), ["latest"]);
    let at = found.iter().position(|name| name == "samples").unwrap();
    let message = IpcMessage(tables.column(4).as_binary::<i32>().value(at).to_vec().into());
    let columns = arrow::datatypes::Schema::try_from(message).unwrap();
    let of: Vec<(&str, bool)> = columns.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    // A column of an answer may hold NULLs, whatever its table says.
    assert_eq!(of, [("tag", true), ("time", true), ("value", true), ("quality", true)]);
    assert_eq!(columns.field(2).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "double precision");
    let none = CommandGetTables { table_types: vec!["SEQUENCE".into()], include_schema: false, ..question.clone() };
    let info = client.get_tables(none).await.unwrap();
    assert_eq!(told(&mut client, info).await.num_rows(), 0);
    let some = CommandGetTables { table_name_filter_pattern: Some("%es".into()), include_schema: false, ..question };
    let info = client.get_tables(some).await.unwrap();
    assert_eq!(names(&told(&mut client, info).await, 2), ["samples"]);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(names(&told(&mut client, info).await, 0), ["TABLE", "VIEW"]);
    let key = async |client: &mut Sql, table: &str| {
        let info = client.get_primary_keys(CommandGetPrimaryKeys { table: table.into(), ..Default::default() }).await.unwrap();
        told(client, info).await
    };
    assert_eq!(names(&key(&mut client, "samples").await, 3), ["tag", "time"]);
    assert_eq!(names(&key(&mut client, "tags").await, 3), ["name"]);
    assert_eq!(key(&mut client, "nothing").await.num_rows(), 0);
    let info = client.get_exported_keys(CommandGetExportedKeys { table: "tags".into(), ..Default::default() }).await.unwrap();
    assert_eq!(told(&mut client, info).await.num_rows(), 0);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(names(&told(&mut client, info).await, 0).contains(&"timestamp with time zone".to_owned()));
    let info = client.get_sql_info(Vec::new()).await.unwrap();
    let all = told(&mut client, info).await;
    assert!(all.num_rows() > 20, "{} properties", all.num_rows());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_harms_nobody() {
    let node = Node::plain();
    node.tags(&[Kind::F64]);
    let mut client = client(&node).await;
    let statement = prepared(&mut client, "SELECT $1::bigint").await;
    let unknown = Any { type_url: "type.googleapis.com/arrow.flight.protocol.sql.Nothing".into(), value: vec![1, 2, 3].into() };
    let substrait = Any {
        type_url: "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementSubstraitPlan".into(),
        value: bytes::Bytes::new(),
    };
    let sql = CommandStatementQuery { query: "SELECT 1".into(), transaction_id: None }.as_any();
    let update = CommandStatementUpdate { query: "SELECT 1".into(), transaction_id: None }.as_any();
    let foreign = CommandPreparedStatementQuery { prepared_statement_handle: b"no such handle".to_vec().into() }.as_any();
    let load = append("samples").as_any();
    let tables = CommandGetTables { include_schema: true, ..CommandGetTables::default() }.as_any();
    let fixed = [
        (unknown.encode_to_vec(), Code::InvalidArgument),
        (b"\xff\xff\xff garbage".to_vec(), Code::InvalidArgument),
        (Any { value: vec![0xff; 9].into(), ..sql.clone() }.encode_to_vec(), Code::InvalidArgument),
        (substrait.encode_to_vec(), Code::Unimplemented),
        (foreign.encode_to_vec(), Code::NotFound),
    ];
    for (command, code) in fixed {
        let descriptor = FlightDescriptor::new_cmd(command.clone());
        assert_eq!(client.inner_mut().get_flight_info(descriptor.clone()).await.unwrap_err().code(), code);
        assert_eq!(client.inner_mut().get_schema(descriptor.clone()).await.unwrap_err().code(), code);
        let data = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        let mut put = client.inner_mut().do_put(futures::stream::iter([data])).await.unwrap().into_inner();
        assert_eq!(put.message().await.unwrap_err().code(), code);
        if code != Code::NotFound {
            assert_eq!(client.inner_mut().do_get(Ticket::new(command)).await.err().unwrap().code(), code);
        }
    }
    // Whatever bytes come.
    let mut noise = Noise::new(23);
    let commands: Vec<Vec<u8>> =
        [&sql, &update, &foreign, &load, &tables, &unknown].map(|any| any.encode_to_vec()).into_iter().collect();
    let actions =
        ["CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo", "CancelQuery", "SetSessionOptions", "Nothing"];
    let mut refused = 0;
    for round in 0..600 {
        let mut bytes = commands[round % commands.len()].clone();
        noise.damage(&mut bytes);
        let descriptor = FlightDescriptor::new_cmd(bytes.clone());
        let raw = client.inner_mut();
        let answers = [
            raw.get_flight_info(descriptor.clone()).await.err(),
            raw.get_schema(descriptor.clone()).await.err(),
            raw.do_get(Ticket::new(bytes.clone())).await.err(),
            raw.do_action(Action { r#type: actions[round % actions.len()].into(), body: bytes.clone().into() }).await.err(),
        ];
        let first = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        let rest = FlightData { data_header: bytes.clone().into(), data_body: bytes.into(), ..FlightData::default() };
        let mut put = raw.do_put(futures::stream::iter([first, rest])).await.unwrap().into_inner();
        let put = loop {
            match put.message().await {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        for status in answers.into_iter().chain([put]).flatten() {
            assert!(!matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss), "{status:?}");
            refused += 1;
        }
    }
    assert!(refused > 1500, "only {refused} were refused");
    statement.close().await.unwrap();
    assert_eq!(query(&mut client, "SELECT 1").await.unwrap().num_rows(), 1);
}
