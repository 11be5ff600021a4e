//! Two schemas by their definitions: what one promises and the other does not.

use std::collections::{BTreeMap, BTreeSet};

use apollo_parser::cst::{self, Definition};
use apollo_parser::{Parser, cst::CstNode as _};

use crate::hosts::cosmo::generate::{MAX_DEPTH, MAX_SCHEMA};
use plugin_oci::finding::Finding;

/// What a schema defines. Extensions are parts of what they extend.
#[derive(Debug, Default)]
pub struct Shape(BTreeMap<String, Type>);

#[derive(Debug, Default)]
struct Type {
    /// `None` where there are extensions alone.
    kind: Option<&'static str>,
    fields: BTreeMap<String, Field>,
    values: BTreeSet<String>,
    members: BTreeSet<String>,
}

#[derive(Debug)]
struct Field {
    ty: String,
    arguments: BTreeMap<String, Argument>,
    /// Of an input's field: whether a caller need not send it.
    is_optional: bool,
}

#[derive(Debug)]
struct Argument {
    ty: String,
    is_optional: bool,
}

impl Shape {
    /// Reads a schema.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        if text.len() > MAX_SCHEMA {
            return Err(format!("it has more than {MAX_SCHEMA} bytes"));
        }
        let tree = Parser::new(text).recursion_limit(MAX_DEPTH).parse();
        if let Some(error) = tree.errors().next() {
            let line = text.get(..error.index()).unwrap_or(text).matches('\n').count() + 1;
            return Err(format!("{} in line {line}", error.message()));
        }
        let mut shape = Self::default();
        tree.document().definitions().for_each(|definition| shape.add(&definition));
        Ok(shape)
    }

    fn add(&mut self, definition: &Definition) {
        use Definition as D;
        match definition {
            D::ScalarTypeDefinition(node) => drop(self.named(node.name(), "scalar")),
            D::ObjectTypeDefinition(node) => self.named(node.name(), "type").fields(node.fields_definition()),
            D::ObjectTypeExtension(node) => self.extended(node.name()).fields(node.fields_definition()),
            D::InterfaceTypeDefinition(node) => self.named(node.name(), "interface").fields(node.fields_definition()),
            D::InterfaceTypeExtension(node) => self.extended(node.name()).fields(node.fields_definition()),
            D::InputObjectTypeDefinition(node) => self.named(node.name(), "input").inputs(node.input_fields_definition()),
            D::InputObjectTypeExtension(node) => self.extended(node.name()).inputs(node.input_fields_definition()),
            D::EnumTypeDefinition(node) => self.named(node.name(), "enum").values(node.enum_values_definition()),
            D::EnumTypeExtension(node) => self.extended(node.name()).values(node.enum_values_definition()),
            D::UnionTypeDefinition(node) => self.named(node.name(), "union").members(node.union_member_types()),
            D::UnionTypeExtension(node) => self.extended(node.name()).members(node.union_member_types()),
            _ => {}
        }
    }

    fn extended(&mut self, name: Option<cst::Name>) -> &mut Type {
        self.0.entry(text(name)).or_default()
    }

    fn named(&mut self, name: Option<cst::Name>, kind: &'static str) -> &mut Type {
        let ty = self.extended(name);
        ty.kind = Some(kind);
        ty
    }
}

impl Type {
    fn fields(&mut self, node: Option<cst::FieldsDefinition>) {
        for field in node.into_iter().flat_map(|node| node.field_definitions()) {
            let arguments = field.arguments_definition().into_iter().flat_map(|node| node.input_value_definitions());
            let arguments = arguments.map(|node| (text(node.name()), argument(&node))).collect();
            self.fields.insert(text(field.name()), Field { ty: spelt(field.ty()), arguments, is_optional: true });
        }
    }

    fn inputs(&mut self, node: Option<cst::InputFieldsDefinition>) {
        for field in node.into_iter().flat_map(|node| node.input_value_definitions()) {
            let Argument { ty, is_optional } = argument(&field);
            self.fields.insert(text(field.name()), Field { ty, arguments: BTreeMap::new(), is_optional });
        }
    }

