//! A problem as a value: verbs that look for problems report them all, and an error is something else.

use serde::Serialize;

/// One broken rule in bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What is wrong: a path, a digest, a tag, or a chain of these from the outside in.
    pub object: String,
    /// The broken rule as a short stable word, for scripts (`digest-mismatch`, `duplicate-key`).
    pub rule: &'static str,
    /// One line for a person.
    pub message: String,
}

impl Finding {
    /// A finding about `object`.
    pub fn new(object: impl Into<String>, rule: &'static str, message: impl Into<String>) -> Self {
        Self { object: object.into(), rule, message: message.into() }
    }
}
