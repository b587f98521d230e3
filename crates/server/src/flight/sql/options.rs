//! Options of a session as Flight knows them: SetSessionOptions, GetSessionOptions, CloseSession.
//!
//! An option is a setting as SET takes it, but for `catalog` and `schema`, of which there is one each.
//!
//! The messages stand here because arrow-flight 59 has none of them; their numbers are those of Flight.proto.

use prost::Message;
use query::Session;
use std::collections::HashMap;
use std::sync::Arc;

/// The one catalog, and the schema that names without one are looked for in.
const FIXED: [(&str, &str); 2] = [("catalog", "meridian"), ("schema", "public")];
/// The settings that are told.
const TOLD: [&str; 5] =
    ["application_name", "default_transaction_read_only", "read_consistency", "statement_timeout", "timezone"];

/// A value; none erases the option.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    pub(crate) value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Switch(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Texts {
    #[prost(string, repeated, tag = "1")]
    pub(crate) values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetRequest {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) errors: HashMap<String, Refusal>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Refusal {
    #[prost(enumeration = "Reason", tag = "1")]
    pub(crate) reason: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Reason {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetResult {
    #[prost(map = "string, message", tag = "1")]
    pub(crate) options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseResult {
    /// 1: it is closed.
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
}

/// Makes a setting, as SET does; None brings back its default.
pub(crate) async fn set(session: &Arc<Session>, name: &str, value: Option<&str>) -> Result<(), query::Error> {
    let sql = match value {
        Some(value) => format!("SET {name} = '{}'", value.replace('\'', "''")),
        None => format!("RESET {name}"),
    };
    session.prepare(&sql, &[]).await?.execute(Vec::new()).await.map(|_| ())
}

/// Makes the settings asked for; the answer tells which were refused.
pub(crate) async fn set_all(session: &Arc<Session>, request: SetRequest) -> SetResult {
    let mut errors = HashMap::new();
    for (name, value) in request.options {
        if let Err(reason) = set_one(session, &name, value.value).await {
            errors.insert(name, Refusal { reason: reason as i32 });
        }
    }
    SetResult { errors }
}

async fn set_one(session: &Arc<Session>, name: &str, value: Option<Value>) -> Result<(), Reason> {
    let text = match value {
        None => None,
        Some(Value::Text(text)) => Some(text),
        Some(Value::Switch(on)) => Some(if on { "on" } else { "off" }.to_owned()),
        Some(Value::Integer(number)) => Some(number.to_string()),
        Some(Value::Double(number)) => Some(number.to_string()),
        Some(Value::Texts(_)) => return Err(Reason::InvalidValue),
    };
    if let Some((_, only)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
        return if text.is_none_or(|text| text == *only) { Ok(()) } else { Err(Reason::InvalidValue) };
    }
    // What is not a name can't be one of ours, and may not be read as SQL.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')) {
        return Err(Reason::InvalidName);
    }
    set(session, name, text.as_deref()).await.map_err(|cause| match cause {
        query::Error::UnknownObject(_) | query::Error::Syntax(_) => Reason::InvalidName,
        query::Error::InvalidParameter(_) | query::Error::CantChange(_) => Reason::InvalidValue,
        _ => Reason::Error,
    })
}

/// The options in force.
pub(crate) fn all(session: &Session) -> GetResult {
    let text = |value: &str| OptionValue { value: Some(Value::Text(value.to_owned())) };
    let told = TOLD.iter().filter_map(|name| Some(((*name).to_owned(), text(&session.variable(name)?))));
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    GetResult { options: told.chain(fixed).collect() }
}
