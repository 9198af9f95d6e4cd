//! What makes tokens of a word: hearth's byte pairs, or a model of the tokenizers library.

use crate::byte_pairs::BytePairs;
use crate::error::{Result, corrupt};
use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Token,
    TokenizerBuilder, TokenizerImpl,
};

/// The library's parts around a model.
pub type Pipeline =
    TokenizerImpl<WordModel, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

pub enum WordModel {
    BytePairs(Box<BytePairs>),
    Library(Box<ModelWrapper>),
}

impl WordModel {
    /// One more than the highest id.
    pub fn id_bound(&self) -> usize {
        match self {
            Self::BytePairs(model) => model.tokens().id_bound(),
            Self::Library(model) => {
                let vocabulary = tokenizers::Model::get_vocab(&**model);
                vocabulary.into_values().max().map_or(0, |id| id as usize + 1)
            }
        }
    }

    /// Calls `use_text` with the text of `id` where it has one.
    pub fn with_text(&self, id: u32, use_text: impl FnOnce(&str)) {
        match self {
            Self::BytePairs(model) => model.tokens().text_of(id).map(use_text),
            Self::Library(model) => tokenizers::Model::id_to_token(&**model, id).map(|text| use_text(&text)),
        };
    }
}

/// A tokenizer.json as a pipeline. What byte pairs do not do is the library's, which takes several times as long.
pub fn read_pipeline(json: &[u8]) -> Result<Pipeline> {
    let unreadable = |error: &dyn Display| corrupt(format!("tokenizer.json cannot be read: {error}"));
    // Looked at as a whole, which is quicker than string by string.
    let text = str::from_utf8(json).map_err(|error| unreadable(&error))?;
    match serde_json::from_str::<Pipeline>(text) {
        Ok(pipeline) => return Ok(pipeline),
        Err(error) if !error.is_data() => return Err(unreadable(&error)),
        Err(_) => {}
    }
    let read = tokenizers::Tokenizer::from_bytes(json).map_err(|error| unreadable(&error))?;
    TokenizerBuilder::new()
        .with_model(WordModel::Library(Box::new(read.get_model().clone())))
        .with_normalizer(read.get_normalizer().cloned())
        .with_pre_tokenizer(read.get_pre_tokenizer().cloned())
        .with_post_processor(read.get_post_processor().cloned())
        .with_decoder(read.get_decoder().cloned())
        .with_added_vocabulary(read.get_added_vocabulary().clone())
        .build()
        .map_err(|error| unreadable(&error))
}

impl<'de> serde::Deserialize<'de> for WordModel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        BytePairs::deserialize(deserializer).map(|model| Self::BytePairs(Box::new(model)))
    }
}

impl tokenizers::Model for WordModel {
    type Trainer = BpeTrainer;

    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        match self {
            Self::BytePairs(model) => model.tokenize(word),
            Self::Library(model) => model.tokenize(word),
        }
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Self::BytePairs(model) => model.tokens().id_of(token),
            Self::Library(model) => model.token_to_id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Self::BytePairs(model) => model.tokens().text_of(id).map(str::to_owned),
            Self::Library(model) => model.id_to_token(id),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Self::BytePairs(model) => model.tokens().iter().map(|(id, text)| (text.to_owned(), id)).collect(),
            Self::Library(model) => model.get_vocab(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Self::BytePairs(model) => model.tokens().len(),
            Self::Library(model) => model.get_vocab_size(),
        }
    }

    fn save(&self, _: &Path, _: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("hearth writes no tokenizers".into())
    }

    fn get_trainer(&self) -> BpeTrainer {
        BpeTrainer::default()
    }
}
