//! Python's methods of texts and lists, where minijinja-contrib has none or another meaning.

use crate::provenance::original;
use crate::python_text;
use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Calls the method `name` of a value that minijinja has no such method for.
pub fn call(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        if let Some(result) = call_on_text(state, text, name, arguments).transpose() {
            return result;
        }
    } else if value.kind() == ValueKind::Seq && name == "index" {
        let (item,): (Value,) = from_args(arguments)?;
        return value.try_iter()?.position(|other| other == item).map(Value::from).ok_or_else(not_found);
    }
    unknown_method_callback(state, value, name, arguments)
}

/// None where minijinja-contrib does the same.
fn call_on_text(state: &State, text: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match name {
        "split" | "rsplit" => {
            let (separator, limit, named): (Option<&str>, Option<i64>, Kwargs) = from_args(arguments)?;
            let separator = separator.or(named.get("sep")?);
            let limit = limit.or(named.get("maxsplit")?);
            named.assert_all_used()?;
            split(text, separator, limit, name == "rsplit")?
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            partition(text, separator, name == "rpartition")?
        }
        "strip" | "lstrip" | "rstrip" => {
            let (characters,): (Option<&str>,) = from_args(arguments)?;
            let is_stripped = |c: char| characters.map_or_else(|| is_space(c), |characters| characters.contains(c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(is_stripped) };
            if name == "lstrip" { text } else { text.trim_end_matches(is_stripped) }.into()
        }
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(arguments)?;
            let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            rest.unwrap_or(text).into()
        }
        "zfill" | "ljust" | "rjust" | "center" => {
            let (width, fill): (i64, Option<char>) = from_args(arguments)?;
            pad(state, text, name, width, if name == "zfill" { '0' } else { fill.unwrap_or(' ') })?.into()
        }
        "find" | "rfind" | "index" | "rindex" if arguments.len() > 1 || name.ends_with("index") => {
            let (part, start, end): (&str, Option<i64>, Option<i64>) = from_args(arguments)?;
            let found = find(text, part, start, end, name.starts_with('r'));
            if found.is_none() && name.ends_with("index") {
                return Err(not_found());
            }
            found.map_or(Value::from(-1), Value::from)
        }
        "startswith" | "endswith" if arguments.len() > 1 => {
            let (affix, start, end): (Value, Option<i64>, Option<i64>) = from_args(arguments)?;
            let (_, within) = slice(text, start, end);
            let is_there =
                |affix: &str| if name == "startswith" { within.starts_with(affix) } else { within.ends_with(affix) };
            match affix.as_str() {
                Some(affix) => is_there(affix),
                None => affix.try_iter()?.any(|affix| affix.as_str().is_some_and(is_there)),
            }
            .into()
        }
        "splitlines" => {
            let (keeps_ends, named): (Option<bool>, Kwargs) = from_args(arguments)?;
            let keeps_ends = keeps_ends.or(named.get("keepends")?).unwrap_or(false);
            named.assert_all_used()?;
            lines(text, keeps_ends).into_iter().map(Value::from).collect()
        }
        "expandtabs" => {
            let (size,): (Option<i64>,) = from_args(arguments)?;
            expand_tabs(state, text, usize::try_from(size.unwrap_or(8)).unwrap_or(0))?.into()
        }
        "join" => {
            let (items,): (Value,) = from_args(arguments)?;
            let mut joined = String::new();
            for (index, item) in items.try_iter()?.enumerate() {
                let Some(item) = item.as_str() else {
                    let message = format!("join takes texts, and item {index} is a {}", item.kind());
                    return Err(Error::new(ErrorKind::InvalidOperation, message));
                };
                let separator = if index > 0 { text } else { "" };
                charge(state, separator.len() + item.len())?;
                joined.push_str(separator);
                joined.push_str(item);
            }
            joined.into()
        }
        "title" => title(text).into(),
        "swapcase" => {
            let swap =
                |c: char| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() };
            text.chars().map(swap).collect::<String>().into()
        }
        // Full case folding differs from lower case in a few letters more.
        "casefold" => text.to_lowercase().replace('ß', "ss").replace('ς', "σ").into(),
        _ => return Ok(is_all(text, name).map(Value::from)),
    }))
}

/// The methods that ask about a text's characters.
fn is_all(text: &str, name: &str) -> Option<bool> {
    const SUPERSCRIPTS: &str = "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉";
    let all = |is: &dyn Fn(char) -> bool| !text.is_empty() && text.chars().map(original).all(is);
    Some(match name {
        "isdecimal" => all(&is_decimal_digit),
        "isdigit" => all(&|c| is_decimal_digit(c) || SUPERSCRIPTS.contains(c)),
        "isnumeric" => all(&char::is_numeric),
        "isspace" => all(&is_space),
        "isalnum" => all(&char::is_alphanumeric),
        "isalpha" => all(&char::is_alphabetic),
        "isprintable" => text.chars().map(original).all(python_text::is_printable),
        "isidentifier" => {
            let starts_well = text.chars().next().map(original).is_some_and(|c| c.is_alphabetic() || c == '_');
            starts_well && all(&|c| c.is_alphanumeric() || c == '_')
        }
        "istitle" => {
            let original: String = text.chars().map(original).collect();
            original.chars().any(char::is_alphabetic) && title(&original) == original
        }
        _ => return None,
    })
}

