//! Byte pairs from the `model` of a tokenizer.json, read in one pass without a copy of its half a million strings.

use crate::byte_pairs::{BytePairs, Merges, Rules};
use crate::parts::of_parts;
use crate::token_texts::TokenTexts;
use crate::tokenizer::MAX_VOCABULARY;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::ops::Range;

/// Room that is taken before the tokens were counted.
const LIKELY_TOKENS: usize = 1 << 18;

/// An error where the file has anything that BytePairs does not do; it is the library's to read then.
impl<'de> serde::Deserialize<'de> for BytePairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelVisitor)
    }
}

struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = BytePairs;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a BPE model without dropout and marks inside of words")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<BytePairs, M::Error> {
        let refusal = |what: &str| M::Error::custom(what);
        let mut tokens = None;
        let mut merges = None;
        let mut unknown: Option<String> = None;
        let mut rules = Rules::default();
        let mut key = String::new();
        while next_key(&mut map, &mut key)? {
            match key.as_str() {
                "type" if map.next_value::<String>()? != "BPE" => return Err(refusal("not BPE")),
                "type" => {}
                "dropout" if map.next_value::<Option<f32>>()?.unwrap_or(0.0) != 0.0 => return Err(refusal("dropout")),
                "dropout" => {}
                "continuing_subword_prefix" | "end_of_word_suffix" => {
                    if !map.next_value::<Option<String>>()?.unwrap_or_default().is_empty() {
                        return Err(refusal("marks inside of words"));
                    }
                }
                "unk_token" => unknown = map.next_value()?,
                "fuse_unk" => rules.fuse_unknown = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                "byte_fallback" => rules.byte_fallback = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                "ignore_merges" => rules.whole_words = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                "vocab" => tokens = Some(map.next_value_seed(Vocabulary)?),
                "merges" => merges = Some(map.next_value_seed(MergeTexts::default())?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (Some(tokens), Some(merges)) = (tokens, merges) else { return Err(refusal("no vocabulary or no merges")) };
        if let Some(text) = unknown {
            rules.unknown = Some(tokens.id_of(&text).ok_or_else(|| refusal("the unknown token is not known"))?);
        }
        let merges = merges.ids(&tokens).ok_or_else(|| refusal("a merge of tokens that are not known"))?;
        Ok(BytePairs::new(tokens, merges, rules))
    }
}

/// Appends a string to another one.
struct Append<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a string")
    }
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.push_str(text);
        Ok(())
    }
}

/// The next key of `map` in `key`; false where there is none.
fn next_key<'de, M: MapAccess<'de>>(map: &mut M, key: &mut String) -> Result<bool, M::Error> {
    key.clear();
    Ok(map.next_key_seed(Append(key))?.is_some())
}

/// The object of all tokens and their ids.
struct Vocabulary;

impl<'de> DeserializeSeed<'de> for Vocabulary {
    type Value = TokenTexts;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TokenTexts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Vocabulary {
    type Value = TokenTexts;
    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("tokens and their ids")
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<TokenTexts, M::Error> {
        let mut tokens = TokenTexts::with_capacity(LIKELY_TOKENS);
        let mut text = String::new();
        while next_key(&mut map, &mut text)? {
            let id: u32 = map.next_value()?;
            if id as usize >= MAX_VOCABULARY {
                return Err(M::Error::custom("an id that no model has"));
            }
            tokens.add(id, &text).map_err(|refusal| M::Error::custom(format!("{text}: {refusal:?}")))?;
        }
        Ok(tokens)
    }
}

/// The array of merges: pairs of strings, or strings of two with a space between them.
#[derive(Default)]
struct MergeTexts {
    /// Left and right parts, one after another.
    texts: String,
    /// By merge: where its left part ends in `texts`, and its right part.
    ends: Vec<[usize; 2]>,
}

impl MergeTexts {
    /// None where a token of a merge is not known.
    fn ids(&self, tokens: &TokenTexts) -> Option<Merges> {
        let lists = of_parts(self.ends.len(), |part| {
            let known = |range: Range<usize>| tokens.id_of(&self.texts[range]);
            let mut begin = if part.start == 0 { 0 } else { self.ends[part.start - 1][1] };
            let mut ids = Vec::with_capacity(part.len());
            // Files made from scores have all the ways to one token after one another.
            let mut last = (0..0, known(0..0));
            for &[cut, end] in &self.ends[part] {
                if self.texts[begin..end] != self.texts[last.0] {
                    last.1 = known(begin..end);
                }
                last.0 = begin..end;
                ids.push([known(begin..cut)?, known(cut..end)?, last.1?]);
                begin = end;
            }
            Some(ids)
        });
        Some(Merges::from_lists(&lists.into_iter().collect::<Option<Vec<_>>>()?))
    }
}

impl<'de> DeserializeSeed<'de> for MergeTexts {
    type Value = Self;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MergeTexts {
    type Value = Self;
    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("merges")
    }
    fn visit_seq<S: SeqAccess<'de>>(mut self, mut list: S) -> Result<Self, S::Error> {
        while list.next_element_seed(NextMerge(&mut self))?.is_some() {}
        Ok(self)
    }
}

/// Appends a merge.
struct NextMerge<'a>(&'a mut MergeTexts);

impl<'de> DeserializeSeed<'de> for NextMerge<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NextMerge<'_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("two strings, or one with a space")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let Some((left, right)) = text.split_once(' ').filter(|(_, right)| !right.contains(' ')) else {
            return Err(E::custom("a merge that is not two tokens"));
        };
        let MergeTexts { texts, ends } = self.0;
        texts.push_str(left);
        texts.push_str(right);
        ends.push([texts.len() - right.len(), texts.len()]);
        Ok(())
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut parts: S) -> Result<(), S::Error> {
        let refusal = || S::Error::custom("a merge that is not two tokens");
        let MergeTexts { texts, ends } = self.0;
        parts.next_element_seed(Append(texts))?.ok_or_else(refusal)?;
        let cut = texts.len();
        parts.next_element_seed(Append(texts))?.ok_or_else(refusal)?;
        ends.push([cut, texts.len()]);
        if parts.next_element::<IgnoredAny>()?.is_some() { Err(refusal()) } else { Ok(()) }
    }
}
