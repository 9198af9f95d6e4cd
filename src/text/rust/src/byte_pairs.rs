//! Byte pair encoding: a word's characters become tokens, and neighbouring tokens become one, the best ranked pair first.
//!
//! It does what the tokenizers library's BPE does, which takes longer to be made of a vocabulary of a quarter million
//! words (strings in two maps, and three look-ups of strings for each of half a million merges) than a model's weights
//! take to be read. What hearth serves needs no dropout and no marks inside of words; the library is there for those.

use crate::token_texts::TokenTexts;
use ahash::AHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tokenizers::Token;

/// What becomes of text beside the merges.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// The token of what has none; such text is left out where this is none.
    pub unknown: Option<u32>,
    /// Whether neighbouring characters without tokens are one unknown token.
    pub fuse_unknown: bool,
    /// Whether a character without a token becomes the tokens `<0xNN>` of its bytes where there are such.
    pub byte_fallback: bool,
    /// Whether a word that is a token is that token, whatever the merges say.
    pub whole_words: bool,
}

/// Immutable once built.
pub struct BytePairs {
    tokens: TokenTexts,
    merges: Merges,
    rules: Rules,
    /// The token `<0xNN>` of each byte.
    byte_tokens: [Option<u32>; 256],
}

/// What two neighbouring tokens become: the token, and the rank of the merge; those of low ranks come first.
pub struct Merges {
    of_pair: AHashMap<u64, Merge>,
}

#[derive(Clone, Copy)]
struct Merge {
    rank: u32,
    merged: u32,
}

impl Merges {
    /// Left, right and merged token of each merge, in lists that follow one another, the best ranked first. Of two merges
    /// of one pair, the later one counts.
    pub fn from_lists(lists: &[Vec<[u32; 3]>]) -> Self {
        let mut of_pair = AHashMap::with_capacity(lists.iter().map(Vec::len).sum());
        for (rank, &[left, right, merged]) in lists.iter().flatten().enumerate() {
            of_pair.insert(pair(left, right), Merge { rank: rank as u32, merged });
        }
        Self { of_pair }
    }

    fn find(&self, left: u32, right: u32) -> Option<Merge> {
        self.of_pair.get(&pair(left, right)).copied()
    }
}

fn pair(left: u32, right: u32) -> u64 {
    (u64::from(left) << 32) | u64::from(right)
}

/// A token of a word while neighbours become one; those that went into their left neighbour have no bytes.
#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    bytes: u32,
    previous: u32,
    next: u32,
}

/// In place of a neighbour where there is none.
const NONE: u32 = u32::MAX;

impl BytePairs {
    pub fn new(tokens: TokenTexts, merges: Merges, rules: Rules) -> Self {
        let byte_tokens = std::array::from_fn(|byte| tokens.id_of(&format!("<0x{byte:02X}>")));
        Self { tokens, merges, rules, byte_tokens }
    }

    pub fn tokens(&self) -> &TokenTexts {
        &self.tokens
    }

