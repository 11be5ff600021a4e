//! Hosts that load plugins and want more than an image: one room each.

pub mod cosmo;
