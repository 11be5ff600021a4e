//! Ways out of what documents, layers and stores refuse.

use std::error::Error;
use std::io;

use plugin_oci::deltas::DeltaError;
use plugin_oci::fs::FileError;
use plugin_oci::interrupt::Overdue;
use plugin_oci::layers::pack::LayerError;
use plugin_oci::layers::tree::TreeError;
use plugin_oci::layers::unpack::{Bound, Exceeded, ExtractError};
use plugin_oci::signatures::keys::KeyError;
use plugin_oci::stores::bucket::BucketError;
use plugin_oci::stores::registry::{CredentialError, RegistryError, TransportError};
use plugin_oci::stores::{StoreError, Unread};
use plugin_oci::values::compression::Compression;
use plugin_oci::values::epoch::EpochError;
use plugin_oci::values::platform::{self, PlatformError};
use plugin_oci::values::reference::{DOCKER_HUB, ReferenceError, RegistryReference, has_transport};
use plugin_oci::values::tag::{Tag, TagError, referrers_suffix};

use super::{ask, of};

pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    ask!(
        error,
        reference: ReferenceError,
        epoch: EpochError,
        platform: PlatformError,
        file: FileError,
        overdue: Overdue,
        tree: TreeError,
        layer: LayerError,
        extract: ExtractError,
        delta: DeltaError,
        exceeded: Exceeded,
        store: StoreError,
        unread: Unread,
        credential: CredentialError,
        registry: RegistryError,
        bucket: BucketError,
        key: KeyError,
    )
}

fn reference(error: &ReferenceError) -> Option<String> {
    match error {
        ReferenceError::NoTransport(text) | ReferenceError::NotThere(text) if is_of_an_engine(text) => of(
            "an image goes into an engine by `copy IMAGE docker-archive:FILE` and `docker load` or `podman load`; out of one, \
             `skopeo copy` brings it to `oci:DIR:TAG`",
        ),
        ReferenceError::NoTransport(text) | ReferenceError::NotThere(text) => {
            let ways = "write `HOST/REPO[:TAG]`, `oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`";
            if let Err(ReferenceError::NoRepository { host }) = RegistryReference::parse(text) {
                return Some(format!("{ways}; of a registry its repository is wanted too: `{host}/REPO`"));
            }
            Some(on_docker_hub(text).map_or_else(|| ways.to_owned(), |hub| format!("{ways}; on Docker Hub it would be `{hub}`")))
        }
        ReferenceError::BadRepository(text) => {
            let (_, rest) = text.split_once("://")?;
            Some(format!("did you mean `{}`?", rest.trim_end_matches('/')))
        }
        ReferenceError::TwoReadings(text) => Some(format!("did you mean `oci:{text}`, or `docker://{text}`?")),
        ReferenceError::NotADirectory(text) if has_transport(text) || !text.contains('/') => {
            of("the directory stands behind the image: give both")
        }
        ReferenceError::NotADirectory(text) => {
            Some(format!("the directory stands behind the image: give both; did you mean the directory `./{text}`?"))
        }
        ReferenceError::NoRepository { host } => Some(format!("name the repository too: `{host}/REPO`")),
        ReferenceError::Credentials { host } => {
            Some(format!("`cargo plugin-build login {host}` keeps credentials, where other tools do too"))
        }
        ReferenceError::ColonInPath(_) => of("choose an output path without a colon"),
        ReferenceError::BadTag(error) => tag(error),
        _ => None,
    }
}

/// Whether it is what other tools call an image in an engine, or a file of one.
fn is_of_an_engine(text: &str) -> bool {
    ["docker-daemon:", "containers-storage:", "docker-archive:"].iter().any(|transport| text.starts_with(transport))
}

/// Versions with build metadata have another spelling as a tag.
fn tag(TagError(text): &TagError) -> Option<String> {
    let mapped = Tag::of_version(text).ok().filter(|_| text.contains('+'))?;
    Some(format!("tags have no `+`: a version's is written `_`, as in `{mapped}`"))
}

/// What a name without a host is there, whose repositories have one or two parts.
fn on_docker_hub(text: &str) -> Option<RegistryReference> {
    RegistryReference::parse(text).ok().filter(|hub| hub.host == DOCKER_HUB && hub.repository.split('/').count() == 2)
}

fn epoch(_: &EpochError) -> Option<String> {
    of("unset it, or set it to a date such as `$(git log -1 --format=%ct)`")
}

fn delta(error: &DeltaError) -> Option<String> {
    match error {
        DeltaError::NoBase { .. } => of("bring the version that it was made for first, or a copy without `--delta`"),
        _ => None,
    }
}

fn unread(_: &Unread) -> Option<String> {
    of("`gc` removes what else is left of it")
}

