//! The server, as its clients see it.

mod audit;
mod auth;
#[cfg(target_os = "linux")]
mod budget;
mod clients;
mod conformance;
mod early;
mod faults;
mod format;
mod gc;
#[cfg(target_os = "linux")]
mod growth;
mod hostile;
mod mirror;
mod pages;
mod policy;
mod replicas;
mod running;
mod support;
