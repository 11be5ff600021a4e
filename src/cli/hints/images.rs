//! Ways out of what is refused to be done with images, and of templates.

use std::error::Error;

use super::{ask, of};
use plugin_build::images::copy::CopyError;
use plugin_build::images::diff::DiffError;
use plugin_build::images::install::InstallError;
use plugin_build::images::login::LoginError;
use plugin_build::images::rebuild::RebuildError;
use plugin_build::images::remove::RemoveError;
use plugin_build::images::run::RunError;
use plugin_build::images::unpack::UnpackError;
use plugin_build::images::verify::NoContract;
use plugin_build::templates::new::NewError;
use plugin_build::templates::{TEMPLATES, TemplateError};
use plugin_oci::trust::PolicyError;

pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    ask!(
        error,
        unpack: UnpackError,
        install: InstallError,
        rebuild: RebuildError,
        run: RunError,
        diff: DiffError,
        copy: CopyError,
        login: LoginError,
        remove: RemoveError,
        no_contract: NoContract,
        new: NewError,
        template: TemplateError,
        policy: PolicyError,
    )
}

fn login(error: &LoginError) -> Option<String> {
    match error {
        LoginError::NoHost(_) => of("name it as in references, such as `registry.example.com:5000`"),
        LoginError::NoCredentials(_) => None,
    }
}

fn remove(error: &RemoveError) -> Option<String> {
    match error {
        RemoveError::NoTag(_) => None,
        RemoveError::Archive(_) => of("copy what is to stay into another"),
    }
}

fn no_contract(_: &NoContract) -> Option<String> {
    of("`contract` and `router set` need it: `cargo plugin-build copy` carries it from where the image was built")
}

fn unpack(error: &UnpackError) -> Option<String> {
    match error {
        UnpackError::NotATar { .. } => of("`copy` moves artifacts of any type as they are"),
        UnpackError::LayerCount { .. } => None,
    }
}

fn install(error: &InstallError) -> Option<String> {
    match error {
        InstallError::NoName { .. } => of("give one with `--name`"),
        InstallError::Several { .. } => of("choose one with `--name`"),
        InstallError::BadName { .. } => of("a name is letters, digits, `.`, `_` and `-`, and starts with a letter or digit"),
        InstallError::Disagree { .. } => of("choose one platform with `--platform`"),
        InstallError::InTheWay { .. } => of("move it away, or install under another `--name`"),
        InstallError::BadRecord { .. } | InstallError::UnknownRecord { .. } => of("remove the record and install again"),
        InstallError::Link { .. } => of("`--copy` needs no links"),
        InstallError::Empty { .. } | InstallError::Absent { .. } | InstallError::NoPrevious { .. } => None,
    }
}

fn rebuild(error: &RebuildError) -> Option<String> {
    match error {
        RebuildError::NotRebuildable { .. } => of("give such flags in the sources' own .cargo/config.toml, with relative paths"),
        RebuildError::Within { .. } => of("call it in the sources, with the image in a directory of its own"),
        RebuildError::Foreign { .. } => of("commit it, or it is not known what it is made from"),
        RebuildError::UnknownBase { .. } => of("give it with `--base`, as it was given to `build`"),
        RebuildError::BadRequest { .. } | RebuildError::Format { .. } => of("use the version that built it, or a later one"),
        RebuildError::NoRequest { .. } | RebuildError::Sources { .. } | RebuildError::Nothing => None,
    }
}

fn run(error: &RunError) -> Option<String> {
    match error {
        RunError::NotAProcess { kind } => kind.loaded_by().map(str::to_owned),
        RunError::UnknownKind { .. } => of("a later version of this tool may know it"),
        RunError::Artifact { .. } => of("`inspect` shows what is in it, `copy` moves it"),
        RunError::Exec { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            of("its interpreter or dynamic loader does not exist here; static programs need none")
        }
        RunError::Libraries { .. } => of("run it in a container"),
        RunError::NoEntrypoint { .. } => of("name a program of the image after `--`"),
        RunError::OpenCache { .. } => of("choose another with `--cache-dir`"),
        _ => None,
    }
}

fn diff(error: &DiffError) -> Option<String> {
    match error {
        DiffError::SetAside { .. } => of("large files are compared in the directory for temporary files (TMPDIR)"),
    }
}

fn copy(error: &CopyError) -> Option<String> {
    match error {
        CopyError::SeveralNames(_) => of("end the destination with a slash to push each to a repository of its own below it"),
        CopyError::Annotation { .. } => of("build the platforms from the same sources and settings"),
        CopyError::DeltaOfList(_) => of("give the store that it lists, or leave `--delta` out"),
        CopyError::DigestList { .. } => of("`--have` takes `oci:DIR`, `oci-archive:FILE`, or a file with one digest a line"),
        _ => None,
    }
}

fn new(error: &NewError) -> Option<String> {
    match error {
        NewError::NotEmpty { .. } => of("use `init` to add the template's files to a directory that has others"),
        NewError::Conflicts { names, .. } if names.iter().any(|name| name == "Cargo.toml") => {
            of("a package needs nothing to be built: call `cargo plugin-build` in it; what it is and takes along can be said in \
                `[package.metadata.plugin-build]` of its Cargo.toml")
        }
        NewError::Conflicts { .. } => of("move these away, or start in another directory"),
        NewError::NotADirectory { .. } => None,
    }
}

fn template(error: &TemplateError) -> Option<String> {
    match error {
        TemplateError::Unknown { .. } => {
            let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
            Some(format!("templates are {}", names.join(", ")))
        }
        TemplateError::Name { .. } | TemplateError::Dependency { .. } => of("choose another with `--name`"),
    }
}

fn policy(error: &PolicyError) -> Option<String> {
    match error {
        PolicyError::NotJudged(_) => of("`sigstoreSigned` with keys, `insecureAcceptAnything` and `reject` are judged"),
        PolicyError::Shape(_) => None,
    }
}