fn platform(error: &PlatformError) -> Option<String> {
    match error {
        PlatformError::NoTarget(_) | PlatformError::Malformed(_) => {
            let known: Vec<&str> = platform::with_targets().collect();
            Some(format!("one of {}, or give the triple with `--target`", known.join(", ")))
        }
        PlatformError::UnknownTarget(_) => None,
    }
}

fn file(error: &FileError) -> Option<String> {
    match error.source.kind() {
        io::ErrorKind::StorageFull => of("free some space; nothing that was there before has changed"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem if error.what != "read" => {
            of("choose a place that this user may write")
        }
        _ => None,
    }
}

fn overdue(_: &Overdue) -> Option<String> {
    of("see with `-v` what was still at work, or give it more time")
}

fn tree(error: &TreeError) -> Option<String> {
    match error {
        TreeError::Name { .. } | TreeError::Inspect { .. } | TreeError::LinkLoops { .. } => None,
        TreeError::Duplicate { .. } | TreeError::Beneath { .. } => {
            of("two `files` entries place different things there; change `to` of one")
        }
        TreeError::LinkLeaves { .. } => {
            of("make it relative to its own directory and keep it inside, or exclude it from `files`")
        }
        TreeError::LinkTurns { .. } => of("go up first and then down, as in `../lib/x`; hosts refuse to install it otherwise"),
        TreeError::Special { .. } => of("only files, directories and symbolic links can be packed; exclude it from `files`"),
    }
}

fn layer(error: &LayerError) -> Option<String> {
    match error {
        LayerError::Changed { .. } => of("something else is writing there; wait for it and build again"),
        LayerError::Thread { .. } => of("lift the limit on processes (`ulimit -u`, or the container's pids limit)"),
        LayerError::Read { .. } | LayerError::Write { .. } | LayerError::Compress { .. } | LayerError::Stopped => None,
    }
}

fn extract(error: &ExtractError) -> Option<String> {
    match error {
        ExtractError::Decompress { compression: Compression::Zstd, source } if source.to_string().contains("too much memory") => {
            of("if the image is trusted, allow its window with `--max-zstd-window`")
        }
        ExtractError::Destination { .. } => of("name a directory that does not exist yet, or an empty one"),
        _ => None,
    }
}

fn exceeded(error: &Exceeded) -> Option<String> {
    let flag = match error.what {
        Bound::UnpackedBytes => "--max-bytes",
        Bound::Ratio => "--max-ratio",
        Bound::Entries => "--max-entries",
        Bound::PathBytes => "--max-path",
        Bound::Depth => "--max-depth",
        Bound::LinkBytes => "--max-link-bytes",
        Bound::Steps => "--max-steps",
        Bound::DirectoryBytes => "--max-directory-bytes",
        Bound::ReadTogether | Bound::Header(_) => return of("no honest image needs more"),
    };
    Some(format!("if the image is trusted, raise the limit with `{flag}`"))
}

/// Those that are not where the attachments of an image are listed.
fn tags_of_images(tags: &[String]) -> Vec<&str> {
    tags.iter().map(String::as_str).filter(|tag| referrers_suffix(tag).is_none()).collect()
}

fn store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::NoPlatform { available, .. } | StoreError::Ambiguous { available, .. } if available.is_empty() => None,
        StoreError::Tag(error) => tag(error),
        StoreError::NoRepository { .. } => {
            of("check how it is spelled; some registries say the same of what only those may see who are logged in")
        }
        StoreError::NotFound { available, .. } => match tags_of_images(available).as_slice() {
            [] => of("it has no tags"),
            tags => Some(format!("it has {}", tags.join(", "))),
        },
        StoreError::Versions { available, .. } => Some(format!(
            "choose one of {} by `--platform '{}'`, or name the manifest's digest",
            available.join(", "),
            available.first()?
        )),
        StoreError::NoPlatform { available, .. } => Some(format!("it has {}", available.join(", "))),
        StoreError::Ambiguous { available, .. } => {
            Some(format!("add one of these after a colon: {}", tags_of_images(available).join(", ")))
        }
        StoreError::NotALayout { path, .. } if path.join("Cargo.toml").is_file() => {
            let manifest = path.join("Cargo.toml");
            Some(format!("a package lies there: build it with `--manifest-path {}`", manifest.display()))
        }
        StoreError::Untagged { store, available } => {
            let available = available.join(", ");
            Some(format!("name one as `{store}@DIGEST`, or choose with `--platform`; it has {available}"))
        }
        StoreError::Full { .. } => of("remove what nobody needs (`rm` drops a tag), or write to another layout or archive"),
        StoreError::NotAFile { path, .. } if path.is_symlink() => {
            of("`cp -rL DIR COPY` makes a layout whose blobs are files of its own")
        }
        StoreError::Clobber { .. } => of("leave out `--no-clobber` to move the tag"),
        StoreError::Corrupt { .. } => of("`cargo plugin-build verify` lists everything that is wrong"),
        StoreError::MissingBlob { .. } => {
            of("`cargo plugin-build verify` lists everything that is missing; a delta (`--have`) goes only where the rest is")
        }
        StoreError::Vanished { .. } => of("run the command again"),
        _ => None,
    }
}

