//! What several test modules share.

pub mod browser;
pub mod container;
pub mod docker_registry;
pub mod elf;
pub mod ferro_registry;
#[path = "../../../fuzz/bodies.rs"]
pub mod fuzz_bodies;
pub mod git;
#[path = "../../../fixtures/hostile/mod.rs"]
pub mod hostile;
pub mod http_server;
pub mod layouts;
#[allow(dead_code, reason = "the server's tests use the rest")]
pub mod memory_bucket;
pub mod memory_registry;
pub mod namespaces;
pub mod npm;
pub mod packed;
pub mod plugins;
pub mod program;
pub mod project;
pub mod proxy;
pub mod recorder;
pub mod registry_cache;
pub mod sample;
pub mod second_compiler;
pub mod tools;
pub mod trees;
pub mod web;
pub mod wgc;
