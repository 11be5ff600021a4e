//! Why the kernel will not: from a failed step and what the system says about itself to a reason and a cure.
//!
//! A step fails with `EPERM` for half a dozen causes. Each leaves a trace that anyone may read; the first that fits is
//! named.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::protocol::{Failure, Step};

/// What the system says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The limits below `/proc/sys/user`, with their names.
    pub limits: Vec<(&'static str, u64)>,
    /// `kernel.apparmor_restrict_unprivileged_userns`: Ubuntu since 23.10.
    pub apparmor_restricts: bool,
    /// `kernel.unprivileged_userns_clone` is 0: Debian before 11, hardened kernels.
    pub clone_forbidden: bool,
    /// A seccomp filter is on this process, as containers have.
    pub seccomp: bool,
    /// An `AppArmor` profile is on this process, as Docker's containers have.
    pub apparmor_profile: Option<String>,
    /// This is root without the capability to map root's id into a namespace.
    pub powerless_root: bool,
    /// Files of `/proc` are covered, as in containers.
    pub masked_proc: bool,
}

/// What blocks, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What blocks.
    pub cause: String,
    /// What helps.
    pub cure: String,
}

/// `CAP_SETFCAP`, since Linux 5.12 what it takes to map the id 0 (`user_namespaces(7)`).
const SETFCAP: u64 = 1 << 31;

const LIMITS: [&str; 6] = [
    "max_user_namespaces",
    "max_mnt_namespaces",
    "max_net_namespaces",
    "max_pid_namespaces",
    "max_ipc_namespaces",
    "max_uts_namespaces",
];

