//! The three kinds of pages, as HTML.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, html};

use super::image::{Image, OnPlatform, Summary};
use super::{LIST_PATH, image_path, repository_path};
use crate::deltas;
use crate::signatures::{bundle, notation, statement};
use crate::values::text::{field, human_size};

/// A page may show what stands in it, and nothing else.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("style.css");

/// What links lead to: from a page so deep in the directories, `..` as often.
fn link(depth: usize, path: &str) -> String {
    "../".repeat(depth) + path
}

/// How deep a page lies.
fn depth(path: &str) -> usize {
    path.matches('/').count()
}

fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="cargo-plugin-build";
                title { (field(title)) }
                link rel="icon" href="data:,";
                style { (maud::PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    page.into_string()
}

/// The list of repositories, of a registry at this host; and where it goes on.
pub fn repositories_page(host: &str, repositories: &BTreeMap<String, Summary>, more: Option<&str>) -> String {
    let body = html! {
        h1 { "Plugins at " (field(host)) }
        @if repositories.is_empty() { p { "Nothing is here yet." } } @else {
            table {
                thead { tr { th scope="col" { "Repository" } th scope="col" { "What it is" } th scope="col" { "Highest tag" } th scope="col" { "Tags" } } }
                tbody {
                    @for (name, about) in repositories {
                        tr {
                            th scope="row" { a href=(repository_path(name)) { (field(name)) } }
                            td { (about.description.as_deref().map(field).unwrap_or_default()) }
                            td { a href=(image_path(name, &about.highest)) { (field(&about.highest)) } }
                            td { (about.tags) }
                        }
                    }
                }
            }
        }
        (following(more))
    };
    page(&format!("Plugins at {host}"), &body)
}

/// Tags of a repository, in this order; and where the list goes on.
pub fn repository_page(host: &str, name: &str, images: &[(&str, &Image)], more: Option<&str>) -> String {
    let up = depth(&repository_path(name));
    let body = html! {
        nav { a href=(link(up, LIST_PATH)) { "All repositories" } }
        h1 { (field(name)) }
        table {
            thead { tr { th scope="col" { "Tag" } th scope="col" { "Platforms" } th scope="col" { "Size" } th scope="col" { "Attached" } } }
            tbody {
                @for (tag, image) in images {
                    tr {
                        th scope="row" { a href=(link(up, &image_path(name, tag))) { (field(tag)) } }
                        td { (platforms(&image.platforms)) }
                        td { (sizes(&image.platforms)) }
                        td { (image.attached.iter().map(|kind| attached(kind)).collect::<Vec<_>>().join(", ")) }
                    }
                }
            }
        }
        (following(more))
    };
    page(&format!("{name} at {host}"), &body)
}

/// What a tag names. In the commands, `IMAGE` stands for it: `HOST/NAME:TAG@DIGEST`.
pub fn image_page(host: &str, name: &str, tag: &str, image: &Image, commands: &[&str]) -> String {
    let up = depth(&image_path(name, tag));
    let pinned = format!("{host}/{name}:{tag}@{}", image.digest);
    let facts = [
        ("Version", "version"),
        ("Created", "created"),
        ("Licenses", "licenses"),
        ("Authors", "authors"),
        ("Vendor", "vendor"),
        ("Revision", "revision"),
    ];
    let links = [("Read more", "documentation"), ("Sources", "source"), ("Home", "url")];
    let body = html! {
        nav { a href=(link(up, LIST_PATH)) { "All repositories" } " / " a href=(link(up, &repository_path(name))) { (field(name)) } }
        h1 { (field(image.said("title").unwrap_or(name))) " " (field(tag)) }
        @if let Some(description) = image.said("description") { p { (field(description)) } }
        dl {
            dt { "Digest" } dd { code { (image.digest) } }
            @for (label, key) in facts {
                @if let Some(said) = image.said(key) { dt { (label) } dd { (field(said)) } }
            }
            @for (label, key) in links {
                @if let Some(said) = image.said(key) { dt { (label) } dd { (address(said)) } }
            }
            @if let Some(readme) = image.annotations.get("io.artifacthub.package.readme-url") { dt { "README" } dd { (address(readme)) } }
            @if let Some(kind) = image.annotations.get("dev.cargo-plugin-build.kind") { dt { "Kind" } dd { (field(kind)) } }
        }
        table {
            caption { "Platforms" }
            thead { tr { th scope="col" { "Platform" } th scope="col" { "To fetch" } } }
            tbody {
                @for part in &image.platforms {
                    tr { th scope="row" { (field(part.platform.as_deref().unwrap_or("any"))) } td { (human_size(part.size)) } }
                }
            }
        }
        h2 { "Attached" }
        @if image.attached.is_empty() { p { "No SBOM, no provenance, no signature." } } @else {
            ul { @for kind in &image.attached { li { (attached(kind)) " " code { (field(kind)) } } } }
            p { "What is attached is not judged here." }
        }
        h2 { "Use it" }
        @for command in commands {
            pre tabindex="0" { code { (field(&command.replace("IMAGE", &pinned))) } }
        }
    };
    page(&format!("{name}:{tag} at {host}"), &body)
}

fn following(more: Option<&str>) -> Markup {
    html! { @if let Some(more) = more { p { a href=(more) rel="next" { "More" } } } }
}

fn platforms(platforms: &[OnPlatform]) -> String {
    let names = platforms.iter().map(|part| field(part.platform.as_deref().unwrap_or("any")));
    names.collect::<Vec<_>>().join(", ")
}

/// The smallest and the largest, where they differ.
fn sizes(platforms: &[OnPlatform]) -> String {
    let sizes = || platforms.iter().map(|part| part.size);
    match (sizes().min(), sizes().max()) {
        (Some(least), Some(most)) if human_size(least) != human_size(most) => {
            format!("{} to {}", human_size(least), human_size(most))
        }
        (_, Some(most)) => human_size(most),
        _ => String::new(),
    }
}

/// A link, where it is one that a browser asks a web server for.
fn address(said: &str) -> Markup {
    let is_web = ["https://", "http://"].iter().any(|scheme| said.starts_with(scheme));
    html! { @if is_web { a href=(said) rel="noreferrer nofollow" { (field(said)) } } @else { (field(said)) } }
}

/// The word for an artifact type.
fn attached(artifact_type: &str) -> String {
    match artifact_type {
        "application/vnd.cyclonedx+json" | "application/spdx+json" => "SBOM",
        statement::MEDIA_TYPE => "statement",
        notation::ARTIFACT_TYPE => "signature",
        deltas::ARTIFACT_TYPE => "update",
        other if bundle::is_bundle(other) => "signature",
        other => return field(other).into_owned(),
    }
    .to_owned()
}
