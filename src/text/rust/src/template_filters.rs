//! Filters of Jinja2 that minijinja lacks, or gives another meaning.

use crate::provenance::{original, spelled_like};
use crate::python_text;
use crate::string_methods::{charge, is_space, lines, pad};
use minijinja::value::{Kwargs, Rest, StringInput, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

pub fn register(environment: &mut Environment) {
    environment.add_filter("attr", attr);
    environment.add_filter("center", center);
    environment.add_filter("d", default);
    environment.add_filter("default", default);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("join", join);
    environment.add_filter("string", string);
    environment.add_filter("trim", trim);
    environment.add_filter("truncate", truncate);
    environment.add_filter("urlencode", url_encode);
    environment.add_filter("wordcount", word_count);
    // minijinja's has a format of its own.
    environment.remove_filter("pprint");
}

/// Arguments that may be given by position or by name, as all of Python's.
struct Arguments<'a> {
    names: &'a [&'a str],
    positional: Rest<Value>,
    named: Kwargs,
}

impl Arguments<'_> {
    /// None where there is none, or it is None.
    fn get(&self, name: &str) -> Result<Option<Value>, Error> {
        if self.positional.len() > self.names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let position = self.names.iter().position(|other| *other == name);
        let positional = position.and_then(|position| self.positional.get(position).cloned());
        Ok(positional.or(self.named.get(name)?).filter(|value| !value.is_none()))
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        Ok(self.get(name)?.is_some_and(|value| value.is_true()))
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Error> {
        self.get(name)?.map_or(Ok(default), usize::try_from)
    }
}

/// Python's getattr(), not a subscript: what lies in a dictionary or a list is no attribute.
fn attr(value: &Value, name: &str) -> Value {
    let is_container = matches!(value.kind(), ValueKind::Map | ValueKind::Seq) && !value.to_string().starts_with('<');
    if is_container { Value::UNDEFINED } else { value.get_attr(name).unwrap_or_default() }
}

fn center(state: &State, text: String, width: Option<i64>) -> Result<String, Error> {
    pad(state, &text, "center", width.unwrap_or(80), ' ')
}

fn default(value: Value, other: Option<Value>, boolean: Option<bool>, named: Kwargs) -> Result<Value, Error> {
    let other = other.or(named.get("default_value")?).unwrap_or_else(|| Value::from(""));
    let is_lax = boolean.or(named.get("boolean")?).unwrap_or(false);
    named.assert_all_used()?;
    Ok(if value.is_undefined() || (is_lax && !value.is_true()) { other } else { value })
}

fn dictsort(state: &State, value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let names = ["case_sensitive", "by", "reverse"];
    let arguments = Arguments { names: &names, positional, named };
    let options = names.map(|name| Ok((name, arguments.get(name)?.unwrap_or_default())));
    let options = options.into_iter().collect::<Result<Vec<_>, Error>>()?;
    arguments.named.assert_all_used()?;
    charge(state, value.len().unwrap_or(0).saturating_mul(64))?;
    filters::dictsort(value, options.into_iter().filter(|(_, value)| !value.is_undefined()).collect())
}

fn escape(value: &Value) -> Value {
    if value.is_safe() {
        return value.clone();
    }
    let mut escaped = String::new();
    for c in python_text::text(value).chars() {
        let replacement = match original(c) {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&#34;",
            '\'' => "&#39;",
            _ => {
                escaped.push(c);
                continue;
            }
        };
        escaped.extend(replacement.chars().map(|part| spelled_like(part, c)));
    }
    Value::from_safe_string(escaped)
}

fn float(state: &State, value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = default.or(named.get("default")?).unwrap_or_else(|| Value::from(0.0));
    named.assert_all_used()?;
    let no_options = || Kwargs::from_iter(Vec::<(String, Value)>::new());
    Ok(filters::float(state, value, None, no_options()).ok().filter(|_| !value.is_none()).unwrap_or(default))
}

fn int(state: &State, value: &Value, default: Option<Value>, base: Option<u32>, named: Kwargs) -> Result<Value, Error> {
    let default = default.or(named.get("default")?).unwrap_or_else(|| Value::from(0));
    let base = base.or(named.get("base")?);
    named.assert_all_used()?;
    let no_options = Kwargs::from_iter(Vec::<(String, Value)>::new());
    Ok(filters::int(state, value, Some(default.clone()), base, no_options).unwrap_or(default))
}

