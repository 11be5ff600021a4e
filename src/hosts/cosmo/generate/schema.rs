//! The types of a schema: definitions joined with their extensions, every name resolved.
//!
//! The router's own generator takes what is wrong here as it comes; the composition of a graph refuses it later. Here it
//! is refused at once, at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{Error, Problem, Warning, WarningKind};
use super::syntax::{Directive, Document, EnumValue, Field, Kind, Name, TypeDefinition, Value, directive};

/// Scalars that need no definition.
pub const SCALARS: [&str; 5] = ["String", "Int", "Float", "Boolean", "ID"];

/// A type with all its extensions.
#[derive(Debug)]
pub struct TypeDef {
    /// What it is.
    pub kind: Kind,
    pub name: Name,
    /// What is said about it.
    pub description: Option<Arc<str>>,
    /// The directives of its definition; those of extensions do not count.
    pub directives: Vec<Directive>,
    /// Interfaces that it implements.
    pub interfaces: Vec<Name>,
    pub fields: Vec<Field>,
    /// Fields by name.
    places: BTreeMap<Arc<str>, usize>,
    /// Which of them are of type `ID`.
    ids: Vec<usize>,
    /// The members of a union.
    pub members: Vec<Name>,
    pub values: Vec<EnumValue>,
}

/// How many interfaces a type may implement.
const MAX_INTERFACES: usize = 100;

impl TypeDef {
    /// Its fields of type `ID`, or lists of it.
    pub fn ids(&self) -> impl Iterator<Item = &Field> {
        self.ids.iter().map(|place| &self.fields[*place])
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.places.get(name).map(|place| &self.fields[*place])
    }

    /// Where a field stands among the others.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

/// The types that operations start from.
#[derive(Debug, Default)]
pub struct Roots {
    /// Of queries.
    pub query: Option<Arc<str>>,
    pub mutation: Option<Arc<str>>,
    pub subscription: Option<Arc<str>>,
}

impl Roots {
    /// Whether operations of some kind start from this type.
    pub fn contains(&self, name: &str) -> bool {
        [&self.query, &self.mutation, &self.subscription].into_iter().flatten().any(|root| &**root == name)
    }
}

/// All types of a schema, in the order of their definitions.
#[derive(Debug)]
pub struct Schema {
    pub types: Vec<TypeDef>,
    places: BTreeMap<Arc<str>, usize>,
    /// The types that operations start from.
    pub roots: Roots,
    /// Object types by the interface that they implement, in the order of their definitions.
    implementers: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Schema {
    /// Joins and resolves what a document defines.
    pub fn new(document: Document, warnings: &mut Vec<Warning>) -> Result<Self, Error> {
        let mut joined = Joined::default();
        for definition in &document.types {
            joined.check_name(&definition.name);
        }
        let (extensions, definitions): (Vec<_>, Vec<_>) = document.types.into_iter().partition(|one| one.extends);
        for definition in definitions {
            joined.define(definition);
        }
        for extension in extensions {
            joined.extend(extension, warnings);
        }
        let mut schema =
            Self { types: joined.types, places: joined.places, roots: Roots::default(), implementers: BTreeMap::new() };
        let mut problems = joined.problems;
        for ty in &mut schema.types {
            index(ty, &mut problems);
        }
        schema.check_types(&document.directive_arguments, &mut problems);
        schema.roots = schema.find_roots(&document.schemas, &mut problems);
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.at);
            return Err(Error::Schema(problems));
        }
        for ty in schema.types.iter().filter(|ty| ty.kind == Kind::Object) {
            for interface in &ty.interfaces {
                schema.implementers.entry(interface.text.clone()).or_default().push(ty.name.text.clone());
            }
        }
        Ok(schema)
    }

    /// The type of a name; `None` for scalars that need no definition.
    pub fn get(&self, name: &str) -> Option<&TypeDef> {
        self.places.get(name).map(|place| &self.types[*place])
    }

