//! The environment that the build sees: a few of the caller's variables, and fixed ones.
//!
//! A variable passes when it decides about bytes or about how cargo looks, and none of the known ways to hand over a
//! secret matches. Everything else stays outside, `*_TOKEN` and `SSH_AUTH_SOCK` with it. A build that needs another one
//! names it in the `[env]` table of its `.cargo/config.toml`, where it belongs to the sources.
//!
//! `RUSTC_WRAPPER` is off: it is a cache on the network or a server outside, and both are out of reach.
//! `RUSTC_WORKSPACE_WRAPPER` stays outside, but is not set to nothing: cargo takes even that into its hashes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::build::toolchain::config::variable_name;
use plugin_oci::environment::Environment;

/// An empty directory: nothing to find, nothing to leave.
pub const HOME: &str = "/homeless";

/// Where temporary files go.
pub const TMP: &str = "/tmp";

/// What passes by its whole name.
const NAMES: [&str; 13] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CONST_RANDOM_SEED",
    "CRATE_CC_NO_DEFAULTS",
    "MACOSX_DEPLOYMENT_TARGET",
    "NO_COLOR",
    "RUSTC_BOOTSTRAP",
    "RUSTFLAGS",
    "RUST_BACKTRACE",
    "RUST_MIN_STACK",
    "SOURCE_DATE_EPOCH",
    "TERM",
    "ZERO_AR_DATE",
];

/// What passes by the front of its name.
const FAMILIES: [&str; 5] = ["CARGO_BUILD_", "CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_TERM_", "CARGO_UNSTABLE_"];

/// What passes alone, after `TARGET_` or `HOST_`, and before `_<target>`.
const TOOLS: [&str; 10] = ["AR", "ARFLAGS", "AS", "CC", "CFLAGS", "CXX", "CXXFLAGS", "CXXSTDLIB", "LD", "RANLIB"];

/// What never passes, whatever family it belongs to: wrappers, and directories that are decided by the plan.
const NEVER: [&str; 5] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_TARGET_DIR",
];

/// Whether a variable of the caller passes.
pub fn passes(name: &str) -> bool {
    !NEVER.contains(&name)
        && (NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family)) || names_a_tool(name))
}

/// Whether a variable is about a C tool: `CC`, `TARGET_CC`, `CC_x86_64-unknown-linux-musl`.
pub fn names_a_tool(name: &str) -> bool {
    let plain = name.strip_prefix("TARGET_").or_else(|| name.strip_prefix("HOST_")).unwrap_or(name);
    TOOLS.iter().any(|tool| plain == *tool || of_target(name, tool))
}

/// Whether the rest of a name is a target: `_<architecture>-<vendor>-<system>`, its dashes possibly underscores.
fn of_target(name: &str, tool: &str) -> bool {
    let rest = name.strip_prefix(tool).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|target| target.starts_with(|c: char| c.is_ascii_lowercase()) && target.contains(['-', '_']))
}

/// Variables that name a file or directory of certificates.
pub const TRUST: [&str; 5] = ["CARGO_HTTP_CAINFO", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Nothing that the sources name stands between cargo and the toolchain's own compiler.
pub fn quiet(rustc: &Path) -> BTreeMap<String, String> {
    let off =
        ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"].map(|name| (name.to_owned(), String::new()));
    off.into_iter().chain([("RUSTC".to_owned(), rustc.display().to_string())]).collect()
}

/// What fetching gets beside the rest: how the caller reaches the network, and tokens for the registries that the caller names.
pub fn to_fetch(env: &Environment, registries: &[String]) -> BTreeMap<String, String> {
    const PROXIES: [&str; 4] = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    let of_registry = |name: &str| {
        registries.iter().any(|registry| {
            let known = format!("CARGO_REGISTRIES_{}_", variable_name(registry));
            name.strip_prefix(&known).is_some_and(|key| ["INDEX", "PROTOCOL", "TOKEN"].contains(&key))
        })
    };
    let passes = |name: &str| {
        let upper = name.to_uppercase();
        PROXIES.contains(&upper.as_str())
            || TRUST.contains(&name)
            || name.starts_with("CARGO_HTTP_")
            || name.starts_with("CARGO_NET_")
            || of_registry(name)
    };
    let texts = env.vars().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    let own = texts.filter(|(name, _)| passes(name)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fixed = [
        // What cargo knows of the caches' age lies outside: nothing is to be cleaned up by what is seen here.
        ("CARGO_CACHE_AUTO_CLEAN_FREQUENCY", "never"),
        // Helpers would want the home directory, an agent, a keyring.
        ("CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS", "cargo:token"),
    ];
    own.chain(fixed.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}

pub struct Fixed {
    /// Where programs are, strongest first.
    pub path: Vec<PathBuf>,
    pub cargo_home: Option<PathBuf>,
    /// The compiler, where it is not the first on `path`.
    pub rustc: Option<PathBuf>,
    /// Where intermediate files go, where that is not the target directory.
    pub build_directory: Option<PathBuf>,
}

/// The whole environment.
pub fn variables(env: &Environment, fixed: &Fixed) -> BTreeMap<String, String> {
    let texts = env.vars().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
    let mut variables: BTreeMap<String, String> =
        texts.filter(|(name, _)| passes(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let path: Vec<String> = fixed.path.iter().map(|path| path.display().to_string()).collect();
    let always = [
        ("CARGO_NET_OFFLINE", "true"),
        ("HOME", HOME),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", &path.join(":")),
        ("RUSTC_WRAPPER", ""),
        ("TMPDIR", TMP),
        ("TZ", "UTC"),
        // Caches of the zig drivers, which would go to the home directory.
        ("XDG_CACHE_HOME", "/tmp/cache"),
        ("ZIG_GLOBAL_CACHE_DIR", "/tmp/cache/zig"),
    ];
    variables.extend(always.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let paths = [("CARGO_HOME", &fixed.cargo_home), ("RUSTC", &fixed.rustc), ("CARGO_BUILD_BUILD_DIR", &fixed.build_directory)];
    for (name, path) in paths {
        variables.extend(path.iter().map(|path| (name.to_owned(), path.display().to_string())));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_about_bytes_passes_and_secrets_do_not() {
        let passing = [
            "RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER",
            "CC",
            "TARGET_CFLAGS",
            "CC_x86_64-unknown-linux-musl",
            "CFLAGS_aarch64_unknown_linux_gnu",
        ];
        for name in passing {
            assert!(passes(name), "{name}");
        }
        let staying = [
            "MY_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_PRIVATE_TOKEN",
            "SSH_AUTH_SOCK",
            "GITHUB_TOKEN",
            "CC_TOKEN",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "AR_TOKEN",
            "AS_A_SECRET",
            "HOME",
            "PATH",
            "CARGO_HTTP_PROXY",
            "RUSTC_WRAPPER",
            "CARGO_BUILD_RUSTC_WRAPPER",
        ];
        for name in staying {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn home_and_path_are_ours() {
        let env = Environment::new([("HOME".into(), "/home/me".into()), ("PATH".into(), "/home/me/bin".into())], "/w");
        let fixed =
            Fixed { path: vec!["/a/bin".into(), "/usr/bin".into()], cargo_home: None, rustc: None, build_directory: None };
        let variables = variables(&env, &fixed);
        assert_eq!((variables["HOME"].as_str(), variables["PATH"].as_str()), ("/homeless", "/a/bin:/usr/bin"));
    }
}
