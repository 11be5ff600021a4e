//! Looks into what cargo produced.