    /// Whether a name is of a scalar.
    pub fn is_scalar(&self, name: &str) -> bool {
        self.get(name).is_none_or(|ty| ty.kind == Kind::Scalar)
    }

    /// The object types that implement an interface.
    pub fn implementers(&self, interface: &str) -> &[Arc<str>] {
        self.implementers.get(interface).map_or(&[], Vec::as_slice)
    }

    fn check_types(&self, directive_arguments: &[Field], problems: &mut Vec<Problem>) {
        for field in directive_arguments {
            self.check_input(field, problems);
        }
        for ty in &self.types {
            for interface in &ty.interfaces {
                self.check_named(interface, "an interface", |kind| kind == Kind::Interface, problems);
            }
            for member in &ty.members {
                self.check_named(member, "an object type, as members of a union are", |kind| kind == Kind::Object, problems);
            }
            for value in &ty.values {
                check_deprecation(&value.directives, problems);
            }
            for field in &ty.fields {
                if ty.kind == Kind::Input {
                    self.check_input(field, problems);
                    continue;
                }
                self.check_named(&field.ty.name, "a type of output", |kind| kind != Kind::Input, problems);
                check_deprecation(&field.directives, problems);
                field.arguments.iter().for_each(|argument| self.check_input(argument, problems));
            }
        }
    }

    fn check_input(&self, field: &Field, problems: &mut Vec<Problem>) {
        let fits = |kind| matches!(kind, Kind::Scalar | Kind::Enum | Kind::Input);
        self.check_named(&field.ty.name, "a type of input", fits, problems);
        check_deprecation(&field.directives, problems);
    }

    fn check_named(&self, name: &Name, wanted: &str, fits: impl Fn(Kind) -> bool, problems: &mut Vec<Problem>) {
        let kind = match self.get(&name.text) {
            Some(ty) => ty.kind,
            None if SCALARS.contains(&&*name.text) => Kind::Scalar,
            None => {
                let message = format!("there is no type `{}`", name.text);
                problems.push(Problem::new(name.at, message, format!("define it, or `scalar {}`", name.text)));
                return;
            }
        };
        if !fits(kind) {
            problems.push(Problem::new(name.at, format!("`{}` is not {wanted}", name.text), "name another type"));
        }
    }

    fn find_roots(&self, schemas: &[super::syntax::SchemaDefinition], problems: &mut Vec<Problem>) -> Roots {
        let mut roots = Roots::default();
        if let Some(second) = schemas.iter().filter(|schema| !schema.extends).nth(1) {
            problems.push(Problem::new(second.at, "there are two `schema` definitions", "keep one"));
        }
        let named = |name: &str| self.get(name).map(|ty| ty.name.text.clone());
        if schemas.iter().all(|schema| schema.extends) {
            roots = Roots { query: named("Query"), mutation: named("Mutation"), subscription: named("Subscription") };
        }
        for (operation, name) in schemas.iter().flat_map(|schema| &schema.roots) {
            self.check_named(name, "an object type, as operations need", |kind| kind == Kind::Object, problems);
            let root = match &**operation {
                "query" => &mut roots.query,
                "mutation" => &mut roots.mutation,
                _ => &mut roots.subscription,
            };
            root.get_or_insert_with(|| name.text.clone());
        }
        for root in ["Query", "Mutation", "Subscription"] {
            if let Some(ty) = self.get(root).filter(|ty| roots.contains(root) && ty.kind != Kind::Object) {
                problems.push(Problem::new(ty.name.at, format!("`{root}` is not an object type"), "write `type`"));
            }
        }
        roots
    }
}

#[derive(Default)]
struct Joined {
    types: Vec<TypeDef>,
    places: BTreeMap<Arc<str>, usize>,
    problems: Vec<Problem>,
}

impl Joined {
    fn check_name(&mut self, name: &Name) {
        if name.text.starts_with("__") {
            let message = format!("`{}`: names that begin with `__` are GraphQL's own", name.text);
            self.problems.push(Problem::new(name.at, message, "name it otherwise"));
        }
    }

