//! Helpers.

pub mod azure;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/browser.rs"]
pub mod browser;
pub mod client;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/http_server.rs"]
pub mod http_server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/memory_bucket.rs"]
pub mod memory_bucket;
#[path = "../../../../../tests/it/support/npm.rs"]
pub mod npm;
pub mod program;
pub mod server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/tools.rs"]
pub mod tools;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/web.rs"]
pub mod web;
