//! `cosmo-router`: a gRPC subgraph that the Cosmo Router starts as a child process.
//!
//! The image root *is* the plugin's installed directory, so that one digest serves three doors: the router pulls it, it
//! is mounted as a volume, or it is unpacked. Hence `bin/<os>_<arch>` in Go's words, which is what the router looks for
//! on disk, and the relative entrypoint `./bin/<os>_<arch>`, which the router joins with its extraction directory.
//!
//! What the router does with an image, and what therefore must hold ([`preflight`], and the start check for the first):
//!
//! - It starts the program in its *own* file system, without a change of root. So the program is static, always; a base
//!   image or bundled libraries would never be seen.
//! - It takes the entrypoint as a path, without a shell and without `PATH`.
//! - It writes links as they are, and a relative one resolves from the image root instead of its own directory.
//! - A composer joins `service.<Name>Service` with the schema by the mapping: a call that the mapping does not know is
//!   never made, one that the service does not have fails at run time, and so does a field that the proto has not, or has of
//!   another type ([`agreement`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::agreement::{self, Difference, File, Names, PACKAGE, What};
use super::generate;
use super::process::Api;
use plugin_oci::failure::{Class, Failure};
use plugin_oci::values::platform::Platform;

/// Operating systems and architectures for which the router exists.
const SYSTEMS: [&str; 3] = ["linux", "darwin", "windows"];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// Where the program lies in the image, from its root; the entrypoint is the same after `./`.
pub fn place(platform: &Platform) -> Result<String, CosmoError> {
    check_platform(platform)?;
    Ok(format!("bin/{}_{}", platform.os, platform.architecture))
}

/// The router runs on few platforms; a plugin for another is never asked for.
fn check_platform(platform: &Platform) -> Result<(), CosmoError> {
    let known = SYSTEMS.contains(&platform.os.as_str()) && ARCHITECTURES.contains(&platform.architecture.as_str());
    if known { Ok(()) } else { Err(CosmoError::Platform(platform.clone())) }
}

/// What is looked at before compiling.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// The GraphQL schema.
    pub schema: &'a Path,
    /// The protobuf service.
    pub proto: &'a Path,
    /// How the one maps to the other.
    pub mapping: &'a Path,
    /// The entrypoint the user set.
    pub entrypoint: Option<&'a [String]>,
    /// Whether a base or bundled libraries are wanted.
    pub brings_system: bool,
    /// The first symlink among the files to pack.
    pub link: Option<&'a str>,
}

/// Checks everything that can be told without the program. Why the schema was not compared with proto and mapping, if it was not:
/// nothing can be generated from it.
pub fn preflight(subject: &Preflight<'_>) -> Result<Option<generate::Error>, CosmoError> {
    if subject.brings_system {
        return Err(CosmoError::System);
    }
    if let Some(link) = subject.link {
        return Err(CosmoError::Link(link.to_owned()));
    }
    if let Some(entrypoint) = subject.entrypoint {
        return Err(CosmoError::Entrypoint(entrypoint.to_vec()));
    }
    for (what, path) in [("schema", subject.schema), ("proto", subject.proto), ("mapping", subject.mapping)] {
        if !path.is_file() {
            return Err(CosmoError::Missing { what, path: path.to_owned() });
        }
    }
    compare(subject)
}

