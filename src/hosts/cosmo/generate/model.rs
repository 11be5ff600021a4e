//! A contract as values: the service that a plugin serves and how the router calls it.
//!
//! It is what is written as text, and what two contracts are compared by.

use std::sync::Arc;

use super::error::Position;

/// The proto file of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proto {
    pub package: String,
    /// Whole `option` statements.
    pub options: Vec<String>,
    /// What is imported.
    pub imports: Vec<&'static str>,
    pub service: Service,
    /// Messages around lists, by name.
    pub lists: Vec<Message>,
    /// Requests and responses, and what they are made of.
    pub calls: Vec<Message>,
    /// The types of the schema.
    pub types: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Its calls, by name.
    pub calls: Vec<Call>,
}

/// A call of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    /// The message that it takes.
    pub request: String,
    /// The message that it gives.
    pub response: String,
    /// What is said about it.
    pub comment: Option<Arc<str>>,
    /// What of the schema it comes from.
    pub origin: Position,
}

/// A message or an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Message(Message),
    Enum(Enum),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub name: String,
    /// What is said about it.
    pub comment: Option<Arc<str>>,
    /// Numbers that no field may have again.
    pub reserved: Vec<u32>,
    pub nested: Vec<Message>,
    /// Messages in it of which each is one of several types.
    pub choices: Vec<Message>,
    /// The name of the `oneof` that all its fields are in.
    pub oneof: Option<&'static str>,
    /// Its fields, in the order in which they are written.
    pub fields: Vec<Field>,
    /// What of the schema it comes from.
    pub origin: Position,
    /// Whether a blank line follows.
    pub spaced: bool,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// Its type.
    pub ty: Arc<str>,
    /// Whether it is a list.
    pub repeated: bool,
    pub number: u32,
    /// What is said about it, one comment after the other.
    pub comments: Vec<Arc<str>>,
    /// Whether it is deprecated.
    pub deprecated: bool,
    /// What of the schema it comes from.
    pub origin: Position,
}

impl Field {
    /// A field without comments.
    pub fn new(name: impl Into<String>, ty: impl Into<Arc<str>>, number: u32, origin: Position) -> Self {
        let (name, ty) = (name.into(), ty.into());
        Self { name, ty, repeated: false, number, comments: Vec::new(), deprecated: false, origin }
    }

    /// The same as a list, or not.
    #[must_use]
    pub fn repeated(self, repeated: bool) -> Self {
        Self { repeated, ..self }
    }

    /// The same with a comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Arc<str>>) -> Self {
        self.comments.push(comment.into());
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enum {
    pub name: String,
    /// What is said about it.
    pub comment: Option<Arc<str>>,
    /// Numbers that no value may have again.
    pub reserved: Vec<u32>,
    pub values: Vec<Value>,
    /// What of the schema it comes from.
    pub origin: Position,
}

/// A value of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub name: String,
    pub number: u32,
    /// What is said about it, one comment after the other.
    pub comments: Vec<Arc<str>>,
    /// Whether it is deprecated.
    pub deprecated: bool,
    /// What of the schema it comes from.
    pub origin: Position,
}
