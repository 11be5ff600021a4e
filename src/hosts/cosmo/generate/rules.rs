//! What a schema may not do in a plugin, though GraphQL allows it, and what it had better not do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{Problem, Warning, WarningKind};
use super::field_set::{self, Selection, names_type};
use super::schema::{Schema, TypeDef};
use super::syntax::{Document, Field, Kind, TypeDefinition, directive};
use super::text::is_space;

/// The directive that makes a field a call of its own.
pub const RESOLVER: &str = "connect__fieldResolver";

/// Looks at what is written, before types and extensions are joined.
pub fn check(document: &Document, problems: &mut Vec<Problem>, warnings: &mut Vec<Warning>) {
    let mut lists = Lists { warnings };
    document.directive_arguments.iter().for_each(|field| lists.field(field));
    for ty in &document.types {
        ty.fields.iter().for_each(|field| lists.field(field));
        if ty.kind == Kind::Object && !ty.extends {
            check_keys(ty, problems, warnings_of(&mut lists));
        }
        for field in ty.fields.iter().filter(|_| ty.kind != Kind::Input) {
            if directive(&field.directives, "provides").is_some() {
                let help = "drop `@provides`: the router asks a plugin for each field itself";
                problems.push(Problem::new(field.at, format!("`{}` has `@provides`, which plugins lack", field.name.text), help));
            }
        }
        if ty.kind == Kind::Object && !ty.extends {
            Resolvers::new(ty).check(problems, warnings_of(&mut lists));
        }
    }
}

struct Lists<'w> {
    warnings: &'w mut Vec<Warning>,
}

fn warnings_of<'a>(lists: &'a mut Lists<'_>) -> &'a mut Vec<Warning> {
    lists.warnings
}

impl Lists<'_> {
    fn field(&mut self, field: &Field) {
        if let Some((at, text)) = &field.ty.nullable_items {
            let message =
                format!("items of `{text}` may be null, and an item of a protobuf list may not: write `{}!`", field.ty.name.text);
            self.warnings.push(Warning { kind: WarningKind::NullableItem, at: Some(*at), message });
        }
        field.arguments.iter().for_each(|argument| self.field(argument));
    }
}

fn check_keys(ty: &TypeDefinition, problems: &mut Vec<Problem>, warnings: &mut Vec<Warning>) {
    for key in ty.directives.iter().filter(|directive| &*directive.name == "key") {
        let fields = key.argument("fields");
        match fields.and_then(|argument| Some((argument, argument.string()?))) {
            None => {
                let message = format!("a `@key` of `{}` has no `fields`, or not as a string", ty.name.text);
                warnings.push(Warning { kind: WarningKind::KeyWithoutFields, at: Some(key.at), message });
            }
            Some((argument, text)) if text.contains('{') => {
                let message = format!("the key `{text}` of `{}` goes into another type", ty.name.text);
                problems.push(Problem::new(argument.at, message, "name fields of the type itself only"));
            }
            Some(_) => {}
        }
    }
}

/// The fields of a type that are calls of their own, and what of their parent each is given.
struct Resolvers<'t> {
    ty: &'t TypeDefinition,
    places: BTreeMap<&'t str, usize>,
    contexts: Vec<Vec<&'t str>>,
}

pub fn context_names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| letter == ',' || is_space(letter)).filter(|name| !name.is_empty())
}

/// The context that a field's directive names.
pub fn context(field: &Field) -> &str {
    directive(&field.directives, RESOLVER)
        .and_then(|given| given.argument("context"))
        .and_then(super::syntax::Argument::string)
        .map_or("", |text| text)
}

/// Whether a field is a call of its own.
pub fn is_resolver(field: &Field) -> bool {
    if directive(&field.directives, RESOLVER).is_some() {
        return field.arguments.is_empty() || directive(&field.directives, "requires").is_none();
    }
    !field.arguments.is_empty() && directive(&field.directives, "requires").is_none()
}