impl Facts {
    /// Reads them.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let limits = LIMITS.iter().filter_map(|name| Some((*name, text(&format!("/proc/sys/user/{name}")).parse().ok()?)));
        let status = text("/proc/self/status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let profile = text("/proc/self/attr/current");
        let mounts = text("/proc/self/mountinfo");
        Self {
            limits: limits.collect(),
            apparmor_restricts: text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1",
            clone_forbidden: text("/proc/sys/kernel/unprivileged_userns_clone") == "0",
            seccomp: field("Seccomp:").is_some_and(|mode| mode != "0"),
            apparmor_profile: Some(profile).filter(|profile| !profile.is_empty() && !profile.starts_with("unconfined")),
            powerless_root: field("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
                && field("CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok()).is_some_and(|set| set & SETFCAP == 0),
            masked_proc: mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(4))
                .any(|at| at != "/proc" && Path::new(at).starts_with("/proc") && !at.starts_with("/proc/sys/fs/binfmt_misc")),
        }
    }

    pub fn explain(&self, failure: &Failure) -> Reason {
        let reason = |cause: String, cure: &str| Reason { cause, cure: cure.to_owned() };
        let at = failure.path.as_ref().map(|path| format!(" at {}", path.display())).unwrap_or_default();
        let plain = format!("{} failed{at}: {}", failure.step, failure.detail);
        let denied = failure.is_denied();
        match failure.step {
            Step::Landlock => reason(
                format!("this kernel enforces no landlock rules ({})", failure.detail),
                "use a kernel of 5.13 or later with landlock among its security modules (boot with `lsm=landlock,...`)",
            ),
            Step::Calls => reason(
                format!("this kernel takes no seccomp filter ({})", failure.detail),
                "use a kernel with CONFIG_SECCOMP_FILTER on x86-64, arm64 or riscv64, or a container whose own filter allows one",
            ),
            Step::Keyring if failure.is_exhausted() || failure.errno == Some(nix::libc::EDQUOT) => reason(
                "there is no room for another session keyring: this user's quota of keys is used up".to_owned(),
                "as root: sysctl kernel.keys.maxkeys=2000",
            ),
            Step::Unshare if failure.is_exhausted() => self.exhausted(&plain),
            Step::Unshare | Step::Map | Step::Nest if denied && self.clone_forbidden => reason(
                "unprivileged user namespaces are off: /proc/sys/kernel/unprivileged_userns_clone is 0".to_owned(),
                "as root: sysctl kernel.unprivileged_userns_clone=1",
            ),
            Step::Unshare | Step::Map | Step::Mount | Step::Proc | Step::Nest if denied && self.apparmor_restricts => reason(
                "AppArmor restricts unprivileged user namespaces: kernel.apparmor_restrict_unprivileged_userns is 1".to_owned(),
                "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this program an AppArmor profile with \
                 `userns,`",
            ),
            Step::Map if denied && self.powerless_root => reason(
                "root lacks the capability CAP_SETFCAP here, without which it maps no ids".to_owned(),
                "start the container with `--cap-add SETFCAP`, or build as another user",
            ),
            Step::Proc if denied && self.masked_proc => reason(
                "the container covers parts of /proc, so that the kernel allows no new one".to_owned(),
                "start the container with `--security-opt systempaths=unconfined` (podman: `unmask=ALL`)",
            ),
            Step::Mount | Step::Proc if denied && self.apparmor_profile.is_some() => reason(
                format!("AppArmor's profile `{}` forbids mounts", self.apparmor_profile.as_deref().unwrap_or_default()),
                "start the container with `--security-opt apparmor=unconfined`",
            ),
            Step::Unshare | Step::Map | Step::Mount | Step::Proc | Step::Nest if denied && self.seccomp => reason(
                format!("a seccomp filter, as containers have, forbids namespaces ({plain})"),
                "start the container with `--security-opt seccomp=unconfined`",
            ),
            _ => {
                reason(plain, "try it on a machine, or in a container, where `unshare --user --map-root-user --mount true` works")
            }
        }
    }

    /// A limit is reached, or there are no user namespaces at all.
    fn exhausted(&self, plain: &str) -> Reason {
        match self.limits.iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => Reason {
                cause: format!("namespaces are off here: /proc/sys/user/{name} is 0"),
                cure: format!("as root: sysctl user.{name}=15000"),
            },
            None => Reason {
                cause: format!("{plain}; a limit below /proc/sys/user is reached, or namespaces are nested too deeply"),
                cure: "raise the limits, as root: sysctl user.max_user_namespaces=15000".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(facts: &Facts, step: Step, errno: i32) -> String {
        facts.explain(&Failure { step, path: None, errno: Some(errno), detail: "no".to_owned() }).cause
    }

    const EPERM: i32 = 1;
    const EACCES: i32 = 13;
    const ENOSPC: i32 = 28;

    #[test]
    fn each_cause_is_named() {
        let plain = Facts::default();
        let off = Facts { limits: vec![("max_user_namespaces", 0)], ..plain.clone() };
        assert!(cause(&off, Step::Unshare, ENOSPC).contains("/proc/sys/user/max_user_namespaces is 0"));
        let limited = Facts { limits: vec![("max_user_namespaces", 5)], ..plain.clone() };
        assert!(cause(&limited, Step::Unshare, ENOSPC).contains("limit"));
        let ubuntu = Facts { apparmor_restricts: true, ..plain.clone() };
        assert!(cause(&ubuntu, Step::Mount, EACCES).contains("apparmor_restrict_unprivileged_userns"));
        let docker = Facts { seccomp: true, apparmor_profile: Some("docker-default".into()), masked_proc: true, ..plain.clone() };
        assert!(cause(&docker, Step::Unshare, EPERM).contains("seccomp"));
        assert!(cause(&docker, Step::Mount, EACCES).contains("docker-default"));
        assert!(cause(&docker, Step::Proc, EPERM).contains("/proc"));
        let bare = Facts { powerless_root: true, seccomp: true, ..plain.clone() };
        assert!(cause(&bare, Step::Map, EPERM).contains("CAP_SETFCAP"));
        let debian = Facts { clone_forbidden: true, ..plain.clone() };
        assert!(cause(&debian, Step::Unshare, EPERM).contains("unprivileged_userns_clone"));
        assert!(cause(&plain, Step::Calls, EPERM).contains("seccomp"));
        assert!(cause(&plain, Step::Keyring, 122).contains("quota"));
        assert!(cause(&plain, Step::Landlock, 95).contains("landlock"));
        assert!(cause(&plain, Step::Mount, EPERM).contains("no"));
    }
}
