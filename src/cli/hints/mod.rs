//! The way out of an error, in the words of the command line.
//!
//! Below this room errors hold data and know no flag. An error is looked into from the outside in, and the first of its
//! causes that a way out is known for is answered.

mod build;
mod hosts;
mod images;
mod oci;

use std::error::Error;

/// One sentence that says what to do, without a full stop.
pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| {
        oci::hint(error).or_else(|| build::hint(error)).or_else(|| images::hint(error)).or_else(|| hosts::hint(error))
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
