//! JSON, strict when read and canonical when written.
//!
//! Canonical is a subset of RFC 8785: keys sorted by their UTF-8 bytes, no white space, integers only. The parser refuses
//! duplicate keys at every depth (`serde_json` alone lets the last one win) and nesting beyond 128.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Number, Value};

/// Serialises with sorted keys and without white space.
pub fn to_canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).unwrap_or(Value::Null);
    let mut out = Vec::new();
    write_canonical(&value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            // Sorted here, because another crate may turn on serde_json's insertion order for the whole build.
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push(b'{');
            for (position, (key, member)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(&Value::String(key.clone()), out);
                out.push(b':');
                write_canonical(member, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
}

/// Parses a whole document, refusing duplicate keys.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut deserializer).map_err(JsonError)?;
    deserializer.end().map_err(JsonError)?;
    Ok(value)
}

/// Parses a whole document into a type, refusing duplicate keys first.
pub fn parse_as<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    serde_json::from_value(parse(bytes)?).map_err(JsonError)
}

/// The first member of an object that is none of `names`, and that other parsers take for one of them: Go's ignores case, as
/// Unicode folds it (`encoding/json`, `Unmarshal`).
pub fn lookalike<'v>(object: &'v Value, names: &[&'static str]) -> Option<(&'v str, &'static str)> {
    let mut keys = object.as_object()?.keys().filter(|key| !names.contains(&key.as_str()));
    keys.find_map(|key| Some((key.as_str(), *names.iter().find(|name| folded(name).eq(folded(key)))?)))
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|character| match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    })
}

/// Not JSON that every parser reads the same way.
#[derive(Debug, thiserror::Error)]
#[error("not strict JSON: {0}")]
pub struct JsonError(serde_json::Error);

impl JsonError {
    /// Whether a duplicate key is the reason.
    pub fn is_duplicate_key(&self) -> bool {
        self.0.to_string().starts_with(DUPLICATE)
    }
}

impl crate::failure::Failure for JsonError {}

const DUPLICATE: &str = "duplicate key";

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(Strict)?;
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("{DUPLICATE} `{key}`")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = parse(br#"{ "b": [ {"z":1, "a":"\u00e9\n"} ], "a": null, "B": true }"#).unwrap();
        assert_eq!(to_canonical(&value), "{\"B\":true,\"a\":null,\"b\":[{\"a\":\"é\\n\",\"z\":1}]}".as_bytes());
    }

    #[test]
    fn duplicate_keys_are_refused_at_every_depth() {
        let error = parse(br#"[{"a":{"x":1,"y":2,"x":3}}]"#).unwrap_err();
        assert!(error.is_duplicate_key(), "{error}");
    }

    #[test]
    fn deep_nesting_and_trailing_text_are_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(parse(deep.as_bytes()).is_err());
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"").is_err());
    }
}
