//! A plugin's service as its proto describes it: finds methods, and turns JSON into messages and back.
//!
//! JSON is protobuf's own mapping (<https://protobuf.dev/programming-guides/json/>). The proto is compiled here; the files
//! of `google/protobuf/` are built in.

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::Value;

use plugin_oci::failure::{Class, Failure};

/// A compiled proto.
#[derive(Clone, Debug)]
pub struct Api {
    pool: DescriptorPool,
    name: String,
}

impl Api {
    /// Compiles a proto that was read from somewhere; `name` is for messages.
    pub fn of_source(name: &str, source: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(source).map_err(|_| ApiError::NotText { name: name.to_owned() })?;
        let mut resolver = ChainFileResolver::new();
        resolver.add(InMemory { name: name.to_owned(), text: text.to_owned() });
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compile(&mut compiler, Path::new(name), name)
    }

    /// Compiles a file; what it imports is looked for beside it.
    pub fn of_file(path: &Path) -> Result<Self, ApiError> {
        let name = path.display().to_string();
        let parent = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let mut compiler = Compiler::new([parent]).map_err(|source| compile_error(&name, &source))?;
        compile(&mut compiler, path, &name)
    }

    /// Finds a unary method by `Name`, `Service/Name` or `package.Service/Name`.
    pub fn method(&self, wanted: &str) -> Result<Method, ApiError> {
        let (service, name) = match wanted.trim_start_matches('/').rsplit_once('/') {
            Some((service, name)) => (Some(service), name),
            None => (None, wanted),
        };
        let fits = |method: &MethodDescriptor| {
            let of = method.parent_service();
            method.name() == name && service.is_none_or(|service| service == of.full_name() || service == of.name())
        };
        let mut found = self.methods().filter(fits);
        let Some(method) = found.next() else { return Err(self.unknown(wanted, name)) };
        if let Some(other) = found.next() {
            let paths = [path(&method), path(&other)];
            return Err(ApiError::Ambiguous { wanted: wanted.to_owned(), paths });
        }
        if method.is_client_streaming() || method.is_server_streaming() {
            return Err(ApiError::Streaming { method: path(&method) });
        }
        Ok(Method(method))
    }

    /// Everything that it describes.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    fn methods(&self) -> impl Iterator<Item = MethodDescriptor> + '_ {
        self.pool.services().flat_map(|service| service.methods().collect::<Vec<_>>())
    }

    fn unknown(&self, wanted: &str, name: &str) -> ApiError {
        let available: Vec<String> = self.methods().map(|method| method.name().to_owned()).collect();
        let distance = |candidate: &String| strsim::damerau_levenshtein(&candidate.to_lowercase(), &name.to_lowercase());
        let nearest = available.iter().min_by_key(|candidate| distance(candidate)).cloned();
        let nearest = nearest.filter(|candidate| distance(candidate) <= 2.max(candidate.len() / 3));
        ApiError::Unknown { wanted: wanted.to_owned(), name: self.name.clone(), nearest, available }
    }
}

fn compile(compiler: &mut Compiler, path: &Path, name: &str) -> Result<Api, ApiError> {
    compiler.include_imports(true);
    compiler.open_file(path).map_err(|source| compile_error(name, &source))?;
    Ok(Api { pool: compiler.descriptor_pool(), name: name.to_owned() })
}

