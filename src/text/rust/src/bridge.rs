//! The C interface of tokenizers; `hearth_text.h` declares it. No panic crosses it.

use crate::encode::Segment;
use crate::error::{Result, corrupt, internal, invalid};
use crate::gguf::Vocabulary;
use crate::tokenizer::{Config, Tokenizer};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes that the caller owns; `data` may be null when `size` is 0, and is null for an absent optional text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

/// Where results go: the callee calls `write` any number of times while the call lasts.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sink {
    context: *mut c_void,
    write: unsafe extern "C" fn(*mut c_void, *const u8, usize),
}

#[repr(C)]
pub struct TextSegment {
    text: Slice,
    is_template: bool,
}

/// -1 for an absent id or flag, else the id, or 0 and 1.
#[repr(C)]
pub struct TokenizerOptions {
    bos_text: Slice,
    eos_text: Slice,
    unknown_text: Slice,
    bos: i64,
    eos: i64,
    eot: i64,
    unknown: i64,
    add_bos: i8,
    add_eos: i8,
    add_space_prefix: i8,
}

#[repr(C)]
pub struct GgufTables {
    model: Slice,
    pre: Slice,
    tokens: *const Slice,
    token_count: usize,
    scores: *const f32,
    score_count: usize,
    types: *const i32,
    type_count: usize,
    merges: *const Slice,
    merge_count: usize,
}

/// What a tokenizer is besides its tables.
#[repr(C)]
pub struct TokenizerFacts {
    token_count: usize,
    leading_spaces_dropped: u32,
    is_of_library: bool,
}

impl Slice {
    /// # Safety
    /// `data` points to `size` bytes that outlive the result.
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
        unsafe { array(self.data, self.size) }
    }

    pub(crate) fn len(self) -> usize {
        self.size
    }

    /// # Safety
    /// As `bytes`.
    pub(crate) unsafe fn text<'a>(self, what: &str) -> Result<&'a str> {
        std::str::from_utf8(unsafe { self.bytes() }).map_err(|_| invalid(format!("{what} is not valid UTF-8")))
    }

    /// # Safety
    /// As `bytes`.
    pub(crate) unsafe fn optional_text<'a>(self, what: &str) -> Result<Option<&'a str>> {
        if self.data.is_null() { Ok(None) } else { unsafe { self.text(what) }.map(Some) }
    }
}

impl Sink {
    pub(crate) fn put(&self, bytes: &[u8]) {
        // SAFETY: the caller of the C function vouches for its sink.
        unsafe { (self.write)(self.context, bytes.as_ptr(), bytes.len()) }
    }

    pub(crate) fn put_ids(&self, ids: &[u32]) {
        // SAFETY: any u32 is four initialised bytes.
        self.put(unsafe { std::slice::from_raw_parts(ids.as_ptr().cast(), size_of_val(ids)) });
    }
}

/// # Safety
/// `data` points to `count` values that outlive the result, or `count` is 0.
unsafe fn array<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, count) } }
}

/// Runs `body`; 0, or the error's code with its message written to `error`. A panic is an internal error.
pub(crate) fn guarded(error: Sink, body: impl FnOnce() -> Result<()>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let reason = reason.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(internal(format!("the text library failed: {reason}")))
    });
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            error.put(failure.message.as_bytes());
            failure.code as i32
        }
    }
}

fn flag(value: i8) -> Option<bool> {
    (value >= 0).then_some(value != 0)
}

