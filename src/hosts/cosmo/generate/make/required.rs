//! `@requires`: one call for each such field and each key of its entity, with the fields of other subgraphs that it needs.
//!
//! What is selected of a value that is of one of several types is made for each type that it may be of: fields beside
//! fragments belong to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Maker, Parts, entities, field_name, resolvers};
use crate::hosts::cosmo::generate::error::{Error, Position, Problem};
use crate::hosts::cosmo::generate::field_set::{self, Selection};
use crate::hosts::cosmo::generate::keys::{Key, has_nothing, is_entity, is_stable, keys};
use crate::hosts::cosmo::generate::model::{self, Message};
use crate::hosts::cosmo::generate::names::{collate, pascal};
use crate::hosts::cosmo::generate::schema::TypeDef;
use crate::hosts::cosmo::generate::syntax::{Field, Kind, directive};

/// The name of the call of a field that requires others.
pub fn call_name(ty: &str, field: &str, key: &Key) -> String {
    format!("Require{ty}{}{}", pascal(field), key.suffix)
}

/// The keys of an entity, each once, by which a field that requires others is asked for.
pub fn distinct_keys(ty: &TypeDef) -> Result<Vec<Key>, Problem> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut distinct: Vec<Key> = Vec::new();
    for key in keys(ty)? {
        if let Some(place) = seen.get(&key.suffix) {
            distinct[*place].resolvable |= key.resolvable;
        } else {
            seen.insert(key.suffix.clone(), distinct.len());
            distinct.push(key);
        }
    }
    if has_nothing(ty) {
        let message = format!("a field of `{}` has `@requires`, and a key of it has no fields", ty.name.text);
        return Err(Problem::new(ty.name.at, message, "write `@key(fields: \"id\")`"));
    }
    for key in &distinct {
        if !key.resolvable {
            let message = format!("a field of `{}` has `@requires`, and cannot be asked for by this key", ty.name.text);
            return Err(Problem::new(key.at, message, "drop `resolvable: false`"));
        }
        if !is_stable(key) {
            let message = format!("`{}` has two spellings among calls, which `@requires` cannot join", key.identity());
            return Err(Problem::new(key.at, message, "name the field so that no two capitals end it"));
        }
    }
    Ok(distinct)
}

/// The set of fields that a field requires.
pub fn required_set(field: &Field) -> Result<(&Arc<str>, Position), Problem> {
    let given = directive(&field.directives, "requires");
    let fields = given.and_then(|given| given.argument("fields"));
    let text = fields.and_then(|fields| Some((fields.string()?, fields.at)));
    text.ok_or_else(|| {
        let at = given.map_or(field.at, |given| given.at);
        Problem::new(at, "`@requires` has no `fields`, or not as a string", "write `@requires(fields: \"weight\")`")
    })
}

/// The fields of a type that require others.
pub fn requiring(ty: &TypeDef) -> impl Iterator<Item = &Field> {
    ty.fields.iter().filter(|field| directive(&field.directives, "requires").is_some())
}

impl Maker<'_> {
    pub(super) fn required(&mut self) -> Result<Parts, Error> {
        let mut parts = Parts::default();
        let schema = self.schema;
        let is_own = |ty: &&TypeDef| ty.kind == Kind::Object && is_entity(ty) && !resolvers::is_operation(&ty.name.text);
        for ty in schema.types.iter().filter(is_own) {
            if requiring(ty).next().is_none() {
                continue;
            }
            let keys = distinct_keys(ty)?;
            for field in requiring(ty) {
                let (text, at) = required_set(field)?;
                let selections = field_set::parse(text, at)?;
                for key in &keys {
                    self.requirement(ty, field, key, &selections, &mut parts)?;
                }
            }
        }
        Ok(parts)
    }

    fn requirement(
        &mut self,
        ty: &TypeDef,
        field: &Field,
        key: &Key,
        selections: &[Selection],
        parts: &mut Parts,
    ) -> Result<(), Error> {
        let at = field.name.at;
        let call = self.call(&call_name(&ty.name.text, &field.name.text, key), None, at)?;
        let named = |suffix: &str| format!("{}{suffix}", call.name);
        let (context, arguments, fields, result) = (named("Context"), named("Args"), named("Fields"), named("Result"));
        let mut messages = Vec::new();
        let mut add = |name: &str, fields: Vec<model::Field>| {
            messages.push(Message { name: name.to_owned(), fields, origin: at, spaced: true, ..Message::default() });
        };
        let told = format!("{context} provides the context for the required fields method {}.", call.name);
        let mut asked = vec![model::Field::new("context", context.as_str(), 1, at).repeated(true).comment(told)];
        if !field.arguments.is_empty() {
            let told = format!("{arguments} provides the field arguments for the required field with method {}.", call.name);
            asked.push(model::Field::new("field_args", arguments.as_str(), 2, at).comment(told));
        }
        add(&call.request, asked);
        let key_message = format!("{}RequestKey", entities::call_name(&ty.name.text, key));
        let known = model::Field::new("key", key_message, 1, at);
        add(&context, vec![known, model::Field::new("fields", fields.as_str(), 2, at)]);
        if !field.arguments.is_empty() {
            add(&arguments, self.numbered(field.arguments.iter())?);
        }
        let told = format!("{result} provides the result for the required fields method {}.", call.name);
        add(&call.response, vec![model::Field::new("result", result.as_str(), 1, at).repeated(true).comment(told)]);
        add(&result, self.numbered(std::iter::once(field))?);
        let mut scope = Scope::new(&fields);
        let at = required_set(field)?.1;
        Walk { maker: self, at }.object(ty, selections, &mut scope)?;
        let mut selected = scope.into_message(at);
        drop_repeated_choices(&mut selected, &mut BTreeSet::new());
        selected.spaced = true;
        messages.push(selected);
        for message in messages {
            parts.messages.push(self.charged(message)?);
        }
        parts.calls.push(call);
        Ok(())
    }
}

