//! A vocabulary with everything that encoding and decoding need, from tokenizer.json. `gguf` builds the same from GGUF
//! metadata, `encode` turns text into ids.

use crate::added_tokens::{AddedToken, Matcher};
use crate::error::{Result, corrupt, internal};
use crate::model::{Pipeline, WordModel, read_pipeline};
use crate::token_bytes::{ByteAlphabet, META_SPACE, Spelling, TokenBytes, fallback_byte};
use ahash::AHashMap;
use tokenizers::{Encoding, Model, NormalizedString, Normalizer, PostProcessor, Token};

/// Immutable once built, so any number of threads may use it.
pub struct Tokenizer {
    /// Normalizer, pre-tokenizer and model; its own added vocabulary is not used.
    pub(crate) pipeline: Pipeline,
    /// Control tokens: matched in the text of templates only.
    pub(crate) control: Option<Matcher>,
    /// Other added tokens, matched in all text as it is written.
    pub(crate) literal: Option<Matcher>,
    /// Other added tokens, matched in normalized text.
    pub(crate) normalized: Option<Matcher>,
    /// By id.
    pub(crate) is_control: Vec<bool>,
    pub(crate) unknown_id: Option<u32>,
    /// The caller of `describe` takes them over.
    pub token_bytes: TokenBytes,
    pub leading_spaces_dropped: u32,
    /// Of the added tokens; the model knows the others.
    pub(crate) id_of_added: AHashMap<String, u32>,
    /// Ids that a complete text starts and ends with.
    pub prefix_ids: Vec<u32>,
    pub suffix_ids: Vec<u32>,
    /// Ids that end a generation, ascending.
    pub end_ids: Vec<u32>,
}

/// What tokenizer_config.json says beside tokenizer.json.
#[derive(Default)]
pub struct Config<'a> {
    pub bos: Option<&'a str>,
    pub eos: Option<&'a str>,
    pub unknown: Option<&'a str>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
}

/// Far above any published vocabulary; a larger one is a damaged file, and tables would be sized by it.
pub const MAX_VOCABULARY: usize = 1 << 24;

/// Control tokens that end a turn or a text, by the names that published models give them.
const END_NAMES: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<end_of_turn>",
    "<turn|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<eos>",
    "</s>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "<｜end▁of▁sentence｜>",
    "<|END_OF_TURN_TOKEN|>",
];

/// Control tokens that begin a text or a turn, or belong to none, by names that do not give them away.
const OTHER_CONTROL_NAMES: &[&str] =
    &["<bos>", "<pad>", "<mask>", "<start_of_turn>", "<|turn>", "[INST]", "[/INST]", "[@BOS@]"];

impl Tokenizer {
    pub fn from_json(json: &[u8], config: &Config) -> Result<Self> {
        let pipeline = read_pipeline(json)?;
        let decoder = serde_json::to_value(pipeline.get_decoder()).map_err(internal)?;
        let spelling = Spelling::from_decoder(&decoder)?;

        let mut control = Vec::new();
        let mut literal = Vec::new();
        let mut normalized = Vec::new();
        let named = [config.bos, config.eos];
        // SentencePiece looks for runs of spaces where a literal U+2581 is one of them; tokenizer.json does not say so.
        let spaces_are_meta = normalize(&pipeline, " ")? == META_SPACE;
        for (&id, token) in pipeline.get_added_vocabulary().get_added_tokens_decoder() {
            let added = AddedToken {
                id,
                text: token.content.clone(),
                single_word: token.single_word,
                lstrip: token.lstrip,
                rstrip: token.rstrip,
            };
            if token.special || looks_like_control(&token.content) || named.contains(&Some(token.content.as_str())) {
                control.push(added);
            } else if token.normalized || (spaces_are_meta && token.content.contains(META_SPACE)) {
                normalized.push(AddedToken { text: normalize(&pipeline, &token.content)?, ..added });
            } else {
                literal.push(added);
            }
        }

        let token_bytes = bytes_of_all(&pipeline, &spelling)?;
        let added_tokens = pipeline.get_added_vocabulary().get_added_tokens_decoder();
        let id_of_added = added_tokens.iter().map(|(&id, token)| (token.content.clone(), id)).collect();
        let (mut prefix_ids, mut suffix_ids) = surrounding_ids(&pipeline)?;
        let id_of = |text: Option<&str>| text.and_then(|text| pipeline.token_to_id(text));
        override_surrounding(&mut prefix_ids, config.add_bos, id_of(config.bos));
        override_surrounding(&mut suffix_ids, config.add_eos, id_of(config.eos));
        let end_ids = end_ids(&control, &[id_of(config.eos)]);
        let unknown_id = id_of(config.unknown);
        Ok(Self {
            is_control: control_table(&control, token_bytes.ends.len()),
            control: Matcher::new(control)?,
            literal: Matcher::new(literal)?,
            normalized: Matcher::new(normalized)?,
            unknown_id,
            token_bytes,
            leading_spaces_dropped: spelling.leading_spaces_dropped,
            id_of_added,
            prefix_ids,
            suffix_ids,
            end_ids,
            pipeline,
        })
    }

