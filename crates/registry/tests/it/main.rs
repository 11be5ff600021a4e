//! The server, as its clients see it.

mod auth;
mod clients;
mod conformance;
mod format;
mod gc;
mod hostile;
mod pages;
mod replicas;
mod running;
mod support;
