//! The recipes of the README, run as they stand there: what a reader copies is what was tried.

#![cfg(target_os = "linux")]

mod air_gap;
mod ci;
mod readme;
mod runner;
