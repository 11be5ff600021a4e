//! Ways out of what a host would not take.

use std::error::Error;

use super::{ask, of};
use plugin_build::hosts::cosmo::contract::ContractError;
use plugin_build::hosts::cosmo::contract::directory::DirectoryError;
use plugin_build::hosts::cosmo::dev::sources::SourcesError;
use plugin_build::hosts::cosmo::dev::touch::TouchError;
use plugin_build::hosts::cosmo::execution::ExecutionError;
use plugin_build::hosts::cosmo::generate;
use plugin_build::hosts::cosmo::generated::{GenerateError, MoreWarnings};
use plugin_build::hosts::cosmo::process::{ApiError, HostError, Stage};
use plugin_build::hosts::cosmo::rules::CosmoError;
use plugin_build::hosts::cosmo::run::RouterError;

pub fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    ask!(
        error,
        host: HostError,
        api: ApiError,
        cosmo: CosmoError,
        router: RouterError,
        contract: ContractError,
        directory: DirectoryError,
        sources: SourcesError,
        touch: TouchError,
        execution: ExecutionError,
        generated: GenerateError,
        more_warnings: MoreWarnings,
        generate: generate::Error,
    )
}

fn host(error: &HostError) -> Option<String> {
    of(match error {
        HostError::Missing { .. } | HostError::Outside { .. } => {
            "the first word of the image's entrypoint is a path from the image's root"
        }
        HostError::NotExecutable { .. } => "the entrypoint must be a regular file of mode 0755",
        HostError::NoInterpreter { .. } => "link the program statically: build for a musl target or with `crt-static`",
        HostError::ExecFormat { .. } => "pick the image of this machine with `--platform`, or build for this machine",
        HostError::Cookie { .. } => {
            "the host sends GRPC_DATASOURCE_PLUGIN=GRPC_DATASOURCE_PLUGIN; the plugin must expect this cookie and no other"
        }
        HostError::Died { stage: Stage::Handshake, .. } => {
            "the plugin gets the host's variables only, no PATH and no HOME, and starts in the image's root"
        }
        HostError::Silent { .. } => {
            "the plugin must print `1|1|unix|PATH|grpc` once it listens, and flush it; `--timeout` sets how long to wait"
        }
        HostError::Closed { .. } => "the plugin must print `1|1|unix|PATH|grpc` to stdout once it listens",
        HostError::Garbage { .. } => {
            "nothing may come before the handshake `1|1|unix|PATH|grpc`: log to stderr, and use no `println!`"
        }
        HostError::CoreVersion { .. } | HostError::AppVersion { .. } => "the handshake begins with `1|1|`",
        HostError::Network { .. } => "the third field of the handshake is `unix` or `tcp`",
        HostError::Protocol { .. } => "the fifth field of the handshake must be `grpc`; without one it means Go's netrpc",
        HostError::Tls => "leave the sixth field of the handshake empty",
        HostError::DeadSocket { .. } => "print the handshake only after the socket is bound and listening",
        HostError::Timeout { .. } => "`--timeout` sets how long to wait",
        HostError::NoHealth { missing: true, .. } => {
            "serve grpc.health.v1.Health (crate tonic-health), with `plugin` as the name of a service that is SERVING"
        }
        HostError::NotHttp { .. } | HostError::NoHealth { missing: false, .. } => {
            "the plugin must speak plaintext HTTP/2 where its handshake says"
        }
        HostError::NotServing { .. } => "set the health of the service named `plugin` to SERVING before the handshake",
        HostError::File(_)
        | HostError::Runtime(_)
        | HostError::Spawn { .. }
        | HostError::Died { .. }
        | HostError::CallFailed { .. } => return None,
    })
}

