//! From a template's source as published to one that minijinja reads as Jinja2 reads the original.

use crate::template_percent;
use std::ops::Range;

/// A `{{ }}` or `{% %}` outside of comments and raw blocks, as positions in the source.
pub struct Block {
    /// Without the delimiters and the signs that control whitespace.
    pub code: Range<usize>,
    pub is_statement: bool,
}

pub fn prepare(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut position = 0;
    for block in blocks(source) {
        result.push_str(&source[position..block.code.start]);
        position = block.code.end;
        let code = &source[block.code];
        match code.trim() {
            // transformers' block around what a model wrote, for training: it prints its body, and has a scope.
            "generation" if block.is_statement => result.push_str(" with "),
            "endgeneration" if block.is_statement => result.push_str(" endwith "),
            _ => result.push_str(&with_wide_escapes(&template_percent::rewrite(code, block.is_statement))),
        }
    }
    result + &source[position..]
}

/// Python's `\U0001F600`, which minijinja does not know, as the character itself.
fn with_wide_escapes(code: &str) -> String {
    let mut result = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find('\\') {
        let escape = &rest[start..];
        let digits = escape.strip_prefix("\\U").and_then(|digits| digits.get(..8));
        let character = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        let length = match character {
            Some(_) => 10,
            None => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        result.push_str(&rest[..start]);
        match character {
            Some(c) => result.push(c),
            None => result.push_str(&escape[..length]),
        }
        rest = &escape[length..];
    }
    result + rest
}

/// Jinja2 reads every newline of a source as its own, also inside of string literals.
pub fn with_unix_newlines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// All blocks of code, in order.
pub fn blocks(source: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut position = 0;
    while let Some(found) = source[position..].find('{') {
        let start = position + found + 2;
        let (close, is_statement) = match source.as_bytes().get(start - 1) {
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            Some(b'#') => {
                position = source[start..].find("#}").map_or(source.len(), |end| start + end + 2);
                continue;
            }
            _ => {
                position = start - 1;
                continue;
            }
        };
        let end = start + end_of_block(&source[start..], close);
        let after = (end + 2).min(source.len());
        let code = without_signs(source, start..end);
        if is_statement && source[code.clone()].trim() == "raw" {
            position = end_of_raw(source, after);
            continue;
        }
        blocks.push(Block { code, is_statement });
        position = after;
    }
    blocks
}

/// The position of `close` outside of string literals and braces; the end of `inside` where there is none.
fn end_of_block(inside: &str, close: &str) -> usize {
    let mut position = 0;
    let mut depth = 0usize;
    while let Some(c) = inside[position..].chars().next() {
        match c {
            '"' | '\'' => {
                position = end_of_literal(inside, position);
                continue;
            }
            _ if depth == 0 && inside[position..].starts_with(close) => return position,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        position += c.len_utf8();
    }
    inside.len()
}

/// The position after the closing quote of the literal that starts at `start`; the end of `code` where it has none.
pub fn end_of_literal(code: &str, start: usize) -> usize {
    let mut characters = code[start..].char_indices();
    let quote = characters.next().map(|(_, quote)| quote);
    while let Some((offset, c)) = characters.next() {
        if Some(c) == quote {
            return start + offset + 1;
        }
        if c == '\\' {
            characters.next();
        }
    }
    code.len()
}

fn without_signs(source: &str, code: Range<usize>) -> Range<usize> {
    let is_sign = |position: usize| matches!(source.as_bytes()[position], b'-' | b'+');
    let start = if !code.is_empty() && is_sign(code.start) { code.start + 1 } else { code.start };
    let end = if start < code.end && is_sign(code.end - 1) { code.end - 1 } else { code.end };
    start..end
}

/// The position after the `{% endraw %}` that follows `start`.
fn end_of_raw(source: &str, start: usize) -> usize {
    let mut position = start;
    while let Some(found) = source[position..].find("{%") {
        position += found + 2;
        let inside = source[position..].trim_start_matches(['-', '+']).trim_start();
        if let Some(end) = inside.strip_prefix("endraw").and_then(|rest| rest.find("%}")) {
            return source.len() - inside.len() + "endraw".len() + end + 2;
        }
    }
    source.len()
}
