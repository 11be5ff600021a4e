//! What of a contract's change breaks who relies on the old one: clients of the graph, routers that were composed with it, and
//! plugins that run while the other side is new.
//!
//! | rule | what |
//! |---|---|
//! | `type-removed`, `kind-changed` | a type of the schema is gone, or is of another kind |
//! | `field-removed`, `argument-removed`, `value-removed`, `member-removed` | a part of it is gone, in the schema or the proto |
//! | `type-changed`, `nullability-changed` | a field or argument is of another type, or may be absent where it might not, or the reverse |
//! | `argument-required`, `input-required` | what callers do not send yet must be sent |
//! | `service-removed`, `rpc-removed`, `rpc-changed`, `message-removed`, `enum-removed` | the same in the proto |
//! | `number-changed`, `number-reused` | a number says something else on the wire |
//! | `number-not-reserved` | a number is free, so that the next field may reuse it |
//!
//! Every change of a type or of nullability counts, also one that clients would not notice: the messages of both sides differ.

mod proto;
mod schema;

use super::Contract;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::finding::Finding;

/// Each break, with its place, sorted.
pub fn breaks(old: &Contract, new: &Contract) -> Result<Vec<Finding>, DiffError> {
    let mut found = Vec::new();
    if old.schema != new.schema {
        let shape =
            |bytes: &[u8], side| schema::Shape::of(bytes).map_err(|reason| DiffError { side, file: "schema.graphql", reason });
        schema::compare(&shape(&old.schema, "first")?, &shape(&new.schema, "second")?, &mut found);
    }
    if old.proto != new.proto {
        let pool = |bytes: &[u8], side| proto::pool(bytes).map_err(|reason| DiffError { side, file: "service.proto", reason });
        proto::compare(&pool(&old.proto, "first")?, &pool(&new.proto, "second")?, &mut found);
    }
    found.sort();
    Ok(found)
}

/// A contract that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("failed to understand `{file}` of the {side} contract: {reason}")]
pub struct DiffError {
    /// `first`, `second`.
    pub side: &'static str,
    pub file: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl Failure for DiffError {
    fn class(&self) -> Class {
        Class::Failed
    }
}
