//! Pages for people of what a registry holds: a list of repositories, the tags of each, and what an image is.
//!
//! | file | holds |
//! |---|---|
//! | `image.rs` | what is shown of an image, read from any store |
//! | `pages.rs` | the three kinds of pages, as HTML |
//! | `published.rs` | the pages of a bucket, beside the registry that it is |
//!
//! What stands in an image was written by strangers: every text is escaped for a person and for HTML, only `http` and `https`
//! addresses become links, and a page says itself that it loads and runs nothing (Content Security Policy, level 3).

mod image;
mod pages;
mod published;

pub use image::{Image, OnPlatform, Repository, Summary, sorted};
pub use pages::{image_page, repositories_page, repository_page};
pub use published::Catalogue;

/// Where the page of a repository is.
pub fn repository_path(name: &str) -> String {
    format!("catalogue/{name}/_.html")
}

/// Where the page of a tag is. No part of a repository's name is `_`.
pub fn image_path(name: &str, tag: &str) -> String {
    format!("catalogue/{name}/_/{tag}.html")
}

/// The list of repositories.
pub const LIST_PATH: &str = "index.html";
