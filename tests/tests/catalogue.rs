//! What tools ask PostgreSQL's catalogue (`tests/clients/questions`): each question has an answer of the expected shape.

use tests::{Directory, Server, in_package};
use tokio_postgres::{Client, SimpleQueryMessage};

/// A statement with what is expected: how many rows, exactly or at least, and words in its answer.
struct Question {
    exactly: bool,
    rows: usize,
    words: Vec<String>,
    sql: String,
}

fn questions(text: &str) -> Vec<Question> {
    let mut all: Vec<Question> = Vec::new();
    for line in text.lines() {
        if let Some(expected) = line.strip_prefix("--> ") {
            let mut words = expected.split_whitespace();
            let rows = words.next().expect("a number of rows");
            all.push(Question {
                exactly: rows.starts_with('='),
                rows: rows.trim_start_matches('=').parse().expect("a number of rows"),
                words: words.map(str::to_owned).collect(),
                sql: String::new(),
            });
        } else if let Some(question) = all.last_mut()
            && !line.starts_with("-- ")
        {
            question.sql += line;
            question.sql += "\n";
        }
    }
    all
}

async fn complaints(client: &Client, file: &str, question: &Question) -> Option<String> {
    let answer = match client.simple_query(&question.sql).await {
        Ok(answer) => answer,
        Err(error) => {
            let told = error.as_db_error().map(|error| format!("{} {}", error.code().code(), error.message()));
            return Some(format!("{file}: {}\n{}", told.unwrap_or_else(|| error.to_string()), question.sql));
        }
    };
    let rows: Vec<String> = answer
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
            }
            _ => None,
        })
        .collect();
    let text = rows.join("\n");
    let enough = if question.exactly { rows.len() == question.rows } else { rows.len() >= question.rows };
    let missing: Vec<&String> = question.words.iter().filter(|word| !text.contains(*word)).collect();
    if enough && missing.is_empty() {
        return None;
    }
    let shown: String = text.chars().take(2000).collect();
    Some(format!("{file}: {} rows, without {missing:?}\n{}{shown}", rows.len(), question.sql))
}

#[test]
fn tools_are_answered() {
    let directory = Directory::new("catalogue");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let server = Server::start(directory.path(), &[]);
        let client = server.connect().await.expect("the server answers");
        let mut wrong = Vec::new();
        for file in ["dbeaver.sql", "grafana.sql", "others.sql"] {
            let text = std::fs::read_to_string(in_package("clients/questions").join(file)).expect(file);
            let all = questions(&text);
            assert!(all.len() > 5, "{file} has few questions");
            for question in all {
                wrong.extend(complaints(&client, file, &question).await);
            }
        }
        assert!(wrong.is_empty(), "{} questions:\n{}", wrong.len(), wrong.join("\n\n"));
        drop(client);
        assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
    });
}