/// Lines after the first begin with `width` spaces, or with that text; empty ones only where `blank` says so.
fn indent(state: &State, text: String, positional: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let arguments = Arguments { names: &["width", "first", "blank"], positional, named };
    let width = arguments.get("width")?.unwrap_or_else(|| Value::from(4));
    let (first, blank) = (arguments.flag("first")?, arguments.flag("blank")?);
    arguments.named.assert_all_used()?;
    let indentation = match width.as_str() {
        Some(text) => text.to_owned(),
        None => pad(state, "", "ljust", i64::try_from(width)?, ' ')?,
    };
    let text = text + "\n";
    let mut result = String::with_capacity(text.len());
    for (index, line) in lines(&text, false).into_iter().enumerate() {
        if index > 0 {
            result.push('\n');
        }
        if if index == 0 { first } else { blank || !line.is_empty() } {
            charge(state, indentation.len())?;
            result.push_str(&indentation);
        }
        result.push_str(line);
    }
    Ok(result)
}

fn join(
    state: &mut State,
    value: &Value,
    separator: Option<StringInput<'_>>,
    attribute: Option<&str>,
    named: Kwargs,
) -> Result<Value, Error> {
    let items = |value: &Value| -> Result<Value, Error> {
        let as_text = |item: Value| if item.as_str().is_some() { item } else { python_text::text(&item).into() };
        Ok(value.try_iter()?.map(as_text).collect())
    };
    let is_plain = attribute.is_none() && !named.has("attribute") && value.as_str().is_none() && !value.is_undefined();
    if is_plain {
        // Named arguments are given on unread.
        return filters::join(state, &items(value)?, separator, None, named);
    }
    filters::join(state, value, separator, attribute, named)
}

fn string(value: &Value) -> Value {
    if value.as_str().is_some() { value.clone() } else { python_text::text(value).into() }
}

fn trim(value: String, characters: Option<String>, named: Kwargs) -> Result<String, Error> {
    let characters = characters.or(named.get("chars")?);
    named.assert_all_used()?;
    Ok(match characters {
        Some(characters) => value.trim_matches(|c| characters.contains(c)).to_owned(),
        None => value.trim_matches(is_space).to_owned(),
    })
}

/// At most `length` characters, `leeway` more, or so many that `end` ends it within `length`.
fn truncate(text: String, positional: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let arguments = Arguments { names: &["length", "killwords", "end", "leeway"], positional, named };
    let (length, leeway) = (arguments.number("length", 255)?, arguments.number("leeway", 5)?);
    let kills_words = arguments.flag("killwords")?;
    let end = arguments.get("end")?.map_or_else(|| "...".to_owned(), |end| python_text::text(&end));
    arguments.named.assert_all_used()?;
    let Some(kept) = length.checked_sub(end.chars().count()) else {
        let message = format!("truncate cannot end with '{end}' in a length of {length}");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    };
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let cut = text.char_indices().nth(kept).map_or(text.as_str(), |(offset, _)| &text[..offset]);
    let cut = if kills_words { cut } else { cut.rsplit_once(' ').map_or(cut, |(words, _)| words) };
    Ok(cut.to_owned() + &end)
}

/// Texts keep `/`; pairs become a query with `+` for spaces.
fn url_encode(value: &Value) -> Result<String, Error> {
    let is_list = value.as_str().is_none() && value.try_iter().is_ok();
    if !is_list {
        return Ok(quoted(&python_text::text(value), "/"));
    }
    let mut fields = Vec::new();
    for item in value.try_iter()? {
        let pair = if value.kind() == ValueKind::Map {
            [item.clone(), value.get_item(&item)?]
        } else {
            [item.get_item(&Value::from(0))?, item.get_item(&Value::from(1))?]
        };
        fields.push(pair.map(|part| quoted(&python_text::text(&part), "").replace("%20", "+")).join("="));
    }
    Ok(fields.join("&"))
}

fn quoted(text: &str, safe: &str) -> String {
    let mut result = String::new();
    for c in text.chars() {
        let real = original(c);
        if real.is_ascii_alphanumeric() || "_.-~".contains(real) || safe.contains(real) {
            result.push(c);
            continue;
        }
        for byte in real.encode_utf8(&mut [0; 4]).bytes() {
            result.extend(format!("%{byte:02X}").chars().map(|part| spelled_like(part, c)));
        }
    }
    result
}

/// Runs of letters, digits and underscores.
fn word_count(text: String) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let original: String = text.chars().map(original).collect();
    original.split(|c| !is_word(c)).filter(|word| !word.is_empty()).count()
}
