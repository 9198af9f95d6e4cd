//! Which characters of a rendered template came with the request.
//!
//! A template is rendered twice: as it is, and with the characters of the request's texts replaced, one for one, by
//! characters of a private-use plane. Where the two results differ, and differ only by that replacement, the request
//! wrote. Lengths and whitespace are untouched, so slicing and trimming work alike in both; a template that looks into
//! the texts, as by `'</think>' in content`, may take another path, which shows as any other difference, and then less
//! is replaced.

use crate::template_inputs::Inputs;
use crate::template_literals::{Literals, is_mappable};
use serde_json::Value;
use std::cell::Cell;

/// A piece of the rendered text.
#[derive(Debug, PartialEq)]
pub struct Segment {
    /// In bytes, from the start of the text.
    pub end: usize,
    pub is_template: bool,
}

/// What is replaced in the request's texts.
#[derive(Clone, Copy)]
pub struct Mapping<'a> {
    characters: Characters,
    /// Occurrences of these literals stay.
    kept: &'a [String],
    /// Whether the names of fields are texts like others; not where a template sorts by them.
    keys: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Characters {
    None,
    /// For templates that change letters or read digits.
    Punctuation,
    All,
}

const FIRST_MAPPED: u32 = 0xF0000;

/// Values that templates compare or print, and that cannot hurt: the server allows no other roles.
const KNOWN_ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function", "ipython", "model"];
const KNOWN_TYPES: &[&str] = &[
    "text",
    "image",
    "image_url",
    "audio",
    "input_audio",
    "video",
    "file",
    "function",
    "string",
    "number",
    "integer",
    "boolean",
    "object",
    "array",
    "null",
];

thread_local! {
    /// Whether characters of the private-use plane stand for others on this thread.
    static IS_MAPPED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body`, a rendering of texts that `mapping` was applied to.
pub fn with_mapping<T>(mapping: &Mapping, body: impl FnOnce() -> T) -> T {
    IS_MAPPED.set(mapping.characters != Characters::None);
    let result = body();
    IS_MAPPED.set(false);
    result
}

/// What a character of a rendering stands for: functions that look at characters shall see the same in each rendering.
pub fn original(c: char) -> char {
    let code = (c as u32).wrapping_sub(FIRST_MAPPED);
    if code < 0xFFFE && IS_MAPPED.get() { char::from_u32(code).unwrap_or(c) } else { c }
}

/// `c` spelled as `model` is: a function made it of that character of the request.
pub fn spelled_like(c: char, model: char) -> char {
    if original(model) != model && is_mappable(c) { mapped(c) } else { c }
}

fn mapped(c: char) -> char {
    char::from_u32(FIRST_MAPPED + c as u32).unwrap_or(c)
}

impl<'a> Mapping<'a> {
    /// Leaves everything as it is.
    pub const IDENTITY: Self = Self { characters: Characters::None, kept: &[], keys: false };

    /// The mappings to try, the most telling first.
    pub fn in_order(literals: &'a Literals) -> [Self; 5] {
        use Characters::{All, Punctuation};
        [
            Self { characters: All, kept: &[], keys: true },
            Self { characters: All, kept: &literals.inspected, keys: true },
            Self { characters: All, kept: &literals.inspected, keys: false },
            Self { characters: Punctuation, kept: &literals.inspected, keys: false },
            Self { characters: Punctuation, kept: &literals.all, keys: false },
        ]
    }

    /// A copy of a value of the request with its texts replaced.
    pub fn apply(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.apply_to_text(text)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.apply(item)).collect()),
            Value::Object(fields) => {
                let entry = |(key, value): (&String, &Value)| {
                    let value = if is_known(key, value) { value.clone() } else { self.apply(value) };
                    let is_replaced = self.keys && !is_name(key);
                    (if is_replaced { self.apply_to_text(key) } else { key.clone() }, value)
                };
                Value::Object(fields.iter().map(entry).collect())
            }
            other => other.clone(),
        }
    }

    fn apply_to_text(&self, text: &str) -> String {
        if self.characters == Characters::None {
            return text.to_owned();
        }
        let mut keep = vec![false; text.len()];
        for literal in self.kept {
            for (start, found) in text.match_indices(literal.as_str()) {
                keep[start..start + found.len()].fill(true);
            }
        }
        let only_punctuation = self.characters == Characters::Punctuation;
        let replace = |(position, c): (usize, char)| {
            let is_kept = keep[position] || !is_mappable(c) || (only_punctuation && c.is_alphanumeric());
            if is_kept { c } else { mapped(c) }
        };
        text.char_indices().map(replace).collect()
    }

    /// What was kept looks like the template's own text in the comparison: where the request contains it, each of its
    /// occurrences in the rendered text is taken as the request's.
    pub fn reclaim(&self, inputs: &Inputs, text: &str, is_content: &mut [bool]) {
        let mut reclaim = |kept: &str| {
            for (start, found) in text.match_indices(kept) {
                is_content[start..start + found.len()].fill(true);
            }
        };
        let mut values = vec![&inputs.messages, &inputs.tools];
        values.extend(inputs.variables.values());
        for literal in self.kept {
            if values.iter().any(|value| contains_text(value, literal)) {
                reclaim(literal);
            }
        }
        if !self.keys {
            for value in values {
                for_each_key(value, &mut |key| {
                    if !is_name(key) {
                        reclaim(key)
                    }
                });
            }
        }
    }
}

/// Templates look fields up by such names.
fn is_name(key: &str) -> bool {
    key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '$')
}

fn for_each_key(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| for_each_key(item, visit)),
        Value::Object(fields) => {
            for (key, value) in fields {
                visit(key);
                for_each_key(value, visit);
            }
        }
        _ => {}
    }
}

fn is_known(key: &str, value: &Value) -> bool {
    let known = match key {
        "role" => KNOWN_ROLES,
        "type" => KNOWN_TYPES,
        _ => return false,
    };
    value.as_str().is_some_and(|text| known.contains(&text))
}

fn contains_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(items) => items.iter().any(|item| contains_text(item, text)),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| !is_known(key, value) && (key.contains(text) || contains_text(value, text))),
        _ => false,
    }
}

/// For each byte of `text`, whether it came with the request; None when `other` differs by more than the replacement.
pub fn compare(text: &str, other: &str) -> Option<Vec<bool>> {
    let mut is_content = vec![false; text.len()];
    let mut others = other.chars();
    for (position, c) in text.char_indices() {
        let other = others.next()?;
        if other == c {
            continue;
        }
        if !is_mappable(c) || other != mapped(c) {
            return None;
        }
        is_content[position..position + c.len_utf8()].fill(true);
    }
    others.next().is_none().then_some(is_content)
}

/// The pieces of `text`. What is never replaced (spaces, quotes) counts as the request's between two of its pieces.
pub fn segments(text: &str, is_content: &[bool]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut push = |end: usize, is_template: bool| match segments.last_mut() {
        Some(last) if last.is_template == is_template => last.end = end,
        _ => segments.push(Segment { end, is_template }),
    };
    let mut position = 0;
    while position < text.len() {
        let start = position;
        let in_content = is_content[start];
        while position < text.len() && is_content[position] == in_content {
            position += 1;
        }
        let is_between = start > 0 && position < text.len() && !text[start..position].chars().any(is_mappable);
        push(position, !in_content && !is_between);
    }
    segments
}
