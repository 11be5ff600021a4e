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
//!   never made, one that the service does not have fails at run time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::generate;
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

/// Checks everything that can be told without the program.
pub fn preflight(subject: &Preflight<'_>) -> Result<(), CosmoError> {
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
    let schema = std::fs::read_to_string(subject.schema);
    let schema = schema.map_err(|error| CosmoError::Unreadable { path: subject.schema.into(), detail: error.to_string() })?;
    generate::parse(&schema).map_err(|source| CosmoError::Schema { path: subject.schema.into(), source })?;
    let mapping = Mapping::read(subject.mapping)?;
    let methods = methods(subject.proto, &mapping.service)?;
    if let Some(rpc) = methods.difference(&mapping.rpcs).next() {
        return Err(CosmoError::Unmapped { rpc: rpc.clone(), proto: subject.proto.into(), mapping: subject.mapping.into() });
    }
    let unserved: Vec<&String> = mapping.rpcs.difference(&methods).collect();
    let harmless = if unserved.is_empty() { BTreeSet::new() } else { never_called(&schema) };
    if let Some(rpc) = unserved.into_iter().find(|rpc| !harmless.contains(*rpc)) {
        return Err(CosmoError::Unserved { rpc: rpc.clone(), proto: subject.proto.into(), mapping: subject.mapping.into() });
    }
    Ok(())
}

/// Calls that a schema maps and the router never makes, which therefore need not be served.
fn never_called(schema: &str) -> BTreeSet<String> {
    let made = generate::generate(schema, &generate::Options::of_plugin(""), None);
    made.map_or_else(|_| BTreeSet::new(), |made| made.contract.never_called().into_iter().map(str::to_owned).collect())
}

/// What the mapping says about the service.
struct Mapping {
    service: String,
    /// Methods that some operation, entity or field resolver is mapped to.
    rpcs: BTreeSet<String>,
}

impl Mapping {
    fn read(path: &Path) -> Result<Self, CosmoError> {
        let bad = |detail: String| CosmoError::Unreadable { path: path.to_owned(), detail };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let document: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let service = document.get("service").and_then(Value::as_str).ok_or_else(|| bad("no `service`".to_owned()))?;
        let entries = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let name = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut rpcs = BTreeSet::new();
        rpcs.extend(entries("operationMappings").iter().filter_map(|entry| name(entry, "mapped")));
        for entity in entries("entityMappings") {
            rpcs.extend(name(&entity, "rpc"));
            let required = entity.get("requiredFieldMappings").and_then(Value::as_array);
            rpcs.extend(required.into_iter().flatten().filter_map(|entry| name(entry, "rpc")));
        }
        let resolvers = entries("resolveMappings");
        rpcs.extend(resolvers.iter().filter_map(|entry| name(entry, "rpc").or_else(|| name(entry.get("lookupMapping")?, "rpc"))));
        Ok(Self { service: service.to_owned(), rpcs })
    }
}

/// The methods of a service of package `service`.
fn methods(proto: &Path, service: &str) -> Result<BTreeSet<String>, CosmoError> {
    let bad = |detail: String| CosmoError::Unreadable { path: proto.to_owned(), detail };
    let directory = proto.parent().unwrap_or(Path::new("."));
    let mut compiler = protox::Compiler::new([directory]).map_err(|error| bad(error.to_string()))?;
    compiler.open_file(proto).map_err(|error| bad(error.to_string()))?;
    let pool = compiler.descriptor_pool();
    let wanted = format!("service.{service}");
    let found = pool.services().find(|candidate| candidate.full_name() == wanted);
    let found = found.ok_or_else(|| CosmoError::NoService { service: wanted, proto: proto.to_owned() })?;
    if let Some(method) = found.methods().find(|method| method.is_client_streaming() || method.is_server_streaming()) {
        return Err(CosmoError::Streaming { rpc: method.name().to_owned(), proto: proto.to_owned() });
    }
    Ok(found.methods().map(|method| method.name().to_owned()).collect())
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
}

impl Failure for CosmoError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTO: &str = "syntax = \"proto3\";\npackage service;\nservice AService { rpc QueryB(M) returns (M) {} rpc LookupC(M) returns (M) {} }\nmessage M {}\n";
    const MAPPING: &str =
        r#"{"service":"AService","operationMappings":[{"mapped":"QueryB"}],"entityMappings":[{"rpc":"LookupC"}]}"#;

    fn check(proto: &str, mapping: &str) -> Result<(), CosmoError> {
        check_all("type Query { b: Int }", proto, mapping)
    }

    fn check_all(schema: &str, proto: &str, mapping: &str) -> Result<(), CosmoError> {
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
        check(PROTO, MAPPING).unwrap();
        let more = PROTO.replace("rpc QueryB", "rpc QueryD(M) returns (M) {} rpc QueryB");
        assert!(matches!(check(&more, MAPPING), Err(CosmoError::Unmapped { rpc, .. }) if rpc == "QueryD"));
        let less = PROTO.replace("rpc LookupC(M) returns (M) {}", "");
        assert!(matches!(check(&less, MAPPING), Err(CosmoError::Unserved { rpc, .. }) if rpc == "LookupC"));
        let other = MAPPING.replace("AService", "BService");
        assert!(matches!(check(PROTO, &other), Err(CosmoError::NoService { .. })));
        let streams = PROTO.replace("QueryB(M) returns (M)", "QueryB(M) returns (stream M)");
        assert!(matches!(check(&streams, MAPPING), Err(CosmoError::Streaming { .. })));
        assert!(matches!(check("syntax", MAPPING), Err(CosmoError::Unreadable { .. })));
        assert!(matches!(check(PROTO, "{"), Err(CosmoError::Unreadable { .. })));
    }

    #[test]
    fn every_contract_that_is_generated_agrees() {
        let schema = "type Query { a: A }
            type Subscription { tick: Int! }
            type A @key(fields: \"id\") { id: ID! x: Int! @external y: Int! @requires(fields: \"x\") z(of: Int): Int }
            type Far @key(fields: \"id\", resolvable: false) { id: ID! }";
        let made = generate::generate(schema, &generate::Options::of_plugin("a"), None).unwrap();
        check_all(schema, &made.proto, &made.mapping).unwrap();
        for call in ["QueryA", "RequireAYById", "ResolveAZ", "LookupAById"] {
            let is_other = |line: &&str| !line.contains(&format!("rpc {call}("));
            let without = made.proto.lines().filter(is_other).collect::<Vec<_>>().join("\n");
            assert!(matches!(check_all(schema, &without, &made.mapping), Err(CosmoError::Unserved { rpc, .. }) if rpc == call));
            let other = made.mapping.replace(&format!("\"{call}\""), "\"QueryA\"");
            let unmapped = check_all(schema, &made.proto, &other);
            assert!(call == "QueryA" || matches!(unmapped, Err(CosmoError::Unmapped { rpc, .. }) if rpc == call));
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
