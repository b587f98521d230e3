//! Arrays that are written as texts, and parameters whose type where they stand tells, arrays above all.
//!
//! - `'{1,2}'::int[]`: a text that is cast to an array becomes the array that it writes, and so does one behind ANY or ALL;
//! - clients send lists without a type (psycopg does): `tag = ANY ($1)`, `$1::text[]` and `values_at($1, $2)` tell what they are;
//! - a parameter that is cast is of the type of the cast, as in PostgreSQL: `$1::int` takes an integer.

use super::catalogue::OID_BYTES;
use super::parameter;
use crate::array_text::{Item, items, shape};
use crate::catalogue::PG_TYPE;
use crate::error::Error;
use arrow::datatypes::{DataType as Type, Field, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, Statement as Tree, TableFactor,
    TimezoneInfo, Value, Visit, Visitor,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

fn array_of(element: DataType) -> DataType {
    DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None))
}

/// The type of what is compared, as far as its text tells: columns have their names, anything else is taken for text.
fn compared(expr: &Expr) -> DataType {
    let column = |name: &Ident| match name.value.to_lowercase().as_str() {
        "value" => DataType::DoublePrecision,
        "time" => DataType::Timestamp(None, TimezoneInfo::Tz),
        "quality" => DataType::SmallInt(None),
        "ordinal" => DataType::BigInt(None),
        _ => DataType::Text,
    };
    match expr {
        Expr::Nested(inner) => compared(inner),
        Expr::Cast { data_type, .. } => data_type.clone(),
        Expr::Identifier(name) => column(name),
        Expr::CompoundIdentifier(parts) => parts.last().map_or(DataType::Text, column),
        _ => DataType::Text,
    }
}

/// The Arrow type of a type, of those that parameters and the items of their arrays can have.
fn item_type(element: &DataType) -> Option<Type> {
    Some(match element {
        DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::String(_) => Type::Utf8,
        DataType::SmallInt(_) | DataType::Int2(_) => Type::Int16,
        DataType::Integer(_) | DataType::Int(_) | DataType::Int4(_) => Type::Int32,
        DataType::BigInt(_) | DataType::Int8(_) => Type::Int64,
        DataType::Real | DataType::Float4 => Type::Float32,
        DataType::DoublePrecision | DataType::Double(_) | DataType::Float8 | DataType::Float(_) => Type::Float64,
        DataType::Boolean | DataType::Bool => Type::Boolean,
        DataType::Date => Type::Date32,
        DataType::Bytea => Type::Binary,
        DataType::Interval { .. } => crate::schema::span_type(),
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Type::Time64(TimeUnit::Microsecond),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => Type::Decimal128(38, 10),
        DataType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => crate::schema::time_type(),
        DataType::Timestamp(_, _) => Type::Timestamp(TimeUnit::Microsecond, None),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => Type::new_list(item_type(element)?, true),
        _ => return None,
    })
}

/// The types of parameters that are told by where they stand: arrays, and what is cast.
pub(crate) fn placed_parameters(tree: &Tree) -> BTreeMap<usize, Type> {
    struct Placed(BTreeMap<usize, Type>);

    impl Placed {
        fn note(&mut self, expr: &Expr, element: &DataType) {
            if let (Some(number), Some(item)) = (parameter(expr), item_type(element)) {
                // What is said at the parameter itself is met later, and stands.
                let mut field = Field::new("item", item, true);
                if matches!(element, DataType::Int8(Some(OID_BYTES))) {
                    field = field.with_metadata([(PG_TYPE.to_owned(), "oid".to_owned())].into());
                }
                self.0.insert(number, Type::List(Arc::new(field)));
            }
        }
    }

    impl Visitor for Placed {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(args), .. } = factor
                && name.to_string().eq_ignore_ascii_case("values_at")
            {
                for (arg, element) in args.args.iter().zip([DataType::Text, DataType::Timestamp(None, TimezoneInfo::Tz)]) {
                    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                        self.note(arg, &element);
                    }
                }
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::AnyOp { left, right, .. } | Expr::AllOp { left, right, .. } => self.note(right, &compared(left)),
                Expr::Cast { expr, data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)), .. } => {
                    self.note(expr, element);
                }
                Expr::Cast { expr, data_type, .. } => {
                    if let (Some(number), Some(kind)) = (parameter(expr), item_type(data_type)) {
                        self.0.insert(number, kind);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }

    let mut placed = Placed(BTreeMap::new());
    let _ = tree.visit(&mut placed);
    placed.0
}

/// A text behind ANY or ALL as the array that it writes.
///
/// # Errors
/// As `literal`.
pub(super) fn operand(left: &Expr, right: &mut Expr) -> Result<(), Error> {
    if !matches!(right, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_))) {
        return Ok(());
    }
    let mut data_type = array_of(compared(left));
    literal(right, &mut data_type)?;
    let array = Box::new(std::mem::replace(right, Expr::value(Value::Null)));
    *right = Expr::Cast { kind: CastKind::Cast, expr: array, data_type, array: false, format: None };
    Ok(())
}

/// Puts the array in the place of its text; anything else stays. A type of one dimension gets as many as the text has.
///
/// # Errors
/// `Error::InvalidText` where the text is no array.
pub(super) fn literal(inner: &mut Expr, kind: &mut DataType) -> Result<(), Error> {
    let DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) = &*kind else { return Ok(()) };
    let Expr::Value(value) = &*inner else { return Ok(()) };
    let Value::SingleQuotedString(text) = &value.value else { return Ok(()) };
    let items = items(text)?;
    let mut element = element.as_ref().clone();
    while let DataType::Array(ArrayElemTypeDef::SquareBracket(deeper, _)) = element {
        element = *deeper;
    }
    let dimensions = shape(&items).map_or(1, |shape| shape.len().max(1));
    *kind = (0..dimensions).fold(element, |element, _| array_of(element));
    *inner = array(items);
    Ok(())
}

fn array(items: Vec<Item>) -> Expr {
    let item = |item: Item| match item {
        Item::Null => Expr::value(Value::Null),
        Item::Text(text) => Expr::value(Value::SingleQuotedString(text)),
        Item::Array(items) => array(items),
    };
    Expr::Array(Array { elem: items.into_iter().map(item).collect(), named: true })
}
