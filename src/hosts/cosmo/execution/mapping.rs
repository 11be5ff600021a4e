//! A mapping, whoever wrote it.
//!
//! `wgc router compose` reads `mapping.json` as the protobuf message `GRPCMapping` and writes it again: members without a value
//! are gone, and names are in camel case. Two mappings are the same when what is left of them is.

use serde_json::{Map, Value};

use plugin_oci::documents::json;
use plugin_oci::values::digest::Digest;

/// The digest of what a mapping says; `None` where it is no JSON.
pub fn normal(bytes: &[u8]) -> Option<Digest> {
    json::parse(bytes).ok().map(|value| Digest::of(&json::to_canonical(&stripped(value))))
}

/// A name in camel case, as protobuf's JSON form has it: an underscore makes the letter after it a capital.
pub fn camel(name: &str) -> String {
    let mut is_capital = false;
    let mut camel = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter == '_' {
            is_capital = true;
        } else {
            camel.push(if is_capital { letter.to_ascii_uppercase() } else { letter });
            is_capital = false;
        }
    }
    camel
}

/// Without what protobuf does not tell from nothing. A message without members is something.
fn stripped(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (camel(&name), stripped(value)));
            Value::Object(members.filter(|(_, value)| !is_nothing(value)).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(stripped).collect()),
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        // The first value of an enumeration is the one that is not written.
        Value::String(text) => text.is_empty() || text.ends_with("_UNSPECIFIED"),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_protobuf_writes_is_the_same_as_what_it_read() {
        let read = br#"{"version":1,"entity_mappings":[],"typeFieldMappings":[{"type":"A","fieldMappings":[
            {"mapped":"b_c","original":"bC","argumentMappings":[]}]}],"resolveMappings":null}"#;
        let written = br#"{"version":1,"typeFieldMappings":[{"type":"A","fieldMappings":[{"original":"bC","mapped":"b_c"}]}]}"#;
        assert_eq!(normal(read), normal(written));
        let other = br#"{"version":1,"typeFieldMappings":[{"type":"A","fieldMappings":[{"original":"bC","mapped":"bc"}]}]}"#;
        assert_ne!(normal(read), normal(other));
        assert_eq!(normal(b"{"), None);
    }
}
