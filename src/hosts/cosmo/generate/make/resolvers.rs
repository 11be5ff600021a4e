//! Field resolvers: one call for each field with arguments, or that asks for a call of its own.

use super::{Maker, Parts, field_name};
use crate::hosts::cosmo::generate::error::{Error, Problem};
use crate::hosts::cosmo::generate::model::{self, Message};
use crate::hosts::cosmo::generate::names::pascal;
use crate::hosts::cosmo::generate::rules::{RESOLVER, context, context_names, is_resolver};
use crate::hosts::cosmo::generate::schema::TypeDef;
use crate::hosts::cosmo::generate::syntax::{Field, Kind};
use crate::hosts::cosmo::generate::text::trim;

pub fn call_name(ty: &str, field: &str) -> String {
    format!("Resolve{}{}", pascal(ty), pascal(field))
}

/// Whether fields of a type are operations, by the name of the type alone.
pub fn is_operation(name: &str) -> bool {
    matches!(name, "Query" | "Mutation" | "Subscription" | "_Entity")
}

impl Maker<'_> {
    pub(super) fn resolvers(&mut self) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        let schema = self.schema;
        for ty in schema.types.iter().filter(|ty| ty.kind == Kind::Object && !is_operation(&ty.name.text)) {
            for field in ty.fields.iter().filter(|field| is_resolver(field)) {
                self.resolver(ty, field, &mut parts)?;
            }
        }
        Ok(parts)
    }

    fn resolver(&mut self, ty: &TypeDef, field: &Field, parts: &mut Parts) -> Result<(), Error> {
        let at = field.name.at;
        let (parent, name) = (&ty.name.text, &field.name.text);
        let call = self.call(&call_name(parent, name), field.description.clone(), at)?;
        let given = context_of(ty, field)?;
        let named = |suffix: &str| format!("{}{suffix}", call.name);
        let (context, arguments) = (named("Context"), named("Args"));
        let mut messages = Vec::new();
        let mut add = |name: &str, fields: Vec<model::Field>| {
            messages.push(Message { name: name.to_owned(), fields, origin: at, spaced: true, ..Message::default() });
        };
        if !field.arguments.is_empty() {
            add(&arguments, self.numbered(field.arguments.iter())?);
        }
        add(&context, self.numbered(given.into_iter())?);
        let told = format!("context provides the resolver context for the field {name} of type {parent}.");
        let mut asked = vec![model::Field::new("context", context, 1, at).repeated(true).comment(told)];
        if !field.arguments.is_empty() {
            let told = format!("field_args provides the arguments for the resolver field {name} of type {parent}.");
            asked.push(model::Field::new("field_args", arguments.as_str(), 2, at).comment(told));
            self.processed.insert(arguments.into());
        }
        add(&call.request, asked);
        self.processed.insert(call.request.as_str().into());
        let result = format!("{}Result", pascal(&call.name));
        add(&result, self.numbered(std::iter::once(field))?);
        add(&call.response, vec![model::Field::new("result", result.as_str(), 1, at).repeated(true)]);
        for message in messages {
            parts.messages.push(self.charged(message)?);
        }
        parts.calls.push(call);
        Ok(())
    }

    /// Fields that are numbered as they come.
    pub(super) fn numbered<'f>(&mut self, fields: impl Iterator<Item = &'f Field>) -> Result<Vec<model::Field>, Error> {
        let mut made = Vec::new();
        for (field, number) in fields.zip(1..) {
            let (ty, repeated) = self.type_of(&field.ty)?;
            made.push(model::Field::new(field_name(&field.name)?, ty, number, field.name.at).repeated(repeated));
        }
        Ok(made)
    }
}

/// The fields of the parent that a resolver is given, in the order of the parent.
fn context_of<'t>(ty: &'t TypeDef, field: &Field) -> Result<Vec<&'t Field>, Problem> {
    let name = &field.name.text;
    let refuse = |message: String| {
        let help = format!("write `@{RESOLVER}(context: \"..\")` with other fields of `{}`, each once", ty.name.text);
        Problem::new(field.name.at, message, help)
    };
    let text = context(field);
    if trim(text).is_empty() {
        let mut ids = ty.ids().filter(|other| other.name.text != *name);
        return match (ids.next(), ids.next()) {
            (Some(only), None) => Ok(vec![only]),
            (None, _) => Err(refuse(format!("`{name}` names no context, and its type has no other field of type `ID`"))),
            _ => Err(refuse(format!("`{name}` names no context, and its type has several fields of type `ID`"))),
        };
    }
    let mut places = Vec::new();
    for wanted in context_names(text) {
        let unknown = || refuse(format!("the context of `{name}` names `{wanted}`, which its type does not have"));
        places.push(ty.place(wanted).ok_or_else(unknown)?);
    }
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refuse(format!("the context of `{name}` names a field twice")));
    }
    Ok(places.into_iter().map(|place| &ty.fields[place]).collect())
}