/// A message while it is made.
#[derive(Default)]
struct Scope {
    name: Arc<str>,
    fields: Vec<model::Field>,
    known: BTreeSet<String>,
    choices: Vec<Message>,
    nested: Vec<Scope>,
    places: BTreeMap<Arc<str>, usize>,
}

impl Scope {
    fn new(name: &str) -> Self {
        Self { name: Arc::from(name), ..Self::default() }
    }

    /// The message for a type in this one.
    fn inner(&mut self, name: &Arc<str>) -> &mut Self {
        let place = *self.places.entry(name.clone()).or_insert_with(|| {
            self.nested.push(Self::new(name));
            self.nested.len() - 1
        });
        &mut self.nested[place]
    }

    fn into_message(self, origin: Position) -> Message {
        let inner = |scope: Self| Message { spaced: true, ..scope.into_message(origin) };
        let nested = self.nested.into_iter().map(inner).collect();
        Message { name: self.name.to_string(), nested, choices: self.choices, fields: self.fields, origin, ..Message::default() }
    }
}

/// A type that is one of several is said once among neighbours; those after the first mean the type of the schema.
fn drop_repeated_choices(message: &mut Message, neighbours: &mut BTreeSet<String>) {
    neighbours.insert(message.name.clone());
    let mut inner = BTreeSet::new();
    for nested in &mut message.nested {
        drop_repeated_choices(nested, &mut inner);
    }
    message.choices.retain(|choice| neighbours.insert(choice.name.clone()));
}

/// What an object of some type is asked for.
type Asked<'a> = (Arc<str>, Vec<&'a Selection>);

/// A field by its name.
type Given<'a> = (&'a Arc<str>, &'a Selection);

struct Walk<'w, 's> {
    maker: &'w mut Maker<'s>,
    at: Position,
}

impl Walk<'_, '_> {
    fn refuse(&self, message: String) -> Error {
        Problem::new(self.at, message, "select fields that the types have, and of objects what of them").into()
    }

