//! The doors from outside: real clients over real sockets, against a whole node in this process.
//!
//! One binary, since linking it takes longer than running it.
#![expect(clippy::unwrap_used, reason = "what goes wrong in a test should end it")]
#![expect(clippy::disallowed_methods, reason = "tests drive the outside world: sockets, files, clocks")]

mod access;
mod certificates;
mod cursors;
mod ending;
mod flight;
mod flight_garbage;
mod flight_sql;
mod flight_sql_catalogue;
mod flight_tags;
mod flight_wire;
mod garbage;
mod guessing;
mod http;
mod http_garbage;
mod http_lines;
mod limits;
mod login;
mod node;
mod noise;
mod pg;
mod planning;
mod watch;
mod web;
mod wire;
