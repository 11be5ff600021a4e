//! How the router finds the calls and fields of a plugin from the schema's own names.
//!
//! The document is `wg.cosmo.node.v1.GRPCMapping` as JSON, with every field written out, in the order of their numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::Error;
use super::keys::{is_entity, keys};
use super::make::{self, field_name};
use super::names::enum_value;
use super::rules::is_resolver;
use super::schema::{Schema, TypeDef};
use super::syntax::{self, Kind};

/// The whole mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// The version of the format.
    pub version: u32,
    pub service: String,
    pub operation_mappings: Vec<Operation>,
    /// Entities.
    pub entity_mappings: Vec<Entity>,
    pub type_field_mappings: Vec<TypeFields>,
    /// Values of enums.
    pub enum_mappings: Vec<Enum>,
    /// Fields that are calls of their own.
    pub resolve_mappings: Vec<Resolver>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// The kind of operation.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field.
    pub original: String,
    /// The call.
    pub mapped: String,
    /// What the call takes.
    pub request: String,
    /// What the call gives.
    pub response: String,
}

/// An entity by one of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    pub type_name: String,
    /// Always `entity`.
    pub kind: &'static str,
    /// The key as it is written.
    pub key: String,
    /// The call.
    pub rpc: String,
    /// What the call takes.
    pub request: String,
    /// What the call gives.
    pub response: String,
    /// Fields that require others, and are asked for by this key.
    pub required_field_mappings: Vec<Required>,
}

/// A field that requires others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Required {
    pub field_mapping: Field,
    /// The call.
    pub rpc: String,
    /// What the call takes.
    pub request: String,
    /// What the call gives.
    pub response: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeFields {
    /// The type.
    #[serde(rename = "type")]
    pub name: String,
    pub field_mappings: Vec<Field>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Its name in the schema.
    pub original: String,
    /// Its name in the proto.
    pub mapped: String,
    pub argument_mappings: Vec<Names>,
}

/// A name in the schema and in the proto.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Names {
    /// In the schema.
    pub original: String,
    /// In the proto.
    pub mapped: String,
}

/// The values of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Enum {
    /// The enum.
    #[serde(rename = "type")]
    pub name: String,
    pub values: Vec<Names>,
}

/// A field that is a call of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolver {
    /// Always `LOOKUP_TYPE_RESOLVE`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The field.
    pub lookup_mapping: Lookup,
    /// The call.
    pub rpc: String,
    /// What the call takes.
    pub request: String,
    /// What the call gives.
    pub response: String,
}

/// A field of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lookup {
    /// The type.
    #[serde(rename = "type")]
    pub name: String,
    pub field_mapping: Field,
}

impl Mapping {
    /// The mapping as text.
    pub(super) fn render(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are JSON")
    }
}

/// Maps a schema.
pub fn mapping(schema: &Schema, service: &str) -> Result<Mapping, Error> {
    let mut mapping = Mapping {
        version: 1,
        service: service.to_owned(),
        operation_mappings: Vec::new(),
        entity_mappings: Vec::new(),
        type_field_mappings: Vec::new(),
        enum_mappings: Vec::new(),
        resolve_mappings: Vec::new(),
    };
    let own = || schema.types.iter().filter(|ty| !schema.roots.contains(&ty.name.text));
    for ty in own().filter(|ty| ty.kind == Kind::Object && is_entity(ty)) {
        mapping.entity(ty)?;
    }
    let roots = &schema.roots;
    mapping.operations("Query", "OPERATION_TYPE_QUERY", roots.query.as_ref().and_then(|root| schema.get(root)))?;
    mapping.operations("Mutation", "OPERATION_TYPE_MUTATION", roots.mutation.as_ref().and_then(|root| schema.get(root)))?;
    let subscription = roots.subscription.as_ref().and_then(|root| schema.get(root));
    mapping.operations("Subscription", "OPERATION_TYPE_SUBSCRIPTION", subscription)?;
    for ty in own().filter(|ty| ty.kind == Kind::Object) {
        for given in ty.fields.iter().filter(|field| is_resolver(field)) {
            let (rpc, request, response) = call(make::resolver_call(&ty.name.text, &given.name.text));
            let lookup_mapping = Lookup { name: ty.name.text.to_string(), field_mapping: field(given)? };
            mapping.resolve_mappings.push(Resolver { kind: "LOOKUP_TYPE_RESOLVE", lookup_mapping, rpc, request, response });
        }
    }
    for ty in own() {
        if ty.kind == Kind::Enum {
            let value = |value: &syntax::EnumValue| Names {
                original: value.name.text.to_string(),
                mapped: enum_value(&ty.name.text, &value.name.text),
            };
            mapping.enum_mappings.push(Enum { name: ty.name.text.to_string(), values: ty.values.iter().map(value).collect() });
        } else if matches!(ty.kind, Kind::Object | Kind::Input) && !ty.fields.is_empty() {
            let field_mappings = ty.fields.iter().map(field).collect::<Result<_, _>>()?;
            mapping.type_field_mappings.push(TypeFields { name: ty.name.text.to_string(), field_mappings });
        }
    }
    Ok(mapping)
}

impl Mapping {
    fn entity(&mut self, ty: &TypeDef) -> Result<(), Error> {
        let mut places = BTreeMap::new();
        for key in keys(ty)? {
            let (rpc, request, response) = call(make::lookup_call(&ty.name.text, &key));
            places.entry(key.suffix.clone()).or_insert(self.entity_mappings.len());
            self.entity_mappings.push(Entity {
                type_name: ty.name.text.to_string(),
                kind: "entity",
                key: key.text.to_string(),
                rpc,
                request,
                response,
                required_field_mappings: Vec::new(),
            });
        }
        if make::requiring(ty).next().is_none() {
            return Ok(());
        }
        let distinct = make::distinct_keys(ty)?;
        for requiring in make::requiring(ty) {
            for key in &distinct {
                let (rpc, request, response) = call(make::required_call(&ty.name.text, &requiring.name.text, key));
                let required = Required { field_mapping: field(requiring)?, rpc, request, response };
                self.entity_mappings[places[&key.suffix]].required_field_mappings.push(required);
            }
        }
        Ok(())
    }

    fn operations(&mut self, operation: &str, kind: &'static str, root: Option<&TypeDef>) -> Result<(), Error> {
        let Some(root) = root else { return Ok(()) };
        let mut field_mappings = Vec::new();
        for given in root.fields.iter().filter(|field| !make::FEDERATION.contains(&&*field.name.text)) {
            let (mapped, request, response) = call(make::operation_call(operation, &given.name.text));
            let original = given.name.text.to_string();
            self.operation_mappings.push(Operation { kind, original, mapped, request, response });
            field_mappings.push(field(given)?);
        }
        self.type_field_mappings.push(TypeFields { name: operation.to_owned(), field_mappings });
        Ok(())
    }
}

/// A call with its request and response.
fn call(name: String) -> (String, String, String) {
    let (request, response) = (format!("{name}Request"), format!("{name}Response"));
    (name, request, response)
}

fn field(given: &syntax::Field) -> Result<Field, Error> {
    let argument = |argument: &syntax::Field| -> Result<Names, Error> {
        Ok(Names { original: argument.name.text.to_string(), mapped: field_name(&argument.name)? })
    };
    Ok(Field {
        original: given.name.text.to_string(),
        mapped: field_name(&given.name)?,
        argument_mappings: given.arguments.iter().map(argument).collect::<Result<_, _>>()?,
    })
}