impl<'t> Resolvers<'t> {
    fn new(ty: &'t TypeDefinition) -> Self {
        let places = ty.fields.iter().enumerate().map(|(place, field)| (&*field.name.text, place)).collect();
        let contexts = ty.fields.iter().map(|field| context_names(context(field)).collect()).collect();
        Self { ty, places, contexts }
    }

    fn check(&self, problems: &mut Vec<Problem>, warnings: &mut Vec<Warning>) {
        if matches!(&*self.ty.name.text, "Query" | "Mutation" | "Subscription") {
            return;
        }
        let ids = self.ty.fields.iter().filter(|field| &*field.ty.name.text == "ID").count();
        let cyclic = self.reach_cycles();
        for (place, field) in self.ty.fields.iter().enumerate() {
            let name = &field.name.text;
            let marked = directive(&field.directives, RESOLVER).is_some();
            let needs = (marked || !field.arguments.is_empty()) && directive(&field.directives, "requires").is_none();
            if name.starts_with('_') || !needs {
                continue;
            }
            let names = &self.contexts[place];
            let help = format!("write `@{RESOLVER}(context: \"..\")` with other fields of `{}`", self.ty.name.text);
            let mut refuse = |message: String| problems.push(Problem::new(field.at, message, help.clone()));
            if names.is_empty() {
                let message = format!("`{name}` names no context and is called with the field of type `ID`");
                warnings.push(Warning { kind: WarningKind::ImpliedContext, at: Some(field.at), message });
                match ids {
                    1 => {}
                    0 => refuse(format!("`{name}` names no context, and its type has no field of type `ID`")),
                    _ => refuse(format!("`{name}` names no context, and its type has several fields of type `ID`")),
                }
                continue;
            }
            let unknown: Vec<&str> = names.iter().copied().filter(|name| !self.places.contains_key(name)).collect();
            if !unknown.is_empty() {
                refuse(format!("the context of `{name}` names `{}`, which its type does not have", unknown.join("`, `")));
            }
            if names.contains(&&**name) {
                refuse(format!("the context of `{name}` names the field itself"));
            }
            if cyclic[place] {
                refuse(format!("the context of `{name}` leads back to where it was"));
            }
        }
    }

    /// Of each field, whether contexts that start from it lead into a circle. A field that names itself makes none here.
    fn reach_cycles(&self) -> Vec<bool> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Unseen,
            Open,
            Free,
            Cyclic,
        }
        let next = |place: usize| -> Vec<usize> {
            let others = self.contexts[place].iter().filter_map(|name| self.places.get(name).copied());
            others.filter(|other| *other != place).collect()
        };
        let mut states = vec![State::Unseen; self.contexts.len()];
        for start in 0..states.len() {
            if states[start] != State::Unseen {
                continue;
            }
            states[start] = State::Open;
            let mut path = vec![(start, next(start))];
            while let Some((place, rest)) = path.last_mut() {
                let place = *place;
                match rest.pop() {
                    Some(other) if states[other] == State::Unseen => {
                        states[other] = State::Open;
                        path.push((other, next(other)));
                    }
                    Some(other) => {
                        if states[other] != State::Free {
                            // All on the way here lead into it; what is above one that does was told before.
                            let untold = path.iter().rev().map(|(above, _)| *above);
                            for above in untold.take_while(|above| states[*above] != State::Cyclic).collect::<Vec<_>>() {
                                states[above] = State::Cyclic;
                            }
                        }
                    }
                    None => {
                        if states[place] == State::Open {
                            states[place] = State::Free;
                        }
                        path.pop();
                    }
                }
            }
        }
        states.into_iter().map(|state| state == State::Cyclic).collect()
    }
}