/// The digits of the scripts that are written today.
fn is_decimal_digit(c: char) -> bool {
    const ZEROS: &[u32] = &[
        0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20,
        0x1040, 0x17E0, 0x1810, 0xFF10,
    ];
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&(c as u32)))
}

/// Python counts the separators U+001C to U+001F as whitespace, too.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Pays for `bytes` of a result before they are made.
pub fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / 64) as u64)
}

fn not_found() -> Error {
    Error::new(ErrorKind::InvalidOperation, "index found nothing")
}

fn split(text: &str, separator: Option<&str>, limit: Option<i64>, from_right: bool) -> Result<Value, Error> {
    let pieces = limit.and_then(|limit| usize::try_from(limit).ok()).map_or(usize::MAX, |limit| limit + 1);
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(separator) if from_right => text.rsplitn(pieces, separator).collect(),
        Some(separator) => text.splitn(pieces, separator).collect(),
        None => split_at_spaces(text, pieces, from_right),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Parts between runs of whitespace; from the right in reverse order. The last of `pieces` is all that is left.
fn split_at_spaces(text: &str, pieces: usize, from_right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = if from_right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) };
    while !rest.is_empty() {
        let border = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(border) = border.filter(|_| parts.len() + 1 < pieces) else {
            parts.push(rest);
            break;
        };
        let (left, right) = rest.split_at(border);
        if from_right {
            parts.push(right.trim_start_matches(is_space));
            rest = left.trim_end_matches(is_space);
        } else {
            parts.push(left);
            rest = right.trim_start_matches(is_space);
        }
    }
    parts
}

fn partition(text: &str, separator: &str, from_right: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
    }
    let halves = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match halves {
        Some((left, right)) => [left, separator, right],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::new(parts.into_iter().map(Value::from).collect())))
}

/// Fills a text up to `width` characters, as str.zfill, ljust, rjust and center do.
pub fn pad(state: &State, text: &str, how: &str, width: i64, fill: char) -> Result<String, Error> {
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    charge(state, missing.saturating_mul(fill.len_utf8()))?;
    // An odd number's larger half stands on the left in a text of odd width.
    let half = missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1);
    let (left, right) = match how {
        "ljust" => (0, missing),
        "center" => (half, missing - half),
        _ => (missing, 0),
    };
    let sign = text.chars().next().filter(|&c| how == "zfill" && matches!(original(c), '+' | '-'));
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    let text = &text[sign.map_or(0, char::len_utf8)..];
    Ok(sign.into_iter().chain(fill(left)).chain(text.chars()).chain(fill(right)).collect())
}

/// The part of a text between two indices of characters that may count from the end, and where it starts.
fn slice(text: &str, start: Option<i64>, end: Option<i64>) -> (usize, &str) {
    let length = text.chars().count() as i64;
    let clip = |index: i64| (if index < 0 { index + length } else { index }).clamp(0, length) as usize;
    let (start, end) = (clip(start.unwrap_or(0)), clip(end.unwrap_or(length)));
    let offset = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(offset, _)| offset);
    (start, if start < end { &text[offset(start)..offset(end)] } else { "" })
}

/// The index of the first or last character of `part`.
fn find(text: &str, part: &str, start: Option<i64>, end: Option<i64>, from_right: bool) -> Option<usize> {
    let (offset, within) = slice(text, start, end);
    let found = if from_right { within.rfind(part) } else { within.find(part) };
    found.map(|found| offset + within[..found].chars().count())
}

pub fn lines(text: &str, keeps_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    while let Some(end) = rest.find(is_end) {
        let length =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        lines.push(&rest[..if keeps_ends { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn expand_tabs(state: &State, text: &str, size: usize) -> Result<String, Error> {
    let mut result = String::new();
    let mut column = 0;
    for c in text.chars() {
        if c != '\t' {
            column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            result.push(c);
            continue;
        }
        let spaces = if size == 0 { 0 } else { size - column % size };
        charge(state, spaces)?;
        result.extend(std::iter::repeat_n(' ', spaces));
        column += spaces;
    }
    Ok(result)
}

/// Each letter after what is no letter in upper case, all others in lower case.
fn title(text: &str) -> String {
    let mut follows_letter = false;
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        if follows_letter {
            result.extend(c.to_lowercase());
        } else {
            result.extend(c.to_uppercase());
        }
        follows_letter = c.is_lowercase() || c.is_uppercase();
    }
    result
}
