//! The server, as its clients see it.

mod clients;
mod conformance;
mod format;
mod support;
