//! How Python writes values as text: str() and repr().

use crate::provenance;
use minijinja::Value;
use minijinja::value::ValueKind;

/// Python's str(), but that nothing is written for an undefined value.
pub fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Undefined => String::new(),
        _ => {
            let mut text = String::new();
            write(&mut text, value);
            text
        }
    }
}

/// Appends Python's repr().
pub fn write(text: &mut String, value: &Value) {
    match value.kind() {
        ValueKind::String => write_quoted(text, value.as_str().unwrap_or_default()),
        ValueKind::Number => text.push_str(&number(value)),
        ValueKind::Seq => {
            let items: Vec<Value> = value.try_iter().into_iter().flatten().collect();
            let (open, close) = match (value.is_tuple(), items.len()) {
                (true, 1) => ("(", ",)"),
                (true, _) => ("(", ")"),
                _ => ("[", "]"),
            };
            write_items(text, [open, close], &items, write);
        }
        // What knows how to print itself (a namespace, a loop) does it.
        ValueKind::Map if value.to_string().starts_with('{') => {
            let keys: Vec<Value> = value.try_iter().into_iter().flatten().collect();
            write_items(text, ["{", "}"], &keys, |text, key| {
                write(text, key);
                text.push_str(": ");
                write(text, &value.get_item(key).unwrap_or_default());
            });
        }
        _ => text.push_str(&value.to_string()),
    }
}

fn write_items(text: &mut String, [open, close]: [&str; 2], items: &[Value], write: impl Fn(&mut String, &Value)) {
    text.push_str(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write(text, item);
    }
    text.push_str(close);
}

fn write_quoted(text: &mut String, value: &str) {
    let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
    text.push(quote);
    for c in value.chars() {
        let real = provenance::original(c);
        match real {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\\' => text.push_str("\\\\"),
            real if real == quote => text.extend(['\\', quote]),
            real if is_printable(real) => text.push(c),
            c if (c as u32) < 0x100 => text.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x10000 => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    text.push(quote);
}

/// All but control characters, separators, marks of formatting and private use.
pub fn is_printable(c: char) -> bool {
    const FORMATS: &[(u32, u32)] = &[
        (0xAD, 0xAD),
        (0x600, 0x605),
        (0x61C, 0x61C),
        (0x6DD, 0x6DD),
        (0x70F, 0x70F),
        (0x8E2, 0x8E2),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0x110BD, 0x110BD),
        (0x110CD, 0x110CD),
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE007F),
    ];
    let is_format = FORMATS.iter().any(|&(first, last)| (first..=last).contains(&(c as u32)));
    let is_private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    c == ' ' || !(c.is_whitespace() || c.is_control() || is_format || is_private)
}

/// Integers as they are, and floating-point numbers as Python writes them.
pub fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(number) = f64::try_from(value.clone()) else { return value.to_string() };
    if !number.is_finite() {
        return number.to_string().to_lowercase();
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
