//! Passwords that are guessed: attempts wait for their turn, and those that would wait for long are refused.

use crate::node::{Node, settings};
use crate::web::Web;
use server::Settings;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

const MESSAGE: &str = "too many failed logins from this address";

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_no_faster_than_one() {
    let node = Node::start(Settings { loopback_trusted: false, password: Some("geheim".to_owned()), ..settings() });
    node.users.set_password("other", "anders").unwrap();
    let config = |user: &str, password: &str| format!("{} password='{password}'", node.config(user));
    for _ in 0..7 {
        let error = tokio_postgres::connect(&config("meridian", "x"), NoTls).await.err().unwrap();
        assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
    }
    // Each has its turn after the one before it: of so many most would wait for longer than anybody is made to.
    let mut guesses = JoinSet::new();
    for number in 0..200 {
        let config = config("meridian", &format!("guess {number}"));
        guesses.spawn(async move { tokio_postgres::connect(&config, NoTls).await.err().unwrap() });
    }
    let mut refused = 0;
    while refused < 60 {
        let error = guesses.join_next().await.expect("most are refused").unwrap();
        let told = error.as_db_error().map(|error| (error.code().code().to_owned(), error.message().to_owned()));
        match told {
            Some((code, message)) if code == "28000" && message.starts_with(MESSAGE) => refused += 1,
            Some((code, _)) if code == "28P01" => {}
            other => panic!("{other:?}: {error}"),
        }
    }
    // So they are at the other doors, where the right password is no exception: that would tell that it is right.
    let address = node.http();
    let asked =
        tokio::task::spawn_blocking(move || Web::connect(address).ask("POST", "/query?u=meridian&p=geheim", &[], b"SELECT 1"));
    let answer = asked.await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.text().contains(MESSAGE), "{answer:?}");
    // Others from there are not kept waiting.
    drop(tokio_postgres::connect(&config("other", "anders"), NoTls).await.unwrap());
    guesses.abort_all();
}
