//! pgwire's own loop with a backend that answers one constant row: what the server's loop is
//! measured against (`docs/decisions/0005-postgresql-loop.md`). Two threads with a runtime each. Ends when its
//! input ends.
//!
//! `cargo run --release -p server --example pgwire_baseline`
#![expect(clippy::disallowed_methods, reason = "a measuring program of its own, outside the house's world")]

use async_trait::async_trait;
use futures::stream;
use pgwire::api::auth::noop::NoopStartupHandler;
use pgwire::api::portal::Portal;
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{
    DataRowEncoder, DescribePortalResponse, DescribeStatementResponse, FieldFormat, FieldInfo, QueryResponse, Response,
};
use pgwire::api::stmt::{NoopQueryParser, StoredStatement};
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireServerHandlers, Type};
use pgwire::error::PgWireResult;
use pgwire::messages::PgWireBackendMessage;
use std::fmt::Debug;
use std::sync::Arc;

struct Backend(Arc<NoopQueryParser>);

fn columns() -> Arc<Vec<FieldInfo>> {
    let column = |name: &str, kind: Type| FieldInfo::new(name.to_owned(), None, None, kind, FieldFormat::Text);
    Arc::new(vec![column("value", Type::FLOAT8), column("quality", Type::INT2)])
}

fn row() -> PgWireResult<Response> {
    let columns = columns();
    let mut encoder = DataRowEncoder::new(Arc::clone(&columns));
    encoder.encode_field(&1.25_f64)?;
    encoder.encode_field(&192_i16)?;
    let row = Ok(encoder.take_row());
    Ok(Response::Query(QueryResponse::new(columns, stream::iter([row]))))
}

impl NoopStartupHandler for Backend {}

#[async_trait]
impl SimpleQueryHandler for Backend {
    async fn do_query<C>(&self, _: &mut C, _: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + futures::Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        pgwire::error::PgWireError: From<<C as futures::Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(vec![row()?])
    }
}

#[async_trait]
impl ExtendedQueryHandler for Backend {
    type Statement = String;
    type QueryParser = NoopQueryParser;

    fn query_parser(&self) -> Arc<NoopQueryParser> {
        Arc::clone(&self.0)
    }

    async fn do_query<C>(&self, _: &mut C, _: &Portal<String>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + futures::Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: pgwire::api::store::PortalStore<Statement = String>,
        C::Error: Debug,
        pgwire::error::PgWireError: From<<C as futures::Sink<PgWireBackendMessage>>::Error>,
    {
        row()
    }

    async fn do_describe_statement<C>(&self, _: &mut C, _: &StoredStatement<String>) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + futures::Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: pgwire::api::store::PortalStore<Statement = String>,
        C::Error: Debug,
        pgwire::error::PgWireError: From<<C as futures::Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(DescribeStatementResponse::new(vec![Type::TEXT], columns().to_vec()))
    }

    async fn do_describe_portal<C>(&self, _: &mut C, _: &Portal<String>) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + futures::Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: pgwire::api::store::PortalStore<Statement = String>,
        C::Error: Debug,
        pgwire::error::PgWireError: From<<C as futures::Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(DescribePortalResponse::new(columns().to_vec()))
    }
}

struct Factory(Arc<Backend>);

impl PgWireServerHandlers for Factory {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.0)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.0)
    }

    fn startup_handler(&self) -> Arc<impl pgwire::api::auth::StartupHandler> {
        Arc::clone(&self.0)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("pg={}", listener.local_addr()?);
    let mut senders = Vec::new();
    for _ in 0..2 {
        let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        senders.push(sender);
        std::thread::spawn(move || {
            runtime.block_on(async move {
                while let Some(socket) = accepted.recv().await {
                    let Ok(socket) = tokio::net::TcpStream::from_std(socket) else { continue };
                    let handlers = Factory(Arc::new(Backend(Arc::new(NoopQueryParser::new()))));
                    tokio::spawn(pgwire::tokio::process_socket(socket, None, handlers));
                }
            });
        });
    }
    std::thread::spawn(move || {
        for (socket, sender) in listener.incoming().zip(senders.iter().cycle()) {
            let Ok(socket) = socket else { continue };
            if socket.set_nonblocking(true).is_err() || sender.send(socket).is_err() {
                break;
            }
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
