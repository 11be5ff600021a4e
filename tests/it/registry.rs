//! Registries: a real one, and an in-process one for what real ones do not do.

mod real;
