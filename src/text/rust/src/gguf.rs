//! A tokenizer from the vocabulary in a GGUF file's metadata.

use crate::added_tokens::{AddedToken, Matcher};
use crate::byte_pairs::{BytePairs, Merges, Rules};
use crate::error::{Result, corrupt, internal, unsupported};
use crate::model::{Pipeline, WordModel};
use crate::parts::of_parts;
use crate::pre_tokenizers;
use crate::token_bytes::{ByteAlphabet, META_SPACE, Spelling, TokenBytes, fallback_byte};
use crate::token_texts::{Refusal, TokenTexts};
use crate::tokenizer::{MAX_VOCABULARY, Tokenizer, control_table, end_ids, looks_like_control};
use ahash::AHashMap;
use std::ops::Range;
use tokenizers::normalizers::{NFC, NormalizerWrapper, Prepend, Replace, Sequence};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// SentencePiece's tokens are far shorter; longer ones in a damaged file would take quadratic time.
const MAX_MERGED_BYTES: usize = 1024;

/// The metadata under `tokenizer.ggml`, borrowed from the caller.
pub struct Vocabulary<'a> {
    /// `model`: "gpt2", "llama" or "gemma4".
    pub kind: &'a str,
    /// `pre`; only byte-level vocabularies have a choice.
    pub pre: &'a str,
    pub tokens: Vec<&'a str>,
    pub scores: &'a [f32],
    /// Empty where the file has none: all are ordinary tokens then.
    pub types: &'a [i32],
    pub merges: Vec<&'a str>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub eot: Option<u32>,
    pub unknown: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
}

fn is_several_lines(token: &str) -> bool {
    token.len() > 1 && token.bytes().all(|byte| byte == b'\n')
}