fn api(error: &ApiError) -> Option<String> {
    match error {
        ApiError::Unknown { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
        ApiError::Unknown { available, .. } if available.is_empty() => of("it has no service with methods"),
        ApiError::Unknown { available, .. } => Some(format!("it has {}", available.join(", "))),
        ApiError::Ambiguous { paths, .. } => Some(format!("say {} or {}", paths[0], paths[1])),
        ApiError::Answer { .. } => of("the plugin was built from another proto than the one used here"),
        _ => None,
    }
}

fn cosmo(error: &CosmoError) -> Option<String> {
    of(match error {
        CosmoError::Platform(_) => "choose among linux, darwin and windows on amd64 and arm64",
        CosmoError::System => "link the program statically, and drop `base` and `bundle-libs`",
        CosmoError::Link(_) => "pack the file itself",
        CosmoError::Entrypoint(_) => "drop `entrypoint`; it is set to the program",
        CosmoError::Missing { .. } => {
            "generate it with `cargo plugin-build generate`, or say where it lies with `contract` in [package.metadata.plugin-build]"
        }
        CosmoError::Stale { .. } | CosmoError::Unmapped { .. } | CosmoError::Unserved { .. } | CosmoError::NoService { .. } => {
            "generate proto and mapping again from the schema, with `cargo plugin-build generate`, or build with `--generate`"
        }
        CosmoError::Schema { .. } | CosmoError::Unreadable { .. } | CosmoError::Streaming { .. } => return None,
    })
}

fn router(error: &RouterError) -> Option<String> {
    match error {
        RouterError::NoProto => of("name the plugin's proto with `--proto`"),
        RouterError::StartupConfig(_) => None,
    }
}

fn contract(error: &ContractError) -> Option<String> {
    match error {
        ContractError::Store(_) => None,
        ContractError::Incomplete { .. } => of("build the image again"),
        ContractError::Absent { .. } => {
            of("copy the image from where it was built with `cargo plugin-build copy`, which carries it")
        }
    }
}

fn directory(error: &DirectoryError) -> Option<String> {
    match error {
        DirectoryError::Differs { .. } => of("name another directory, or overwrite them with `--force`"),
        DirectoryError::InTheWay { .. } => of("move it away"),
    }
}

fn sources(error: &SourcesError) -> Option<String> {
    let SourcesError::Watch { source, .. } = error else { return None };
    if matches!(source.kind, notify::ErrorKind::MaxFilesWatch) { of("raise `fs.inotify.max_user_watches`") } else { None }
}

fn touch(error: &TouchError) -> Option<String> {
    match error {
        TouchError::NotAConfig { .. } => of("name the file that `wgc router compose --out` writes"),
    }
}

fn execution(error: &ExecutionError) -> Option<String> {
    of(match error {
        ExecutionError::Link { .. } => "name the file that it leads to",
        ExecutionError::Malformed { .. } => "`wgc router compose --out FILE` writes one",
        ExecutionError::Changed { .. } => "try again when nothing writes to it",
        ExecutionError::Unknown { .. } => "add it to the graph and compose again, or say which it is with NAME=IMAGE",
        ExecutionError::NotInRegistry { .. } => "push it, and name it as `HOST/REPO[:TAG][@DIGEST]`",
        ExecutionError::NoName { .. } => "say which it is with NAME=IMAGE",
        ExecutionError::NoContract { .. } => "push it with `cargo plugin-build push`, which carries the contract",
        ExecutionError::Composed { .. } => "compose again with the plugins of before, and set their images",
        _ => return None,
    })
}

fn more_warnings(_: &MoreWarnings) -> Option<String> {
    of("`-v` shows them")
}

fn generated(error: &GenerateError) -> Option<String> {
    match error {
        GenerateError::NoPlugin { .. } => of("write the schema to `src/schema.graphql`, or set `kind = \"cosmo-router\"`"),
        GenerateError::Outside { .. } => of("write to a directory of the package"),
        GenerateError::Engine { .. } => None,
    }
}

fn generate(error: &generate::Error) -> Option<String> {
    Some(error.help()).filter(|help| !help.is_empty())
}