fn id(value: i64, what: &str) -> Result<Option<u32>> {
    if value < 0 {
        return Ok(None);
    }
    u32::try_from(value).map(Some).map_err(|_| corrupt(format!("the vocabulary's {what} token {value} is no token id")))
}

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_tokenizer_from_json(
    json: Slice,
    options: &TokenizerOptions,
    tokenizer: &mut *mut Tokenizer,
    error: Sink,
) -> i32 {
    guarded(error, || {
        let config = unsafe {
            Config {
                bos: options.bos_text.optional_text("bos_token")?,
                eos: options.eos_text.optional_text("eos_token")?,
                unknown: options.unknown_text.optional_text("unk_token")?,
                add_bos: flag(options.add_bos),
                add_eos: flag(options.add_eos),
            }
        };
        *tokenizer = Box::into_raw(Box::new(Tokenizer::from_json(unsafe { json.bytes() }, &config)?));
        Ok(())
    })
}

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_tokenizer_from_gguf(
    tables: &GgufTables,
    options: &TokenizerOptions,
    tokenizer: &mut *mut Tokenizer,
    error: Sink,
) -> i32 {
    guarded(error, || {
        let texts = |slices: &[Slice], what: &str| -> Result<Vec<&str>> {
            let text = |(index, slice): (usize, &Slice)| {
                std::str::from_utf8(unsafe { slice.bytes() })
                    .map_err(|_| corrupt(format!("{what} {index} of the vocabulary is not valid UTF-8")))
            };
            slices.iter().enumerate().map(text).collect()
        };
        let vocabulary = unsafe {
            Vocabulary {
                kind: tables.model.text("the vocabulary's model")?,
                pre: tables.pre.text("the name of the vocabulary's pre-tokenizer")?,
                tokens: texts(array(tables.tokens, tables.token_count), "token")?,
                scores: array(tables.scores, tables.score_count),
                types: array(tables.types, tables.type_count),
                merges: texts(array(tables.merges, tables.merge_count), "merge")?,
                bos: id(options.bos, "bos")?,
                eos: id(options.eos, "eos")?,
                eot: id(options.eot, "eot")?,
                unknown: id(options.unknown, "unknown")?,
                add_bos: flag(options.add_bos),
                add_eos: flag(options.add_eos),
                add_space_prefix: flag(options.add_space_prefix),
            }
        };
        *tokenizer = Box::into_raw(Box::new(vocabulary.build()?));
        Ok(())
    })
}

/// # Safety
/// `tokenizer` came from one of the functions above, or is null, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        drop(unsafe { Box::from_raw(tokenizer) });
    }
}

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_tokenizer_encode(
    tokenizer: &Tokenizer,
    segments: *const TextSegment,
    count: usize,
    max_tokens: usize,
    ids: Sink,
    error: Sink,
) -> i32 {
    guarded(error, || {
        let mut texts = Vec::with_capacity(count);
        for segment in unsafe { array(segments, count) } {
            texts.push(Segment { text: unsafe { segment.text.text("the text")? }, is_template: segment.is_template });
        }
        ids.put_ids(&tokenizer.encode(&texts, max_tokens)?);
        Ok(())
    })
}

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_tokenizer_id_of(tokenizer: &Tokenizer, text: Slice) -> i64 {
    let text = unsafe { text.bytes() };
    std::str::from_utf8(text).ok().and_then(|text| tokenizer.id_of(text)).map_or(-1, i64::from)
}

/// Writes the tables: the bytes of all tokens, where each one's end, 1 or 0 for each in `is_control`, and three lists of
/// ids. The tokenizer forgets its tokens' bytes, so this is called once.
#[unsafe(no_mangle)]
pub extern "C" fn hearth_tokenizer_describe(
    tokenizer: &mut Tokenizer,
    bytes: Sink,
    ends: Sink,
    is_control: Sink,
    prefix_ids: Sink,
    suffix_ids: Sink,
    end_ids: Sink,
) -> TokenizerFacts {
    let token_bytes = std::mem::take(&mut tokenizer.token_bytes);
    bytes.put(&token_bytes.bytes);
    ends.put_ids(&token_bytes.ends);
    is_control.put(&tokenizer.is_control.iter().map(|&is_control| u8::from(is_control)).collect::<Vec<_>>());
    prefix_ids.put_ids(&tokenizer.prefix_ids);
    suffix_ids.put_ids(&tokenizer.suffix_ids);
    end_ids.put_ids(&tokenizer.end_ids);
    TokenizerFacts {
        token_count: token_bytes.ends.len(),
        leading_spaces_dropped: tokenizer.leading_spaces_dropped,
        is_of_library: tokenizer.is_of_library(),
    }
}
