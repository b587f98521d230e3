//! Which tags a condition names. Conditions of one filter hold together (AND).

/// A condition on tags.
#[derive(Clone, Debug, Default)]
pub struct TagFilter {
    /// The name is one of these.
    pub names: Option<Vec<String>>,
    /// The name begins with this (byte order).
    pub prefix: Option<String>,
    /// The name matches this regular expression.
    pub pattern: Option<regex::Regex>,
    /// Conditions on labels.
    pub conditions: Vec<LabelCondition>,
}

/// A condition on one key of a tag's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelCondition {
    /// The key is there.
    Present(String),
    /// The key is not there.
    Absent(String),
    /// The key is there with one of these values.
    OneOf(String, Vec<String>),
    /// The key is there with none of these values (as SQL's `<>` and `NOT IN`: a tag without the key does not fit).
    NotOneOf(String, Vec<String>),
}
