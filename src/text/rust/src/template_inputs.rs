//! What chat templates are rendered from.

/// What a request brings to a template.
pub struct Inputs {
    pub messages: serde_json::Value,
    /// Null where there are none.
    pub tools: serde_json::Value,
    /// Further variables by name.
    pub variables: serde_json::Map<String, serde_json::Value>,
    pub add_generation_prompt: bool,
    /// The length of all that as JSON.
    pub bytes: usize,
}
