//! Chat templates: Jinja source rendered as transformers renders it.

use crate::error::{Code, Error, Result, internal, invalid, unsupported};
use crate::memory::Claim;
use crate::provenance::{self, Mapping, Segment};
use crate::template_functions;
use crate::template_inputs::Inputs;
use crate::template_literals::Literals;
use crate::{string_methods, template_source};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use std::error::Error as _;

/// Instructions and 64-byte pieces of text that one rendering may cost; a real one of a long chat costs thousands.
const FUEL: u64 = 10_000_000;
/// What a byte of the request takes: values, their copies with other characters, and what is rendered of both.
const MEMORY_PER_BYTE: usize = 24;
const NAME: &str = "chat_template";

/// Immutable once built, so any number of threads may use it.
pub struct Template {
    environment: Environment<'static>,
    literals: Literals,
    bos: Option<String>,
    eos: Option<String>,
}

impl Template {
    pub fn new(source: &str, bos: Option<&str>, eos: Option<&str>) -> Result<Self> {
        let source = template_source::with_unix_newlines(source);
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(internal)?;
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(string_methods::call);
        environment.set_fuel(Some(FUEL));
        template_functions::register(&mut environment);
        let literals = Literals::of(&source);
        environment
            .add_template_owned(NAME, template_source::prepare(&source))
            .map_err(|error| unsupported(format!("the chat template cannot be compiled: {}", describe(&error))))?;
        Ok(Self { environment, literals, bos: bos.map(str::to_owned), eos: eos.map(str::to_owned) })
    }

    /// The rendered text, cut into what the template wrote and what came with the request.
    pub fn render(&self, inputs: &Inputs) -> Result<(String, Vec<Segment>)> {
        let _claim = Claim::new(inputs.bytes.saturating_mul(MEMORY_PER_BYTE), "writing the chat template's text")?;
        let now = template_functions::now();
        let text = self.render_once(inputs, &Mapping::IDENTITY, now)?;
        for mapping in Mapping::in_order(&self.literals) {
            let Ok(mapped) = self.render_once(inputs, &mapping, now) else { continue };
            if let Some(mut is_content) = provenance::compare(&text, &mapped) {
                mapping.reclaim(inputs, &text, &mut is_content);
                let segments = provenance::segments(&text, &is_content);
                return Ok((text, segments));
            }
        }
        Err(unsupported("the chat template changes the messages in a way that hides which text is theirs"))
    }

    fn render_once(&self, inputs: &Inputs, mapping: &Mapping, now: i64) -> Result<String> {
        let mut variables = serde_json::Map::new();
        // transformers always passes tools and documents, as None where there are none.
        variables.insert("documents".to_owned(), serde_json::Value::Null);
        for (name, value) in &inputs.variables {
            variables.insert(name.clone(), mapping.apply(value));
        }
        variables.insert("messages".to_owned(), mapping.apply(&inputs.messages));
        variables.insert("tools".to_owned(), mapping.apply(&inputs.tools));
        variables.insert("add_generation_prompt".to_owned(), inputs.add_generation_prompt.into());
        for (name, token) in [("bos_token", &self.bos), ("eos_token", &self.eos)] {
            if let Some(token) = token {
                variables.insert(name.to_owned(), token.as_str().into());
            }
        }
        let context = Value::from(Serde(&variables));
        let template = self.environment.get_template(NAME).map_err(render_error)?;
        let render = || template_functions::with_time(now, || template.render(context));
        provenance::with_mapping(mapping, render).map_err(render_error)
    }
}

/// The template's own refusals, by raise_exception, and what it cannot do with the messages are the request's fault.
fn render_error(error: minijinja::Error) -> Error {
    if let Some(refusal) = error.source().and_then(|source| source.downcast_ref::<template_functions::Refusal>()) {
        return invalid(format!("the chat template refuses the messages: {}", refusal.0));
    }
    let code = match error.kind() {
        minijinja::ErrorKind::UnknownFilter
        | minijinja::ErrorKind::UnknownTest
        | minijinja::ErrorKind::UnknownFunction => Code::Unsupported,
        // Also unknown methods: mostly those of a text, called on a list of content parts.
        _ => Code::InvalidArgument,
    };
    Error { code, message: format!("the chat template cannot render the messages: {}", describe(&error)) }
}

fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    error.line().map_or(detail.clone(), |line| format!("line {line}: {detail}"))
}