fn credential(error: &CredentialError) -> Option<String> {
    match error {
        CredentialError::NoPlace => of("name one with `--authfile FILE`"),
        _ => None,
    }
}

fn registry(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Denied { host, known: false, .. } => Some(format!("log in first: `cargo plugin-build login {host}`")),
        RegistryError::Denied { host, known: true, .. } => Some(format!("the credentials for {host} do not allow this")),
        RegistryError::PlainHttp { host, .. } => Some(format!("if that network can be trusted, add `--plain-http {host}`")),
        RegistryError::NoDeletion { .. } => of(
            "registries may be set up to remove nothing (distribution: `storage.delete.enabled`), or only in a page of their own",
        ),
        RegistryError::SharedTag { image, .. } => {
            Some(format!("`cargo plugin-build rm {image}` removes the image under all its tags"))
        }
        RegistryError::NoCatalogue { .. } => of("name a repository: `ls docker://HOST/REPO`"),
        RegistryError::ForeignRealm { realm, .. } => Some(format!("if that is its token server, add `--trust-realm {realm}`")),
        RegistryError::Status { status: 413, .. } => {
            of("a proxy before the registry limits the size of requests: raise its limit (nginx: `client_max_body_size`)")
        }
        RegistryError::Proxy(_) => of("write it as `http://HOST:PORT`, or with `https://`; SOCKS is not spoken"),
        RegistryError::WrongPassword { .. } => of("registries with two-factor login want a token instead of the password"),
        RegistryError::Encoded { .. } => of("whatever stands before the registry is to leave its content as it is"),
        RegistryError::NoConnection { source: TransportError::NotTls, host, is_registry: true, .. } => {
            Some(format!("if that network can be trusted, add `--plain-http {host}`"))
        }
        RegistryError::NoConnection { source: TransportError::NoListener(_), .. } => {
            of("start what is to listen there, or correct host and port")
        }
        RegistryError::NoConnection { source: TransportError::NotAServer, .. } => of(
            "make one for a server (`openssl req -x509 -addext basicConstraints=critical,CA:FALSE ...`) and name it with `--tls-ca FILE`",
        ),
        RegistryError::NoConnection { source: TransportError::Refused(407), proxy, .. } => {
            let variable = proxy.unwrap_or("HTTPS_PROXY");
            Some(format!("give it credentials: `{variable}=http://user:password@HOST:PORT`"))
        }
        RegistryError::NoConnection { source: TransportError::Tls(_), .. } => {
            of("name the registry's own authority with `--tls-ca FILE`")
        }
        RegistryError::Unreachable { source: TransportError::TooSlow(_), .. } => {
            of("try again later, or let it be slower with `--min-speed`")
        }
        _ => None,
    }
}

fn bucket(error: &BucketError) -> Option<String> {
    match error {
        BucketError::Location(_) => of("write `s3://BUCKET/PREFIX`, with letters, digits, `-`, `_` and `.`"),
        BucketError::Endpoint(_) => of("`AWS_ENDPOINT_URL` is to be `https://HOST`"),
        BucketError::NoCredentials { .. } => {
            of("set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or name a profile of `~/.aws/credentials` by `AWS_PROFILE`")
        }
        BucketError::Refused { status: 403, .. } => of(
            "the credentials must allow to list, get, put and delete (`s3:ListBucket`, `s3:GetObject`, `s3:PutObject`, `s3:DeleteObject`)",
        ),
        BucketError::Refused { .. } | BucketError::Listing { .. } => None,
        BucketError::Unconditional { .. } => of("publishers at the same time would undo each other's tags; use a newer server"),
        BucketError::Page { .. } => of("publish to a prefix of its own, or move it away"),
        BucketError::Contended { .. } => of("run the command again"),
        BucketError::InUse { key, .. } => Some(format!("wait until that ends; if it was killed, remove `{key}`")),
    }
}

fn key(error: &KeyError) -> Option<String> {
    match error {
        KeyError::Empty | KeyError::Malformed | KeyError::Label(_) | KeyError::Algorithm => {
            of("`cargo plugin-build keygen` makes a pair of keys that fits")
        }
        KeyError::Private => of("name the file with the public key, `.pub`"),
        KeyError::Public => of("name the file with the private key"),
        KeyError::Password => of("the password is that of `COSIGN_PASSWORD`; without it, it is asked for"),
        KeyError::Encryption => of("`openssl pkcs8 -topk8` writes it anew"),
        KeyError::Expired { .. } => of("name one that is valid today"),
        KeyError::Foreign => of("the certificate of the key comes first in its file, then those that issued it"),
        KeyError::Random => None,
    }
}
