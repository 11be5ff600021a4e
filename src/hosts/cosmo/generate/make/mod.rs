//! From a schema to the proto: each file makes the calls or messages of one kind.
//!
//! The order in which things are made is that of the router's own generator, since numbers and the order of the lock follow
//! from it: field resolvers, `@requires`, entities, queries, mutations, and then types, breadth first.

mod entities;
mod operations;
mod required;
mod resolvers;
mod types;

pub use entities::call_name as lookup_call;
pub use operations::{FEDERATION, call_name as operation_call};
pub use required::{call_name as required_call, distinct_keys, requiring};
pub use resolvers::call_name as resolver_call;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::error::{Error, Position, Problem, Warning, WarningKind};
use super::lock::Lock;
use super::model::{Call, Field, Message, Proto, Service};
use super::names::snake;
use super::numbers::Numbers;
use super::schema::Schema;
use super::syntax::{self, Name};
use super::{MAX_PROTO, Options};

/// Where the wrappers of nullable scalars come from.
const WRAPPERS: &str = "google/protobuf/wrappers.proto";

/// Makes the proto of a schema, and the lock that goes with it.
pub fn proto(
    schema: &Schema,
    options: &Options,
    lock: Option<Lock>,
    warnings: &mut Vec<Warning>,
) -> Result<(Proto, Lock), Error> {
    let mut maker = Maker {
        schema,
        numbers: Numbers::new(lock),
        processed: BTreeSet::new(),
        queue: VecDeque::new(),
        lists: BTreeMap::new(),
        wraps: false,
        size: 0,
        warnings,
    };
    let resolvers = maker.resolvers()?;
    let required = maker.required()?;
    let mut parts = maker.entities()?;
    parts.extend(maker.operations("Query", schema.roots.query.as_ref())?);
    parts.extend(maker.operations("Mutation", schema.roots.mutation.as_ref())?);
    parts.extend(resolvers);
    parts.extend(required);
    let types = maker.types()?;
    let Parts { mut calls, messages } = parts;
    calls.sort_by(|left, right| left.name.cmp(&right.name));
    let proto = Proto {
        package: options.package.clone(),
        options: options.statements(),
        imports: if maker.wraps { vec![WRAPPERS] } else { Vec::new() },
        service: Service { name: options.service.clone(), calls },
        lists: maker.lists.into_values().collect(),
        calls: messages,
        types,
    };
    Ok((proto, maker.numbers.lock))
}

/// Calls, and the messages that they need.
#[derive(Default)]
struct Parts {
    calls: Vec<Call>,
    messages: Vec<Message>,
}

impl Parts {
    fn extend(&mut self, other: Self) {
        self.calls.extend(other.calls);
        self.messages.extend(other.messages);
    }
}

struct Maker<'s> {
    schema: &'s Schema,
    numbers: Numbers,
    /// Names of messages that are made, and of types that need none.
    processed: BTreeSet<Arc<str>>,
    /// Types that are yet to be made.
    queue: VecDeque<Arc<str>>,
    lists: BTreeMap<String, Message>,
    wraps: bool,
    /// About how long the proto is by now.
    size: usize,
    warnings: &'s mut Vec<Warning>,
}

