//! What transformers adds to Jinja for chat templates, and where minijinja and Jinja2 differ.

use crate::{python_text, template_filters, template_json, template_percent};
use minijinja::value::{Value, ValueKind};
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
    environment.add_function(template_percent::FUNCTION, template_percent::percent);
    environment.add_filter("tojson", template_json::to_json);
    template_filters::register(environment);
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

/// Jinja2: whatever has a length and can be subscripted.
fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// Unlike minijinja, Jinja2 cannot iterate over None.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// Numbers and what lies in lists are printed as Python prints them.
fn print(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            output.write_str(&python_text::text(value)).map_err(Error::from)
        }
        _ => escape_formatter(output, state, value),
    }
}
