//! Differences of two JSON values, each under the key where they part.

use serde_json::Value;

/// A place in the documents and what each has there.
pub struct Parted {
    /// `config.Env[0]`; empty for the whole.
    pub key: String,
    /// The values; `None` where there is none.
    pub values: [Option<Value>; 2],
}

/// Every place where two values part, at most `limit`.
pub fn parted(first: &Value, second: &Value, limit: usize) -> Vec<Parted> {
    let mut found = Vec::new();
    walk(String::new(), [Some(first), Some(second)], limit, &mut found);
    found
}

fn walk(key: String, values: [Option<&Value>; 2], limit: usize, found: &mut Vec<Parted>) {
    if found.len() >= limit || values[0] == values[1] {
        return;
    }
    match values {
        [Some(Value::Object(first)), Some(Value::Object(second))] => {
            let mut names: Vec<&String> = first.keys().chain(second.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let dot = if key.is_empty() { "" } else { "." };
                walk(format!("{key}{dot}{name}"), [first.get(name), second.get(name)], limit, found);
            }
        }
        // Lists of one length differ in their items; of others, as a whole unless they are long.
        [Some(Value::Array(first)), Some(Value::Array(second))] if first.len() == second.len() || first.len() > 8 => {
            for index in 0..first.len().max(second.len()) {
                walk(format!("{key}[{index}]"), [first.get(index), second.get(index)], limit, found);
            }
        }
        _ => found.push(Parted { key, values: values.map(Option::<&Value>::cloned) }),
    }
}

/// A value as text: a string without its quotes.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_where_values_part_is_named() {
        let keys = |first: Value, second: Value| parted(&first, &second, 10).into_iter().map(|p| p.key).collect::<Vec<_>>();
        assert_eq!(keys(json!({"a": {"b": [1, 2]}, "c": 1}), json!({"a": {"b": [1, 3]}, "d": 1})), ["a.b[1]", "c", "d"]);
        assert_eq!(keys(json!([1]), json!([1, 2])), [""]);
        assert!(keys(json!({"a": 1}), json!({"a": 1})).is_empty());
    }
}
