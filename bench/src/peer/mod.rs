//! The peers: found where their packages put them, started on free ports of loopback, and ended with us.

pub mod engine;
pub mod influx;
pub mod victoria;

pub mod server;

pub use server::Server;
