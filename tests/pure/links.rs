//! The documents as GitHub shows them: every relative link leads to a file, every anchor to a heading, and no page
//! contains a path of the machine that it was written on.

use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 4] = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages in the root folder, and all under `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<_> = PAGES.iter().map(|name| root().join(name)).collect();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The lines outside fenced blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// The texts between `open` and the next `close`.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(inside, _)| inside))
}

/// The targets of links and pictures, in Markdown and HTML.
fn links(page: &str) -> Vec<String> {
    let mut links = vec![];
    for line in prose(page) {
        let line: String = line.split('`').step_by(2).collect();
        let inline = between(&line, "](", ")");
        let html = ["href=\"", "src=\"", "srcset=\""].iter().flat_map(|open| between(&line, open, "\""));
        let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let all = inline.chain(html).chain(reference.map(|(_, target)| target));
        links.extend(all.filter_map(|target| target.split_whitespace().next()).map(str::to_owned));
    }
    links
}

/// A heading without its formatting: of a link, only the text is shown.
fn shown(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// The anchor that GitHub gives to a heading: lower case, without punctuation, a hyphen for each space.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = shown(heading.trim()).to_lowercase();
    text.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a page. If a heading occurs again, GitHub numbers it.
fn anchors(page: &str) -> Vec<String> {
    let mut plain: Vec<String> = vec![];
    let mut all = vec![];
    for line in prose(page) {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        if (1..=6).contains(&level) && heading.starts_with(' ') {
            let anchor = anchor(heading);
            let before = plain.iter().filter(|known| **known == anchor).count();
            all.push(if before == 0 { anchor.clone() } else { format!("{anchor}-{before}") });
            plain.push(anchor);
        }
        let ids = ["id=\"", "name=\""].iter().flat_map(|open| between(line, open, "\""));
        all.extend(ids.map(str::to_owned));
    }
    all
}

/// Whether `link`, on the page at `path` with this `text`, leads nowhere.
fn is_broken(path: &Path, text: &str, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") {
        return false;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = path.parent().unwrap().join(file);
    if !file.is_empty() && !target.exists() {
        return true;
    }
    if anchor.is_empty() {
        return link.is_empty();
    }
    let linked =
        if file.is_empty() { text.to_owned() } else { fs::read_to_string(target).unwrap_or_default() };
    !anchors(&linked).iter().any(|known| known == anchor)
}

#[test]
fn every_relative_link_and_anchor_leads_somewhere() {
    let (mut broken, mut checked) = (vec![], 0);
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            checked += 1;
            if is_broken(&path, &text, &link) {
                broken.push(format!("{}: {link}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(checked > 40, "only {checked} links were found");
}

#[test]
fn no_page_contains_a_path_of_one_machine() {
    for page in pages() {
        assert!(!fs::read_to_string(&page).unwrap().contains("/work/"), "{}", page.display());
    }
}

#[test]
fn anchors_are_those_of_github() {
    for (heading, expected) in [
        (" Who dies with whom", "who-dies-with-whom"),
        (" The command `check`, and why", "the-command-check-and-why"),
        (" [0.2.0] - 2026-11-25", "020---2026-11-25"),
        (" See [the page](docs/a.md#b) & more", "see-the-page--more"),
        (" AUTH_PASS (VRRPv2)", "auth_pass-vrrpv2"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
    let page = "# A\n## B\n```\n# not a heading\n```\n## B\n#none\n<a id=\"c\"></a>\n";
    assert_eq!(anchors(page), ["a", "b", "b-1", "c"]);
}

#[test]
fn a_link_without_its_file_or_heading_is_broken() {
    let page = "# Title\n[a](#title) [b](#titel) ![c](docs/none.svg \"c\") `[d](none)` [`e`](README.md#none)\n\
                <img src=\"docs/failover.svg\"> [f](https://example.com/none)\n```\n[g](none)\n```\n[h]: none.md\n";
    let path = root().join("CHANGELOG.md");
    let broken: Vec<_> = links(page).into_iter().filter(|link| is_broken(&path, page, link)).collect();
    assert_eq!(broken, ["#titel", "docs/none.svg", "README.md#none", "none.md"]);
}
