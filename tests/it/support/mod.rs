//! What several test modules share.

#[path = "../../../fixtures/hostile/archive.rs"]
pub mod archive;
pub mod docker_registry;
pub mod http_server;
pub mod layouts;
pub mod memory_registry;
pub mod plugins;
pub mod program;
pub mod project;
pub mod recorder;
pub mod sample;
pub mod tools;
pub mod trees;
