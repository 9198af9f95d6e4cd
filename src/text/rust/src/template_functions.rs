//! What transformers adds to Jinja for chat templates, and where minijinja and Jinja2 differ.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, escape_formatter};
use std::cell::Cell;
use std::ffi::CString;
use std::fmt;

/// The message of raise_exception.
#[derive(Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// Seconds since 1970.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs().cast_signed())
}

/// Runs `body` with strftime_now telling the time `now`, so that several renderings agree.
pub fn with_time<T>(now: i64, body: impl FnOnce() -> T) -> T {
    NOW.set(now);
    body()
}

pub fn register(environment: &mut Environment) {
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json_filter);
    environment.add_filter("trim", trim);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    environment.set_formatter(print);
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Refusal(message)))
}

/// The local time as C's strftime writes it, which is Python's as well.
fn strftime_now(format: String) -> Result<String, Error> {
    let failed = || Error::new(ErrorKind::InvalidOperation, "strftime_now cannot write the time in this format");
    let format = CString::new(format).map_err(|_| failed())?;
    let mut buffer = vec![0u8; 1024];
    let now: libc::time_t = NOW.get();
    // SAFETY: all pointers are to live values, and strftime writes at most the length that it is given.
    let length = unsafe {
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut parts).is_null() {
            return Err(failed());
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    buffer.truncate(length);
    String::from_utf8(buffer).map_err(|_| failed())
}

/// Jinja2 trims as Python does, which counts the separators U+001C to U+001F as whitespace; Rust does not.
fn trim(value: String, chars: Option<String>) -> String {
    match chars {
        Some(chars) => value.trim_matches(|c| chars.contains(c)).to_owned(),
        None => value.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)).to_owned(),
    }
}

/// Jinja2: whatever has a length and can be subscripted.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// Unlike minijinja, Jinja2 cannot iterate over None.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Very large and very small numbers are printed as Python prints them; minijinja prints all else so by itself.
fn print(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_number() && !value.is_integer() {
        return output.write_str(&number(value)).map_err(Error::from);
    }
    escape_formatter(output, state, value)
}

/// json.dumps with transformers' defaults: no escaping of HTML or of characters beyond ASCII.
fn to_json_filter(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    let indent = indent.or(options.get("indent")?);
    let separators: Option<Vec<String>> = options.get("separators")?;
    let item_end = if indent.is_some() { "," } else { ", " };
    let mut style = JsonStyle {
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent,
        item_end: item_end.to_owned(),
        key_end: ": ".to_owned(),
    };
    options.assert_all_used()?;
    if let Some([item_end, key_end]) = separators.as_deref() {
        style.item_end.clone_from(item_end);
        style.key_end.clone_from(key_end);
    }
    let mut json = String::new();
    style.write(&mut json, value, 0)?;
    Ok(Value::from(json))
}

struct JsonStyle {
    ascii: bool,
    sort_keys: bool,
    indent: Option<usize>,
    item_end: String,
    key_end: String,
}

impl JsonStyle {
    fn write(&self, json: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => json.push_str("null"),
            ValueKind::Bool => json.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => json.push_str(&number(value)),
            ValueKind::String => self.write_text(json, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_items(json, ['[', ']'], items, depth, |json, item| self.write(json, item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items(json, ['{', '}'], keys, depth, |json, key| {
                    let text = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                    self.write_text(json, &text);
                    json.push_str(&self.key_end);
                    self.write(json, &value.get_item(key)?, depth + 1)
                })?;
            }
            kind => {
                return Err(Error::new(ErrorKind::BadSerialization, format!("tojson cannot write {kind}")));
            }
        }
        Ok(())
    }

    fn write_items(
        &self,
        json: &mut String,
        [open, close]: [char; 2],
        items: Vec<Value>,
        depth: usize,
        write_item: impl Fn(&mut String, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let new_line = |json: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                json.push('\n');
                json.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        json.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                json.push_str(&self.item_end);
            }
            new_line(json, depth + 1);
            write_item(json, item)?;
        }
        if !items.is_empty() {
            new_line(json, depth);
        }
        json.push(close);
        Ok(())
    }

    fn write_text(&self, json: &mut String, text: &str) {
        json.push('"');
        for c in text.chars() {
            match c {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                '\u{8}' => json.push_str("\\b"),
                '\u{c}' => json.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        json.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => json.push(c),
            }
        }
        json.push('"');
    }
}

/// Integers as they are, and floating-point numbers as Python's json writes them.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(number) = f64::try_from(value.clone()) else { return value.to_string() };
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
