//! `'%s' % x`: minijinja's operator knows numbers only. It is rewritten to a call of a function that knows text, too.

use crate::template_source::end_of_literal;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// A name that no template has.
pub const FUNCTION: &str = "hearth_percent";

/// An expression between a pair of brackets, as far as it was read.
#[derive(Default)]
struct Level {
    /// Where in the result the operands of the operators that bind like `%` start: all of them are its left side.
    chain: Option<usize>,
    /// Whether an operand was read, so that a sign or `%` stands between two.
    has_operand: bool,
    /// Whether a call awaits its closing bracket after the right side.
    is_open: bool,
}

impl Level {
    fn close(&mut self, result: &mut String) {
        if std::mem::take(&mut self.is_open) {
            result.push(')');
        }
    }

    /// What binds less than `%` ends both of its sides.
    fn end(&mut self, result: &mut String) {
        self.close(result);
        *self = Self::default();
    }

    fn start_operand(&mut self, position: usize) {
        self.chain.get_or_insert(position);
        self.has_operand = true;
    }
}

/// The code of a block with a call for each `%`. What is not valid Jinja stays wrong in one way or another.
pub fn rewrite(code: &str, is_statement: bool) -> String {
    if !code.contains('%') {
        return code.to_owned();
    }
    let mut result = String::with_capacity(code.len());
    let mut levels = vec![Level::default()];
    // The name of a statement is no operand.
    let mut is_first_word = is_statement;
    let mut follows_dot = false;
    let mut position = 0;
    while let Some(c) = code[position..].chars().next() {
        let end = end_of_token(code, position, c);
        let token = &code[position..end];
        position = end;
        let depth = levels.len() - 1;
        let level = &mut levels[depth];
        if c.is_whitespace() {
            result.push_str(token);
            continue;
        }
        let was_dot = std::mem::replace(&mut follows_dot, token == "." || token == "|");
        let is_word = c.is_alphanumeric() || c == '_';
        let is_name_of_statement = is_word && std::mem::replace(&mut is_first_word, false);
        match token {
            "%" if level.has_operand => {
                level.close(&mut result);
                result.insert_str(level.chain.unwrap_or(result.len()), &format!("{FUNCTION}("));
                result.push(',');
                level.is_open = true;
                level.has_operand = false;
                continue;
            }
            "(" | "[" | "{" => {
                level.start_operand(result.len());
                levels.push(Level::default());
            }
            ")" | "]" | "}" => {
                level.end(&mut result);
                if depth > 0 {
                    levels.pop();
                }
            }
            "." | "|" => {}
            "**" => level.has_operand = false,
            "*" | "/" | "//" => {
                level.close(&mut result);
                level.has_operand = false;
            }
            "+" | "-" if !level.has_operand => {
                level.chain.get_or_insert(result.len());
            }
            _ if is_name_of_statement || (is_word && !was_dot && is_keyword(token)) => level.end(&mut result),
            _ if is_word || matches!(c, '"' | '\'') => level.start_operand(result.len()),
            _ => level.end(&mut result),
        }
        result.push_str(token);
    }
    for level in levels.iter_mut().rev() {
        level.close(&mut result);
    }
    result
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "and" | "or" | "not" | "if" | "else" | "in" | "is" | "recursive")
}

fn end_of_token(code: &str, start: usize, first: char) -> usize {
    let rest = &code[start..];
    let while_in = |is_part: &dyn Fn(char) -> bool| start + rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    match first {
        '"' | '\'' => end_of_literal(code, start),
        '0'..='9' => {
            let end = while_in(&|c| c.is_alphanumeric() || c == '_' || c == '.');
            let has_exponent = code[start..end].ends_with(['e', 'E']) && code[end..].starts_with(['+', '-']);
            let digits = |c: char| c.is_ascii_digit();
            if has_exponent {
                end + 1 + code[end + 1..].find(|c| !digits(c)).unwrap_or(code.len() - end - 1)
            } else {
                end
            }
        }
        c if c.is_alphanumeric() || c == '_' => while_in(&|c| c.is_alphanumeric() || c == '_'),
        '*' | '/' if rest[1..].starts_with(first) => start + 2,
        c => start + c.len_utf8(),
    }
}

/// Python's `left % right`.
pub fn percent(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if left.kind() == ValueKind::String {
        let mut arguments = vec![left.clone()];
        if right.is_tuple() {
            arguments.extend(right.try_iter()?);
        } else if right.kind() == ValueKind::Map {
            let fields = right.try_iter()?.map(|key| Ok((key.to_string(), right.get_item(&key)?)));
            let fields: minijinja::value::Kwargs = fields.collect::<Result<Vec<_>, Error>>()?.into_iter().collect();
            arguments.push(fields.into());
        } else {
            arguments.push(right.clone());
        }
        return state.apply_filter("format", &arguments);
    }
    let failed =
        || Error::new(ErrorKind::InvalidOperation, format!("cannot compute {} % {}", left.kind(), right.kind()));
    let is_whole = |value: &Value| value.is_integer() || value.kind() == ValueKind::Bool;
    if is_whole(left) && is_whole(right) {
        let (left, right) = (i128::try_from(left.clone())?, i128::try_from(right.clone())?);
        let remainder = left.checked_rem(right).ok_or_else(failed)?;
        let is_negative = remainder != 0 && (remainder < 0) != (right < 0);
        return Ok(Value::from(if is_negative { remainder + right } else { remainder }));
    }
    let (left, right) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
    if right == 0.0 {
        return Err(failed());
    }
    let remainder = left % right;
    Ok(Value::from(if remainder != 0.0 && (remainder < 0.0) != (right < 0.0) { remainder + right } else { remainder }))
}
