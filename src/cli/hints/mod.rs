//! The way out of an error, in the words of the command line.
//!
//! Below this room errors hold data and know no flag. An error is looked into from the outside in, and the first of its
//! causes that a way out is known for is answered.

mod build;
mod hosts;
mod images;
mod oci;

use std::error::Error;

use plugin_oci::failure::{Class, Complaint, Failure};

/// A complaint of the command line's own, with its way out.
#[derive(Debug)]
pub struct Advised {
    complaint: Complaint,
    hint: String,
}

impl std::fmt::Display for Advised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.complaint.fmt(f)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.complaint.source()
    }
}

impl Failure for Advised {
    fn class(&self) -> Class {
        self.complaint.class()
    }
}

/// Says the way out of a complaint where it is made.
pub trait Advise {
    /// Adds one sentence, without a full stop.
    fn with_hint(self, hint: impl Into<String>) -> Advised;
}

impl Advise for Complaint {
    fn with_hint(self, hint: impl Into<String>) -> Advised {
        Advised { complaint: self, hint: hint.into() }
    }
}

/// One sentence that says what to do, without a full stop.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| {
        let advised = error.downcast_ref::<Advised>().map(|advised| advised.hint.clone());
        advised
            .or_else(|| oci::hint(error))
            .or_else(|| build::hint(error))
            .or_else(|| images::hint(error))
            .or_else(|| hosts::hint(error))
    })
}

/// Asks the function of the type that the error is; of a cause in a box, the box is the error.
macro_rules! ask {
    ($error:expr, $($of:path: $kind:ty),* $(,)?) => {{
        $(if let Some(error) = $error.downcast_ref::<$kind>().or_else(|| $error.downcast_ref::<Box<$kind>>().map(|boxed| &**boxed)) {
            return $of(error);
        })*
        None
    }};
}
use ask;

#[expect(clippy::unnecessary_wraps, reason = "what stands beside it in a match is an option")]
fn of(text: &str) -> Option<String> {
    Some(text.to_owned())
}