    fn values(&mut self, node: Option<cst::EnumValuesDefinition>) {
        let values = node.into_iter().flat_map(|node| node.enum_value_definitions());
        self.values.extend(values.filter_map(|value| Some(value.enum_value()?.source_string().trim().to_owned())));
    }

    fn members(&mut self, node: Option<cst::UnionMemberTypes>) {
        self.members.extend(node.into_iter().flat_map(|node| node.named_types()).map(|node| text(node.name())));
    }
}

fn text(name: Option<cst::Name>) -> String {
    name.map(|name| name.text().to_string()).unwrap_or_default()
}

fn argument(node: &cst::InputValueDefinition) -> Argument {
    let ty = spelt(node.ty());
    Argument { is_optional: !ty.ends_with('!') || node.default_value().is_some(), ty }
}

/// A type in one spelling: `[String!]!`.
fn spelt(ty: Option<cst::Type>) -> String {
    match ty {
        None => String::new(),
        Some(cst::Type::NamedType(named)) => text(named.name()),
        Some(cst::Type::ListType(list)) => format!("[{}]", spelt(list.ty())),
        Some(cst::Type::NonNullType(node)) => {
            let inner = node.named_type().map(cst::Type::NamedType).or_else(|| node.list_type().map(cst::Type::ListType));
            format!("{}!", spelt(inner))
        }
    }
}

/// Adds what breaks.
pub fn compare(old: &Shape, new: &Shape, found: &mut Vec<Finding>) {
    let mut add =
        |place: &str, rule, message: String| found.push(Finding::new(format!("schema.graphql: {place}"), rule, message));
    for (name, before) in &old.0 {
        let Some(now) = new.0.get(name) else {
            add(name, "type-removed", "the type is gone".to_owned());
            continue;
        };
        if let (Some(one), Some(other)) = (before.kind, now.kind)
            && one != other
        {
            add(name, "kind-changed", format!("it was of kind `{one}` and is of kind `{other}`"));
            continue;
        }
        for value in before.values.difference(&now.values) {
            add(&format!("{name}.{value}"), "value-removed", "the value is gone".to_owned());
        }
        for member in before.members.difference(&now.members) {
            add(&format!("{name} = {member}"), "member-removed", "the union no longer has the type".to_owned());
        }
        for (field, before) in &before.fields {
            let place = format!("{name}.{field}");
            let Some(now) = now.fields.get(field) else {
                add(&place, "field-removed", "the field is gone".to_owned());
                continue;
            };
            typed(&place, &before.ty, &now.ty, &mut add);
            for (argument, before) in &before.arguments {
                let place = format!("{place}({argument}:)");
                match now.arguments.get(argument) {
                    None => add(&place, "argument-removed", "the argument is gone".to_owned()),
                    Some(now) => typed(&place, &before.ty, &now.ty, &mut add),
                }
            }
            let required = |(argument, now): &(&String, &Argument)| !before.arguments.contains_key(*argument) && !now.is_optional;
            for (argument, now) in now.arguments.iter().filter(required) {
                let message = format!("the new argument of type `{}` must be given", now.ty);
                add(&format!("{place}({argument}:)"), "argument-required", message);
            }
        }
        for (field, now) in now.fields.iter().filter(|(field, now)| !before.fields.contains_key(*field) && !now.is_optional) {
            add(&format!("{name}.{field}"), "input-required", format!("the new field of type `{}` must be given", now.ty));
        }
    }
}

fn typed(place: &str, old: &str, new: &str, add: &mut impl FnMut(&str, &'static str, String)) {
    if old != new {
        let is_null = old.replace('!', "") == new.replace('!', "");
        let rule = if is_null { "nullability-changed" } else { "type-changed" };
        add(place, rule, format!("its type was `{old}` and is `{new}`"));
    }
}