/// Whether schema, proto and mapping say the same.
fn compare(subject: &Preflight<'_>) -> Result<Option<generate::Error>, CosmoError> {
    let unreadable = |path: &Path, detail: String| CosmoError::Unreadable { path: path.to_owned(), detail };
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| unreadable(path, error.to_string()));
    let (proto, mapping) = (|| subject.proto.to_owned(), || subject.mapping.to_owned());
    let schema = read(subject.schema)?;
    generate::parse(&schema).map_err(|source| CosmoError::Schema { path: subject.schema.into(), source })?;
    let document: Value =
        serde_json::from_str(&read(subject.mapping)?).map_err(|error| unreadable(subject.mapping, error.to_string()))?;
    let names = Names::of(&document);
    if names.service.is_empty() {
        return Err(unreadable(subject.mapping, "no `service`".to_owned()));
    }
    let api = Api::of_file(subject.proto).map_err(|error| unreadable(subject.proto, error.to_string()))?;
    let wanted = format!("{PACKAGE}.{}", names.service);
    let service = api.pool().get_service_by_name(&wanted);
    let service = service.ok_or_else(|| CosmoError::NoService { service: wanted, proto: proto() })?;
    if let Some(method) = service.methods().find(|method| method.is_client_streaming() || method.is_server_streaming()) {
        return Err(CosmoError::Streaming { rpc: method.name().to_owned(), proto: proto() });
    }
    let methods: BTreeSet<String> = service.methods().map(|method| method.name().to_owned()).collect();
    let options = generate::Options { service: names.service.clone(), ..generate::Options::of_plugin("") };
    let made = generate::generate(&schema, &options, None);
    // What belongs to the schema is compared below. The router's own generator maps no fields of a `Query` of another name.
    let calls = made.iter().flat_map(|made| &made.contract.proto.service.calls);
    let known: BTreeSet<&str> = calls.map(|call| call.name.as_str()).collect();
    if let Some(rpc) = methods.iter().find(|rpc| !names.rpcs.contains(*rpc) && !known.contains(rpc.as_str())) {
        return Err(CosmoError::Unmapped { rpc: rpc.clone(), proto: proto(), mapping: mapping() });
    }
    let never_called = made.as_ref().map_or_else(|_| BTreeSet::new(), |made| made.contract.never_called());
    let mut called = names.calls.values().map(|call| &call.rpc);
    if let Some(rpc) = called.find(|rpc| !methods.contains(*rpc) && !never_called.contains(rpc.as_str())) {
        return Err(CosmoError::Unserved { rpc: rpc.clone(), proto: proto(), mapping: mapping() });
    }
    let made = match made {
        Ok(made) => made,
        Err(refused) => return Ok(Some(refused)),
    };
    let differences = agreement::differences(&made, api.pool(), &names)
        .map_err(|error| CosmoError::Schema { path: subject.schema.into(), source: generate::Error::Proto(error.to_string()) })?;
    if differences.is_empty() {
        return Ok(None);
    }
    Err(CosmoError::Stale { schema: subject.schema.into(), proto: proto(), mapping: mapping(), differences })
}

/// A rule of the router that the plugin breaks.
#[derive(Debug, thiserror::Error)]
pub enum CosmoError {
    /// No router runs there.
    #[error("the Cosmo Router does not run on `{0}`, so no router would ever ask for that platform")]
    Platform(Platform),
    /// A base or bundled libraries.
    #[error("the Cosmo Router starts a plugin in its own file system, so it would never see a base or bundled libraries")]
    System,
    /// A symlink.
    #[error("`{0}` is a symlink, which the Cosmo Router resolves from the image root and not from its own directory")]
    Link(String),
    /// Another entrypoint.
    #[error("entrypoint {0:?}: the Cosmo Router starts a plugin by the path of its program, and knows no other way")]
    Entrypoint(Vec<String>),
    /// A part of the contract is not there.
    #[error("the contract's {what} {} does not exist", path.display())]
    Missing { what: &'static str, path: PathBuf },
    /// The schema is no GraphQL.
    #[error("`{}` is no GraphQL schema", path.display())]
    Schema { path: PathBuf, source: generate::Error },
    /// A part of the contract cannot be understood.
    #[error("failed to understand {}: {detail}", path.display())]
    Unreadable { path: PathBuf, detail: String },
    /// The proto has another service.
    #[error("{} has no service `{service}`, which the mapping names", proto.display())]
    NoService { service: String, proto: PathBuf },
    /// A call that streams.
    #[error("rpc `{rpc}` of {} streams, and the Cosmo Router makes unary calls only", proto.display())]
    Streaming { rpc: String, proto: PathBuf },
    /// A method that nothing maps to.
    #[error("rpc `{rpc}` of {} is missing from {}, so that the router would never call it", proto.display(), mapping.display())]
    Unmapped { rpc: String, proto: PathBuf, mapping: PathBuf },
    /// A method that the service does not have.
    #[error("{} maps to rpc `{rpc}`, which {} does not have", mapping.display(), proto.display())]
    Unserved { rpc: String, proto: PathBuf, mapping: PathBuf },
    /// Proto or mapping are of another schema.
    #[error("proto and mapping are not those of {}:\n{}", schema.display(), told(differences, proto, mapping))]
    Stale { schema: PathBuf, proto: PathBuf, mapping: PathBuf, differences: Vec<Difference> },
}

/// How many differences are told.
const TOLD: usize = 20;

fn told(differences: &[Difference], proto: &Path, mapping: &Path) -> String {
    let line = |Difference { part, file, what }: &Difference| {
        let file = match file {
            File::Proto => proto.display(),
            File::Mapping => mapping.display(),
        };
        match what {
            What::Missing => format!("`{part}` is missing from {file}"),
            What::Gone => format!("`{part}` is in {file}, and no longer in the schema"),
            What::Changed { found, wanted } => format!("`{part}` is {found} in {file}, and would be {wanted}"),
        }
    };
    let mut lines: Vec<String> = differences.iter().take(TOLD).map(line).collect();
    if differences.len() > TOLD {
        lines.push(format!("and {} more", differences.len() - TOLD));
    }
    lines.join("\n")
}

impl Failure for CosmoError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "type Query { b(d: Int!): C } type C @key(fields: \"id\") { id: ID! }";

