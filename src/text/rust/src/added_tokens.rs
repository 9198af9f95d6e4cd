//! Finds added tokens (control tokens, and the tokens a vocabulary matches before it splits text) in text.

use crate::error::{Result, internal};
use aho_corasick::{AhoCorasick, Input, MatchKind};
use std::ops::Range;

/// A token matched as a whole before the text around it is split into words; the flags are those of tokenizer.json.
#[derive(Clone, Debug)]
pub struct AddedToken {
    pub id: u32,
    pub text: String,
    /// Matches only between characters that are not part of a word.
    pub single_word: bool,
    /// Swallows the whitespace on its left.
    pub lstrip: bool,
    /// Swallows the whitespace on its right.
    pub rstrip: bool,
}

/// A token and the bytes of the text that it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub id: u32,
    pub range: Range<usize>,
}

/// Leftmost-longest search for a set of added tokens. Immutable, so it may be shared between threads.
pub struct Matcher {
    automaton: AhoCorasick,
    tokens: Vec<AddedToken>,
}

impl Matcher {
    /// None when there is nothing to match.
    pub fn new(tokens: Vec<AddedToken>) -> Result<Option<Self>> {
        let tokens: Vec<_> = tokens.into_iter().filter(|token| !token.text.is_empty()).collect();
        if tokens.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| token.text.as_bytes()))
            .map_err(internal)?;
        Ok(Some(Self { automaton, tokens }))
    }

    /// Appends the matches whose text lies wholly inside `within`. The whitespace that a match swallows may lie
    /// outside of it, but never inside the previous match.
    pub fn find(&self, text: &str, within: Range<usize>, matches: &mut Vec<Match>) {
        for found in self.automaton.find_iter(Input::new(text).span(within)) {
            let token = &self.tokens[found.pattern()];
            let mut range = found.range();
            if token.single_word && (ends_with_word(&text[..range.start]) || starts_with_word(&text[range.end..])) {
                continue;
            }
            let previous_end = matches.last().map_or(0, |previous| previous.range.end);
            if range.start < previous_end {
                continue;
            }
            if token.lstrip {
                range.start = text[..range.start].trim_end().len().max(previous_end);
            }
            if token.rstrip {
                range.end = text.len() - text[range.end..].trim_start().len();
            }
            matches.push(Match { id: token.id, range });
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_with_word(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

fn starts_with_word(text: &str) -> bool {
    text.chars().next().is_some_and(is_word)
}