    /// The tokens of one word with their places in it. Their texts are left empty: they can be looked up by id.
    pub fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        if word.is_empty() {
            return Ok(Vec::new());
        }
        if self.rules.whole_words
            && let Some(id) = self.tokens.id_of(word)
        {
            return Ok(vec![Token::new(id, String::new(), (0, word.len()))]);
        }
        if u32::try_from(word.len()).is_err() {
            return Err("a word is longer than 4 GiB".into());
        }
        let mut symbols = self.characters(word);
        self.merge(&mut symbols);
        let mut begin = 0;
        let mut tokens = Vec::with_capacity(symbols.iter().filter(|symbol| symbol.bytes > 0).count());
        for symbol in symbols.iter().filter(|symbol| symbol.bytes > 0) {
            let end = begin + symbol.bytes as usize;
            tokens.push(Token::new(symbol.id, String::new(), (begin, end)));
            begin = end;
        }
        Ok(tokens)
    }

    /// The tokens of the word's characters.
    fn characters(&self, word: &str) -> Vec<Symbol> {
        let mut symbols = Symbols { list: Vec::with_capacity(word.len()) };
        let mut unknown: Option<(u32, u32)> = None;
        for (begin, character) in word.char_indices() {
            let bytes = character.len_utf8();
            let text = &word[begin..begin + bytes];
            if let Some(id) = self.tokens.id_of(text) {
                symbols.extend(unknown.take());
                symbols.push(id, bytes as u32);
            } else if let Some(ids) = self.byte_fallback(text) {
                // As in the library, an unknown token before it comes after it: merges were learned so.
                ids.for_each(|id| symbols.push(id, 1));
            } else if let Some(id) = self.rules.unknown {
                let earlier = unknown.take().map_or(0, |(_, earlier)| earlier);
                if earlier > 0 && !self.rules.fuse_unknown {
                    symbols.push(id, earlier);
                    unknown = Some((id, bytes as u32));
                } else {
                    unknown = Some((id, earlier + bytes as u32));
                }
            }
        }
        symbols.extend(unknown);
        symbols.list
    }

    /// None where a byte of the text has no token.
    fn byte_fallback(&self, text: &str) -> Option<impl Iterator<Item = u32>> {
        let has_all = self.rules.byte_fallback && text.bytes().all(|byte| self.byte_tokens[byte as usize].is_some());
        has_all.then(|| text.bytes().filter_map(|byte| self.byte_tokens[byte as usize]))
    }

    fn merge(&self, symbols: &mut [Symbol]) {
        let neighbours = (0..symbols.len().saturating_sub(1)).filter_map(|left| self.candidate(symbols, left as u32));
        let mut candidates: BinaryHeap<_> = neighbours.collect();
        while let Some(Reverse(found)) = candidates.pop() {
            let left = found.order as u32;
            let symbol = symbols[left as usize];
            // Symbols only grow: if either is not what it was, they are longer now.
            let Some(&right) = symbols.get(symbol.next as usize) else { continue };
            if symbol.bytes == 0 || symbol.bytes + right.bytes != found.bytes {
                continue;
            }
            symbols[symbol.next as usize].bytes = 0;
            if right.next != NONE {
                symbols[right.next as usize].previous = left;
            }
            symbols[left as usize] = Symbol { id: found.merged, bytes: found.bytes, next: right.next, ..symbol };
            if symbol.previous != NONE {
                candidates.extend(self.candidate(symbols, symbol.previous));
            }
            candidates.extend(self.candidate(symbols, left));
        }
    }

    /// The merge of the symbol at `left` with the next one, if there is one. The heap has the greatest first.
    fn candidate(&self, symbols: &[Symbol], left: u32) -> Option<Reverse<Candidate>> {
        let symbol = symbols[left as usize];
        let right = symbols.get(symbol.next as usize)?;
        let Merge { rank, merged } = self.merges.find(symbol.id, right.id)?;
        let order = (u64::from(rank) << 32) | u64::from(left);
        Some(Reverse(Candidate { order, merged, bytes: symbol.bytes + right.bytes }))
    }
}

/// A merge of neighbours that may come next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The rank, then the place of the left one.
    order: u64,
    merged: u32,
    /// Of both together.
    bytes: u32,
}

/// A list of symbols under construction.
struct Symbols {
    list: Vec<Symbol>,
}

impl Symbols {
    fn push(&mut self, id: u32, bytes: u32) {
        let place = self.list.len() as u32;
        if let Some(last) = self.list.last_mut() {
            last.next = place;
        }
        self.list.push(Symbol { id, bytes, previous: place.wrapping_sub(1), next: NONE });
    }

    fn extend(&mut self, symbol: Option<(u32, u32)>) {
        if let Some((id, bytes)) = symbol {
            self.push(id, bytes);
        }
    }
}
