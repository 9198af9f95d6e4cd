//! The filter tojson: json.dumps with transformers' defaults, without escaping of HTML or of characters beyond ASCII.

use crate::provenance::original;
use crate::python_text;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

pub fn to_json(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent.or(options.get("indent")?).filter(|indent| !indent.is_none()) {
        Some(text) if text.as_str().is_some() => Some(text.to_string()),
        Some(spaces) => Some(" ".repeat(usize::try_from(spaces)?.min(MAX_INDENT))),
        None => None,
    };
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

/// Deeper than anybody reads; the indent is written once for each item.
const MAX_INDENT: usize = 64;

struct JsonStyle {
    ascii: bool,
    sort_keys: bool,
    /// What a level is indented by; None is all in one line.
    indent: Option<String>,
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
                    match key.as_str() {
                        Some(text) => self.write_text(json, text),
                        None => {
                            json.push('"');
                            self.write(json, key, depth)?;
                            json.push('"');
                        }
                    }
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
            if let Some(indent) = &self.indent {
                json.push('\n');
                json.extend(std::iter::repeat_n(indent.as_str(), depth));
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
            match original(c) {
                '"' => json.push_str("\\\""),
                '\\' => json.push_str("\\\\"),
                '\n' => json.push_str("\\n"),
                '\r' => json.push_str("\\r"),
                '\t' => json.push_str("\\t"),
                '\u{8}' => json.push_str("\\b"),
                '\u{c}' => json.push_str("\\f"),
                real if real < ' ' || (self.ascii && !real.is_ascii()) => {
                    let mut units = [0; 2];
                    for unit in real.encode_utf16(&mut units) {
                        json.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => json.push(c),
            }
        }
        json.push('"');
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        _ => python_text::number(value),
    }
}
