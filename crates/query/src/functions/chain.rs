//! Long sums, products and joined texts as one call: `a + b - c ..` of many numbers is a tree as deep as it is long, and
//! DataFusion derives the types and names of all of it at each of its levels, many times over.
//!
//! - a chain of `FOLDED` operators of numbers or of texts becomes `chain('+-..', NULL::type, a, b, c, ..)` while the
//!   statement is planned, and takes up further operands one by one; shorter ones stay what they are;
//! - it is computed from the left, step by step, with the types of each step, as the operators are;
//! - other long chains (of times and intervals, say) are refused: 54001.

use super::arithmetic::one_nan_of;
use super::quotients::is_decimal;
use super::typed::call;
use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, Datum, Scalar, StringBuilder};
use arrow::compute::cast;
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::{Arc, LazyLock};

/// How many operators in a row become one call.
const FOLDED: usize = 24;
/// How many operators of another sort may stand in a row.
const OTHERS_MAX: usize = 200;

static CHAIN: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Chain { signature: Signature::user_defined(Volatility::Immutable) })));

/// Those that are put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 1] {
    [Arc::clone(&CHAIN)]
}

/// Operators that are taken up, and the letters that stand for them.
const OPERATORS: [(Operator, BinaryOperator, char); 6] = [
    (Operator::Plus, BinaryOperator::Plus, '+'),
    (Operator::Minus, BinaryOperator::Minus, '-'),
    (Operator::Multiply, BinaryOperator::Multiply, '*'),
    (Operator::Divide, BinaryOperator::Divide, '/'),
    (Operator::Modulo, BinaryOperator::Modulo, '%'),
    (Operator::StringConcat, BinaryOperator::StringConcat, '|'),
];

fn letter(op: Operator) -> Option<char> {
    OPERATORS.iter().find(|(known, ..)| *known == op).map(|(.., letter)| *letter)
}

fn operator(letter: char) -> Option<Operator> {
    OPERATORS.iter().find(|(.., known)| *known == letter).map(|(op, ..)| *op)
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

/// The type of a step; None where it is none of numbers or texts.
fn step(left: &DataType, op: Operator, right: &DataType) -> Option<DataType> {
    // Numerics divide by a function of their own.
    if matches!(op, Operator::Divide | Operator::Modulo) && (is_decimal(left) || is_decimal(right)) {
        return None;
    }
    let fits =
        if op == Operator::StringConcat { is_text(left) && is_text(right) } else { left.is_numeric() && right.is_numeric() };
    if fits { BinaryTypeCoercer::new(left, &op, right).get_result_type().ok() } else { None }
}

/// The type of an expression: that of a chain is written in it.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> DataType {
    // What has no type here is refused elsewhere.
    carried(expr).unwrap_or_else(|| expr.get_type(schema).unwrap_or(DataType::Null))
}

/// The type that is written in a chain; None where it is none.
fn carried(expr: &Expr) -> Option<DataType> {
    let Expr::ScalarFunction(call) = expr else { return None };
    match call.args.as_slice() {
        [Expr::Literal(..), Expr::Literal(kind, _), ..] if call.func.name() == Chain::NAME => Some(kind.data_type()),
        _ => None,
    }
}

fn made(letters: String, kind: &DataType, operands: Vec<Expr>) -> Result<Expr> {
    let kind = ScalarValue::try_from(kind)?;
    let mut args = Vec::with_capacity(operands.len() + 2);
    args.extend([Expr::Literal(ScalarValue::from(letters), None), Expr::Literal(kind, None)]);
    args.extend(operands);
    Ok(call(&CHAIN, args))
}

/// `left op right` as a chain, where the left is a long one; both sides as they were where not.
///
/// # Errors
/// `Error::TooComplex` for a chain that can't be one call, and is too long to be anything else.
pub(super) fn taken(
    mut left: Expr,
    op: &BinaryOperator,
    mut right: Expr,
    schema: &DFSchema,
) -> Result<std::result::Result<Expr, (Expr, Expr)>> {
    let op = OPERATORS.iter().find(|(_, known, _)| known == op).map(|(op, ..)| *op);
    if let Some(op) = op
        && let Some(kind) = carried(&left)
    {
        let Some(kind) = step(&kind, op, &type_of(&right, schema)) else { return Ok(Err((left, right))) };
        return lengthened(left, op, right, &kind).map(Ok);
    }
    let length = length(&left);
    if let Some(op) = op
        && length + 1 >= FOLDED
    {
        let whole = Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) });
        if let Some((letters, kind)) = folded(&whole, schema) {
            return made(letters, &kind, operands(whole)).map(Ok);
        }
        let Expr::BinaryExpr(BinaryExpr { left: before, right: after, .. }) = whole else {
            return Err(DataFusionError::Internal("an operator is an operator".to_owned()));
        };
        (left, right) = (*before, *after);
    }
    // What the planner makes of AND and OR is low already.
    if length >= OTHERS_MAX { Err(too_long().into()) } else { Ok(Err((left, right))) }
}

fn too_long() -> Error {
    raise(
        Error::TooComplex,
        format!("more than {OTHERS_MAX} operators in a row that are neither sums of numbers nor joined texts"),
    )
    .with_hint("cut them into parts, with parentheses or subqueries")
}

/// Operators from here to the left, as far as it matters.
fn length(expr: &Expr) -> usize {
    let (mut here, mut count) = (expr, 0);
    while let Expr::BinaryExpr(BinaryExpr { left, .. }) = here {
        count += 1;
        here = left;
        if count > OTHERS_MAX {
            break;
        }
    }
    count
}

