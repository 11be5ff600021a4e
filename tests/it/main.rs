//! Integration tests, one module per verb.

mod architecture;
mod attachment;
mod base;
mod build;
mod compile;
mod dependencies;
mod diff;
mod executable;
mod extract;
mod install;
mod hermetic;
mod go_host;
mod host;
mod hostile;
mod layer;
mod layout;
mod new;
mod plan;
mod plugin;
mod registry;
mod run;
mod sources;
mod support;
mod templates;
mod unpack;
mod wasm;
