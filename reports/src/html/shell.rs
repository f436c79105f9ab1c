//! The frame of every page: head, bar, assets, content security policy.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/script.js");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// `links` are addresses with their names.
pub(super) fn page(title: &str, links: &[(String, String)], body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY.as_str());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={"threadbare " (env!("CARGO_PKG_VERSION"))};
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the verdicts" }
                nav class="bar" aria-label="Page" {
                    div class="wrap" {
                        a class="name" href="#top" { "threadbare" }
                        div class="links" {
                            @for (address, name) in links {
                                a href=(address) { (name) }
                            }
                        }
                        div class="tools" {
                            label class="skip" for="theme" { "Theme" }
                            select id="theme" title="Theme (t)" {
                                option value="auto" { "Auto" }
                                option value="light" { "Light" }
                                option value="dark" { "Dark" }
                            }
                        }
                    }
                }
                (body)
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_cannot_end_their_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</script"));
    }
}
