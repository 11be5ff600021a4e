//! Errors of what is done with images.

use plugin_build::build::kinds::Kind;
use plugin_build::images::attach::AttachError;
use plugin_build::images::attached::AbsentError;
use plugin_build::images::copy::CopyError;
use plugin_build::images::diff::DiffError;
use plugin_build::images::install::InstallError;
use plugin_build::images::login::LoginError;
use plugin_build::images::rebuild::RebuildError;
use plugin_build::images::remove::RemoveError;
use plugin_build::images::run::RunError;
use plugin_build::images::sign::{AttachedError, SignError};
use plugin_build::images::signer::SignerError;
use plugin_build::images::unpack::UnpackError;
use plugin_build::templates::TemplateError;
use plugin_build::templates::new::NewError;
use plugin_oci::documents::json;
use plugin_oci::signatures::Fault;
use plugin_oci::trust::PolicyError;
use plugin_oci::values::digest::Digest;
use plugin_oci::values::reference::ReferenceError;
use plugin_oci::values::tag::TagError;

use super::{errors, hold, list, path, refused, s, status};

#[test]
fn of_images() {
    let manifest = Digest::of(b"a");
    let all = errors![
        UnpackError::NotATar { manifest: manifest.clone(), media_type: s("text/plain") },
        UnpackError::LayerCount { manifest: manifest.clone(), layers: 1, diff_ids: 2 },
        AttachError::MediaType(s("sbom")),
        AttachError::NoName(path("a/..")),
        AttachError::SameName(s("bom.json")),
        AttachError::TooLarge { limit: 64 },
        AttachError::Absent { image: s("oci:dir:1.0"), wanted: s("text/plain") },
        SignError::Attached { digest: manifest.clone(), what: "SBOM", source: json::parse(b"{").unwrap_err().into() },
        SignError::Attached {
            digest: manifest.clone(),
            what: "provenance",
            source: AttachedError::Statement(Fault::missing("it has none"))
        },
        PolicyError::Shape(s("it is empty")),
        PolicyError::NotJudged(s("signedBy")),
        SignerError::Run(refused()),
        SignerError::Status(status()),
        SignerError::Wrong(7),
        SignError::Predicate(json::parse(b"{").unwrap_err()),
        AttachedError::Json(json::parse(b"{").unwrap_err()),
        AbsentError::Attached { what: "SBOM", image: manifest.clone() },
        InstallError::NoName { image: s("sha256:abc") },
        InstallError::Several { names: list(&["a", "b"]) },
        InstallError::BadName { name: s("../a") },
        InstallError::Disagree { path: s("share/a") },
        InstallError::InTheWay { path: path("plugins/a") },
        InstallError::Empty { plugins_dir: path("plugins") },
        InstallError::Absent { name: s("a"), plugins_dir: path("plugins") },
        InstallError::NoPrevious { name: s("a") },
        InstallError::BadRecord { path: path("record.json"), source: json::parse(b"{").unwrap_err() },
        InstallError::UnknownRecord { path: path("record.json") },
        InstallError::Link { path: path("plugins/a"), source: refused() },
        RemoveError::NoTag("oci:dir".parse().unwrap()),
        RemoveError::Archive("oci-archive:a.tar:1.0".parse().unwrap()),
        LoginError::NoHost(s("plain")),
        LoginError::NoCredentials(s("registry.example")),
        RebuildError::NoRequest { image: s("sha256:abc") },
        RebuildError::BadRequest { image: s("sha256:abc"), detail: s("it has no package") },
        RebuildError::Format { format: s("9") },
        RebuildError::NotRebuildable { image: s("sha256:abc"), flags: list(&["-L<path>"]) },
        RebuildError::Within { path: path("a/b"), image: path("a") },
        RebuildError::Foreign { file: path("a.toml") },
        RebuildError::UnknownBase { name: s("docker.io/a/b") },
        RebuildError::Sources { root: path("a"), source: ignore::Error::Io(refused()) },
        RebuildError::Nothing,
        RunError::NotAProcess { kind: Kind::Wasm },
        RunError::NotAProcess { kind: Kind::ProxyWasm },
        RunError::NotAProcess { kind: Kind::Library },
        RunError::OpenCache { path: path("/cache") },
        RunError::UnknownKind { kind: s("x") },
        RunError::Artifact { artifact_type: s("x/y") },
        RunError::Arguments,
        RunError::NoEntrypoint { image: s("oci:dir") },
        RunError::NoProgram { program: s("/a") },
        RunError::Outside { program: s("/a"), target: path("/b") },
        RunError::Libraries { program: s("/a"), why: s("it names a path") },
        RunError::Exec { path: path("/a"), source: std::io::ErrorKind::NotFound.into() },
        RunError::Exec { path: path("/a"), source: refused() },
        DiffError::SetAside { object: s("a"), source: refused() },
        CopyError::Conflict("--all", "--into-index"),
        CopyError::AllOfOne,
        CopyError::DeltaToRegistry,
        CopyError::DeltaOfList(s("have")),
        CopyError::OneTag(2),
        CopyError::DigestAtDestination,
        CopyError::NotForDocker { digest: s("sha256:abc"), media_type: s("a/b") },
        CopyError::InTheWay(path("image.tar")),
        CopyError::Inflates(s("sha256:abc")),
        CopyError::SeveralNames(list(&["a", "b"])),
        CopyError::SameTag { tag: s("1.0"), first: s("sha256:abc"), second: s("sha256:def") },
        CopyError::NoName(s("sha256:abc")),
        CopyError::Unspeakable { digest: s("sha256:abc"), source: ReferenceError::BadTag(TagError(s("!"))) },
        CopyError::Untagged(s("sha256:abc")),
        CopyError::Nothing(s("oci:dir")),
        CopyError::Annotation { key: s("k"), values: list(&["a", "b"]) },
        CopyError::ArtifactTypes,
        CopyError::SamePlatform { platform: s("linux/amd64"), first: s("sha256:abc"), second: s("sha256:def") },
        CopyError::NoPlatform(s("sha256:abc")),
        CopyError::DigestList { path: s("have"), line: 2 },
    ];
    hold("of_images", all);
}

#[test]
fn of_templates() {
    let all = errors![
        TemplateError::Unknown { name: s("x") },
        TemplateError::Name { name: s("fn"), reason: s("it is a word of the language") },
        TemplateError::Dependency { name: s("tonic"), template: "cosmo-router" },
        NewError::NotADirectory { path: path("a") },
        NewError::NotEmpty { path: path("a") },
        NewError::Conflicts { dir: path("a"), names: list(&["Cargo.toml", "src"]) },
    ];
    hold("of_templates", all);
}
