//! Several results as one page of HTML, which needs nothing but itself: no script, no request, one constant style. And in short, in Markdown.
//!
//! The files may come from strangers. Every text of theirs is escaped by the templates, there is no attribute that takes one but titles and
//! labels, and the page's own policy forbids scripts, connections and any style but [`STYLE`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::compare::Comparison;
use super::results::Results;

mod differences;
mod figures;
mod summary;
mod svg;
mod tables;

pub use summary::{markdown, overview};

/// The page's style. It never changes with the results, so that a policy may name it by [`style_source`].
pub const STYLE: &str = include_str!("report/style.css");

/// Results with the name of the file that they are of.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The file's name, for people.
    pub file: String,
    /// What it holds.
    pub results: Results,
}

impl Entry {
    /// The device, and what tells it from the same device's other results.
    fn name(&self) -> String {
        let device = &self.results.device;
        match &self.results.system.browser {
            Some(browser) => format!("{}, {}, {browser}", device.name, device.backend),
            None if device.name == device.backend => device.name.clone(),
            None => format!("{}, {}", device.name, device.backend),
        }
    }
}

/// How an entry is called where there is little room: A, B, …, Z, A2, …
fn letter(i: usize) -> String {
    let letter = char::from(b'A' + (i % 26) as u8);
    if i < 26 { letter.to_string() } else { format!("{letter}{}", i / 26 + 1) }
}

/// The style as a source for a `style-src` policy: `'sha256-…'`.
pub fn style_source() -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(STYLE)))
}

/// The page.
pub fn html(entries: &[Entry]) -> String {
    let policy = format!("default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'", style_source());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Fastweight bench: " (entries.len()) @if entries.len() == 1 { " result" } @else { " results" } }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body(entries)) } }
        }
    };
    page.into_string()
}

fn body(entries: &[Entry]) -> Markup {
    let pairs = differences::pairs(entries);
    html! {
        header {
            h1 { "Fastweight bench" }
            p.lead {
                @match entries {
                    [] => "No results.",
                    [one] => { "One result of " (one.name()) "." },
                    _ => { (entries.len()) " results side by side. Each has its letter, its colour and its mark on the whole page." },
                }
            }
        }
        (section("results", "What was measured", tables::entries(entries)))
        (section("ceilings", "What the devices can do", html! {
            (tables::ceilings(entries))
            (grid(figures::bandwidth(entries)))
            (tables::sentinels(entries))
        }))
        (section("rooflines", "Kernels against the ceilings", grid(figures::rooflines(entries))))
        (section("models", "Models", html! {
            (grid(figures::contexts(entries)))
            (tables::models(entries))
        }))
        (section("kernels", "Kernels side by side", tables::kernels(entries)))
        @for (a, b, comparison) in &pairs { (difference(entries, *a, *b, comparison)) }
        footer {
            h2 { "How to read this" }
            p {
                "Times are medians. The interval after one is where another run’s median lies, with 95 %, by the spread of its own samples and "
                "by what recorded runs differed; a sample is never left out. A change is called one if its interval lies on one side of none, "
                "and both the median and the fastest quarter of the samples moved by 3 % or more."
            }
            p { "A hollow mark and a dagger (†) stand at figures around which the machine itself changed its speed by more than 5 %." }
            h2 { "Send yours" }
            p { (SEND) }
        }
    }
}

/// How a result gets into the repository; the page and `fastweight bench` end with it.
pub const SEND: &str = "Results from anyone are welcome: put the JSON file into the folder results/ of the repository and open a pull request; \
                        results/README.md says how. The file names no host and no user.";

fn difference(entries: &[Entry], a: usize, b: usize, comparison: &Comparison) -> Markup {
    let title = format!("From {} to {}", letter(a), letter(b));
    section(&format!("from-{}-to-{}", letter(a), letter(b)), &title, differences::draw(entries, a, b, comparison))
}

/// A section; nothing if there is nothing in it.
fn section(id: &str, title: &str, inner: Markup) -> Markup {
    html! {
        @if !inner.0.is_empty() {
            section id=(id) aria-labelledby=(format!("{id}-title")) { h2 id=(format!("{id}-title")) { (title) } (inner) }
        }
    }
}

fn grid(figures: Vec<Markup>) -> Markup {
    html! { @if !figures.is_empty() { div.grid { @for figure in figures { (figure) } } } }
}
