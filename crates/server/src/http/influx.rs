//! What clients of InfluxDB ask before they write: ping, and the databases that they want to be there.
//!
//! There is one database, whatever its name, as at the PostgreSQL door: making one is answered as done, dropping one is
//! refused. Other InfluxQL and Flux is not understood; SQL is.

use super::reply::{self, Answer, Fault};
use hyper::StatusCode;
use serde_json::{Value, json};

/// The release of InfluxDB whose write interface this is: clients look at it to choose what they send.
const SPOKEN: &str = "1.8.10";

/// Answers `/ping`.
pub(crate) fn ping() -> Answer {
    let answer = reply::with_header(reply::empty(StatusCode::NO_CONTENT), "x-influxdb-version", SPOKEN);
    reply::with_header(answer, "x-influxdb-build", "Meridian")
}

/// An error as InfluxDB's clients read it: `error` of 1.x, `code` and `message` of 2.x.
pub(crate) fn failure(status: StatusCode, message: &str) -> Answer {
    let code = match status {
        StatusCode::BAD_REQUEST => "invalid",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "invalid",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => "unavailable",
        _ => "internal error",
    };
    let answer = reply::json_answer(status, &json!({ "error": message, "code": code, "message": message }));
    reply::with_header(answer, "x-influxdb-error", message)
}

/// A request that is refused.
pub(crate) fn refusal(fault: &Fault) -> Answer {
    let mut answer = failure(fault.status, &fault.report.message);
    // What concerns HTTP itself is the same for all.
    for (name, value) in fault.answer().headers() {
        answer.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    answer
}

/// Answers InfluxQL that clients ask before they write; None where it is something else: what SQL has too is SQL's.
pub(crate) fn asked(text: &str) -> Option<Answer> {
    let words: Vec<String> =
        text.split_whitespace().take(7).map(|word| word.trim_end_matches(';').to_ascii_uppercase()).collect();
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = &all[..all.len().min(3)];
    // Its policies are of a database, and last: CREATE RETENTION POLICY x ON db DURATION 1h ..
    let of_influx = matches!(all[..], [_, _, _, _, "ON", database, what] if database != "TAGS" && is_of_policies(what));
    let series = |name: &str, columns: &[&str], values: Value| {
        let series = json!([{ "name": name, "columns": columns, "values": values }]);
        results(&json!({ "statement_id": 0, "series": series }))
    };
    match *words {
        ["CREATE", "DATABASE", _] => Some(results(&json!({ "statement_id": 0 }))),
        ["CREATE" | "ALTER", "RETENTION", "POLICY"] if of_influx => Some(results(&json!({ "statement_id": 0 }))),
        ["SHOW", "DATABASES"] => Some(series("databases", &["name"], json!([["meridian"]]))),
        ["SHOW", "RETENTION", "POLICIES"] => {
            let columns = ["name", "duration", "shardGroupDuration", "replicaN", "default"];
            Some(series("", &columns, json!([["autogen", "0s", "168h0m0s", 1, true]])))
        }
        ["DROP", "DATABASE", _] => {
            Some(results(&json!({ "statement_id": 0, "error": "there is one database, and it can't be dropped" })))
        }
        _ => None,
    }
}

/// Words that follow the database in InfluxQL's statements about retention policies.
fn is_of_policies(word: &str) -> bool {
    ["DURATION", "REPLICATION", "SHARD", "DEFAULT"].contains(&word)
}

fn results(result: &Value) -> Answer {
    let answer = reply::json_answer(StatusCode::OK, &json!({ "results": [result] }));
    reply::with_header(answer, "x-influxdb-version", SPOKEN)
}

/// Answers Flux: only the list of buckets is known, which some clients ask to see whether anybody is there.
pub(crate) fn flux(body: &str) -> Answer {
    if body.contains("buckets()") {
        let text = "#datatype,string,long,string,string\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n,result,table,name,id\r\n,,0,meridian,0000000000000001\r\n\r\n";
        return reply::answer(StatusCode::OK, "text/csv; charset=utf-8", text);
    }
    failure(StatusCode::BAD_REQUEST, "Flux is not understood; ask SQL by POST /query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_influxdb_alone_knows_is_answered_here() {
        for known in [
            "CREATE DATABASE \"telegraf\"",
            "create database x;",
            "SHOW DATABASES",
            "show databases;",
            "DROP DATABASE x",
            "CREATE RETENTION POLICY \"a\" ON \"db\" DURATION 1h REPLICATION 1",
            "alter retention policy a on db default;",
        ] {
            assert!(asked(known).is_some(), "{known}");
        }
        for sql in ["", "SELECT 1", "SHOW timezone", "SHOW ALL", "CREATE TABLE x ()", "DROP TABLE x", "SHOW DATABASES x y"]
            .into_iter()
            .chain([
                "CREATE RETENTION POLICY a ON TAGS WHERE name LIKE 'x%' KEEP '1 day'",
                "CREATE RETENTION POLICY a ON TAGS DURATION",
                "ALTER RETENTION POLICY a KEEP '2 days'",
                "ALTER RETENTION POLICY a RENAME TO b",
            ])
        {
            assert!(asked(sql).is_none(), "{sql}");
        }
    }
}
