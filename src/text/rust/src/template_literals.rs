//! The string literals of a Jinja source.

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
        let mut rest = source;
        while let Some((inside, after)) = next_block(rest) {
            literals.collect(inside);
            rest = after;
        }
        literals
    }

    fn collect(&mut self, code: &str) {
        let mut position = 0;
        while let Some(start) = code[position..].find(['"', '\'']).map(|found| found + position) {
            let Some((literal, end)) = literal_at(code, start) else { return };
            if literal.chars().any(crate::provenance::is_mappable) && !self.all.contains(&literal) {
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

/// The inside of the next `{{ }}` or `{% %}`, and what follows it. Comments are passed over.
fn next_block(source: &str) -> Option<(&str, &str)> {
    let mut rest = source;
    loop {
        let start = rest.find('{')?;
        let (close, is_comment) = match rest[start + 1..].chars().next()? {
            '{' => ("}}", false),
            '%' => ("%}", false),
            '#' => ("#}", true),
            _ => {
                rest = &rest[start + 1..];
                continue;
            }
        };
        let inside = &rest[start + 2..];
        let end = if is_comment { inside.find(close) } else { end_of_block(inside, close) }.unwrap_or(inside.len());
        let after = inside.get(end + 2..).unwrap_or_default();
        if !is_comment {
            return Some((&inside[..end], after));
        }
        rest = after;
    }
}

/// The position of `close` outside of any string literal.
fn end_of_block(inside: &str, close: &str) -> Option<usize> {
    let mut position = 0;
    loop {
        let rest = &inside[position..];
        let end = rest.find(close)?;
        match rest.find(['"', '\'']).filter(|&quote| quote < end) {
            Some(quote) => position = literal_at(inside, position + quote)?.1,
            None => return Some(position + end),
        }
    }
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

/// transformers' `{% generation %}` marks what a model wrote, for training; it prints nothing itself.
pub fn without_generation_blocks(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let block = &rest[start + 2..start + length];
        let (left, right) = (block.starts_with('-'), block.ends_with('-'));
        let replacement = match block.trim_matches('-').trim() {
            "generation" => Some("if true"),
            "endgeneration" => Some("endif"),
            _ => None,
        };
        result.push_str(&rest[..start]);
        match replacement {
            Some(tag) => {
                let dash = |is_there| if is_there { "-" } else { "" };
                result.push_str(&format!("{{%{} {tag} {}%}}", dash(left), dash(right)));
                rest = &rest[start + length + 2..];
            }
            None => {
                result.push_str("{%");
                rest = &rest[start + 2..];
            }
        }
    }
    result + rest
}