fn compile_error(name: &str, error: &protox::Error) -> ApiError {
    // Its `Debug` is a page with the source in it; one line says what and, where it knows, where.
    ApiError::Compile { name: name.to_owned(), reason: error.to_string() }
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

struct InMemory {
    name: String,
    text: String,
}

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == self.name { File::from_source(name, &self.text) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// A unary method.
#[derive(Clone, Debug)]
pub struct Method(MethodDescriptor);

impl Method {
    /// The path that goes over the wire: `/package.Service/Name`.
    pub fn path(&self) -> String {
        path(&self.0)
    }

    /// Turns a JSON object into the bytes of a request.
    pub fn request(&self, json: &str) -> Result<Vec<u8>, ApiError> {
        let bad = |source| ApiError::Request { method: self.path(), message: self.0.input().full_name().to_owned(), source };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(self.0.input(), &mut deserializer).map_err(bad)?;
        deserializer.end().map_err(bad)?;
        Ok(message.encode_to_vec())
    }

    /// Turns the bytes of an answer into JSON.
    pub fn answer(&self, bytes: &[u8]) -> Result<Value, ApiError> {
        let bad =
            |reason: String| ApiError::Answer { method: self.path(), message: self.0.output().full_name().to_owned(), reason };
        let message = DynamicMessage::decode(self.0.output(), bytes).map_err(|error| bad(error.to_string()))?;
        serde_json::to_value(&message).map_err(|error| bad(error.to_string()))
    }
}

/// Why a call cannot be put together or its answer not be read.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A proto must be UTF-8.
    #[error("`{name}` is not UTF-8")]
    NotText { name: String },
    /// It is no proto.
    #[error("failed to compile `{name}`: {reason}")]
    Compile { name: String, reason: String },
    /// No service has the method.
    #[error("`{name}` has no method `{wanted}`")]
    Unknown {
        wanted: String,
        name: String,
        /// The method that was probably meant.
        nearest: Option<String>,
        available: Vec<String>,
    },
    /// Several services have it.
    #[error("several services have a method `{wanted}`")]
    Ambiguous { wanted: String, paths: [String; 2] },
    /// Hosts of this kind only make unary calls.
    #[error("{method} streams, and only unary methods can be called")]
    Streaming { method: String },
    /// The JSON does not fit the message.
    #[error("the request is no {message}, which {method} takes")]
    Request { method: String, message: String, source: serde_json::Error },
    /// The plugin's answer does not fit the message.
    #[error("the answer is no {message}, which {method} returns: {reason}")]
    Answer { method: String, message: String, reason: String },
}

impl Failure for ApiError {
    fn class(&self) -> Class {
        match self {
            Self::Answer { .. } => Class::Failed,
            _ => Class::Usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROTO: &str = r#"
        syntax = "proto3";
        package service;
        import "google/protobuf/wrappers.proto";
        service GreeterService {
            rpc QueryHello(Ask) returns (Answer) {}
            rpc Watch(Ask) returns (stream Answer) {}
        }
        service OtherService { rpc Ping(Ask) returns (Answer) {} }
        service ThirdService { rpc Ping(Ask) returns (Answer) {} }
        message Ask { string first_name = 1; google.protobuf.StringValue title = 2; }
        message Answer { int64 count = 1; repeated string words = 2; }
    "#;

    fn api() -> Api {
        Api::of_source("service.proto", PROTO.as_bytes()).unwrap()
    }

    #[test]
    fn methods_are_found_by_every_spelling() {
        for wanted in
            ["QueryHello", "GreeterService/QueryHello", "service.GreeterService/QueryHello", "/service.GreeterService/QueryHello"]
        {
            assert_eq!(api().method(wanted).unwrap().path(), "/service.GreeterService/QueryHello", "{wanted}");
        }
        assert_eq!(api().method("OtherService/Ping").unwrap().path(), "/service.OtherService/Ping");
    }

    #[test]
    fn what_cannot_be_called_is_told_why() {
        let error = api().method("queryHelo").unwrap_err();
        assert!(matches!(error, ApiError::Unknown { nearest: Some(nearest), .. } if nearest == "QueryHello"));
        let error = api().method("Nothing/AtAll").unwrap_err();
        assert!(matches!(error, ApiError::Unknown { nearest: None, available, .. } if available.concat().contains("QueryHello")));
        assert!(matches!(api().method("Ping"), Err(ApiError::Ambiguous { .. })));
        assert!(matches!(api().method("Watch"), Err(ApiError::Streaming { .. })));
        assert!(matches!(Api::of_source("x.proto", b"message {"), Err(ApiError::Compile { .. })));
        assert!(matches!(Api::of_source("x.proto", b"\xff"), Err(ApiError::NotText { .. })));
    }

    #[test]
    fn json_becomes_a_request_and_an_answer_becomes_json() {
        let method = api().method("QueryHello").unwrap();
        let bytes = method.request(r#"{"firstName": "Ana", "title": "Dr"}"#).unwrap();
        assert_eq!(bytes, b"\x0a\x03Ana\x12\x04\x0a\x02Dr");
        assert_eq!(method.answer(b"\x08\x96\x01\x12\x01a").unwrap(), json!({ "count": "150", "words": ["a"] }));
        for bad in [r#"{"name": 1}"#, r#"{"firstName": 1}"#, "{} {}", "", "[]"] {
            assert!(matches!(method.request(bad), Err(ApiError::Request { .. })), "{bad}");
        }
        assert!(matches!(method.answer(b"\xff"), Err(ApiError::Answer { .. })));
    }
}
