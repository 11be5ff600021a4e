//! Two schemas by their definitions: what one promises and the other does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::hosts::cosmo::generate::syntax::{self, Kind, TypeDefinition};
use plugin_oci::finding::Finding;

/// What a schema defines. Extensions are parts of what they extend.
#[derive(Debug, Default)]
pub struct Shape(BTreeMap<Arc<str>, Type>);

#[derive(Debug, Default)]
struct Type {
    /// `None` where there are extensions alone.
    kind: Option<Kind>,
    fields: BTreeMap<Arc<str>, Field>,
    values: BTreeSet<Arc<str>>,
    members: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Field {
    ty: Arc<str>,
    arguments: BTreeMap<Arc<str>, Field>,
    /// Of an argument or an input's field: whether a caller need not send it.
    is_optional: bool,
}

impl Shape {
    /// Reads a schema.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut shape = Self::default();
        for definition in syntax::parse(text).map_err(|error| error.to_string())?.types {
            shape.0.entry(definition.name.text.clone()).or_default().add(definition);
        }
        Ok(shape)
    }
}

impl Type {
    fn add(&mut self, definition: TypeDefinition) {
        let TypeDefinition { kind, extends, fields, members, values, .. } = definition;
        if !extends {
            self.kind = Some(kind);
        }
        self.fields.extend(fields.iter().map(|field| Field::of(field, kind == Kind::Input)));
        self.members.extend(members.into_iter().map(|member| member.text));
        self.values.extend(values.into_iter().map(|value| value.name.text));
    }
}

impl Field {
    fn of(field: &syntax::Field, is_input: bool) -> (Arc<str>, Self) {
        let arguments = field.arguments.iter().map(|argument| Self::of(argument, true)).collect();
        let is_optional = !is_input || field.ty.nullable || field.has_default;
        (field.name.text.clone(), Self { ty: field.ty.spelt.clone(), arguments, is_optional })
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
            add(name, "kind-changed", format!("it was of kind `{}` and is of kind `{}`", one.word(), other.word()));
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
            typed(&place, before, now, "input-required", &mut add);
            for (argument, before) in &before.arguments {
                let place = format!("{place}({argument}:)");
                match now.arguments.get(argument) {
                    None => add(&place, "argument-removed", "the argument is gone".to_owned()),
                    Some(now) => typed(&place, before, now, "argument-required", &mut add),
                }
            }
            let required = |(argument, now): &(&Arc<str>, &Field)| !before.arguments.contains_key(*argument) && !now.is_optional;
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

fn typed(place: &str, old: &Field, new: &Field, required: &'static str, add: &mut impl FnMut(&str, &'static str, String)) {
    if old.ty != new.ty {
        let is_null = old.ty.replace('!', "") == new.ty.replace('!', "");
        let rule = if is_null { "nullability-changed" } else { "type-changed" };
        add(place, rule, format!("its type was `{}` and is `{}`", old.ty, new.ty));
    } else if old.is_optional && !new.is_optional {
        add(place, required, format!("without its default it must be given, as `{}`", new.ty));
    }
}
