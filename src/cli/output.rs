//! Results as lines of text and of JSON.

use serde::Serialize;
use serde_json::Value;

use plugin_oci::documents::json::to_canonical_text;
use plugin_oci::values::text::{self, field};

/// Version of the JSON objects on stdout.
pub const SCHEMA: u64 = 1;

/// An object, what is said of it, and the rule.
pub fn found_line((object, message, rule): (&str, &str, &str)) -> String {
    format!("{}: {} [{rule}]", field(object), field(message))
}

/// One JSON object on one line, with `reason` and `schema`. Fails for what is no JSON: a path that is not UTF-8.
pub fn json_line(reason: &str, object: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(text::json(to_canonical_text(&json_value(reason, object)?)))
}

/// The same object before it is a line.
pub fn json_value(reason: &str, object: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    if let Value::Object(map) = &mut value {
        map.insert("reason".to_owned(), reason.into());
        map.insert("schema".to_owned(), SCHEMA.into());
    }
    Ok(value)
}
