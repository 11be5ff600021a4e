//! Queries and mutations: one call for each field of the type that they start from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Maker, Parts, field_name};
use crate::hosts::cosmo::generate::error::Error;
use crate::hosts::cosmo::generate::model::{self, Message};
use crate::hosts::cosmo::generate::names::pascal;
use crate::hosts::cosmo::generate::syntax::{Field, Kind};

/// Fields of a federated graph's own, which the router asks nobody for.
pub const FEDERATION: [&str; 2] = ["_entities", "_service"];

/// The name of the call of an operation.
pub fn call_name(operation: &str, field: &str) -> String {
    format!("{operation}{}", pascal(field))
}

impl Maker<'_> {
    pub(super) fn operations(&mut self, operation: &str, root: Option<&Arc<str>>) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        let Some(root) = root.and_then(|name| self.schema.get(name)) else { return Ok(parts) };
        let names: Vec<Arc<str>> = root.fields.iter().map(|field| field.name.text.clone()).collect();
        for name in self.numbers.lock.messages.settle(operation, &names) {
            let Some(field) = root.field(&name).filter(|_| !FEDERATION.contains(&&*name)) else { continue };
            let call = self.call(&call_name(operation, &name), field.description.clone(), field.name.at)?;
            let request = self.request(&call.name, &call.request, field)?;
            let response = self.response(&call.response, field)?;
            parts.messages.push(self.charged(request)?);
            parts.messages.push(self.charged(response)?);
            parts.calls.push(call);
            self.enqueue(&field.ty.name.text);
        }
        Ok(parts)
    }

    fn request(&mut self, call: &str, message: &str, field: &Field) -> Result<Message, Error> {
        let names = field.arguments.iter().map(|argument| field_name(&argument.name).map(Arc::from));
        let names: Vec<Arc<str>> = names.collect::<Result<_, _>>()?;
        self.numbers.lock.messages.settle(message, &names);
        let reserved = self.numbers.lock.messages.reserved(message);
        let mut fields = Vec::new();
        if !field.arguments.is_empty() {
            // The order of arguments is kept under the name of the call, by the names that the schema has.
            let arguments: Vec<Arc<str>> = field.arguments.iter().map(|argument| argument.name.text.clone()).collect();
            let by_name: BTreeMap<&str, &Field> = arguments.iter().map(|name| &**name).zip(&field.arguments).collect();
            for name in self.numbers.lock.messages.settle(call, &arguments) {
                let Some(argument) = by_name.get(&*name) else { continue };
                let (ty, repeated) = self.type_of(&argument.ty)?;
                let proto_name = field_name(&argument.name)?;
                let number = self.numbers.number(message, &proto_name);
                let before = self.numbers.before(message, &proto_name);
                self.watch(message, &argument.name, before, number);
                let mut made = model::Field::new(proto_name, ty, number, argument.name.at).repeated(repeated);
                made.comments.extend(argument.description.clone());
                fields.push(made);
                let named = &argument.ty.name.text;
                if self.schema.get(named).is_some_and(|ty| ty.kind == Kind::Input) {
                    self.enqueue(named);
                }
            }
        }
        let comment = Some(comment_of("Request", field));
        Ok(Message { name: message.to_owned(), comment, reserved, fields, origin: field.name.at, ..Message::default() })
    }

    fn response(&mut self, message: &str, field: &Field) -> Result<Message, Error> {
        let name = field_name(&field.name)?;
        let only = [Arc::from(name.as_str())];
        let reserved = self.numbers.lock.messages.retire(message, &only);
        let (ty, repeated) = self.type_of(&field.ty)?;
        let number = self.numbers.number(message, &name);
        self.numbers.lock.messages.settle(message, &only);
        let mut made = model::Field::new(name, ty, number, field.name.at).repeated(repeated);
        made.comments.extend(field.description.clone());
        let comment = Some(comment_of("Response", field));
        Ok(Message {
            name: message.to_owned(),
            comment,
            reserved,
            fields: vec![made],
            origin: field.name.at,
            ..Message::default()
        })
    }
}

fn comment_of(what: &str, field: &Field) -> Arc<str> {
    let name = &field.name.text;
    match field.description.as_deref().filter(|text| !text.is_empty()) {
        Some(description) => Arc::from(format!("{what} message for {name} operation: {description}.")),
        None => Arc::from(format!("{what} message for {name} operation.")),
    }
}
