//! The bytes that each token stands for, as one table, so that decoding is a lookup and streaming is exact.

use crate::error::{Result, corrupt, unsupported};
use serde_json::Value;
use std::borrow::Cow;

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

    /// Appends the bytes of an ordinary token of the vocabulary.
    pub fn append(&self, token: &str, alphabet: &ByteAlphabet, bytes: &mut Vec<u8>) {
        let begin = bytes.len();
        if self.byte_level {
            bytes.extend(token.chars().map_while(|character| alphabet.byte_of(character)));
            if bytes.len() - begin == token.chars().count() {
                return;
            }
            bytes.truncate(begin);
        } else if let Some(byte) = fallback_byte(token).filter(|_| self.byte_fallback) {
            return bytes.push(byte);
        }
        self.append_added(token, bytes);
    }

    /// Appends the bytes of an added token, whose text is not spelled by GPT-2's table.
    pub fn append_added(&self, token: &str, bytes: &mut Vec<u8>) {
        let mut text = Cow::Borrowed(token);
        for (pattern, content) in &self.replacements {
            if text.contains(pattern) {
                text = Cow::Owned(text.replace(pattern, content));
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
}

/// The bytes of all tokens in the order of their ids.
#[derive(Default)]
pub struct TokenBytes {
    pub bytes: Vec<u8>,
    /// Where each token's bytes end.
    pub ends: Vec<u32>,
}

impl TokenBytes {
    /// What was appended to `bytes` since the last call is the next token. An error from 4 GiB on.
    pub fn end_token(&mut self) -> Result<()> {
        let end =
            u32::try_from(self.bytes.len()).map_err(|_| corrupt("the vocabulary's tokens are longer than 4 GiB"))?;
        self.ends.push(end);
        Ok(())
    }
}

/// The byte that `<0xNN>` stands for.
pub fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's table: printable characters of Latin-1 stand for themselves, all other bytes for U+0100 and up in order.
pub struct ByteAlphabet {
    /// By character.
    bytes: [Option<u8>; 0x180],
}

impl ByteAlphabet {
    pub fn new() -> Self {
        let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let mut bytes = [None; 0x180];
        let mut next = 0x100;
        for byte in 0..=255u8 {
            if is_printable(byte) {
                bytes[byte as usize] = Some(byte);
            } else {
                bytes[next] = Some(byte);
                next += 1;
            }
        }
        Self { bytes }
    }

    fn byte_of(&self, character: char) -> Option<u8> {
        self.bytes.get(character as usize).copied().flatten()
    }
}
