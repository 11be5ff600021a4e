//! The types of the schema: a message or an enum for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Maker, field_name};
use crate::hosts::cosmo::generate::error::{Error, Problem};
use crate::hosts::cosmo::generate::model::{self, Enum, Item, Message, Value};
use crate::hosts::cosmo::generate::names::enum_value;
use crate::hosts::cosmo::generate::rules::RESOLVER;
use crate::hosts::cosmo::generate::schema::TypeDef;
use crate::hosts::cosmo::generate::syntax::{self, Directive, Field, Kind, directive};
use crate::hosts::cosmo::generate::text::trim;

impl Maker<'_> {
    pub(super) fn types(&mut self) -> Result<Vec<Item>, Error> {
        let schema = self.schema;
        for ty in schema.types.iter().filter(|ty| !matches!(&*ty.name.text, "Query" | "Mutation")) {
            self.enqueue(&ty.name.text);
        }
        let mut items = Vec::new();
        while let Some(name) = self.queue.pop_front() {
            if &*name == "_Entity" || !self.processed.insert(name.clone()) {
                continue;
            }
            let Some(ty) = schema.get(&name) else { continue };
            let implementers = schema.implementers(&name);
            let item = match ty.kind {
                Kind::Scalar => continue,
                Kind::Input => Item::Message(self.input(ty)?),
                Kind::Enum => Item::Enum(self.enumeration(ty)?),
                Kind::Union => {
                    let members: Vec<Arc<str>> = ty.members.iter().map(|member| member.text.clone()).collect();
                    Item::Message(self.choice(ty, "value", "Members", &members)?)
                }
                Kind::Interface if !implementers.is_empty() => {
                    Item::Message(self.choice(ty, "instance", "Implementations", implementers)?)
                }
                Kind::Object | Kind::Interface => Item::Message(self.object(ty)?),
            };
            self.charge(match &item {
                Item::Message(message) => super::size(message),
                Item::Enum(made) => made.values.len() * 32,
            })?;
            items.push(item);
        }
        Ok(items)
    }

    fn object(&mut self, ty: &TypeDef) -> Result<Message, Error> {
        let has = |field: &Field, name: &str| directive(&field.directives, name).is_some();
        let is_plain = |field: &&Field| {
            field.arguments.is_empty() && ![RESOLVER, "external", "requires"].iter().any(|name| has(field, name))
        };
        self.message(ty, &ty.fields.iter().filter(is_plain).collect::<Vec<_>>())
    }

    fn input(&mut self, ty: &TypeDef) -> Result<Message, Error> {
        self.message(ty, &ty.fields.iter().collect::<Vec<_>>())
    }

    fn message(&mut self, ty: &TypeDef, given: &[&Field]) -> Result<Message, Error> {
        let name = &ty.name.text;
        let names: Vec<Arc<str>> = given.iter().map(|field| field.name.text.clone()).collect();
        let reserved = self.numbers.lock.messages.retire(name, &names);
        let mut named = Vec::new();
        for field_of in self.numbers.lock.messages.settle(name, &names) {
            if let Some(field) = ty.field(&field_of) {
                named.push((field_of, field_name(&field.name)?));
            }
        }
        let numbers = self.numbers.all(name, &named);
        let mut fields = Vec::new();
        for ((field_of, proto_name), number) in named.into_iter().zip(numbers) {
            let Some(field) = ty.field(&field_of) else { continue };
            let (of, repeated) = self.type_of(&field.ty)?;
            let before = self.numbers.before(name, &field_of);
            self.watch(name, &field.name, before, number);
            let mut made = model::Field::new(proto_name, of, number, field.name.at).repeated(repeated);
            made.comments.extend(field.description.clone());
            let interfaces = ty.interfaces.iter().filter_map(|interface| self.schema.get(&interface.text)?.field(&field_of));
            let all = std::iter::once(field).chain(interfaces).filter_map(|field| directive(&field.directives, "deprecated"));
            made.deprecated = deprecate(all, &mut made.comments, str::to_owned);
            fields.push(made);
            self.enqueue(&field.ty.name.text);
        }
        Ok(Message {
            name: name.to_string(),
            comment: ty.description.clone(),
            reserved,
            fields,
            origin: ty.name.at,
            ..Message::default()
        })
    }

    /// A message that is one of several others. Its numbers follow the order of the lock, and not its numbers.
    fn choice(&mut self, ty: &TypeDef, oneof: &'static str, suffix: &str, among: &[Arc<str>]) -> Result<Message, Error> {
        let name = &ty.name.text;
        let key = format!("{name}{suffix}");
        let mut fields = Vec::new();
        for (one, number) in self.numbers.lock.messages.settle(&key, among).into_iter().zip(1..) {
            let Some(member) = self.schema.get(&one) else { continue };
            let before = self.numbers.before(&key, &one);
            self.watch(name, &member.name, before, number);
            let mut made = model::Field::new(field_name(&member.name)?, one.clone(), number, member.name.at);
            made.comments.extend(member.description.clone());
            fields.push(made);
            self.enqueue(&one);
        }
        let comment = ty.description.clone();
        Ok(Message { name: name.to_string(), comment, oneof: Some(oneof), fields, origin: ty.name.at, ..Message::default() })
    }

    fn enumeration(&mut self, ty: &TypeDef) -> Result<Enum, Error> {
        let name = &ty.name.text;
        let all: Vec<Arc<str>> = ty.values.iter().map(|value| value.name.text.clone()).collect();
        let reserved = self.numbers.lock.enums.retire(name, &all);
        let unspecified = enum_value(name, "UNSPECIFIED");
        let nothing = Value { name: unspecified, number: 0, comments: Vec::new(), deprecated: false, origin: ty.name.at };
        let mut values = vec![nothing];
        let by_name: BTreeMap<&str, &syntax::EnumValue> = ty.values.iter().map(|value| (&*value.name.text, value)).collect();
        let named: Vec<Arc<str>> = all.into_iter().filter(|value| &**value != "UNSPECIFIED").collect();
        for value in self.numbers.lock.enums.settle(name, &named) {
            let Some(given) = by_name.get(&*value) else { continue };
            let number = self.numbers.lock.enums.get(name).and_then(|entry| entry.fields.get(&value)).copied().unwrap_or(0);
            let mut comments: Vec<Arc<str>> = given.description.clone().into_iter().collect();
            let deprecated = directive(&given.directives, "deprecated");
            let deprecated = deprecate(deprecated.into_iter(), &mut comments, |reason| trim(reason).to_owned());
            self.charge(given.description.as_ref().map_or(0, |text| text.len()))?;
            values.push(Value { name: enum_value(name, &value), number, comments, deprecated, origin: given.name.at });
        }
        if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            let message = format!("values of `{name}` would have no names in protobuf");
            return Err(Problem::new(ty.name.at, message, "give the enum a name with letters").into());
        }
        Ok(Enum { name: name.to_string(), comment: ty.description.clone(), reserved, values, origin: ty.name.at })
    }
}

/// Whether something is deprecated, with the first reason that says anything as a comment.
fn deprecate<'d>(
    given: impl Iterator<Item = &'d Directive>,
    comments: &mut Vec<Arc<str>>,
    spell: impl Fn(&str) -> String,
) -> bool {
    let given: Vec<&Directive> = given.collect();
    let mut reasons = given.iter().filter_map(|directive| directive.argument("reason")?.string());
    if let Some(reason) = reasons.find(|reason| !trim(reason).is_empty()) {
        comments.push(Arc::from(format!("Deprecation notice: {}", spell(reason))));
    }
    !given.is_empty()
}
