//! The C interface of chat templates; `hearth_text.h` declares it.

use crate::bridge::{Sink, Slice, guarded};
use crate::error::{Result, invalid};
use crate::template::Template;
use crate::template_inputs::Inputs;
use serde_json::Value;

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_template_new(
    source: Slice,
    bos: Slice,
    eos: Slice,
    result: &mut *mut Template,
    error: Sink,
) -> i32 {
    guarded(error, || {
        let template = unsafe {
            Template::new(source.text("the chat template")?, bos.optional_text("bos")?, eos.optional_text("eos")?)?
        };
        *result = Box::into_raw(Box::new(template));
        Ok(())
    })
}

/// # Safety
/// `template` came from `hearth_template_new`, or is null, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_template_free(template: *mut Template) {
    if !template.is_null() {
        drop(unsafe { Box::from_raw(template) });
    }
}

/// # Safety
/// All pointers are as hearth_text.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hearth_template_render(
    template: &Template,
    messages: Slice,
    tools: Slice,
    variables: Slice,
    add_generation_prompt: bool,
    text: Sink,
    segments: Sink,
    error: Sink,
) -> i32 {
    guarded(error, || {
        let inputs = Inputs {
            messages: parse(unsafe { messages.optional_text("messages")? }, "messages")?,
            tools: parse(unsafe { tools.optional_text("tools")? }, "tools")?,
            variables: match parse(unsafe { variables.optional_text("chat_template_kwargs")? }, "chat_template_kwargs")?
            {
                Value::Null => serde_json::Map::new(),
                Value::Object(fields) => fields,
                _ => return Err(invalid("chat_template_kwargs is not a JSON object")),
            },
            add_generation_prompt,
            bytes: messages.len() + tools.len() + variables.len(),
        };
        if !inputs.messages.is_array() {
            return Err(invalid("messages is not a JSON array"));
        }
        let (rendered, pieces) = template.render(&inputs)?;
        text.put(rendered.as_bytes());
        for piece in pieces {
            segments.put(&(piece.end as u64 * 2 + u64::from(piece.is_template)).to_ne_bytes());
        }
        Ok(())
    })
}

fn parse(json: Option<&str>, what: &str) -> Result<Value> {
    let Some(json) = json else { return Ok(Value::Null) };
    serde_json::from_str(json).map_err(|error| invalid(format!("{what} is not valid JSON: {error}")))
}