impl Maker<'_> {
    /// Counts what is made, so that a small schema cannot ask for a huge proto.
    fn charge(&mut self, bytes: usize) -> Result<(), Error> {
        self.size += bytes;
        if self.size > MAX_PROTO { Err(Error::Size { what: "the proto", limit: MAX_PROTO }) } else { Ok(()) }
    }

    fn charged(&mut self, message: Message) -> Result<Message, Error> {
        self.charge(size(&message))?;
        Ok(message)
    }

    fn call(&mut self, name: &str, comment: Option<Arc<str>>, origin: Position) -> Result<Call, Error> {
        self.charge(3 * name.len() + comment.as_ref().map_or(0, |text| text.len()) + 64)?;
        let (request, response) = (format!("{name}Request"), format!("{name}Response"));
        Ok(Call { name: name.to_owned(), request, response, comment, origin })
    }

    /// The type of a field in the proto, and whether it is repeated.
    fn type_of(&mut self, ty: &syntax::Type) -> Result<(Arc<str>, bool), Error> {
        let name = &ty.name.text;
        let is_scalar = self.schema.is_scalar(name);
        if ty.lists == 0 {
            let nullable = is_scalar && ty.nullable;
            self.wraps |= nullable;
            let found = match (is_scalar, nullable) {
                (false, _) => name.clone(),
                (true, true) => Arc::from(format!("google.protobuf.{}Value", wrapper(name))),
                (true, false) => Arc::from(scalar(name)),
            };
            return Ok((found, false));
        }
        let plain: Arc<str> = if is_scalar { Arc::from(scalar(name)) } else { name.clone() };
        if ty.lists == 1 && !ty.nullable {
            return Ok((plain, true));
        }
        let mut item = plain;
        for level in 1..=ty.lists {
            let list: Arc<str> = Arc::from(format!("{}{name}", "ListOf".repeat(level as usize)));
            self.list(&list, item, name, ty.name.at)?;
            item = list;
        }
        Ok((item, false))
    }

    /// A message around a list, which a list that may be null or that is in another one needs.
    fn list(&mut self, list: &Arc<str>, item: Arc<str>, of: &str, origin: Position) -> Result<(), Error> {
        if self.processed.contains(list) {
            return Ok(());
        }
        let items = Field::new("items", item, 1, origin).repeated(true);
        let inner = Message { name: "List".to_owned(), fields: vec![items], origin, ..Message::default() };
        let message = Message {
            name: list.to_string(),
            comment: Some(Arc::from(format!("Wrapper message for a list of {of}."))),
            nested: vec![inner],
            fields: vec![Field::new("list", "List", 1, origin)],
            origin,
            ..Message::default()
        };
        let message = self.charged(message)?;
        self.lists.insert(list.to_string(), message);
        self.processed.insert(list.clone());
        Ok(())
    }

    /// Has a type made later, unless it is made.
    fn enqueue(&mut self, name: &Arc<str>) {
        if !self.schema.is_scalar(name) && !self.processed.contains(name) {
            self.queue.push_back(name.clone());
        }
    }

    /// Tells of a number that is not the one which the lock had.
    fn watch(&mut self, message: &str, name: &Name, locked: Option<u32>, number: u32) {
        if let Some(before) = locked.filter(|before| *before != number) {
            let message = format!("`{message}.{}` has number {number} now and {before} in the lock", name.text);
            self.warnings.push(Warning { kind: WarningKind::Renumbered, at: Some(name.at), message });
        }
    }
}

/// The name of a field in the proto.
pub fn field_name(name: &Name) -> Result<String, Problem> {
    let found = snake(&name.text);
    if found.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(found);
    }
    let message = format!("`{}` would be `{found}` in protobuf, which is no name there", name.text);
    Err(Problem::new(name.at, message, "begin it with a letter"))
}

/// The protobuf type of a scalar that is never null.
fn scalar(name: &str) -> &'static str {
    match name {
        "Int" => "int32",
        "Float" => "double",
        "Boolean" => "bool",
        _ => "string",
    }
}

/// What the wrapper of a scalar that may be null is called by.
fn wrapper(name: &str) -> &'static str {
    match name {
        "Int" => "Int32",
        "Float" => "Double",
        "Boolean" => "Bool",
        _ => "String",
    }
}

/// About how long a message is as text.
fn size(message: &Message) -> usize {
    let comments = |comments: &[Arc<str>]| comments.iter().map(|text| 2 * text.len() + 16).sum::<usize>();
    let fields = message.fields.iter().map(|field| 32 + field.name.len() + field.ty.len() + comments(&field.comments));
    let inner = message.nested.iter().chain(&message.choices).map(size);
    32 + message.name.len() + message.comment.as_ref().map_or(0, |text| 2 * text.len()) + fields.chain(inner).sum::<usize>()
}
