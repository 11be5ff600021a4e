//! Seccomp on top of namespaces and landlock: which system calls exist inside.
//!
//! A call exists when its number is one that is known here ([`NEWEST`]) and not one of [`FORBIDDEN`]; every other number
//! answers `ENOSYS`, those of a later kernel and of x86-64's second entry with 32-bit pointers (x32, the same numbers with a
//! bit on top) among them. The entries of 32-bit programs are another architecture to the kernel, and calling one kills.
//!
//! | call | exists |
//! |---|---|
//! | `socket`, `socketpair` | for `AF_UNIX`, `AF_INET`, `AF_INET6` and `AF_NETLINK`: all of them are kept in by namespaces, other families (`AF_VSOCK`, to the hypervisor) are not |
//! | `clone` | without new namespaces; `clone3`, whose flags no filter sees, never: C libraries then use `clone` |
//! | `ioctl` | not to type into a terminal (`TIOCSTI`, `TIOCLINUX`) |
//! | keys, other processes' memory and files, `io_uring`, BPF, mounts, namespaces, modules, clocks, .. | never |
//!
//! The session keyring is new, so that what the caller has in its own is not even named by `/proc/keys`.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

use super::protocol::{Failure, Step};

/// The newest call that is known: `mseal`, of Linux 6.10.
const NEWEST: i64 = 462;

/// What no compiler, linker or build script needs, and what reaches beyond the sandbox or deep into the kernel.
const FORBIDDEN: &[i64] = &[
    // Keys.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Machines inside the kernel.
    libc::SYS_bpf,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // Files without a path that the sandbox has.
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Another sandbox.
    libc::SYS_chroot,
    libc::SYS_clone3,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // The whole machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
];

/// The same, where only one architecture has it.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: &[i64] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];

/// The same, where only one architecture has it.
#[cfg(not(target_arch = "x86_64"))]
const FORBIDDEN_HERE: &[i64] = &[];

/// The families of sockets that exist.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Requests that type into a terminal.
const TIOCLINUX: u32 = 0x541c;
const TIOCSTI: u32 = 0x5412;

/// The flags of `clone` that make a namespace; `CLONE_NEWTIME` shares its bit with a signal's number and works in `clone3` only.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// Leaves the caller's session keyring, and takes all other calls away from this process and its children for ever.
pub fn restrict() -> Result<(), Failure> {
    match keyutils::Keyring::join_anonymous_session() {
        Ok(_) => {}
        // A kernel without keys, or a container that allows none to anyone: there is nothing to leave.
        Err(error) if [libc::ENOSYS, libc::EPERM, libc::EACCES].contains(&error.0) => {}
        Err(error) => return Err(Failure::of(Step::Keyring)(io::Error::from_raw_os_error(error.0))),
    }
    let failed = |error: String| Failure::of(Step::Calls)(io::Error::other(error));
    let filter = filter().map_err(|error| failed(error.to_string()))?;
    match apply_filter(&filter) {
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error)) => Err(Failure::of(Step::Calls)(error)),
        done => done.map_err(|error| failed(error.to_string())),
    }
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = (0..=NEWEST).map(|number| (number, Vec::new())).collect();
    for number in FORBIDDEN.iter().chain(FORBIDDEN_HERE) {
        rules.remove(number);
    }
    let condition = |argument, length, operator, value: i64| {
        SeccompCondition::new(argument, length, operator, u64::from_ne_bytes(value.to_ne_bytes()))
    };
    let word = SeccompCmpArgLen::Dword;
    let of_family = |family: i32| SeccompRule::new(vec![condition(0, word.clone(), SeccompCmpOp::Eq, family.into())?]);
    for number in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.insert(number, FAMILIES.into_iter().map(of_family).collect::<Result<_, _>>()?);
    }
    let namespaces = SeccompCmpOp::MaskedEq(u64::from(NAMESPACES.cast_unsigned()));
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![condition(0, SeccompCmpArgLen::Qword, namespaces, 0)?])?]);
    // The kernel reads 32 bits of the request.
    let not = |request: u32| condition(1, word.clone(), SeccompCmpOp::Ne, request.into());
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![not(TIOCSTI)?, not(TIOCLINUX)?])?]);
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    SeccompFilter::new(rules, absent, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_into_the_kernels_limit() {
        const MOST_STEPS: usize = 4096;
        let steps = filter().unwrap().len();
        assert!(steps <= MOST_STEPS, "{steps}");
    }
}
