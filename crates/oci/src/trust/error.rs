//! Why a policy cannot be judged by.

use crate::failure::{Class, Failure};

/// Why a policy cannot be judged by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no policy.
    #[error("it is no policy: {0}")]
    Shape(String),
    /// It asks for what is not judged here.
    #[error("it asks for `{0}`, which is not judged here")]
    NotJudged(String),
}

impl Failure for PolicyError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
