//! Entities: one call for each key by which the router looks them up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Maker, Parts, field_name};
use crate::hosts::cosmo::generate::error::Error;
use crate::hosts::cosmo::generate::keys::{Key, is_entity, keys};
use crate::hosts::cosmo::generate::model::{Field, Message};
use crate::hosts::cosmo::generate::schema::TypeDef;
use crate::hosts::cosmo::generate::syntax::{Kind, Name};

/// The name of the call by which an entity is looked up.
pub fn call_name(ty: &str, key: &Key) -> String {
    format!("Lookup{ty}{}", key.suffix)
}

/// What a response is to look like.
const EXAMPLE: &str = "Example:
  LookupUserByIdRequest:
    keys:
      - id: 1
      - id: 2
  LookupUserByIdResponse:
    result:
      - id: 1 # User with id 1 found
      - null  # User with id 2 not found
";

impl Maker<'_> {
    pub(super) fn entities(&mut self) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        let schema = self.schema;
        let is_own = |ty: &&TypeDef| ty.kind == Kind::Object && is_entity(ty) && !schema.roots.contains(&ty.name.text);
        for ty in schema.types.iter().filter(is_own) {
            self.enqueue(&ty.name.text);
            let mut seen = BTreeSet::new();
            for key in keys(ty)? {
                if key.resolvable && seen.insert(key.identity()) {
                    self.lookup(ty, &key, &mut parts)?;
                }
            }
        }
        Ok(parts)
    }

    fn lookup(&mut self, ty: &TypeDef, key: &Key, parts: &mut Parts) -> Result<(), Error> {
        let name = &ty.name.text;
        let by: Vec<&str> = key.fields.iter().map(|field| &**field).collect();
        let mut comment = format!("Lookup {name} entity by {}", by.join(" and "));
        if let Some(description) = ty.description.as_deref().filter(|text| !text.is_empty()) {
            comment.push_str(": ");
            comment.push_str(description);
        }
        let call = self.call(&call_name(name, key), Some(Arc::from(comment)), key.at)?;
        let key_message = self.key_message(name, &format!("{}Key", call.request), key)?;
        let keys = Field::new("keys", key_message.name.as_str(), 0, key.at).repeated(true).comment(format!(
            "List of keys to look up {name} entities.\nOrder matters - each key maps to one entity in {}.",
            call.response
        ));
        let request = self.list_message(&call.request, format!("Request message for {name} entity lookup."), keys);
        let result = Field::new("result", name.clone(), 0, key.at).repeated(true).comment(format!(
            "List of {name} entities in the same order as the keys in {}.\n\
             Always return the same number of entities as keys. Use null for entities that cannot be found.\n\n{EXAMPLE}",
            call.request
        ));
        let response = self.list_message(&call.response, format!("Response message for {name} entity lookup."), result);
        for message in [key_message, request, response] {
            parts.messages.push(self.charged(message)?);
        }
        parts.calls.push(call);
        Ok(())
    }

    fn key_message(&mut self, ty: &str, message: &str, key: &Key) -> Result<Message, Error> {
        // What is retired now is reserved from the next time on: the call is another where its key is.
        let reserved = self.numbers.lock.messages.reserved(message);
        let names = key.fields.iter().map(|field| field_name(&Name { text: field.clone(), at: key.at }).map(Arc::from));
        let names: Vec<Arc<str>> = names.collect::<Result<_, _>>()?;
        self.numbers.lock.messages.retire(message, &names);
        let mut fields = Vec::new();
        for name in &names {
            let number = self.numbers.number(message, name);
            let comment = format!("Key field for {ty} entity lookup.");
            fields.push(Field::new(&**name, "string", number, key.at).comment(comment));
        }
        self.numbers.lock.messages.settle(message, &names);
        let comment = Some(Arc::from(format!("Key message for {ty} entity lookup")));
        Ok(Message { name: message.to_owned(), comment, reserved, fields, origin: key.at, spaced: true, ..Message::default() })
    }

    fn list_message(&mut self, message: &str, comment: String, mut field: Field) -> Message {
        let only = [Arc::from(field.name.as_str())];
        let reserved = self.numbers.lock.messages.retire(message, &only);
        field.number = self.numbers.number(message, &field.name);
        self.numbers.lock.messages.settle(message, &only);
        let origin = field.origin;
        let comment = Some(Arc::from(comment));
        Message { name: message.to_owned(), comment, reserved, fields: vec![field], origin, spaced: true, ..Message::default() }
    }
}
