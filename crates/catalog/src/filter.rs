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
    /// Labels that must be there with these values.
    pub labels: Vec<(String, String)>,
}