    fn object<'a>(
        &mut self,
        ty: &TypeDef,
        selections: impl IntoIterator<Item = &'a Selection>,
        into: &mut Scope,
    ) -> Result<(), Error> {
        for selection in selections {
            self.maker.charge(8)?;
            match selection {
                Selection::Field { name, selections } if &**name != "__typename" => self.field(ty, name, selections, into)?,
                Selection::Field { .. } => {}
                Selection::Fragment { on, selections } => {
                    if *on == ty.name.text || self.possible(on)?.contains(&ty.name.text) {
                        self.object(ty, selections, into)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, ty: &TypeDef, name: &Arc<str>, selections: &[Selection], into: &mut Scope) -> Result<(), Error> {
        let schema = self.maker.schema;
        let Some(field) = ty.field(name) else {
            return Err(self.refuse(format!("`{}` has no field `{name}`", ty.name.text)));
        };
        let of = schema.get(&field.ty.name.text);
        let kind = of.map_or(Kind::Scalar, |of| of.kind);
        let has_fields = matches!(kind, Kind::Object | Kind::Interface | Kind::Union);
        if has_fields == selections.is_empty() {
            let what = if has_fields { "an object, and it is not said what of it" } else { "no object" };
            return Err(self.refuse(format!("`{name}` of `{}` is {what}", ty.name.text)));
        }
        let proto_name = field_name(&field.name)?;
        if into.known.insert(proto_name.clone()) {
            if let Some(of) = of.filter(|_| matches!(kind, Kind::Interface | Kind::Union)) {
                let choice = self.choice(of)?;
                into.choices.push(choice);
            }
            let (ty, repeated) = self.maker.type_of(&field.ty)?;
            let number = u32::try_from(into.fields.len()).unwrap_or(u32::MAX - 1) + 1;
            into.fields.push(model::Field::new(proto_name, ty, number, field.name.at).repeated(repeated));
        }
        let Some(of) = of else { return Ok(()) };
        if kind == Kind::Object {
            return self.object(of, selections, into.inner(&of.name.text));
        }
        if !has_fields {
            return Ok(());
        }
        let all: Vec<&Selection> = selections.iter().collect();
        let allowed = self.possible(&of.name.text)?.into_iter().collect();
        for (one, asked) in self.expand(of, &all, &allowed)? {
            let Some(ty) = schema.get(&one) else { continue };
            self.object(ty, asked, into.inner(&one))?;
        }
        Ok(())
    }

    /// The object types that a value of a type may be of.
    fn possible(&mut self, name: &str) -> Result<Vec<Arc<str>>, Error> {
        let schema = self.maker.schema;
        let possible: Vec<Arc<str>> = match schema.get(name) {
            Some(ty) if ty.kind == Kind::Interface => schema.implementers(name).to_vec(),
            Some(ty) if ty.kind == Kind::Union => ty.members.iter().map(|member| member.text.clone()).collect(),
            _ => Vec::new(),
        };
        self.maker.charge(8 * possible.len())?;
        Ok(possible)
    }

    /// What is asked of each type that a value may be of, types that no fragment names first.
    fn expand<'a>(
        &mut self,
        ty: &TypeDef,
        selections: &[&'a Selection],
        allowed: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<Asked<'a>>, Error> {
        let schema = self.maker.schema;
        let fields: Vec<Given<'a>> = selections.iter().filter_map(|selection| Some((selection.field()?, *selection))).collect();
        let named: BTreeSet<&Arc<str>> = selections
            .iter()
            .filter_map(|selection| match selection {
                Selection::Fragment { on, .. } => Some(on),
                Selection::Field { .. } => None,
            })
            .collect();
        if let Some((name, _)) = fields.iter().find(|(name, _)| &***name != "__typename" && ty.field(name).is_none()) {
            return Err(self.refuse(format!("`{}` has no field `{name}`", ty.name.text)));
        }
        let mut asked: Vec<Asked<'a>> = Vec::new();
        if !fields.is_empty() && ty.kind == Kind::Interface {
            for one in self.possible(&ty.name.text)?.into_iter().filter(|one| allowed.contains(one) && !named.contains(one)) {
                self.maker.charge(16 + 8 * fields.len())?;
                asked.push((one, fields.iter().map(|(_, selection)| *selection).collect()));
            }
        }
        for selection in selections.iter().copied() {
            let Selection::Fragment { on, selections } = selection else { continue };
            let Some(of) = schema.get(on) else { return Err(self.refuse(format!("there is no type `{on}`"))) };
            self.maker.charge(16 + 8 * (fields.len() + selections.len()))?;
            let own: BTreeSet<&Arc<str>> = selections.iter().filter_map(Selection::field).collect();
            let fits = |name: &Arc<str>| &**name == "__typename" || of.field(name).is_some();
            let given = fields.iter().copied().filter(|(name, _)| fits(name));
            let (again, more): (Vec<Given<'a>>, Vec<Given<'a>>) = given.partition(|(name, _)| own.contains(name));
            let mut all: Vec<&Selection> = more.into_iter().map(|(_, selection)| selection).collect();
            all.extend(selections);
            all.extend(again.into_iter().map(|(_, selection)| selection));
            match of.kind {
                Kind::Object if allowed.contains(on) => asked.push((on.clone(), all)),
                Kind::Interface | Kind::Union => {
                    let within: BTreeSet<Arc<str>> = self.possible(on)?.into_iter().filter(|one| allowed.contains(one)).collect();
                    asked.extend(self.expand(of, &all, &within)?);
                }
                _ => return Err(self.refuse(format!("a `{}` is never a `{on}`", ty.name.text))),
            }
        }
        Ok(asked)
    }

    /// A message that is one of several others.
    fn choice(&mut self, of: &TypeDef) -> Result<Message, Error> {
        let mut among = self.possible(&of.name.text)?;
        among.sort_by(|left, right| collate(left, right));
        let mut fields = Vec::new();
        for (one, number) in among.into_iter().zip(1..) {
            let Some(member) = self.maker.schema.get(&one) else { continue };
            fields.push(model::Field::new(field_name(&member.name)?, one, number, self.at));
        }
        let oneof = Some(if of.kind == Kind::Union { "value" } else { "instance" });
        self.maker.charged(Message { name: of.name.text.to_string(), oneof, fields, origin: self.at, ..Message::default() })
    }
}
