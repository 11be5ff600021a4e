//! Integration tests, one module per verb.

mod layer;
mod support;
