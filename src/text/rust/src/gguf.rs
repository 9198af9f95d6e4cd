//! A tokenizer from the vocabulary in a GGUF file's metadata.

use crate::added_tokens::{AddedToken, Matcher};
use crate::error::{Result, corrupt, internal, unsupported};
use crate::pre_tokenizers;
use crate::token_bytes::{META_SPACE, Spelling, byte_level_alphabet, fallback_byte};
use crate::tokenizer::{Tokenizer, control_table, end_ids, looks_like_control};
use ahash::AHashMap;
use tokenizers::models::bpe::{BPE, Merges};
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
        match self.kind {
            "gpt2" => self.build_byte_level(),
            "llama" => self.build_sentencepiece(),
            "gemma4" => self.build_gemma4(),
            other => Err(unsupported(format!("the vocabulary's model '{other}' is not known"))),
        }
    }

    fn check(&self) -> Result<()> {
        let size = self.tokens.len();
        if size == 0 {
            return Err(corrupt("the vocabulary has no tokens"));
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

    fn build_byte_level(&self) -> Result<Tokenizer> {
        let pre_tokenizer = pre_tokenizers::by_name(self.pre)?;
        let vocabulary = self.model_vocabulary();
        let merges = self.merges_of_file(&vocabulary)?;
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, merges)
            .ignore_merges(pre_tokenizer.ignore_merges)
            .build()
            .map_err(|error| corrupt(format!("the vocabulary cannot be used: {error}")))?;
        let mut pipeline = tokenizers::Tokenizer::new(model);
        if pre_tokenizer.nfc {
            pipeline.with_normalizer(Some(NFC)).map_err(internal)?;
        }
        pipeline.with_pre_tokenizer(Some(pre_tokenizer.build()?));
        let spelling = Spelling { byte_level: true, ..Spelling::default() };
        self.assemble(pipeline, spelling, pre_tokenizer.add_bos)
    }

    fn build_sentencepiece(&self) -> Result<Tokenizer> {
        let size = self.tokens.len();
        if self.scores.len() != size {
            return Err(corrupt(format!("the vocabulary has {size} tokens and {} scores", self.scores.len())));
        }
        let vocabulary = self.model_vocabulary();
        let merges = self.merges_from_scores(&vocabulary);
        let mut pipeline = self.pipeline_with_byte_fallback(vocabulary, merges)?;
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
        self.assemble(pipeline, spelling, true)
    }

    /// Gemma 4's: spelled as SentencePiece spells, with merges of its own. Texts are cut at runs of line feeds, which
    /// merges do not cross; such a run is one token where there is one (llama.cpp's LLAMA_VOCAB_PRE_TYPE_GEMMA4).
    fn build_gemma4(&self) -> Result<Tokenizer> {
        let vocabulary = self.model_vocabulary();
        let merges = self.merges_of_file(&vocabulary)?;
        let mut pipeline = self.pipeline_with_byte_fallback(vocabulary, merges)?;
        pipeline.with_normalizer(Some(Replace::new(" ", META_SPACE).map_err(internal)?)).map_err(internal)?;
        let lines = SplitPattern::Regex(r"\n+".to_owned());
        pipeline
            .with_pre_tokenizer(Some(Split::new(lines, SplitDelimiterBehavior::Isolated, false).map_err(internal)?));
        let spelling = Spelling {
            byte_fallback: true,
            replacements: vec![(META_SPACE.to_owned(), " ".to_owned())],
            ..Spelling::default()
        };
        self.assemble(pipeline, spelling, true)
    }

    fn pipeline_with_byte_fallback(
        &self,
        vocabulary: AHashMap<String, u32>,
        merges: Merges,
    ) -> Result<tokenizers::Tokenizer> {
        let mut builder = BPE::builder().vocab_and_merges(vocabulary, merges).byte_fallback(true).fuse_unk(true);
        if let Some(unknown) = self.unknown {
            builder = builder.unk_token(self.tokens[unknown as usize].to_owned());
        }
        let model = builder.build().map_err(|error| corrupt(format!("the vocabulary cannot be used: {error}")))?;
        Ok(tokenizers::Tokenizer::new(model))
    }

    /// The file's merges of tokens that the model may produce.
    fn merges_of_file(&self, vocabulary: &AHashMap<String, u32>) -> Result<Merges> {
        let mut merges = Merges::with_capacity(self.merges.len());
        let mut merged = String::new();
        for (rank, merge) in self.merges.iter().enumerate() {
            // The first character may be a space in vocabularies that are not spelled by GPT-2's table.
            let first = merge.chars().next().map_or(0, char::len_utf8);
            let Some(space) = merge[first..].find(' ') else {
                return Err(corrupt(format!("merge {rank} of the vocabulary is not two tokens: '{merge}'")));
            };
            let (left, right) = (&merge[..first + space], &merge[first + space + 1..]);
            merged.clear();
            merged.push_str(left);
            merged.push_str(right);
            if [left, right, &merged].iter().all(|&part| vocabulary.contains_key(part)) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
        Ok(merges)
    }

    /// The tokens that the model may produce: all but the control tokens, which no text can reach.
    fn model_vocabulary(&self) -> AHashMap<String, u32> {
        let mut vocabulary = AHashMap::with_capacity(self.tokens.len());
        for (id, token) in self.tokens.iter().enumerate() {
            if self.token_type(id) != CONTROL || self.unknown == Some(id as u32) {
                vocabulary.entry((*token).to_owned()).or_insert(id as u32);
            }
        }
        vocabulary
    }

    /// SentencePiece has scores instead of merges: every way to write a token as two others is a merge, the best
    /// scored token first; of one token's, that with the longer left part first (as transformers' converter sorts).
    fn merges_from_scores(&self, vocabulary: &AHashMap<String, u32>) -> Merges {
        let mut candidates: Vec<(f32, &str, &str, u32, u32)> = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            if matches!(self.token_type(id), CONTROL | BYTE) || token.len() > MAX_MERGED_BYTES {
                continue;
            }
            for (cut, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(cut);
                if let (Some(&l), Some(&r)) = (vocabulary.get(left), vocabulary.get(right)) {
                    candidates.push((self.scores[id], left, right, l, r));
                }
            }
        }
        let length = |text: &str| text.chars().count();
        candidates.sort_by(|a, b| {
            b.0.total_cmp(&a.0)
                .then_with(|| length(b.1).cmp(&length(a.1)))
                .then_with(|| length(b.2).cmp(&length(a.2)))
                .then_with(|| (a.3, a.4).cmp(&(b.3, b.4)))
        });
        candidates.into_iter().map(|(_, left, right, ..)| (left.to_owned(), right.to_owned())).collect()
    }

    fn assemble(&self, pipeline: tokenizers::Tokenizer, spelling: Spelling, adds_bos: bool) -> Result<Tokenizer> {
        let alphabet = byte_level_alphabet();
        let mut control = Vec::new();
        let mut literal = Vec::new();
        let mut normalized = Vec::new();
        let mut token_bytes = Vec::with_capacity(self.tokens.len());
        let mut id_of_added = AHashMap::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let text = (*token).to_owned();
            let added = AddedToken { id: id as u32, text, single_word: false, lstrip: false, rstrip: false };
            token_bytes.push(match self.token_type(id) {
                CONTROL | USER_DEFINED => spelling.bytes_of_added(token),
                BYTE => fallback_byte(token).map_or_else(|| token.as_bytes().to_vec(), |byte| vec![byte]),
                _ => spelling.bytes_of(token, &alphabet),
            });
            match self.token_type(id) {
                CONTROL => control.push(added),
                // SentencePiece looks for runs of spaces where a literal U+2581 is one of them.
                USER_DEFINED if spelling.byte_fallback && token.contains([' ', '\u{2581}']) => {
                    normalized.push(AddedToken { text: token.replace(' ', META_SPACE), ..added });
                }
                USER_DEFINED => literal.push(added),
                NORMAL if self.kind == "gemma4" && is_several_lines(token) => literal.push(added),
                _ => continue,
            }
            id_of_added.entry((*token).to_owned()).or_insert(id as u32);
        }
        let surrounding = |add: Option<bool>, default: bool, id: Option<u32>| -> Vec<u32> {
            id.filter(|_| add.unwrap_or(default)).into_iter().collect()
        };
        Ok(Tokenizer {
            pipeline,
            is_control: control_table(&control, token_bytes.len()),
            end_ids: end_ids(&control, &[self.eos, self.eot]),
            control: Matcher::new(control)?,
            literal: Matcher::new(literal)?,
            normalized: Matcher::new(normalized)?,
            unknown_id: self.unknown,
            token_bytes,
            leading_spaces_dropped: spelling.leading_spaces_dropped,
            id_of_added,
            prefix_ids: surrounding(self.add_bos, adds_bos, self.bos),
            suffix_ids: surrounding(self.add_eos, false, self.eos),
        })
    }
}