impl Vocabulary<'_> {
    pub fn build(&self) -> Result<Tokenizer> {
        self.check()?;
        let types: Vec<i32> = (0..self.tokens.len()).map(|id| self.token_type(id)).collect();
        match self.kind {
            "gpt2" => self.build_byte_level(&types),
            "llama" => self.build_sentencepiece(&types),
            "gemma4" => self.build_gemma4(&types),
            other => Err(unsupported(format!("the vocabulary's model '{other}' is not known"))),
        }
    }

    fn check(&self) -> Result<()> {
        let size = self.tokens.len();
        if size == 0 {
            return Err(corrupt("the vocabulary has no tokens"));
        }
        if size > MAX_VOCABULARY {
            return Err(corrupt(format!("the vocabulary has {size} tokens, which no model has")));
        }
        if !self.types.is_empty() && self.types.len() != size {
            return Err(corrupt(format!("the vocabulary has {size} tokens and {} token types", self.types.len())));
        }
        for (name, id) in [("bos", self.bos), ("eos", self.eos), ("eot", self.eot), ("unknown", self.unknown)] {
            if let Some(id) = id.filter(|&id| id as usize >= size) {
                return Err(corrupt(format!("the vocabulary's {name} token is {id}, and it has {size} tokens")));
            }
        }
        Ok(())
    }

    fn token_type(&self, id: usize) -> i32 {
        let is_declared = |declared: Option<u32>| declared == Some(id as u32);
        match self.types.get(id).copied().unwrap_or(NORMAL) {
            _ if is_declared(self.bos) || is_declared(self.eos) || is_declared(self.eot) => CONTROL,
            UNKNOWN => CONTROL,
            // Some conversions leave control tokens typed as ordinary text or as a token of the user's own.
            NORMAL | USER_DEFINED | UNUSED if looks_like_control(self.tokens[id]) => CONTROL,
            other => other,
        }
    }

    fn build_byte_level(&self, types: &[i32]) -> Result<Tokenizer> {
        let pre_tokenizer = pre_tokenizers::by_name(self.pre)?;
        let tokens = self.model_tokens(types)?;
        let merges = self.merges_of_file(&tokens)?;
        let rules = Rules { whole_words: pre_tokenizer.ignore_merges, ..Rules::default() };
        let mut pipeline = pipeline_with(BytePairs::new(tokens, merges, rules));
        if pre_tokenizer.nfc {
            pipeline.with_normalizer(Some(NFC)).map_err(internal)?;
        }
        pipeline.with_pre_tokenizer(Some(pre_tokenizer.build()?));
        let spelling = Spelling { byte_level: true, ..Spelling::default() };
        self.assemble(types, pipeline, spelling, pre_tokenizer.add_bos)
    }

    fn build_sentencepiece(&self, types: &[i32]) -> Result<Tokenizer> {
        let size = self.tokens.len();
        if self.scores.len() != size {
            return Err(corrupt(format!("the vocabulary has {size} tokens and {} scores", self.scores.len())));
        }
        let tokens = self.model_tokens(types)?;
        let merges = self.merges_from_scores(types, &tokens);
        let mut pipeline = self.pipeline_with_byte_fallback(tokens, merges);
        let add_space_prefix = self.add_space_prefix.unwrap_or(true);
        let mut steps: Vec<NormalizerWrapper> = Vec::new();
        if add_space_prefix {
            steps.push(Prepend::new(META_SPACE.to_owned()).into());
        }
        steps.push(Replace::new(" ", META_SPACE).map_err(internal)?.into());
        pipeline.with_normalizer(Some(Sequence::new(steps))).map_err(internal)?;
        let spelling = Spelling {
            byte_fallback: true,
            replacements: vec![(META_SPACE.to_owned(), " ".to_owned())],
            leading_spaces_dropped: u32::from(add_space_prefix),
            ..Spelling::default()
        };
        self.assemble(types, pipeline, spelling, true)
    }

    /// Gemma 4's: spelled as SentencePiece spells, with merges of its own. Texts are cut at runs of line feeds, which
    /// merges do not cross; such a run is one token where there is one (llama.cpp's LLAMA_VOCAB_PRE_TYPE_GEMMA4).
    fn build_gemma4(&self, types: &[i32]) -> Result<Tokenizer> {
        let tokens = self.model_tokens(types)?;
        let merges = self.merges_of_file(&tokens)?;
        let mut pipeline = self.pipeline_with_byte_fallback(tokens, merges);
        pipeline.with_normalizer(Some(Replace::new(" ", META_SPACE).map_err(internal)?)).map_err(internal)?;
        let lines = SplitPattern::Regex(r"\n+".to_owned());
        pipeline
            .with_pre_tokenizer(Some(Split::new(lines, SplitDelimiterBehavior::Isolated, false).map_err(internal)?));
        let spelling = Spelling {
            byte_fallback: true,
            replacements: vec![(META_SPACE.to_owned(), " ".to_owned())],
            ..Spelling::default()
        };
        self.assemble(types, pipeline, spelling, true)
    }

    fn pipeline_with_byte_fallback(&self, tokens: TokenTexts, merges: Merges) -> Pipeline {
        let unknown = self.unknown.and_then(|id| tokens.id_of(self.tokens[id as usize]));
        let rules = Rules { unknown, fuse_unknown: true, byte_fallback: true, whole_words: false };
        pipeline_with(BytePairs::new(tokens, merges, rules))
    }

    /// The file's merges of tokens that the model may produce.
    fn merges_of_file(&self, tokens: &TokenTexts) -> Result<Merges> {
        let lists = of_parts(self.merges.len(), |part| {
            let mut known = Vec::with_capacity(part.len());
            let mut merged = String::new();
            for index in part {
                let (left, right) = self.merge(index)?;
                merged.clear();
                merged.push_str(left);
                merged.push_str(right);
                if let Some(left) = tokens.id_of(left)
                    && let Some(right) = tokens.id_of(right)
                    && let Some(merged) = tokens.id_of(&merged)
                {
                    known.push([left, right, merged]);
                }
            }
            Ok(known)
        });
        Ok(Merges::from_lists(&lists.into_iter().collect::<Result<Vec<_>>>()?))
    }

    fn merge(&self, index: usize) -> Result<(&str, &str)> {
        let merge = self.merges[index];
        // The first character may be a space in vocabularies that are not spelled by GPT-2's table.
        let first = merge.chars().next().map_or(0, char::len_utf8);
        let Some(space) = merge[first..].find(' ') else {
            return Err(corrupt(format!("merge {index} of the vocabulary is not two tokens: '{merge}'")));
        };
        Ok((&merge[..first + space], &merge[first + space + 1..]))
    }

    /// The tokens that the model may produce: all but the control tokens, which no text can reach.
    fn model_tokens(&self, types: &[i32]) -> Result<TokenTexts> {
        let mut tokens = TokenTexts::with_capacity(self.tokens.len());
        for (id, token) in self.tokens.iter().enumerate() {
            if types[id] == CONTROL && self.unknown != Some(id as u32) {
                continue;
            }
            // Of tokens with one text, the first is the one that text becomes.
            if let Err(Refusal::TooLong) = tokens.add(id as u32, token) {
                return Err(corrupt("the vocabulary's tokens are longer than 4 GiB"));
            }
        }
        Ok(tokens)
    }

    /// SentencePiece has scores instead of merges: every way to write a token as two others is a merge, the best
    /// scored token first; of one token's, that with the longer left part first (as transformers' converter sorts).
    fn merges_from_scores(&self, types: &[i32], tokens: &TokenTexts) -> Merges {
        let of_part = |part: Range<usize>| {
            let mut candidates = Vec::with_capacity(2 * part.len());
            for id in part.filter(|&id| !matches!(types[id], CONTROL | BYTE)) {
                self.add_candidates(id, tokens, &mut candidates);
            }
            candidates
        };
        let mut candidates = of_parts(self.tokens.len(), of_part).concat();
        // Stable: in the usual file they are in this order already, which it notices.
        candidates.sort_by(|a, b| {
            let scores = b.score.total_cmp(&a.score);
            scores.then_with(|| b.lengths.cmp(&a.lengths)).then_with(|| a.merge.cmp(&b.merge))
        });
        Merges::from_lists(&[candidates.into_iter().map(|candidate| candidate.merge).collect()])
    }

    /// The ways to write the token as two, that with the longest left part first.
    fn add_candidates(&self, id: usize, tokens: &TokenTexts, candidates: &mut Vec<Candidate>) {
        let token = self.tokens[id];
        let Some(merged) = tokens.id_of(token).filter(|_| token.len() <= MAX_MERGED_BYTES) else { return };
        let characters = token.chars().count();
        for (index, (cut, _)) in token.char_indices().rev().enumerate().take(characters.saturating_sub(1)) {
            let (left, right) = token.split_at(cut);
            if let Some(right) = tokens.id_of(right)
                && let Some(left) = tokens.id_of(left)
            {
                let right_length = index + 1;
                let lengths = [(characters - right_length) as u16, right_length as u16];
                candidates.push(Candidate { score: self.scores[id], lengths, merge: [left, right, merged] });
            }
        }
    }

    fn assemble(&self, types: &[i32], pipeline: Pipeline, spelling: Spelling, adds_bos: bool) -> Result<Tokenizer> {
        let added = self.added_tokens(types, &spelling);
        let mut id_of_added = AHashMap::new();
        for token in [&added.control, &added.literal, &added.normalized].into_iter().flatten() {
            let text = self.tokens[token.id as usize].to_owned();
            id_of_added.entry(text).and_modify(|id| *id = token.id.min(*id)).or_insert(token.id);
        }
        let surrounding = |add: Option<bool>, default: bool, id: Option<u32>| -> Vec<u32> {
            id.filter(|_| add.unwrap_or(default)).into_iter().collect()
        };
        Ok(Tokenizer {
            pipeline,
            is_control: control_table(&added.control, self.tokens.len()),
            end_ids: end_ids(&added.control, &[self.eos, self.eot]),
            control: Matcher::new(added.control)?,
            literal: Matcher::new(added.literal)?,
            normalized: Matcher::new(added.normalized)?,
            unknown_id: self.unknown,
            token_bytes: self.token_bytes(types, &spelling)?,
            leading_spaces_dropped: spelling.leading_spaces_dropped,
            id_of_added,
            prefix_ids: surrounding(self.add_bos, adds_bos, self.bos),
            suffix_ids: surrounding(self.add_eos, false, self.eos),
        })
    }

    fn added_tokens(&self, types: &[i32], spelling: &Spelling) -> AddedTokens {
        let mut added = AddedTokens::default();
        for (id, (token, &token_type)) in self.tokens.iter().zip(types).enumerate() {
            let with_text =
                |text: String| AddedToken { id: id as u32, text, single_word: false, lstrip: false, rstrip: false };
            match token_type {
                CONTROL => added.control.push(with_text((*token).to_owned())),
                // SentencePiece looks for runs of spaces where a literal U+2581 is one of them.
                USER_DEFINED if spelling.byte_fallback && token.contains([' ', '\u{2581}']) => {
                    added.normalized.push(with_text(token.replace(' ', META_SPACE)));
                }
                USER_DEFINED => added.literal.push(with_text((*token).to_owned())),
                NORMAL if self.kind == "gemma4" && is_several_lines(token) => {
                    added.literal.push(with_text((*token).to_owned()));
                }
                _ => {}
            }
        }
        added
    }

    fn token_bytes(&self, types: &[i32], spelling: &Spelling) -> Result<TokenBytes> {
        let alphabet = ByteAlphabet::new();
        let mut all = TokenBytes::default();
        for (token, &token_type) in self.tokens.iter().zip(types) {
            match token_type {
                CONTROL | USER_DEFINED => spelling.append_added(token, &mut all.bytes),
                BYTE => match fallback_byte(token) {
                    Some(byte) => all.bytes.push(byte),
                    None => all.bytes.extend_from_slice(token.as_bytes()),
                },
                _ => spelling.append(token, &alphabet, &mut all.bytes),
            }
            all.end_token()?;
        }
        Ok(all)
    }
}

/// Tokens that are matched before text is cut into words, by how they are (see Tokenizer).
#[derive(Default)]
struct AddedTokens {
    control: Vec<AddedToken>,
    literal: Vec<AddedToken>,
    normalized: Vec<AddedToken>,
}

/// A merge that a token of SentencePiece stands for.
#[derive(Clone)]
struct Candidate {
    score: f32,
    /// Of the left and of the right part, in characters.
    lengths: [u16; 2],
    /// Left, right and merged token.
    merge: [u32; 3],
}

fn pipeline_with(model: BytePairs) -> Pipeline {
    Pipeline::new(WordModel::BytePairs(Box::new(model)))
}
