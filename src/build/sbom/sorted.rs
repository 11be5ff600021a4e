//! Documents whose lists are sets: written sorted, each member once, so that the order in which things are found makes no
//! difference.

use std::collections::BTreeMap;

use serde_json::Value;

use plugin_oci::documents::json::to_canonical_text;

/// The members by which an object names itself.
const NAMES: [&str; 4] = ["bom-ref", "ref", "SPDXID", "uri"];

/// The document with all lists sorted, each member once.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, sorted(value))).collect()),
        Value::Array(members) => {
            let members = members.into_iter().map(sorted).map(|member| (key_of(&member), member));
            Value::Array(members.collect::<BTreeMap<_, _>>().into_values().collect())
        }
        plain => plain,
    }
}

/// What a member is sorted by, and told apart by.
fn key_of(member: &Value) -> String {
    let name = NAMES.iter().find_map(|name| member.get(name)?.as_str());
    name.map_or_else(|| to_canonical_text(member), str::to_owned)
}
