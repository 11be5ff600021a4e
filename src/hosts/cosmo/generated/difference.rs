//! The first place where a generated file is not what it would be now, said by the names in it.

use serde_json::Value;

/// What differs first in two texts that are not the same.
pub fn first(found: &str, expected: &str) -> String {
    let documents = (serde_json::from_str::<Value>(found), serde_json::from_str::<Value>(expected));
    let by_names = match &documents {
        (Ok(found), Ok(expected)) => of_documents("", found, expected),
        _ => None,
    };
    by_names.unwrap_or_else(|| of_lines(found, expected))
}

/// By keys; entries of a list by what they are called.
fn of_documents(path: &str, found: &Value, expected: &Value) -> Option<String> {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let changed = expected.iter().find_map(|(key, expected)| match found.get(key) {
                Some(found) => of_documents(&below(key), found, expected),
                None => Some(format!("`{}` is missing", below(key))),
            });
            let gone = || found.keys().find(|key| !expected.contains_key(*key));
            changed.or_else(|| gone().map(|key| format!("`{}` is no longer in the schema", below(key))))
        }
        (Value::Array(found), Value::Array(expected)) => {
            let below = |at: usize, entry: &Value| format!("{path}[{}]", called(entry).unwrap_or_else(|| at.to_string()));
            let pairs = found.iter().zip(expected).enumerate();
            let changed = pairs.into_iter().find_map(|(at, (found, expected))| {
                if called(found) == called(expected) {
                    return of_documents(&below(at, expected), found, expected);
                }
                Some(format!("`{}` stands where `{}` would", below(at, found), below(at, expected)))
            });
            let at = found.len().min(expected.len());
            let missing = || expected.get(at).map(|entry| format!("`{}` is missing", below(at, entry)));
            let gone = || found.get(at).map(|entry| format!("`{}` is no longer in the schema", below(at, entry)));
            changed.or_else(missing).or_else(gone)
        }
        _ if found == expected => None,
        _ => Some(format!("`{path}` is {found} and would be {expected}")),
    }
}

fn called(entry: &Value) -> Option<String> {
    let keys = ["original", "typeName", "rpc", "type"];
    keys.iter().find_map(|key| entry.get(key)?.as_str()).map(str::to_owned)
}

/// By lines, with the message or enum that they are in.
fn of_lines(found: &str, expected: &str) -> String {
    let mut block = "the file";
    let mut others = found.lines();
    for (number, expected) in expected.lines().enumerate() {
        let other = others.next();
        if other != Some(expected) {
            let other = other.map_or("nothing".to_owned(), |line| format!("`{}`", line.trim()));
            return format!("line {} of {block} is {other} and would be `{}`", number + 1, expected.trim());
        }
        if let Some(opened) = expected.strip_suffix(" {").filter(|opened| !opened.starts_with(' ')) {
            block = opened;
        }
    }
    match others.next() {
        Some(line) => format!("`{}` is no longer in the schema", line.trim()),
        None => "only line ends or the order of keys differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_said_by_names() {
        let proto = "syntax = \"proto3\";\nmessage A {\n  int32 a = 1;\n}\n";
        assert_eq!(
            first(&proto.replace("a = 1", "a = 2"), proto),
            "line 3 of message A is `int32 a = 2;` and would be `int32 a = 1;`"
        );
        assert_eq!(first(&format!("{proto}message B {{}}\n"), proto), "`message B {}` is no longer in the schema");
        let (one, two) = (r#"{"a":[{"original":"x","mapped":"x"}]}"#, r#"{"a":[{"original":"x","mapped":"y"}]}"#);
        assert_eq!(first(one, two), "`a[x].mapped` is \"x\" and would be \"y\"");
        assert_eq!(first(r#"{"a":[]}"#, two), "`a[x]` is missing");
        assert_eq!(first(r#"{"a":[{"original":"z"}]}"#, two), "`a[z]` stands where `a[x]` would");
        assert_eq!(first(r#"{"messages":{"A":1}}"#, r#"{"messages":{}}"#), "`messages.A` is no longer in the schema");
        assert_eq!(first("{ }", "{}"), "line 1 of the file is `{ }` and would be `{}`");
    }
}
