//! `'{1,2}'::int[]`: a text that is cast to an array becomes the array that it writes.

use crate::error::{Error, raise};
use crate::write::array_items;
use datafusion::sql::sqlparser::ast::{Array, ArrayElemTypeDef, DataType, Expr, Value};

/// Puts the array in the place of its text; anything else stays.
///
/// # Errors
/// `Error::InvalidText` where the text is no array of one dimension.
pub(super) fn literal(inner: &mut Expr, kind: &DataType) -> Result<(), Error> {
    let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = kind else { return Ok(()) };
    let Expr::Value(value) = &*inner else { return Ok(()) };
    let Value::SingleQuotedString(text) = &value.value else { return Ok(()) };
    if matches!(element.as_ref(), DataType::Array(_)) || text.trim_start().starts_with("{{") {
        return Err(raise(Error::Unsupported, "arrays of several dimensions are not supported"));
    }
    let items = array_items(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        raise(Error::InvalidText, format!("malformed array literal: \"{shown}\"")).with_hint("write it as '{1,2,NULL}'")
    })?;
    let item = |item: String| match item.as_str() {
        "NULL" => Expr::value(Value::Null),
        _ => Expr::value(Value::SingleQuotedString(item)),
    };
    let elem = items.into_iter().map(item).collect();
    *inner = Expr::Array(Array { elem, named: true });
    Ok(())
}
