//! The README and the pages of the book: their commands are run as they stand there, and what they list is what there is.

#![cfg(target_os = "linux")]

mod action;
mod air_gap;
mod book;
mod ci;
mod completions;
mod engines;
mod first;
mod graph;
mod many;
mod moving;
mod openbao;
mod pages;
mod reference;
mod registry;
mod runner;
mod server;
mod signing;
mod wasm_hosts;
