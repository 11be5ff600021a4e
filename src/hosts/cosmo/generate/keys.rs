//! The keys by which an entity is looked up.

use std::sync::Arc;

use super::error::{Position, Problem};
use super::field_set::{self, Selection};
use super::names::{collate, pascal};
use super::schema::TypeDef;
use super::syntax::{Directive, Value};

#[derive(Clone, Debug)]
pub struct Key {
    /// Its fields as they are written.
    pub text: Arc<str>,
    /// Its fields, sorted by their bytes.
    pub fields: Vec<Arc<str>>,
    /// `ByIdAndName`: what calls by this key end with.
    pub suffix: String,
    /// Whether the entity can be looked up by it here.
    pub resolvable: bool,
    /// Where it stands.
    pub at: Position,
}

impl Key {
    /// Its fields, to tell it from others.
    pub fn identity(&self) -> String {
        let fields: Vec<&str> = self.fields.iter().map(|field| &**field).collect();
        fields.join(" ")
    }
}

/// Whether a type is looked up by keys.
pub fn is_entity(ty: &TypeDef) -> bool {
    ty.directives.iter().any(is_key)
}

fn is_key(directive: &Directive) -> bool {
    &*directive.name == "key"
}

/// All keys of a type. One without any arguments, or that is not resolvable and has no fields, is none.
pub fn keys(ty: &TypeDef) -> Result<Vec<Key>, Problem> {
    let given = ty.directives.iter().filter(|directive| is_key(directive));
    given.filter(|directive| !is_nothing(directive)).map(|directive| key(ty, directive)).collect()
}

/// Whether a type has a key that is none.
pub fn has_nothing(ty: &TypeDef) -> bool {
    ty.directives.iter().any(|directive| is_key(directive) && is_nothing(directive))
}

fn is_nothing(directive: &Directive) -> bool {
    let resolvable = directive.argument("resolvable").map(|argument| &argument.value);
    match directive.argument("fields") {
        None => resolvable.is_none_or(|value| *value == Value::Boolean(false)),
        Some(fields) => fields.string().is_none() && resolvable == Some(&Value::Boolean(false)),
    }
}

fn key(ty: &TypeDef, directive: &Directive) -> Result<Key, Problem> {
    let fields = directive.argument("fields");
    let Some((argument, text)) = fields.and_then(|argument| Some((argument, argument.string()?))) else {
        return Err(Problem::new(directive.at, "`@key` has no `fields`, or not as a string", "write `@key(fields: \"id\")`"));
    };
    let selections = field_set::parse(text, argument.at)?;
    let mut names = Vec::new();
    for selection in &selections {
        let Selection::Field { name, .. } = selection else {
            return Err(Problem::new(argument.at, "a key has no fragments", "name fields of the type itself"));
        };
        let known = &**name == "__typename" || ty.field(name).is_some();
        if !known {
            let message = format!("`{}` has no field `{name}`", ty.name.text);
            return Err(Problem::new(argument.at, message, "name fields of the type itself"));
        }
        names.push(name.clone());
    }
    names.sort();
    if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
        return Err(Problem::new(argument.at, format!("the key names `{name}` twice"), "name it once"));
    }
    let resolvable = directive.argument("resolvable").is_none_or(|argument| argument.value != Value::Boolean(false));
    let suffix = suffix(names.iter().map(|name| &**name).collect());
    Ok(Key { text: text.clone(), fields: names, suffix, resolvable, at: argument.at })
}

fn suffix(mut names: Vec<&str>) -> String {
    names.sort_by(|left, right| collate(left, right));
    let words: Vec<String> = names.into_iter().map(pascal).collect();
    format!("By{}", words.join("And"))
}

/// Whether the suffix is the same when it is made again from what it is made of: the generator does so for `@requires`.
pub fn is_stable(key: &Key) -> bool {
    let words: Vec<String> = key.fields.iter().map(|name| pascal(name)).collect();
    suffix(words.iter().map(String::as_str).collect()) == key.suffix
}
