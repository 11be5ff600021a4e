//! Helpers.

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/browser.rs"]
pub mod browser;
pub mod client;
pub mod program;
pub mod server;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/tools.rs"]
pub mod tools;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../../tests/it/support/web.rs"]
pub mod web;
