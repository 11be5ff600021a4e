//! Errors of the crate of images.

use std::time::Duration;

use crate::hints::Advise as _;
use plugin_oci::deltas::DeltaError;
use plugin_oci::documents::image::ImageError;
use plugin_oci::documents::{DocumentError, json};
use plugin_oci::failure::{Complaint, Error};
use plugin_oci::fs::FileError;
use plugin_oci::interrupt::Overdue;
use plugin_oci::layers::pack::LayerError;
use plugin_oci::layers::tree::{NameRule, TreeError};
use plugin_oci::layers::unpack::{Bound, Exceeded, ExtractError};
use plugin_oci::signatures::keys::{KeyError, KeyFileError};
use plugin_oci::stores::bucket::BucketError;
use plugin_oci::stores::registry::{CredentialError, RegistryError, TransportError};
use plugin_oci::stores::{Mismatch, RemoteError, StoreError, Unread};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::digest::{Digest, DigestError};
use plugin_oci::values::epoch::Epoch;
use plugin_oci::values::platform::PlatformError;
use plugin_oci::values::reference::ReferenceError;
use plugin_oci::values::tag::TagError;

use super::{errors, hold, list, path, refused, s};

fn file(what: &'static str, kind: std::io::ErrorKind) -> FileError {
    FileError { what, path: path("/some/file"), source: kind.into() }
}

#[test]
fn of_values_and_files() {
    use std::io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
    let mut all = errors![
        DigestError::Malformed(s("sha256:x")),
        DigestError::UnknownAlgorithm(s("md5")),
        ReferenceError::NoTransport(s("x/y/z")),
        ReferenceError::NotThere(s("x")),
        ReferenceError::TwoReadings(s("registry.example/x")),
        ReferenceError::NotADirectory(s("oci:x")),
        ReferenceError::NotADirectory(s("registry.example/x")),
        ReferenceError::NoRepository { host: s("localhost:5000") },
        ReferenceError::EmptyPath,
        ReferenceError::BadRepository(s("HOST")),
        ReferenceError::Credentials { host: s("registry.example") },
        ReferenceError::BadTag(TagError(s("!"))),
        ReferenceError::ColonInPath(path("a:b")),
        ReferenceError::Digest(DigestError::Malformed(s("sha256:x"))),
        PlatformError::Malformed(s("linux")),
        PlatformError::NoTarget(s("plan9/amd64")),
        PlatformError::UnknownTarget(s("x86_64-unknown-none")),
    ];
    let key = |source: KeyError| KeyFileError { path: path("a.key"), source }.into();
    let keys: [(&str, Error); 12] = [
        ("KeyError::Foreign", key(KeyError::Foreign)),
        ("KeyError::Empty", key(KeyError::Empty)),
        ("KeyError::Malformed", key(KeyError::Malformed)),
        ("KeyError::Label", key(KeyError::Label(s("RSA PRIVATE KEY")))),
        ("KeyError::Algorithm", key(KeyError::Algorithm)),
        ("KeyError::Private", key(KeyError::Private)),
        ("KeyError::Public", key(KeyError::Public)),
        ("KeyError::Password", key(KeyError::Password)),
        ("KeyError::Encryption", key(KeyError::Encryption)),
        ("KeyError::Expired", key(KeyError::Expired { from: s("2020-01-01"), until: s("2021-01-01") })),
        ("KeyError::Random", key(KeyError::Random)),
        ("KeyError::Random", KeyError::Random.into()),
    ];
    all.extend(keys);
    all.push(("EpochError", Epoch::parse("now").unwrap_err().into()));
    all.push(("TagError", TagError(s("!")).into()));
    all.push(("Overdue", Overdue { limit: Duration::from_secs(90), name: "`--timeout`" }.into()));
    for kind in [NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull] {
        all.push(("FileError", file("write", kind).into()));
    }
    all.push(("FileError", file("read", PermissionDenied).into()));
    all.push(("Complaint", Complaint::usage("a message").into()));
    all.push(("Complaint", Complaint::failed("a message").with_hint("a way out").into()));
    hold("of_values_and_files", all);
}