    fn define(&mut self, definition: TypeDefinition) {
        let TypeDefinition { kind, name, description, interfaces, directives, fields, members, values, .. } = definition;
        if SCALARS.contains(&&*name.text) {
            if kind != Kind::Scalar {
                let message = format!("`{}` is a scalar of GraphQL's own", name.text);
                self.problems.push(Problem::new(name.at, message, "name the type otherwise"));
            }
            return;
        }
        if self.places.contains_key(&name.text) {
            let message = format!("`{}` is defined twice", name.text);
            self.problems.push(Problem::new(
                name.at,
                message,
                format!("write `extend` before it, or remove one `{}`", name.text),
            ));
            return;
        }
        if kind == Kind::Scalar
            && let Some(given) = directive(&directives, "specifiedBy")
            && given.argument("url").and_then(super::syntax::Argument::string).is_none()
        {
            self.problems.push(Problem::new(given.at, "`@specifiedBy` has no `url`", "give it the URL as a string"));
        }
        self.places.insert(name.text.clone(), self.types.len());
        let (places, ids) = (BTreeMap::new(), Vec::new());
        self.types.push(TypeDef { kind, name, description, directives, interfaces, fields, places, ids, members, values });
    }

    fn extend(&mut self, extension: TypeDefinition, warnings: &mut Vec<Warning>) {
        let name = &extension.name;
        let Some(place) = self.places.get(&name.text) else {
            if !SCALARS.contains(&&*name.text) {
                let message =
                    format!("`extend` of `{0}` does nothing, since `{0}` is not defined here: drop `extend`", name.text);
                warnings.push(Warning { kind: WarningKind::LostExtension, at: Some(name.at), message });
            }
            return;
        };
        let ty = &mut self.types[*place];
        if ty.kind != extension.kind {
            let message = format!("`{}` is extended as another kind of type than it is", name.text);
            self.problems.push(Problem::new(name.at, message, "write the same word as in its definition"));
            return;
        }
        ty.interfaces.extend(extension.interfaces);
        ty.fields.extend(extension.fields);
        ty.members.extend(extension.members);
        ty.values.extend(extension.values);
    }
}

/// Makes the fields of a type known by name, and refuses what is there twice.
fn index(ty: &mut TypeDef, problems: &mut Vec<Problem>) {
    let mut once = |what: &str, names: &mut dyn Iterator<Item = &Name>| {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name.text.clone()) {
                let message = format!("{what} `{}` is there twice", name.text);
                problems.push(Problem::new(name.at, message, "remove one"));
            }
        }
    };
    once("field", &mut ty.fields.iter().map(|field| &field.name));
    once("value", &mut ty.values.iter().map(|value| &value.name));
    once("interface", &mut ty.interfaces.iter());
    once("member", &mut ty.members.iter());
    for field in &ty.fields {
        once("argument", &mut field.arguments.iter().map(|argument| &argument.name));
    }
    if let Some(one) = ty.interfaces.get(MAX_INTERFACES) {
        let message = format!("`{}` implements more than {MAX_INTERFACES} interfaces", ty.name.text);
        problems.push(Problem::new(one.at, message, "implement fewer"));
    }
    ty.ids = (0..ty.fields.len()).filter(|place| &*ty.fields[*place].ty.name.text == "ID").collect();
    ty.places = ty.fields.iter().enumerate().map(|(place, field)| (field.name.text.clone(), place)).collect();
}

fn check_deprecation(directives: &[Directive], problems: &mut Vec<Problem>) {
    let reason = directive(directives, "deprecated").and_then(|given| given.argument("reason"));
    if let Some(reason) = reason.filter(|reason| !matches!(reason.value, Value::String(_) | Value::Null)) {
        problems.push(Problem::new(reason.at, "the `reason` of `@deprecated` is not a string", "put it in quotes"));
    }
}
