//! A node to test against: kernel, catalog, engine and server on free ports and a directory of its own.

use arrow::array::{ArrayRef, Float64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::Catalog;
use kernel::Kernel;
use query::{Engine, EngineSettings};
use server::flight::client::{Client, Options};
use server::{Server, Settings, Users};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::NoTls;
use types::{Kind, TagDefinition, Timestamp};
use world::{ThreadCounts, Threads, World};

static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

pub struct Node {
    pub server: Option<Server>,
    pub engine: Arc<Engine>,
    pub users: Arc<Users>,
    pub threads: Arc<Threads>,
    pub dir: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        // A stop blocks, which the thread of an async test may not.
        let (server, threads) = (self.server.take(), Arc::clone(&self.threads));
        let stopped = std::thread::scope(|scope| {
            let stopping = scope.spawn(|| {
                let stopped = server.map(Server::stop).transpose();
                threads.stop();
                stopped
            });
            stopping.join()
        });
        if !std::thread::panicking() {
            stopped.unwrap().unwrap();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Settings of all doors on free ports of the loopback.
pub fn settings() -> Settings {
    let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let stop_max = std::time::Duration::from_millis(300);
    Settings { pg_address: free, flight_address: free, http_address: free, stop_max, ..Settings::default() }
}

pub fn directory() -> PathBuf {
    let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("meridian-server-{}-{number}", std::process::id()))
}

impl Node {
    pub fn start(settings: Settings) -> Node {
        let dir = directory();
        let threads = Threads::start(ThreadCounts::default());
        let world = World::real(&threads);
        world.disk.make_dir(&dir.join("catalog")).unwrap();
        let catalog = Catalog::open(world.clone(), &dir.join("catalog"), catalog::Settings::default()).unwrap();
        let kinds = Arc::<Catalog>::clone(&catalog);
        let kernel = Kernel::open(world.clone(), &dir, kernel::Settings::default(), kinds).unwrap();
        let engine = Engine::alone(kernel, catalog, EngineSettings::new(world.clock.clone())).unwrap();
        let users = Users::open(world.clone(), &dir).unwrap();
        let server = Server::start(settings, Arc::clone(&engine), Arc::clone(&users), &world).unwrap();
        Node { server: Some(server), engine, users, threads, dir }
    }

    pub fn plain() -> Node {
        Node::start(settings())
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub fn pg(&self) -> SocketAddr {
        self.server().pg_address().unwrap()
    }

    pub fn http(&self) -> SocketAddr {
        self.server().http_address().unwrap()
    }

    /// A PostgreSQL client of this node; its connection runs in the background.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.config("meridian"), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub fn config(&self, user: &str) -> String {
        format!("host=127.0.0.1 port={} user={user} dbname=meridian", self.pg().port())
    }

    pub fn flight_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server().flight_address().unwrap().port())
    }

    pub async fn flight(&self) -> Client {
        Client::connect(&self.flight_url(), &Options::default()).await.unwrap()
    }

    /// Makes tags of these kinds, named t0, t1, ..; their ordinals begin at 0 in a new node.
    pub fn tags(&self, kinds: &[Kind]) {
        let first = self.engine.catalog().ordinals();
        let definitions =
            kinds.iter().enumerate().map(|(at, kind)| TagDefinition::new(format!("t{}", first + at as u64), *kind)).collect();
        self.engine.catalog().create(definitions).wait().unwrap().unwrap();
    }

    /// The bits of a tag's newest value at or before a time.
    pub fn bits_at(&self, tag: u64, time: i64) -> Option<u64> {
        let reading = self.engine.local().unwrap().value_at(types::TagId(tag), Timestamp(time)).unwrap()?;
        match reading.value {
            kernel::Datum::Bits(bits) => Some(bits),
            kernel::Datum::Text(_) => None,
        }
    }
}

/// The usual schema of samples: ordinals, microseconds, doubles.
pub fn samples_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("tag", DataType::UInt64, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("value", DataType::Float64, false),
    ]))
}

/// A batch of the usual schema.
pub fn samples(rows: &[(u64, i64, f64)]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC")),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(samples_schema(), columns).unwrap()
}
