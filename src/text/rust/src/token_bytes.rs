//! The bytes that each token stands for, as one table, so that decoding is a lookup and streaming is exact.

use crate::error::{Result, unsupported};
use serde_json::Value;
use std::collections::HashMap;

/// U+2581, SentencePiece's spelling of a space.
pub const META_SPACE: &str = "\u{2581}";

/// How a vocabulary spells bytes as text. Source: the decoders of the tokenizers library.
#[derive(Clone, Debug, Default)]
pub struct Spelling {
    /// Each character of a token stands for one byte (GPT-2's table).
    pub byte_level: bool,
    /// A token `<0xNN>` stands for the byte NN.
    pub byte_fallback: bool,
    /// Text that is replaced in every token, in this order.
    pub replacements: Vec<(String, String)>,
    /// So many spaces are dropped from the start of a whole text.
    pub leading_spaces_dropped: u32,
}

impl Spelling {
    /// From the `decoder` of a tokenizer.json.
    pub fn from_decoder(decoder: &Value) -> Result<Self> {
        let mut spelling = Self::default();
        spelling.add(decoder)?;
        Ok(spelling)
    }

    fn add(&mut self, decoder: &Value) -> Result<()> {
        let kind = decoder["type"].as_str().unwrap_or_default();
        match kind {
            "Sequence" => {
                for step in decoder["decoders"].as_array().into_iter().flatten() {
                    self.add(step)?;
                }
            }
            "ByteLevel" => self.byte_level = true,
            "ByteFallback" => self.byte_fallback = true,
            "Fuse" => {}
            "Replace" => match (decoder["pattern"]["String"].as_str(), decoder["content"].as_str()) {
                (Some(pattern), Some(content)) => self.replacements.push((pattern.into(), content.into())),
                _ => return Err(unsupported("the tokenizer's decoder replaces by a regular expression")),
            },
            "Strip" if decoder["content"] == " " && decoder["stop"].as_u64().unwrap_or(0) == 0 => {
                self.leading_spaces_dropped = decoder["start"].as_u64().unwrap_or(0) as u32;
            }
            "Metaspace" => {
                let replacement = decoder["replacement"].as_str().unwrap_or(META_SPACE);
                self.replacements.push((replacement.into(), " ".into()));
                self.leading_spaces_dropped = u32::from(decoder["prepend_scheme"] != "never");
            }
            _ => return Err(unsupported(format!("the tokenizer's decoder '{kind}' is not known"))),
        }
        Ok(())
    }

    /// The bytes of an ordinary token of the vocabulary.
    pub fn bytes_of(&self, token: &str, byte_of_char: &HashMap<char, u8>) -> Vec<u8> {
        let fallback = || fallback_byte(token).filter(|_| self.byte_fallback).map(|byte| vec![byte]);
        let by_table = || token.chars().map(|c| byte_of_char.get(&c).copied()).collect::<Option<Vec<u8>>>();
        let spelled = if self.byte_level { by_table() } else { fallback() };
        spelled.unwrap_or_else(|| self.bytes_of_added(token))
    }

    /// The bytes of an added token, whose text is not spelled by GPT-2's table.
    pub fn bytes_of_added(&self, token: &str) -> Vec<u8> {
        let mut text = token.to_owned();
        for (pattern, content) in &self.replacements {
            text = text.replace(pattern, content);
        }
        text.into_bytes()
    }
}

/// The byte that `<0xNN>` stands for.
pub fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's table: printable characters of Latin-1 stand for themselves, all other bytes for U+0100 and up in order.
pub fn byte_level_alphabet() -> HashMap<char, u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 0x100;
    (0..=255u8)
        .map(|byte| {
            if is_printable(byte) {
                return (char::from(byte), byte);
            }
            next += 1;
            (char::from_u32(next - 1).unwrap_or_default(), byte)
        })
        .collect()
}
