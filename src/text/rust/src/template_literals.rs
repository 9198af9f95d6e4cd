//! The string literals of a Jinja source.

use crate::template_source;

/// Whether a character is ever replaced. Whitespace is not, so that trimming works, nor what JSON and Python escape.
pub fn is_mappable(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\') && (c as u32) < 0xFFFE
}

/// Literals that are not only whitespace and quotes, without repetition.
#[derive(Default)]
pub struct Literals {
    pub all: Vec<String>,
    /// Those that stand where a template compares text or searches in it.
    pub inspected: Vec<String>,
}

impl Literals {
    pub fn of(source: &str) -> Self {
        let mut literals = Self::default();
        for block in template_source::blocks(source) {
            literals.collect(&source[block.code]);
        }
        literals
    }

    fn collect(&mut self, code: &str) {
        let mut position = 0;
        while let Some(start) = code[position..].find(['"', '\'']).map(|found| found + position) {
            let Some((literal, end)) = literal_at(code, start) else { return };
            if literal.chars().any(is_mappable) && !self.all.contains(&literal) {
                self.all.push(literal.clone());
            }
            let is_new = self.all.contains(&literal) && !self.inspected.contains(&literal);
            if is_new && is_inspected(code[..start].trim_end(), code[end..].trim_start()) {
                self.inspected.push(literal);
            }
            position = end;
        }
    }
}

/// Whether code that ends with `before` and goes on with `after` compares the literal between them, subscripts with
/// it, or passes it to a method.
fn is_inspected(before: &str, after: &str) -> bool {
    let compares_before = ["==", "!=", "(", ",", "[", " in", "equalto"].iter().any(|end| before.ends_with(end));
    let compares_after = ["==", "!=", "in ", "not in "].iter().any(|start| after.starts_with(start));
    compares_before || compares_after
}

/// The value of the literal whose opening quote is at `start`, and the position after its closing quote.
fn literal_at(code: &str, start: usize) -> Option<(String, usize)> {
    let mut characters = code[start..].char_indices();
    let (_, quote) = characters.next()?;
    let mut value = String::new();
    while let Some((offset, c)) = characters.next() {
        match c {
            c if c == quote => return Some((value, start + offset + c.len_utf8())),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}
