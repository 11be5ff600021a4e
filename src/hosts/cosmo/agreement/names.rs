//! What a mapping says: by which names the router looks for the parts of a schema in a proto.
//!
//! It is `wg.cosmo.node.v1.GRPCMapping` as JSON, whose members may be in camel case or with underscores. A field or an argument
//! that it does not name is looked for by its own name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::hosts::cosmo::generate::FEDERATION;

/// A mapping, by the names that the schema has.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub service: String,
    /// The calls, by what of the schema each is for.
    pub calls: BTreeMap<String, Call>,
    /// The names of all calls that are mapped, made or not.
    pub rpcs: BTreeSet<String>,
    /// The fields of types, and the values of enums: `Type.name`.
    pub parts: BTreeSet<String>,
    /// The types and enums, without those that operations start from.
    pub types: BTreeSet<String>,
    /// Names in the schema, by what has them and the name in the proto.
    originals: BTreeMap<(String, String), String>,
    /// What they are the names of.
    renamed: BTreeSet<(String, String)>,
}

/// A call that the router makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub rpc: String,
    /// The messages that it takes and gives.
    pub request: String,
    pub response: String,
    /// The type that the field is of.
    pub ty: String,
    /// The field, where it is for one.
    pub field: Option<String>,
    /// Whether the arguments are the request, and not in `field_args`.
    pub is_operation: bool,
}

/// Kinds of operations, with the type of the schema that stands for each in a mapping. The router makes no subscriptions.
const OPERATIONS: [(&str, &str); 2] = [("OPERATION_TYPE_QUERY", "Query"), ("OPERATION_TYPE_MUTATION", "Mutation")];
const SUBSCRIPTIONS: &str = "Subscription";

impl Names {
    pub fn of(mapping: &Value) -> Self {
        let mut names = Self { service: text(mapping, "service"), ..Self::default() };
        for ty in list(mapping, "typeFieldMappings") {
            names.fields(&text(ty, "type"), list(ty, "fieldMappings"));
        }
        for ty in list(mapping, "enumMappings") {
            let name = text(ty, "type");
            list(ty, "values").for_each(|value| names.part(&name, value));
            names.types.insert(name);
        }
        for operation in list(mapping, "operationMappings") {
            let kind = text(operation, "type");
            names.rpcs.insert(text(operation, "mapped"));
            let field = text(operation, "original");
            let root = OPERATIONS.iter().find(|(word, _)| *word == kind).filter(|_| !FEDERATION.contains(&field.as_str()));
            if let Some((_, root)) = root {
                let call = Call { rpc: text(operation, "mapped"), is_operation: true, ..call(operation, root, Some(&field)) };
                names.calls.insert(format!("{root}.{field}"), call);
            }
        }
        for entity in list(mapping, "entityMappings") {
            let (ty, key) = (text(entity, "typeName"), key(&text(entity, "key")));
            for required in list(entity, "requiredFieldMappings") {
                let field = names.field(&ty, member(required, "fieldMapping"));
                names.calls.insert(format!("{ty}.{field} by `{key}`"), call(required, &ty, Some(&field)));
            }
            names.calls.insert(format!("{ty} @key(fields: \"{key}\")"), call(entity, &ty, None));
        }
        for resolver in list(mapping, "resolveMappings") {
            let lookup = member(resolver, "lookupMapping");
            let ty = text(lookup, "type");
            let field = names.field(&ty, member(lookup, "fieldMapping"));
            names.calls.insert(format!("{ty}.{field}"), call(resolver, &ty, Some(&field)));
        }
        names.rpcs.extend(names.calls.values().map(|call| call.rpc.clone()));
        names
    }

    /// The name in the schema of what a type's message calls so; of an argument, with the field that has it.
    pub fn original(&self, of: &str, mapped: &str) -> String {
        let key = (of.to_owned(), mapped.to_owned());
        match self.originals.get(&key) {
            Some(original) => original.clone(),
            // What has this name in the schema has another in the proto.
            None if self.renamed.contains(&key) => format!("{mapped} (not mapped)"),
            None => key.1,
        }
    }

    fn fields<'v>(&mut self, ty: &str, fields: impl Iterator<Item = &'v Value>) {
        if ty == SUBSCRIPTIONS {
            return;
        }
        let is_root = OPERATIONS.iter().any(|(_, root)| *root == ty);
        if !is_root {
            self.types.insert(ty.to_owned());
        }
        for field in fields.filter(|field| !is_root || !FEDERATION.contains(&text(field, "original").as_str())) {
            self.field(ty, field);
            self.part(ty, field);
        }
    }

    /// Remembers a field with its arguments; its name.
    fn field(&mut self, ty: &str, field: &Value) -> String {
        let name = text(field, "original");
        self.name(ty, field);
        for argument in list(field, "argumentMappings") {
            self.name(&format!("{ty}.{name}"), argument);
        }
        name
    }

    fn part(&mut self, ty: &str, part: &Value) {
        self.name(ty, part);
        self.parts.insert(format!("{ty}.{}", text(part, "original")));
    }

    fn name(&mut self, of: &str, named: &Value) {
        let original = text(named, "original");
        self.renamed.insert((of.to_owned(), original.clone()));
        self.originals.entry((of.to_owned(), text(named, "mapped"))).or_insert(original);
    }
}

fn call(entry: &Value, ty: &str, field: Option<&str>) -> Call {
    let field = field.map(str::to_owned);
    let (rpc, request, response) = (text(entry, "rpc"), text(entry, "request"), text(entry, "response"));
    Call { rpc, request, response, ty: ty.to_owned(), field, is_operation: false }
}

/// The fields of a key as the router compares them: those of the type itself, in any order.
fn key(text: &str) -> String {
    let mut depth = 0_usize;
    let mut own = String::new();
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' => own.push(' '),
            _ if depth == 0 => own.push(letter),
            _ => {}
        }
    }
    own.split_whitespace().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
}

fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    let other = || {
        name.chars().fold(String::new(), |other, letter| {
            if letter.is_ascii_uppercase() {
                other + "_" + &letter.to_ascii_lowercase().to_string()
            } else {
                other + letter.encode_utf8(&mut [0; 4])
            }
        })
    };
    value.get(name).or_else(|| value.get(other())).unwrap_or(&Value::Null)
}

fn text(value: &Value, name: &str) -> String {
    member(value, name).as_str().unwrap_or_default().to_owned()
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    member(value, name).as_array().into_iter().flatten()
}
