//! Whether a proto will compile. The router's own generator writes some that do not: names that differ in a schema may be
//! one in protobuf.

use std::collections::BTreeMap;

use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::error::{Error, Position, Problem};
use super::model::{Enum, Field, Item, Message, Proto};

/// Checks names at their places in the schema, and all else by compiling.
pub fn check(proto: &Proto, text: &str) -> Result<(), Error> {
    let mut problems = Vec::new();
    let mut calls = Names::new("calls of the service", &mut problems);
    proto.service.calls.iter().for_each(|call| calls.add(&call.name, call.origin));
    let mut top = Names::new("messages or values of enums", &mut problems);
    top.add(&proto.service.name, Position::default());
    for message in proto.lists.iter().chain(&proto.calls) {
        top.add(&message.name, message.origin);
    }
    for item in &proto.types {
        match item {
            Item::Message(Message { name, origin, .. }) => top.add(name, *origin),
            Item::Enum(Enum { name, origin, values, .. }) => {
                top.add(name, *origin);
                for value in values {
                    top.add(&value.name, value.origin);
                }
            }
        }
    }
    let types = proto.types.iter().filter_map(|item| match item {
        Item::Message(message) => Some(message),
        Item::Enum(_) => None,
    });
    for message in proto.calls.iter().chain(types) {
        let mut fields = Names::new("fields of one message", &mut problems);
        message.fields.iter().for_each(|Field { name, origin, .. }| fields.add(name, *origin));
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.at);
        return Err(Error::Schema(problems));
    }
    compile(text)
}

struct Names<'p> {
    of: &'static str,
    seen: BTreeMap<String, Position>,
    problems: &'p mut Vec<Problem>,
}

impl<'p> Names<'p> {
    fn new(of: &'static str, problems: &'p mut Vec<Problem>) -> Self {
        Self { of, seen: BTreeMap::new(), problems }
    }

    fn add(&mut self, name: &str, at: Position) {
        let Some(first) = self.seen.insert(name.to_owned(), at) else { return };
        let other = if first == Position::default() { "is the service".to_owned() } else { format!("comes from {first}") };
        let message = format!("two {} would be `{name}` (the other {other})", self.of);
        self.problems.push(Problem::new(at.max(first), message, "rename one so that more differs than case and `_`"));
    }
}

fn compile(text: &str) -> Result<(), Error> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Own(text.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let compiled = Compiler::with_file_resolver(resolver).include_source_info(false).open_file(NAME).map(|_| ());
    compiled.map_err(|error| Error::Proto(error.to_string()))
}

/// The name of the proto while it is checked.
const NAME: &str = "service.proto";

struct Own(String);

impl FileResolver for Own {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == NAME { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}