/// Looks at what `@requires` selects: where a value is of one of several types, it must say of which.
pub fn check_requires(schema: &Schema, document_types: &[RequiresField], problems: &mut Vec<Problem>) {
    for field in document_types {
        let refuse = |message: String, help: &str| Problem::new(field.at, message, help);
        let Some(ty) = schema.get(&field.ty).filter(|_| !field.elsewhere) else {
            let message = format!("`@requires` of `{}` stands where there is no entity", field.name);
            problems.push(refuse(message, "put the field into the definition of its `type`"));
            continue;
        };
        let Some(text) = &field.text else {
            problems.push(refuse("the `fields` of `@requires` are not a string".to_owned(), "put them in quotes"));
            continue;
        };
        match field_set::parse(text, field.at) {
            Err(problem) => problems.push(problem),
            Ok(selections) => {
                let typed = Typed { schema };
                if let Err(message) = typed.object(ty, &selections, false, &field.name) {
                    problems.push(refuse(message, "select `__typename` beside the fragments, or in each of them"));
                }
            }
        }
    }
}

/// A field with `@requires(fields: ..)`.
#[derive(Debug)]
pub struct RequiresField {
    ty: Arc<str>,
    name: Arc<str>,
    /// Whether it stands in an extension or an interface.
    elsewhere: bool,
    text: Option<Arc<str>>,
    at: super::error::Position,
}

/// All fields with `@requires(fields: ..)`, which stay to be looked at when types are joined.
pub fn requires_fields(document: &Document) -> Vec<RequiresField> {
    let mut found = Vec::new();
    for ty in document.types.iter().filter(|ty| matches!(ty.kind, Kind::Object | Kind::Interface)) {
        for field in &ty.fields {
            if let Some(fields) = directive(&field.directives, "requires").and_then(|given| given.argument("fields")) {
                found.push(RequiresField {
                    ty: ty.name.text.clone(),
                    name: field.name.text.clone(),
                    elsewhere: ty.extends || ty.kind != Kind::Object,
                    text: fields.string().cloned(),
                    at: fields.at,
                });
            }
        }
    }
    found
}

struct Typed<'s> {
    schema: &'s Schema,
}

impl Typed<'_> {
    /// `told` is whether the selection of the field around names the type.
    fn object(&self, ty: &TypeDef, selections: &[Selection], told: bool, path: &str) -> Result<(), String> {
        selections.iter().try_for_each(|selection| match selection {
            Selection::Field { name, selections } => self.field(ty, name, selections),
            Selection::Fragment { on, selections } => {
                fragment_told(on, selections, told, path)?;
                self.object(ty, selections, told, path)
            }
        })
    }

    fn field(&self, ty: &TypeDef, name: &str, selections: &[Selection]) -> Result<(), String> {
        let Some(of) = ty.field(name).and_then(|field| self.schema.get(&field.ty.name.text)) else { return Ok(()) };
        match of.kind {
            Kind::Object => self.object(of, selections, names_type(selections), name),
            Kind::Interface | Kind::Union => self.several(of, selections, false, name),
            _ => Ok(()),
        }
    }

    /// What is selected of a value of one of several types.
    fn several(&self, ty: &TypeDef, selections: &[Selection], told: bool, path: &str) -> Result<(), String> {
        let told = told || names_type(selections);
        let mut named = BTreeSet::new();
        for selection in selections {
            match selection {
                Selection::Field { name, selections } => self.field(ty, name, selections)?,
                Selection::Fragment { on, selections } => {
                    named.insert(on.clone());
                    match self.schema.get(on) {
                        Some(of) if of.kind == Kind::Object => {
                            fragment_told(on, selections, told, path)?;
                            self.object(of, selections, told, path)?;
                        }
                        Some(of) => self.several(of, selections, told, path)?,
                        None => fragment_told(on, selections, told, path)?,
                    }
                }
            }
        }
        let has_fields = selections.iter().any(|selection| selection.field().is_some());
        let untold = self.schema.implementers(&ty.name.text).iter().any(|implementer| !named.contains(implementer));
        if ty.kind == Kind::Interface && !told && has_fields && untold {
            return Err(format!("`{path}` is of one of several types and does not select `__typename`"));
        }
        Ok(())
    }
}

fn fragment_told(on: &str, selections: &[Selection], told: bool, path: &str) -> Result<(), String> {
    if told || names_type(selections) {
        return Ok(());
    }
    Err(format!("`... on {on}` in `{path}` does not select `__typename`"))
}
