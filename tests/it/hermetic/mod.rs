//! `--hermetic`: what a build script can reach without it, and no longer with it; where it refuses; what it leaves.
//!
//! Everything runs as root and as an ordinary user, whoever runs the tests. Where the system has no user namespaces at
//! all (asked by `unshare`, not by us), the tests say so and return.

#![cfg(target_os = "linux")]

mod calls;
mod configuration;
mod digests;
mod fetching;
mod fresh;
mod landlock;
mod lifetime;
mod links;
mod rebuild;
mod refusals;
mod repository;
mod scene;
mod spy;
mod timeout;
mod told;