#[test]
fn of_documents_and_layers() {
    let shape = || serde_json::from_str::<u8>("\"\"").unwrap_err();
    let limit = |what| Exceeded { what, allowed: 7 };
    let layer = |source: ExtractError| ExtractError::Layer { layer: s("sha256:abc"), source: Box::new(source) };
    let mut all = errors![
        DocumentError::Json(json::parse(b"{").unwrap_err()),
        DocumentError::Shape { what: "image manifest", key: s("layers"), source: shape() },
        DocumentError::Shape { what: "image index", key: s("."), source: shape() },
        DocumentError::Digest(DigestError::UnknownAlgorithm(s("md5"))),
        DocumentError::MediaTypeMismatch { inside: s("a"), outside: s("b") },
        DocumentError::Ambiguous { kind: "index", key: "layers" },
        DocumentError::Lookalike { key: s("Layers"), name: "layers" },
        DocumentError::SchemaVersion(1),
        DocumentError::RootfsType(s("x")),
        DocumentError::NotAManifest(s("x/y")),
        DocumentError::WrongData(s("sha256:abc")),
        ImageError::Base { name: s("docker.io/a/b"), source: DocumentError::SchemaVersion(1) },
        ImageError::BaseLayers { name: s("docker.io/a/b"), layers: 2, diff_ids: 1 },
        TreeError::Name { path: s("/a"), rule: NameRule::Absolute },
        TreeError::Duplicate { path: s("a") },
        TreeError::Beneath { path: s("a/b"), parent: s("a") },
        TreeError::LinkLeaves { path: s("a"), target: s("../b") },
        TreeError::LinkTurns { path: s("a"), target: s("b/../c") },
        TreeError::LinkLoops { path: s("a"), target: s("a") },
        TreeError::Special { path: path("/dev/null") },
        TreeError::Inspect { path: path("/a"), source: refused() },
        LayerError::Read { path: path("/a"), source: refused() },
        LayerError::Changed { path: path("/a") },
        LayerError::Write { source: refused() },
        LayerError::Compress { source: refused() },
        LayerError::Thread { source: refused() },
        LayerError::Stopped,
        DeltaError::Malformed("it ends too early"),
        DeltaError::Limit(limit(Bound::UnpackedBytes)),
        DeltaError::Read { source: refused() },
        DeltaError::NoBase { layer: Digest::of(b"a"), base: Digest::of(b"b") },
        DeltaError::Other { layer: Digest::of(b"a"), found: Digest::of(b"b") },
        DeltaError::Base(ExtractError::Truncated { offset: 512 }),
        DeltaError::Layer(LayerError::Stopped),
        DeltaError::File(file("write", std::io::ErrorKind::StorageFull)),
        ExtractError::Decompress { compression: Compression::Gzip, source: refused() },
        ExtractError::Decompress {
            compression: Compression::Zstd,
            source: std::io::Error::other("Frame requires too much memory")
        },
        ExtractError::Stored { source: refused() },
        ExtractError::Malformed { offset: 512, what: "size" },
        ExtractError::Truncated { offset: 512 },
        ExtractError::Name { name: s("../a"), why: "it leaves the root" },
        ExtractError::Duplicate { path: s("a") },
        ExtractError::Kind { path: s("a"), kind: "a device" },
        ExtractError::Link { path: s("a"), target: s("/b"), why: "it leaves the root" },
        ExtractError::Parent { path: s("a/b"), why: "a link is above it" },
        ExtractError::Limit(limit(Bound::Header("bytes of header"))),
        ExtractError::DiffId { stated: Digest::of(b"a"), actual: Digest::of(b"b") },
        ExtractError::Destination { path: path("/out"), why: "it is not empty" },
        ExtractError::Disk { action: "create", path: s("a"), source: refused() },
        ExtractError::Place(file("create", std::io::ErrorKind::StorageFull)),
        ExtractError::Visit { path: s("a"), source: refused() },
        ExtractError::Layer { layer: s("sha256:abc"), source: Box::new(ExtractError::Truncated { offset: 512 }) },
    ];
    let bounds = [
        Bound::UnpackedBytes,
        Bound::Ratio,
        Bound::Entries,
        Bound::PathBytes,
        Bound::Depth,
        Bound::Steps,
        Bound::DirectoryBytes,
        Bound::LinkBytes,
        Bound::ReadTogether,
    ];
    all.extend(bounds.map(|bound| ("ExtractError::Layer", layer(limit(bound).into()).into())));
    let destination = ExtractError::Destination { path: path("/out"), why: "it is not empty" };
    all.push(("ExtractError::Layer", layer(destination).into()));
    all.push(("JsonError", json::parse(br#"{"a":1,"a":2}"#).unwrap_err().into()));
    hold("of_documents_and_layers", all);
}

fn unreachable(source: TransportError, proxy: Option<&'static str>) -> Error {
    RegistryError::Unreachable { method: "GET", url: s("https://registry.example/v2/"), proxy, source }.into()
}

fn no_connection(source: TransportError, proxy: Option<&'static str>) -> Error {
    let (host, image) = (s("registry.example"), Some(s("registry.example/a/b")));
    RegistryError::NoConnection { host, is_registry: true, image, proxy, source }.into()
}

/// What keeps a registry from being asked at all.
fn of_connections() -> Vec<(&'static str, Error)> {
    let seconds = Duration::from_secs(30);
    let mut all = Vec::new();
    for source in [
        TransportError::Stalled(seconds),
        TransportError::Silent(seconds),
        TransportError::Http(s("no status")),
        TransportError::Io(refused()),
    ] {
        all.push(("RegistryError::Unreachable", unreachable(source, None)));
    }
    for source in [
        TransportError::NoSuchHost,
        TransportError::NotTls,
        TransportError::NotAServer,
        TransportError::NoListener(s("registry.example:443")),
        TransportError::Tls(s("unknown issuer")),
        TransportError::Refused(403),
    ] {
        all.push(("RegistryError::NoConnection", no_connection(source, None)));
    }
    for proxy in [None, Some("http_proxy")] {
        all.push(("RegistryError::NoConnection", no_connection(TransportError::Refused(407), proxy)));
    }
    let (host, source) = (s("tokens.example"), TransportError::NoSuchHost);
    let elsewhere = RegistryError::NoConnection { host, is_registry: false, image: None, proxy: None, source };
    all.push(("RegistryError::NoConnection", elsewhere.into()));
    all
}

#[test]
fn of_stores() {
    let denied =
        |known| RegistryError::Denied { what: s("a/b"), host: s("registry.example"), known, status: 401, message: s("no") };
    let url = || s("https://registry.example/v2/");
    let mut all = errors![
        StoreError::File(file("create", std::io::ErrorKind::StorageFull)),
        StoreError::Document { object: s("sha256:abc"), source: Box::new(DocumentError::SchemaVersion(1)) },
        StoreError::Document { object: s("sha256:abc"), source: Box::new(DocumentError::Json(json::parse(b"{").unwrap_err())) },
        StoreError::NotALayout { path: path("dir"), reason: s("it has no oci-layout") },
        StoreError::NotFound { store: s("oci:dir"), wanted: s("1.0"), available: Vec::new() },
        StoreError::NotFound { store: s("oci:dir"), wanted: s("1.0"), available: list(&["2.0", "3.0"]) },
        StoreError::Ambiguous { store: s("oci:dir"), available: list(&["2.0", "3.0"]) },
        StoreError::NoRepository { store: s("docker://registry.example/a/b") },
        StoreError::Untagged { store: s("oci:dir"), available: list(&["sha256:abc (linux/amd64)", "sha256:def (linux/arm64)"]) },
        StoreError::Empty { store: s("oci:dir") },
        StoreError::Full { object: s("dir/index.json"), count: 9, of: "bytes", limit: 7 },
        StoreError::DuplicateTag { store: s("oci:dir"), tag: s("1.0") },
        StoreError::Versions {
            image: s("sha256:abc"),
            wanted: s("windows/amd64"),
            available: list(&["windows(10.0.17763.5)/amd64", "windows(10.0.20348.9)/amd64"])
        },
        StoreError::NoPlatform { image: s("sha256:abc"), wanted: s("linux/amd64"), available: list(&["linux/arm64"]) },
        StoreError::NoPlatform { image: s("sha256:abc"), wanted: s("linux/amd64"), available: Vec::new() },
        StoreError::MissingBlob { store: s("oci:dir"), digest: s("sha256:abc") },
        StoreError::Corrupt { store: s("oci:dir"), digest: s("sha256:abc"), source: Mismatch::Longer { size: 7 } },
        StoreError::Corrupt { store: s("oci:dir"), digest: s("sha256:abc"), source: Mismatch::Shorter { seen: 6, size: 7 } },
        StoreError::Corrupt {
            store: s("oci:dir"),
            digest: s("sha256:abc"),
            source: Mismatch::Digest { found: Digest::of(b"a") }
        },
        StoreError::NotAFile { path: path("a"), source: refused() },
        StoreError::Reading { store: s("oci:dir"), digest: s("sha256:abc"), source: refused() },
        StoreError::TooLarge { object: s("sha256:abc"), size: 9, limit: 7 },
        StoreError::TooDeep { object: s("sha256:abc") },
        StoreError::Vanished { store: s("oci:dir"), digest: s("sha256:abc") },
        StoreError::Tag(TagError(s("!"))),
        StoreError::Clobber { store: s("oci:dir"), tag: s("1.0"), old: s("sha256:abc") },
        StoreError::Remote(RemoteError::new(denied(false))),
        StoreError::Remote(RemoteError::new(Complaint::usage("a message").with_hint("a way out"))),
        BucketError::Location(s("s3://")),
        BucketError::Endpoint(s("s3.example/plugins")),
        BucketError::NoCredentials { profile: s("default") },
        BucketError::Refused { url: s("https://s3.example/plugins/v2/"), status: 403, said: s("AccessDenied: Access Denied") },
        BucketError::Refused { url: s("https://s3.example/plugins/v2/"), status: 501, said: String::new() },
        BucketError::Listing { store: s("s3://plugins") },
        BucketError::Unconditional { store: s("s3://plugins") },
        BucketError::Page { store: s("s3://plugins"), key: s("index.html") },
        BucketError::Contended { store: s("s3://plugins"), key: s("v2/greeter/tags/list") },
        BucketError::InUse { store: s("s3://plugins"), key: s("_r/leases/publish-0"), since: std::time::UNIX_EPOCH },
        RegistryError::NoDeletion { what: s("registry.example/a:1"), status: 405, message: s("UNSUPPORTED") },
        RegistryError::SharedTag {
            what: s("registry.example/a:1"),
            others: list(&["2", "3"]),
            image: s("docker://registry.example/a@sha256:abc")
        },
        RegistryError::NoCatalogue { host: s("registry.example"), message: String::new() },
        RegistryError::Status { url: url(), status: 413, message: s("too much") },
        RegistryError::Status { url: url(), status: 500, message: String::new() },
        RegistryError::Protocol { url: url(), reason: s("it has no location") },
        RegistryError::WrongDigest { url: url(), wanted: s("sha256:abc"), found: s("sha256:def") },
        RegistryError::TooLong { url: url(), limit: 7 },
        RegistryError::PlainHttp { from: url(), host: s("registry.example"), url: s("http://registry.example:5000/v2/") },
        RegistryError::ForeignRealm { host: s("registry.example"), realm: s("tokens.example") },
        RegistryError::RedirectLoop { url: url() },
        RegistryError::Encoded { url: url(), encoding: s("gzip") },
        RegistryError::WrongPassword { host: s("registry.example"), message: s("UNAUTHORIZED: no") },
        RegistryError::Trust { path: Some(s("ca.pem")), reason: s("it holds none") },
        RegistryError::Trust { path: None, reason: s("it holds none") },
        RegistryError::Proxy("HTTPS_PROXY"),
        RegistryError::Credentials(CredentialError::NoPlace),
        RegistryError::Credentials(CredentialError::File(file("write", std::io::ErrorKind::PermissionDenied))),
        CredentialError::File(file("write", std::io::ErrorKind::PermissionDenied)),
        CredentialError::Malformed { path: s("auth.json"), reason: "it is no object" },
        CredentialError::Helper { helper: s("pass"), verb: "get", reason: s("it is not installed"), said: String::new() },
        CredentialError::Helper { helper: s("sso"), verb: "get", reason: s("exit status: 1"), said: s("token expired") },
        CredentialError::NoPlace,
    ];
    all.push(("RegistryError::Denied", denied(false).into()));
    all.push(("RegistryError::Denied", denied(true).into()));
    all.push((
        "StoreError::Remote",
        StoreError::from(RemoteError::new(RegistryError::Credentials(CredentialError::NoPlace))).into(),
    ));
    all.extend(of_connections());
    let error = StoreError::MissingBlob { store: s("oci:dir"), digest: s("sha256:abc") };
    all.push(("Unread", Unread { what: s("tag `1.0`"), error }.into()));
    hold("of_stores", all);
}
