//! From the GraphQL schema of a plugin to its contract: `service.proto`, `mapping.json` and `service.proto.lock.json`.
//!
//! The router's own generator is `@wundergraph/protographic`, which `wgc router plugin generate` calls. The bytes here are
//! those of its version 0.20.1, so that either may go on from the lock of the other; a test of the second tier compares
//! them. The rules are its rules, read off what it writes. Where it differs, it differs in this:
//!
//! - It writes some protos that do not compile: two names that become one, names that begin with a digit, a number that is
//!   reserved given again to a field in camel case, `@requires` by a key that is not resolvable. Here the number is the
//!   lock's, and all else is an error at its place.
//! - In the messages of `@requires` it forgets the import of `wrappers.proto`, and messages around lists, that nothing else
//!   needs; it drops what is selected after a second field that is an interface or union; and it nests a fragment on an
//!   object in a message of the same name. Here they are complete, and such a fragment is its fields.
//! - It gives fields such as `URL`, whose names camel case does not give back, other numbers when it goes on from a lock, even
//!   if nothing else changes, and members of unions theirs by their order. Here it is the same, and a warning.
//! - It takes schemas that the GraphQL specification forbids: names that are there twice, or begin with `__`, inputs as
//!   output, members of unions that are no objects, keys of fields that are not there, operations. Here they are errors.
//! - It fails on fields called `constructor`, `toString` and the like, and on an input with itself in its default.
//!
//! # The flow
//!
//! ```text
//! text -syntax-> Document -rules-> warnings
//!                         -schema-> Schema -make-> Proto -render-> service.proto, and the lock
//!                                          -mapping-> Mapping -> mapping.json
//! ```
//!
//! `Proto` and `Mapping` are values that can be compared; the texts are made from them alone.
//!
//! # What must hold for any text
//!
//! Schemas come from anybody. Sizes and depths are bounded (4 MiB of schema, 64 levels, [`MAX_PROTO`]),
//! nothing recurses without a bound, and the work is about linear in what is read and written.

pub mod error;
mod field_set;
mod keys;
pub mod lock;
mod make;
pub mod mapping;
pub mod model;
mod names;
mod numbers;
mod render;
mod rules;
mod schema;
mod sound;
mod source;
pub mod syntax;
mod text;

pub use error::{Error, Position, Problem, Warning, WarningKind};
pub use make::FEDERATION;
pub use syntax::{MAX_DEPTH, MAX_SCHEMA};

use std::collections::BTreeSet;

use lock::Lock;
use mapping::Mapping;
use model::Proto;
use schema::Schema;

/// The largest proto that is written, in bytes, about.
pub const MAX_PROTO: usize = 32 << 20;

/// What the schema does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The package of the service, `service` for a plugin.
    pub package: String,
    /// The name of the service.
    pub service: String,
    /// The import path of generated Go code; none for a plugin in another language.
    pub go_package: Option<String>,
}

impl Options {
    /// What `wgc` passes for a plugin of a name: `my-plugin` serves `service.MyPluginService`.
    pub fn of_plugin(name: &str) -> Self {
        Self { package: "service".to_owned(), service: format!("{}Service", names::pascal(name)), go_package: None }
    }

    fn statements(&self) -> Vec<String> {
        self.go_package.iter().map(|path| format!("option go_package = \"{path}\";")).collect()
    }
}

/// A contract, as values and as texts.
#[derive(Clone, Debug)]
pub struct Generated {
    /// `generated/service.proto`
    pub proto: String,
    /// `generated/mapping.json`
    pub mapping: String,
    /// `generated/service.proto.lock.json`
    pub lock: String,
    /// What is worth telling.
    pub warnings: Vec<Warning>,
    /// What the proto says.
    pub contract: Contract,
}

/// A contract as values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The service.
    pub proto: Proto,
    /// How the router calls it.
    pub mapping: Mapping,
}

impl Contract {
    /// Calls that are mapped and that the service does not have: subscriptions, and lookups by keys that are not resolvable.
    /// The router makes none of them.
    pub fn never_called(&self) -> BTreeSet<&str> {
        let Mapping { operation_mappings, entity_mappings, resolve_mappings, .. } = &self.mapping;
        let operations = operation_mappings.iter().map(|operation| &operation.mapped);
        let lookups = entity_mappings.iter().map(|entity| &entity.rpc);
        let required = entity_mappings.iter().flat_map(|entity| &entity.required_field_mappings).map(|field| &field.rpc);
        let resolvers = resolve_mappings.iter().map(|resolver| &resolver.rpc);
        let mut mapped: BTreeSet<&str> = operations.chain(lookups).chain(required).chain(resolvers).map(String::as_str).collect();
        for call in &self.proto.service.calls {
            mapped.remove(call.name.as_str());
        }
        mapped
    }
}

/// Whether a text is a GraphQL schema at all.
pub fn parse(schema: &str) -> Result<(), Error> {
    syntax::parse(schema).map(drop)
}

/// Generates the contract of a schema. `lock` is what the last generation left.
pub fn generate(schema: &str, options: &Options, lock: Option<&str>) -> Result<Generated, Error> {
    let lock = lock.map(Lock::parse).transpose()?;
    let document = syntax::parse(schema)?;
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    rules::check(&document, &mut problems, &mut warnings);
    let requires = rules::requires_fields(&document);
    let schema = match Schema::new(document, &mut warnings) {
        Ok(schema) => schema,
        Err(Error::Schema(more)) => {
            problems.extend(more);
            return Err(failed(problems));
        }
        Err(error) => return Err(error),
    };
    rules::check_requires(&schema, &requires, &mut problems);
    if !problems.is_empty() {
        return Err(failed(problems));
    }
    if let Some(root) = schema.roots.subscription.as_ref().and_then(|root| schema.get(root)) {
        let message = "subscriptions are mapped, but the service of a plugin has no calls for them".to_owned();
        warnings.push(Warning { kind: WarningKind::Subscription, at: Some(root.name.at), message });
    }
    let (proto, lock) = make::proto(&schema, options, lock, &mut warnings)?;
    // After the proto, whose size is bounded: there is no more in it.
    let mapping = mapping::mapping(&schema, &options.service)?;
    let text = render::proto(&proto);
    sound::check(&proto, &text)?;
    warnings.sort_by_key(|warning| warning.at);
    Ok(Generated { proto: text, mapping: mapping.render(), lock: lock.render(), warnings, contract: Contract { proto, mapping } })
}

fn failed(mut problems: Vec<Problem>) -> Error {
    problems.sort_by_key(|problem| problem.at);
    Error::Schema(problems)
}