/// The letters and the type of a chain; None where one of its operators or operands is of another sort, or it is short.
fn folded(expr: &Expr, schema: &DFSchema) -> Option<(String, DataType)> {
    let (mut here, mut steps) = (expr, Vec::new());
    while let Expr::BinaryExpr(BinaryExpr { left, op, right }) = here {
        if letter(*op).is_none() {
            break;
        }
        steps.push((*op, right.as_ref()));
        here = left;
    }
    if steps.len() < FOLDED {
        return None;
    }
    // The newest tells at once in a chain that can't be folded.
    let (_, newest) = steps.first()?;
    step(&type_of(newest, schema), steps[0].0, &type_of(newest, schema))?;
    let (mut kind, mut letters) = (type_of(here, schema), String::new());
    for (op, right) in steps.into_iter().rev() {
        kind = step(&kind, op, &type_of(right, schema))?;
        letters.extend(letter(op));
    }
    Some((letters, kind))
}

/// The operands of a chain of operators, in order.
fn operands(expr: Expr) -> Vec<Expr> {
    let (mut here, mut out) = (expr, Vec::new());
    loop {
        match here {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if letter(op).is_some() => {
                out.push(*right);
                here = *left;
            }
            first => {
                out.push(first);
                out.reverse();
                return out;
            }
        }
    }
}

/// A chain with one operand more. Nothing of what it has is copied.
fn lengthened(chain: Expr, op: Operator, right: Expr, kind: &DataType) -> Result<Expr> {
    let Expr::ScalarFunction(mut call) = chain else {
        return Err(DataFusionError::Internal("a chain is a call".to_owned()));
    };
    if let [Expr::Literal(ScalarValue::Utf8(Some(letters)), _), of, ..] = call.args.as_mut_slice() {
        letters.extend(letter(op));
        *of = Expr::Literal(ScalarValue::try_from(kind)?, None);
    }
    call.args.push(right);
    Ok(Expr::ScalarFunction(call))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Chain {
    signature: Signature,
}

impl Chain {
    const NAME: &'static str = "chain";
}

impl ScalarUDFImpl for Chain {
    fn name(&self) -> &'static str {
        Chain::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.len() < 3 { Err(DataFusionError::Plan("No function matches chain".to_owned())) } else { Ok(given.to_vec()) }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        given.get(1).cloned().ok_or_else(|| DataFusionError::Plan("No function matches chain".to_owned()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let malformed = || DataFusionError::Plan("No function matches chain".to_owned());
        let rows = args.number_rows;
        let kind = args.return_field.data_type();
        let mut args = args.args.into_iter();
        let (Some(ColumnarValue::Scalar(letters)), Some(_)) = (args.next(), args.next()) else { return Err(malformed()) };
        let Some(Some(letters)) = letters.try_as_str() else { return Err(malformed()) };
        let operands: Vec<ColumnarValue> = args.collect();
        let ops: Vec<Operator> = letters.chars().map(operator).collect::<Option<_>>().ok_or_else(malformed)?;
        if ops.len() + 1 != operands.len() {
            return Err(malformed());
        }
        let scalar = operands.iter().all(|operand| matches!(operand, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { rows };
        let out = if ops.iter().all(|op| *op == Operator::StringConcat) {
            texts(&operands, rows)?
        } else {
            numbers(operands, &ops, rows)?
        };
        let out = if out.data_type() == kind { out } else { cast(&out, kind)? };
        Ok(if scalar { ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?) } else { ColumnarValue::Array(out) })
    }
}

/// Numbers, step by step.
fn numbers(operands: Vec<ColumnarValue>, ops: &[Operator], rows: usize) -> Result<ArrayRef> {
    let mut operands = operands.into_iter();
    let mut sum = match operands.next() {
        Some(first) => first.into_array(rows)?,
        None => return Err(DataFusionError::Internal("a chain of nothing".to_owned())),
    };
    for (op, operand) in ops.iter().zip(operands) {
        let right = operand.data_type();
        let (a, b) = BinaryTypeCoercer::new(sum.data_type(), op, &right).get_input_types()?;
        if *sum.data_type() != a {
            sum = cast(&sum, &a)?;
        }
        let operand = operand.cast_to(&b, None)?;
        let right: Box<dyn Datum> = match operand {
            ColumnarValue::Array(array) => Box::new(array),
            ColumnarValue::Scalar(value) => Box::new(Scalar::new(value.to_array()?)),
        };
        sum = match op {
            Operator::Plus => numeric::add(&sum, right.as_ref())?,
            Operator::Minus => numeric::sub(&sum, right.as_ref())?,
            Operator::Multiply => numeric::mul(&sum, right.as_ref())?,
            Operator::Divide => numeric::div(&sum, right.as_ref())?,
            Operator::Modulo => numeric::rem(&sum, right.as_ref())?,
            other => return Err(DataFusionError::Internal(format!("a chain of numbers with {other}"))),
        };
    }
    Ok(one_nan_of(&sum))
}

/// Texts, row by row; NULL where one of them is.
fn texts(operands: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let mut columns = Vec::with_capacity(operands.len());
    for operand in operands {
        // A constant is one row.
        let array = match operand {
            ColumnarValue::Array(array) => Arc::clone(array),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        columns.push((cast(&array, &DataType::Utf8)?, matches!(operand, ColumnarValue::Scalar(_))));
    }
    let columns: Vec<_> = columns.iter().map(|(array, constant)| (array.as_string::<i32>(), *constant)).collect();
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        let mut known = true;
        for (array, constant) in &columns {
            let row = if *constant { 0 } else { row };
            known &= array.is_valid(row);
            if !known {
                break;
            }
            text.push_str(array.value(row));
        }
        out.append_option(known.then_some(text.as_str()));
    }
    Ok(Arc::new(out.finish()))
}