    fn check(schema: &str, proto: &str, mapping: &str) -> Result<Option<generate::Error>, CosmoError> {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (schema, proto, mapping) = (file("s", schema), file("p.proto", proto), file("m", mapping));
        let subject =
            Preflight { schema: &schema, proto: &proto, mapping: &mapping, entrypoint: None, brings_system: false, link: None };
        preflight(&subject)
    }

    #[test]
    fn a_contract_agrees_when_service_and_mapping_name_the_same_calls() {
        let made = generate::generate(SCHEMA, &generate::Options::of_plugin("a"), None).unwrap();
        let check = |proto: &str, mapping: &str| check(SCHEMA, proto, mapping);
        assert!(check(&made.proto, &made.mapping).unwrap().is_none());
        let call = |line: &str| made.proto.lines().find(|candidate| candidate.contains(line)).unwrap();
        let (lookup, query) = (call("rpc LookupCById("), call("rpc QueryB("));
        let more = made.proto.replace(query, &format!("{query}\n{}", query.replace("rpc QueryB", "rpc QueryD")));
        assert!(matches!(check(&more, &made.mapping), Err(CosmoError::Unmapped { rpc, .. }) if rpc == "QueryD"));
        let less = made.proto.replace(lookup, "");
        assert!(matches!(check(&less, &made.mapping), Err(CosmoError::Unserved { rpc, .. }) if rpc == "LookupCById"));
        let other = made.mapping.replace("AService", "BService");
        assert!(matches!(check(&made.proto, &other), Err(CosmoError::NoService { .. })));
        let streams = made.proto.replace(query, &query.replace("(QueryBResponse)", "(stream QueryBResponse)"));
        assert!(matches!(check(&streams, &made.mapping), Err(CosmoError::Streaming { .. })));
        assert!(matches!(check("syntax", &made.mapping), Err(CosmoError::Unreadable { .. })));
        assert!(matches!(check(&made.proto, "{"), Err(CosmoError::Unreadable { .. })));
    }

    #[test]
    fn what_nothing_can_be_generated_from_is_not_compared() {
        let made = generate::generate(SCHEMA, &generate::Options::of_plugin("a"), None).unwrap();
        let refused = check("type Query { b: Unknown }", &made.proto, &made.mapping).unwrap();
        assert!(matches!(refused, Some(generate::Error::Schema(_))));
    }

    #[test]
    fn every_contract_that_is_generated_agrees() {
        let schema = "schema { query: Root subscription: Subscription } type Root { a: A id: ID! b(of: Int): Service }
            type Service { x: Int! }
            type Subscription { tick: Int! }
            type A @key(fields: \"id\") { id: ID! x: Int! @external y: Int! @requires(fields: \"x\") z(of: Int): Int }
            type Far @key(fields: \"id\", resolvable: false) { id: ID! }";
        let made = generate::generate(schema, &generate::Options::of_plugin("a"), None).unwrap();
        assert!(check(schema, &made.proto, &made.mapping).unwrap().is_none());
        for call in ["QueryA", "RequireAYById", "ResolveAZ", "LookupAById"] {
            let is_other = |line: &&str| !line.contains(&format!("rpc {call}("));
            let without = made.proto.lines().filter(is_other).collect::<Vec<_>>().join("\n");
            assert!(matches!(check(schema, &without, &made.mapping), Err(CosmoError::Unserved { rpc, .. }) if rpc == call));
            let other = made.mapping.replace(&format!("\"{call}\""), "\"QueryA\"");
            let unmapped = check(schema, &made.proto, &other);
            assert!(call == "QueryA" || matches!(unmapped, Err(CosmoError::Stale { .. })), "{call}");
        }
    }

    #[test]
    fn the_router_sees_neither_links_nor_a_base_nor_another_entrypoint() {
        let nowhere = Path::new("/nowhere");
        let plain =
            Preflight { schema: nowhere, proto: nowhere, mapping: nowhere, entrypoint: None, brings_system: false, link: None };
        assert!(matches!(preflight(&plain), Err(CosmoError::Missing { what: "schema", .. })));
        assert!(matches!(preflight(&Preflight { brings_system: true, ..plain }), Err(CosmoError::System)));
        assert!(matches!(preflight(&Preflight { link: Some("a"), ..plain }), Err(CosmoError::Link(_))));
        let shell = ["/bin/sh".to_owned()];
        assert!(matches!(preflight(&Preflight { entrypoint: Some(&shell), ..plain }), Err(CosmoError::Entrypoint(_))));
    }
}
