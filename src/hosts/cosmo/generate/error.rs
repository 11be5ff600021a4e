//! Why a schema gives no contract, and what is worth telling about one that does.

use std::fmt;

/// A place in a text: line and column from 1. Columns count UTF-16 units, as GraphQL's own tools do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong with the schema, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Problem {
    /// A problem of the schema.
    pub fn new(at: Position, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// What is told, and does not keep a contract from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which kind of thing it is.
    pub kind: WarningKind,
    /// Where in the schema; `None` for what is about the lock.
    pub at: Option<Position>,
    /// What.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// Items of a list may be null, and protobuf has no null in a list.
    NullableItem,
    KeyWithoutFields,
    /// A field resolver gets the only field of type `ID`, because none is named.
    ImpliedContext,
    /// An extension of a type that is not defined here does nothing.
    LostExtension,
    /// A number in the proto is another than in the lock.
    Renumbered,
    /// A subscription is mapped and has no call.
    Subscription,
}

/// Why a schema gives no contract.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The schema breaks rules; at least one.
    #[error("{}", list(.0))]
    Schema(Vec<Problem>),
    /// The lock is none.
    #[error("the lock, {at}: {message}")]
    Lock { at: Position, message: String },
    /// The schema is larger than what is read, or what comes of it than what is written.
    #[error("{what} is larger than {limit} bytes")]
    Size { what: &'static str, limit: usize },
    /// The proto would not compile, for a reason that has no place in the schema.
    #[error("the proto would not compile: {0}")]
    Proto(String),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Schema(vec![problem])
    }
}

impl Error {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Schema(problems) => problems.first().map_or_else(String::new, |problem| problem.help.clone()),
            Self::Lock { .. } => "take the lock from version control as it was generated".to_owned(),
            Self::Size { .. } => "split the schema in several subgraphs".to_owned(),
            Self::Proto(_) => {
                "rename what the message names; names that differ only in case or in `_` become one in protobuf".to_owned()
            }
        }
    }
}

/// How many problems are told at once.
const TOLD: usize = 20;

fn list(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    if problems.len() > TOLD {
        lines.push(format!("and {} more", problems.len() - TOLD));
    }
    lines.join("\n")
}
