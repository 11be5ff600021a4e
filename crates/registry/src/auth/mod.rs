//! Who may do what: tokens that say so themselves, signed by the keys, and what everybody may pull.

mod gate;
mod token;

pub(crate) use self::gate::{Access, need};
pub use self::gate::{Gate, REFRESH, revoke};
pub use self::token::{Action, Token};