    pub fn is_control(&self, id: u32) -> bool {
        self.is_control.get(id as usize).copied().unwrap_or(false)
    }

    pub fn is_of_library(&self) -> bool {
        matches!(self.pipeline.get_model(), WordModel::Library(_))
    }

    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.id_of_added.get(text).copied().or_else(|| self.pipeline.get_model().token_to_id(text))
    }
}

fn bytes_of_all(pipeline: &Pipeline, spelling: &Spelling) -> Result<TokenBytes> {
    let model = pipeline.get_model();
    let added_tokens = pipeline.get_added_vocabulary().get_added_tokens_decoder();
    let added_size = added_tokens.keys().max().map_or(0, |&id| id as usize + 1);
    let size = model.id_bound().max(added_size);
    if size > MAX_VOCABULARY {
        return Err(corrupt(format!("tokenizer.json has the token id {}, which no model has", size - 1)));
    }
    let alphabet = ByteAlphabet::new();
    let mut tokens = TokenBytes::default();
    for id in 0..size as u32 {
        let is_fallback = |text: &str| spelling.byte_fallback && fallback_byte(text).is_some();
        match added_tokens.get(&id).filter(|token| !is_fallback(&token.content)) {
            Some(token) => spelling.append_added(&token.content, &mut tokens.bytes),
            None => model.with_text(id, |text| spelling.append(text, &alphabet, &mut tokens.bytes)),
        }
        tokens.end_token()?;
    }
    Ok(tokens)
}

/// Tokens that are plainly meant as control tokens although the file does not mark them so.
pub fn looks_like_control(text: &str) -> bool {
    (text.starts_with("<|") && text.ends_with("|>") && text.len() > 4)
        || (text.starts_with("<｜") && text.ends_with("｜>"))
        || (text.starts_with("<unused") && text.ends_with('>'))
        // Gemma has HTML's <s> and </s> as text; where they are meant as control tokens, files declare them.
        || (END_NAMES.contains(&text) && text != "</s>")
        || OTHER_CONTROL_NAMES.contains(&text)
}

pub fn control_table(control: &[AddedToken], size: usize) -> Vec<bool> {
    let mut table = vec![false; size];
    for token in control {
        table[token.id as usize] = true;
    }
    table
}

/// The ids in `declared` and the control tokens whose name says that they end a turn or a text.
pub fn end_ids(control: &[AddedToken], declared: &[Option<u32>]) -> Vec<u32> {
    // Where <|return|> exists, <|end|> only ends one message of several.
    let has_return = control.iter().any(|token| token.text == "<|return|>");
    let mut ids: Vec<u32> = declared.iter().flatten().copied().collect();
    for token in control {
        if END_NAMES.contains(&token.text.as_str()) && !(has_return && token.text == "<|end|>") {
            ids.push(token.id);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn normalize(pipeline: &Pipeline, text: &str) -> Result<String> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = pipeline.get_normalizer() {
        normalizer.normalize(&mut normalized).map_err(internal)?;
    }
    Ok(normalized.get().to_owned())
}

/// What the post-processor puts before and after a text, found by giving it a text of one token.
fn surrounding_ids(pipeline: &Pipeline) -> Result<(Vec<u32>, Vec<u32>)> {
    const TEXT: u32 = u32::MAX;
    let Some(post_processor) = pipeline.get_post_processor() else {
        return Ok((Vec::new(), Vec::new()));
    };
    let encoding = Encoding::from_tokens(vec![Token::new(TEXT, "x".into(), (0, 1))], 0);
    let processed = post_processor.process(encoding, None, true).map_err(internal)?;
    let mut parts = processed.get_ids().split(|&id| id == TEXT);
    let mut next = || parts.next().unwrap_or_default().to_vec();
    Ok((next(), next()))
}

/// tokenizer_config.json's add_bos_token and add_eos_token go before the post-processor of tokenizer.json.
fn override_surrounding(ids: &mut Vec<u32>, add: Option<bool>, id: Option<u32>) {
    let Some(id) = id else { return };
    match add {
        Some(true) if ids.is_empty() => ids.push(id),
        Some(false) => ids.retain(|&other| other != id),
        _ => {}
    }
}
