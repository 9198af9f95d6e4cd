//! Text to token ids.

use crate::added_tokens::{Match, Matcher};
use crate::error::{Result, internal};
use crate::memory::Claim;
use crate::tokenizer::Tokenizer;
use std::ops::Range;
use tokenizers::normalizer::Range as StringRange;
use tokenizers::{Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString};
use tokenizers::{PreTokenizer, Token};

/// A piece of a text, and whether a template wrote it: only there may control tokens be spelled out.
pub struct Segment<'a> {
    pub text: &'a str,
    pub is_template: bool,
}

type Pieces = Vec<(NormalizedString, Option<Vec<Token>>)>;

/// What a byte of text takes while it is encoded: measured, about 300 with words of English.
const MEMORY_PER_BYTE: usize = 320;
/// Text that has more bytes for each token that is allowed is looked at piece by piece before it is encoded as a whole.
const LIKELY_BYTES_PER_TOKEN: usize = 8;
const PIECE_BYTES: usize = 64 << 10;
/// Cutting a text may cost so many tokens at a cut: as many as the longest tokens have bytes, nearly.
const TOKENS_LOST_AT_A_CUT: usize = 256;

/// In place of ids that were not worked out.
const NO_ID: u32 = u32::MAX;

impl Tokenizer {
    /// As `encode_whole`. Where the ids are surely more than `max_tokens`, the result is one more than `max_tokens`
    /// ids that mean nothing, and the work is bounded by `max_tokens`.
    pub fn encode(&self, segments: &[Segment], max_tokens: usize) -> Result<Vec<u32>> {
        let bytes: usize = segments.iter().map(|segment| segment.text.len()).sum();
        if bytes / LIKELY_BYTES_PER_TOKEN > max_tokens && self.surely_exceeds(segments, max_tokens)? {
            return Ok(vec![NO_ID; max_tokens + 1]);
        }
        let _claim = Claim::new(bytes.saturating_mul(MEMORY_PER_BYTE), "turning the text into tokens")?;
        self.encode_whole(segments)
    }

    fn surely_exceeds(&self, segments: &[Segment], max_tokens: usize) -> Result<bool> {
        let mut tokens = 0;
        for segment in segments {
            let mut rest = segment.text;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(piece_end(rest));
                rest = after;
                let piece = Segment { text: piece, is_template: segment.is_template };
                tokens += self.encode_whole(&[piece])?.len().saturating_sub(TOKENS_LOST_AT_A_CUT);
                if tokens > max_tokens {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The ids of the concatenated segments, as if they had been encoded as one text, except that a control token
    /// comes only from text that lies wholly in neighbouring template segments.
    fn encode_whole(&self, segments: &[Segment]) -> Result<Vec<u32>> {
        let text: String = segments.iter().map(|segment| segment.text).collect();
        let controls = self.find_controls(&text, segments);
        let mut pieces = PreTokenizedString::from(text.as_str());
        pieces.split(|_, piece| cut(&piece, controls.clone())).map_err(internal)?;
        pieces
            .split(|_, piece| {
                let matches = find_all(self.literal.as_ref(), piece.get());
                cut(&piece, matches)
            })
            .map_err(internal)?;
        pieces
            .split(|_, mut piece| {
                if let Some(normalizer) = self.pipeline.get_normalizer() {
                    normalizer.normalize(&mut piece)?;
                }
                let matches = find_all(self.normalized.as_ref(), piece.get());
                cut(&piece, matches)
            })
            .map_err(internal)?;
        if let Some(pre_tokenizer) = self.pipeline.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(internal)?;
        }
        pieces.tokenize(|piece| self.tokenize_word(piece.get())).map_err(internal)?;
        let mut ids = Vec::new();
        for (_, _, tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            ids.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(ids)
    }

    fn find_controls(&self, text: &str, segments: &[Segment]) -> Vec<Match> {
        let mut matches = Vec::new();
        if let Some(control) = &self.control {
            for range in template_ranges(segments) {
                control.find(text, range, &mut matches);
            }
        }
        matches
    }

    /// The model's tokens of one word. A vocabulary may be able to merge its way to a control token; such a token is
    /// spelled with the tokens of its characters instead.
    fn tokenize_word(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let model = self.pipeline.get_model();
        let tokens = model.tokenize(word)?;
        let is_forbidden = |token: &Token| self.is_control(token.id) && Some(token.id) != self.unknown_id;
        if !tokens.iter().any(is_forbidden) {
            return Ok(tokens);
        }
        let mut spelled = Vec::new();
        for token in tokens {
            if !is_forbidden(&token) {
                spelled.push(token);
                continue;
            }
            // The model's tokens may come without their texts.
            let text = model.id_to_token(token.id).unwrap_or(token.value);
            for character in text.chars() {
                let mut buffer = [0; 4];
                let alone = model.tokenize(character.encode_utf8(&mut buffer))?;
                spelled.extend(alone.into_iter().filter(|token| !is_forbidden(token)));
            }
        }
        Ok(spelled)
    }
}

/// The last border of characters that leaves a piece of at most PIECE_BYTES.
fn piece_end(text: &str) -> usize {
    let mut end = text.len().min(PIECE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// The byte ranges of runs of template segments.
fn template_ranges(segments: &[Segment]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut position = 0;
    for segment in segments {
        let end = position + segment.text.len();
        if segment.is_template {
            match ranges.last_mut() {
                Some(last) if last.end == position => last.end = end,
                _ => ranges.push(position..end),
            }
        }
        position = end;
    }
    ranges
}

fn find_all(matcher: Option<&Matcher>, text: &str) -> Vec<Match> {
    let mut matches = Vec::new();
    if let Some(matcher) = matcher {
        matcher.find(text, 0..text.len(), &mut matches);
    }
    matches
}

/// Cuts `piece` at the matches, which become tokens; what lies between them stays text.
fn cut(piece: &NormalizedString, matches: Vec<Match>) -> tokenizers::Result<Pieces> {
    if matches.is_empty() {
        return Ok(vec![(piece.clone(), None)]);
    }
    let slice = |range: Range<usize>| {
        piece.slice(StringRange::Normalized(range)).ok_or("a token does not end at a character's border")
    };
    let mut pieces = Vec::with_capacity(2 * matches.len() + 1);
    let mut position = 0;
    for found in matches {
        pieces.push((slice(position..found.range.start)?, None));
        position = found.range.end;
        let value = piece.get()[found.range.clone()].to_owned();
        let offsets = (0, value.len());
        pieces.push((slice(found.range)?, Some(vec![Token::new(found.id, value, offsets)])));
    }
    pieces.push((slice(position..piece.len())?, None));
    Ok(pieces)
}
