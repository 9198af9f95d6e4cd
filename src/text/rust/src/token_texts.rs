//! The texts of a vocabulary's tokens by their ids and the other way round, in flat tables: a quarter million strings of
//! their own would take most of the time in which a tokenizer is made.

use ahash::RandomState;
use hashbrown::HashTable;

/// Each id has one text at most and each text one id.
pub struct TokenTexts {
    /// All texts, one after another.
    texts: String,
    /// By id: where the text begins and ends in `texts`.
    spans: Vec<Option<Span>>,
    /// By the hash of the text. The span is here too, as the way to it by the id would cost as much as all the rest.
    ids: HashTable<Entry>,
    hashing: RandomState,
}

#[derive(Clone, Copy)]
struct Span {
    begin: u32,
    end: u32,
}

struct Entry {
    id: u32,
    span: Span,
}

impl Span {
    fn of(self, texts: &str) -> &[u8] {
        &texts.as_bytes()[self.begin as usize..self.end as usize]
    }
}

/// Why a token cannot be added; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The text has an id already.
    KnownText,
    /// The id has a text already.
    KnownId,
    /// The texts are longer than 4 GiB.
    TooLong,
}

impl TokenTexts {
    /// With room for `tokens` texts.
    pub fn with_capacity(tokens: usize) -> Self {
        const LIKELY_BYTES: usize = 8;
        Self {
            texts: String::with_capacity(tokens * LIKELY_BYTES),
            spans: Vec::with_capacity(tokens),
            ids: HashTable::with_capacity(tokens),
            hashing: RandomState::new(),
        }
    }

    /// Memory is taken for all ids up to `id`.
    pub fn add(&mut self, id: u32, text: &str) -> Result<(), Refusal> {
        let index = id as usize;
        if self.text_of(id).is_some() {
            return Err(Refusal::KnownId);
        }
        let hash = self.hashing.hash_one(text.as_bytes());
        if self.find(hash, text).is_some() {
            return Err(Refusal::KnownText);
        }
        let begin = self.texts.len() as u32;
        let end = u32::try_from(self.texts.len() + text.len()).map_err(|_| Refusal::TooLong)?;
        self.texts.push_str(text);
        if self.spans.len() <= index {
            self.spans.resize(index + 1, None);
        }
        let span = Span { begin, end };
        self.spans[index] = Some(span);
        let Self { texts, ids, hashing, .. } = self;
        ids.insert_unique(hash, Entry { id, span }, |entry| hashing.hash_one(entry.span.of(texts)));
        Ok(())
    }

    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.find(self.hashing.hash_one(text.as_bytes()), text)
    }

    pub fn text_of(&self, id: u32) -> Option<&str> {
        let span = (*self.spans.get(id as usize)?)?;
        Some(&self.texts[span.begin as usize..span.end as usize])
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Ids and texts, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.spans.len() as u32).filter_map(|id| Some((id, self.text_of(id)?)))
    }

    /// One more than the highest id.
    pub fn id_bound(&self) -> usize {
        self.spans.len()
    }

    fn find(&self, hash: u64, text: &str) -> Option<u32> {
        self.ids.find(hash, |entry| entry.span.of(&self.texts) == text.as_bytes()).map(|entry| entry.id)
    }
}
