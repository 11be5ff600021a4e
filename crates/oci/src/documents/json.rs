//! JSON, strict when read and canonical when written.
//!
//! Canonical is a subset of RFC 8785: keys sorted by their UTF-8 bytes, no white space, integers only. The parser refuses
//! duplicate keys at every depth (`serde_json` alone lets the last one win) and nesting beyond 128.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::{Map, Number, Value};

/// A value with sorted keys and without white space. All bytes that are digested or compared are written here: another crate
/// may turn on `serde_json`'s insertion order for the whole build, and then no other writer sorts.
pub fn to_canonical(value: &Value) -> Vec<u8> {
    to_canonical_text(value).into_bytes()
}

/// The same, as text.
pub fn to_canonical_text(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

/// The same of an object.
pub fn object_to_canonical(object: &Map<String, Value>) -> Vec<u8> {
    let mut out = String::new();
    write_object(object.iter(), &mut out);
    out.into_bytes()
}

/// The same of what can be serialised. Fails where it cannot: a path that is not UTF-8.
pub fn serialize<T: Serialize>(value: &T) -> Result<Vec<u8>, JsonError> {
    Ok(to_canonical(&serde_json::to_value(value).map_err(JsonError)?))
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => write_object(map.iter(), out),
        Value::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Members in whatever order they come.
fn write_object<'v>(members: impl Iterator<Item = (&'v String, &'v Value)>, out: &mut String) {
    let sorted: BTreeMap<&String, &Value> = members.collect();
    out.push('{');
    for (position, (key, member)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(&Value::String(key.clone()).to_string());
        out.push(':');
        write_canonical(member, out);
    }
    out.push('}');
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

    /// Whether it ends where it should go on.
    pub fn is_cut(&self) -> bool {
        self.0.is_eof()
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
    fn the_order_in_which_members_come_is_not_that_in_which_they_are_written() {
        let members = [("z", 1), ("a", 2), ("m", 3), ("B", 4)].map(|(key, value)| (key.to_owned(), Value::from(value)));
        let mut out = String::new();
        write_object(members.iter().map(|(key, value)| (key, value)), &mut out);
        assert_eq!(out, r#"{"B":4,"a":2,"m":3,"z":1}"#);
        let object = Value::Object(members.into_iter().collect());
        assert_eq!(to_canonical_text(&Value::Array(vec![object])), r#"[{"B":4,"a":2,"m":3,"z":1}]"#);
    }

    #[test]
    fn what_is_no_json_is_an_error_and_not_null() {
        assert!(serialize(&BTreeMap::from([(vec![1], 1)])).is_err());
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
