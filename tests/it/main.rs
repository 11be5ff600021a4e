//! Integration tests, one module per verb.

mod architecture;
mod dependencies;
mod layer;
mod new;
mod support;
