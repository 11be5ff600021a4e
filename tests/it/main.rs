//! Integration tests, one module per verb.

mod architecture;
mod dependencies;
mod layer;
mod support;
