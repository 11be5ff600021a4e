//! What an error means: its class, which decides the exit code. What to do about it is said by whoever shows it, who can
//! look into the error for that.
//!
//! Every module has an error enum of its own; each implements [`Failure`]. An error that wraps another says so by its
//! `source`, and may have the same text: [`Error::chain`] says it once.

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The work failed, or what was asked for is absent or unreachable: exit code 1.
    Failed,
    /// Flags, a reference or metadata are wrong: exit code 2.
    Usage,
    /// Bytes that were read are not what they must be, found by a verb that was asked to look: exit code 3.
    Found,
}

impl Class {
    /// The process exit code of the class.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Found => 3,
        }
    }
}

/// An error that knows who has to act on it.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// The error's class.
    fn class(&self) -> Class {
        Class::Failed
    }
}

/// Any classed error: what operations return.
#[derive(Debug)]
pub struct Error(Box<dyn Failure>);

impl Error {
    /// The error's class.
    pub fn class(&self) -> Class {
        self.0.class()
    }

    /// The error itself, to look into.
    pub fn inner(&self) -> &(dyn std::error::Error + 'static) {
        self.0.as_ref()
    }

    /// Whether this is an error of type `E` for which `test` holds.
    pub fn is<E: Failure>(&self, test: impl FnOnce(&E) -> bool) -> bool {
        self.inner().downcast_ref::<E>().is_some_and(test)
    }

    /// The message and, below it, each cause that adds something.
    pub fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.0.to_string()];
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if lines.last() != Some(&text) {
                lines.push(text);
            }
            next = cause.source();
        }
        lines
    }
}

impl<E: Failure> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

/// A complaint that needs no type of its own.
#[derive(Debug)]
pub struct Complaint {
    message: String,
    class: Class,
    cause: Option<Error>,
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Complaint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(Error::inner)
    }
}

impl Complaint {
    /// A complaint about flags, a reference or metadata.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), class: Class::Usage, cause: None }
    }

    /// A complaint about work that failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), class: Class::Failed, cause: None }
    }

    /// A complaint about bytes that were looked into.
    pub fn found(message: impl Into<String>) -> Self {
        Self { message: message.into(), class: Class::Found, cause: None }
    }

    /// A complaint over what an error leaves behind, of its class.
    pub fn because(cause: Error, message: impl Into<String>) -> Self {
        Self { message: message.into(), class: cause.class(), cause: Some(cause) }
    }
}

impl Failure for Complaint {
    fn class(&self) -> Class {
        self.class
    }
}
