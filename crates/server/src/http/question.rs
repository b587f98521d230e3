//! What a request to `/query` asks: statements, parameters, settings, and the form of its answer.
//!
//! The statements are the body (text, JSON or a form with `q`), or `?q=`. Settings come as parameters of the query string, or
//! as headers.

use super::accept::Format;
use super::reply::Fault;
use super::request::{Parameters, header, text};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

/// Settings of a session: their names, the parameter and the header that set them.
const SETTINGS: [(&str, &str); 3] = [
    ("timezone", "meridian-timezone"),
    ("statement_timeout", "meridian-statement-timeout"),
    ("read_consistency", "meridian-read-consistency"),
];

/// A whole number that JSON wrote with more digits than 64 bits hold has been rounded before we see it.
const WHOLE_ROUNDED: f64 = 18_446_744_073_709_551_616.0;

/// What is asked.
pub(crate) struct Question {
    pub(crate) sql: String,
    /// From $1 on, as text; None = NULL.
    pub(crate) params: Vec<Option<String>>,
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) format: Format,
    pub(crate) application_name: String,
    /// Whether it may change nothing: what GET asks for.
    pub(crate) read_only: bool,
}

/// Statements and their parameters, before it is known in which form they are to be answered.
pub(crate) struct Asked {
    pub(crate) sql: String,
    pub(crate) params: Vec<Option<String>>,
}

impl Asked {
    /// Reads a request. A form's parameters are joined to `parameters`.
    pub(crate) fn of(headers: &HeaderMap, parameters: &mut Parameters, body: Vec<u8>) -> Result<Asked, Fault> {
        let content_type = header(headers, CONTENT_TYPE.as_str()).unwrap_or("text/plain");
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (mut sql, mut params) = (String::new(), Vec::new());
        match media_type.as_str() {
            "application/json" if !body.is_empty() => (sql, params) = of_json(&body)?,
            "application/x-www-form-urlencoded" if body.starts_with(b"q=") || contains(&body, b"&q=") => {
                parameters.join(Parameters::of_bytes(&body));
            }
            // What curl -d says of any text.
            "application/x-www-form-urlencoded" | "text/plain" | "application/sql" | "application/json" | "" => sql = text(body)?,
            other if !body.is_empty() => {
                let shown: String = other.chars().take(64).collect();
                let message = format!("a question is text/plain, application/sql or application/json, not \"{shown}\"");
                return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "0A000", message));
            }
            _ => {}
        }
        if sql.trim().is_empty() {
            sql = parameters.get("q").unwrap_or_default().to_owned();
        }
        Ok(Asked { sql, params })
    }
}

impl Question {
    /// What is asked, how it is to be answered.
    pub(crate) fn of(asked: Asked, headers: &HeaderMap, parameters: &Parameters, read_only: bool) -> Result<Question, Fault> {
        let set = |(name, header_name): &(&'static str, &str)| {
            let value = parameters.get(name).or_else(|| header(headers, header_name))?;
            Some((*name, value.to_owned()))
        };
        Ok(Question {
            sql: asked.sql,
            params: asked.params,
            settings: SETTINGS.iter().filter_map(set).collect(),
            format: Format::of(parameters.get("format"), headers)?,
            application_name: parameters
                .get("application_name")
                .or_else(|| header(headers, "user-agent"))
                .unwrap_or_default()
                .to_owned(),
            read_only,
        })
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn of_json(body: &[u8]) -> Result<(String, Vec<Option<String>>), Fault> {
    let wrong = |message: String| {
        Fault::new(StatusCode::BAD_REQUEST, "22P02", message).hinted("{\"sql\": \"SELECT $1::bigint\", \"params\": [1]}")
    };
    let body: Value = serde_json::from_slice(body).map_err(|cause| wrong(format!("the body is not JSON: {cause}")))?;
    let Value::Object(mut body) = body else { return Err(wrong("the body is not an object".to_owned())) };
    let Some(Value::String(sql)) = body.remove("sql") else { return Err(wrong("the body has no text \"sql\"".to_owned())) };
    let params = match body.remove("params") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(params)) => params.iter().map(param).collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong("\"params\" is not an array".to_owned())),
    };
    if let Some(name) = body.keys().next() {
        let shown: String = name.chars().take(64).collect();
        return Err(wrong(format!("there is no place for \"{shown}\": a question has \"sql\" and \"params\"")));
    }
    Ok((sql, params))
}

/// A parameter as PostgreSQL's text of it.
fn param(value: &Value) -> Result<Option<String>, Fault> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => {
            if number.as_i64().is_none()
                && number.as_u64().is_none()
                && number.as_f64().is_none_or(|value| value.abs() >= WHOLE_ROUNDED)
            {
                let message = format!("the number {number} may have been rounded while it was read");
                return Err(Fault::new(StatusCode::BAD_REQUEST, "22003", message).hinted("send it as a string"));
            }
            number.to_string()
        }
        Value::Array(items) => array(items)?,
        Value::Object(_) => value.to_string(),
    }))
}

/// An array as PostgreSQL writes one.
fn array(items: &[Value]) -> Result<String, Fault> {
    let mut out = vec![b'{'];
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match param(item)? {
            None => out.extend_from_slice(b"NULL"),
            Some(text) => {
                let start = out.len();
                out.extend_from_slice(text.as_bytes());
                if !item.is_array() {
                    query::text::quote_element(&mut out, start);
                }
            }
        }
    }
    out.push(b'}');
    text(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_the_text_that_postgresql_would_read() {
        let check = |json: &str, expected: Option<&[Option<&str>]>| {
            let body = format!("{{\"sql\":\"x\",\"params\":{json}}}");
            let found = of_json(body.as_bytes()).ok().map(|(_, params)| params);
            let expected = expected.map(|params| params.iter().map(|param| param.map(str::to_owned)).collect::<Vec<_>>());
            assert_eq!(found, expected, "{json}");
        };
        check("[]", Some(&[]));
        check("null", Some(&[]));
        check(
            "[1, -9223372036854775808, 18446744073709551615, 0.1, 1e15, true, null, \"a\"]",
            Some(&[
                Some("1"),
                Some("-9223372036854775808"),
                Some("18446744073709551615"),
                Some("0.1"),
                Some("1000000000000000.0"),
                Some("true"),
                None,
                Some("a"),
            ]),
        );
        check("[[\"a b\", \"c\", null, \"\"], [1, 2]]", Some(&[Some("{\"a b\",c,NULL,\"\"}"), Some("{1,2}")]));
        check("[18446744073709551616]", None);
        check("[1e300]", None);
        check("{}", None);
        for wrong in ["", "[]", "{}", "{\"sql\":1}", "{\"sql\":\"x\",\"param\":[]}", "nonsense"] {
            assert!(of_json(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
