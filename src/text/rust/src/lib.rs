//! The text layer of hearth as a C library: tokenizers, chat templates and (through llguidance's own C API, which is
//! re-exported from this archive) constrained decoding. `hearth_text.h` declares the C side of `bridge`.

mod added_tokens;
mod bridge;
mod bridge_template;
mod byte_pairs;
mod byte_pairs_json;
mod encode;
mod error;
mod gguf;
mod memory;
mod model;
mod parts;
mod pre_tokenizers;
mod provenance;
mod python_text;
mod string_methods;
mod template;
mod template_filters;
mod template_functions;
mod template_inputs;
mod template_json;
mod template_literals;
mod template_percent;
mod template_source;
mod token_bytes;
mod token_texts;
mod tokenizer;

// Keeps llguidance's extern "C" functions in the archive although nothing here calls them.
pub use llguidance::ffi as constrained_decoding;
