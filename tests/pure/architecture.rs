//! Imports go one way: the pure ring does not know the edges, the edges do not know the routers, and no two files
//! import each other. Files and functions stay short.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemUse, Meta, Signature, TraitItemFn};

use super::imports::{Import, Sources, circles, imports, upward};

/// The paths of the crate that files in a folder may name.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("src/time", &[]),
    ("src/vrrp", &["vrrp", "time"]),
    ("src/lifeline", &["lifeline", "ids", "time"]),
    ("src/health", &["vrrp"]),
    ("src/drain", &["time"]),
    ("src/config", &["vrrp", "health", "config", "printable"]),
    ("src/import", &["import", "config", "printable", "sorted", "vrrp::Password"]),
    // The edges know the protocol's constants but not its state.
    ("src/sys", &["sys", "time", "vrrp::Family", "vrrp::GROUP_V", "vrrp::PROTOCOL", "vrrp::TTL"]),
    ("src/logger", &["config", "printable", "sys::poller", "time"]),
    ("src/columns", &["printable"]),
    ("src/printable", &[]),
    ("src/sorted", &[]),
    ("src/interfaces", &["sys::netlink", "vrrp::Family"]),
    ("src/unicast", &["interfaces", "sys::netlink", "vrrp::Family"]),
    ("src/token", &["ids", "sys::poller"]),
    ("src/status", &["status", "columns", "drain", "printable", "time", "vrrp::Role"]),
    ("src/commands/cli", &["config", "time"]),
    ("src/commands/scan/heard", &["vrrp", "sorted", "time"]),
    (
        "src/commands/scan/table",
        &["commands::scan::heard", "preflight::dropped_here", "vrrp", "columns", "time"],
    ),
];

/// What a pure file may not name at all: clocks, sockets, files, the environment, logs.
const IMPURE: [&str; 8] =
    ["std::env", "std::fs", "std::time::Instant", "SystemTime", "nix::", "socket2", "log::info", "log::warn"];

/// A table of rows that are read one by one: it is as long as what it lists.
const TABLE: &str = "src/config/variables.rs";
/// In lines, without tests.
const LONGEST_FILE: usize = 430;
/// In lines, from the signature to the last brace.
const LONGEST_FUNCTION: usize = 40;

/// The files of `src` by path, their tests replaced by empty lines.
fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Sources::new();
    let mut folders = vec![root.join("src")];
    while let Some(entries) = folders.pop().map(|folder| folder.read_dir()) {
        for path in entries.into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if name.ends_with("/tests") || name.ends_with("/tests.rs") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.insert(name, without_tests(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

/// The files at `place`: one file, or all in a folder.
fn at<'a>(sources: &'a Sources, place: &str) -> impl Iterator<Item = (&'a String, &'a String)> {
    let found: Vec<_> = sources.iter().filter(|(path, _)| is_at(path, place)).collect();
    assert!(!found.is_empty(), "no sources at {place}");
    found.into_iter()
}

fn is_at(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// The text with empty lines in place of every `#[cfg(test)]` item.
fn without_tests(text: &str) -> String {
    let mut tests = Tests(vec![]);
    tests.visit_file(&syn::parse_file(text).unwrap());
    let of_test = |line: usize| tests.0.iter().any(|lines| lines.contains(&line));
    let lines = text.lines().enumerate().map(|(n, line)| if of_test(n + 1) { "" } else { line });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The lines of items that are compiled only for tests.
struct Tests(Vec<Range<usize>>);

impl Tests {
    fn add(&mut self, attributes: &[Attribute], item: &impl Spanned) {
        let is_test = |attribute: &Attribute| match &attribute.meta {
            Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
            Meta::Path(_) | Meta::NameValue(_) => false,
        };
        if attributes.iter().any(is_test) {
            self.0.push(lines(item));
        }
    }
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.add(&item.attrs, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add(&item.attrs, item);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.attrs, item);
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        self.add(&item.attrs, item);
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.attrs, item);
    }
}

fn lines(item: &impl Spanned) -> Range<usize> {
    item.span().start().line..item.span().end().line + 1
}

/// The functions of a file with bodies: name and number of lines, without comments and attributes above.
#[derive(Default)]
struct Functions(Vec<(String, usize)>);

impl Functions {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let lines = lines(signature).start..lines(body).end;
        self.0.push((signature.ident.to_string(), lines.len()));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

fn functions(text: &str) -> Vec<(String, usize)> {
    let mut functions = Functions::default();
    functions.visit_file(&syn::parse_file(text).unwrap());
    functions.0
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().flat_map(|item| ["\n".to_owned(), item.to_string()]).collect()
}

#[test]
fn imports_go_inward_only() {
    let (sources, imports) = (sources(), imports(&sources()));
    for (place, allowed) in ALLOWED {
        assert!(at(&sources, place).count() > 0);
        let forbidden = |import: &&Import| {
            is_at(&import.from, place) && !allowed.iter().any(|module| import.path.starts_with(module))
        };
        let forbidden: Vec<_> = imports.iter().filter(forbidden).collect();
        assert!(forbidden.is_empty(), "not allowed in {place}:{}", list(forbidden));
    }
}

#[test]
fn no_import_is_part_of_a_circle() {
    let imports = imports(&sources());
    let files: BTreeSet<_> = imports.iter().map(|import| (&import.from, &import.to)).collect();
    assert!(files.len() > 200, "only {} pairs of files: the sources were not read", files.len());
    let circles = circles(&imports);
    let circles: Vec<_> = circles.iter().map(|circle| format!("circle:{}", list(circle))).collect();
    assert!(circles.is_empty(), "{} circles{}", circles.len(), list(circles));
}

/// A `mod.rs` is the base of its folder or its roof: its children import it, or it imports them.
#[test]
fn no_import_runs_back_up() {
    let imports = imports(&sources());
    let upward = upward(&imports);
    assert!(
        upward.is_empty(),
        "{} imports of a file that is built from those below it:{}",
        upward.len(),
        list(upward)
    );
}

#[test]
fn the_pure_ring_names_no_clock_socket_or_log() {
    const PURE: [&str; 12] = [
        "src/vrrp",
        "src/lifeline",
        "src/health",
        "src/config",
        "src/import",
        "src/status",
        "src/time",
        "src/columns",
        "src/printable",
        "src/sorted",
        "src/commands/scan/heard",
        "src/commands/scan/table",
    ];
    let sources = sources();
    for place in PURE {
        for (path, text) in at(&sources, place) {
            for impure in IMPURE {
                assert!(!text.contains(impure), "{path} names {impure}");
            }
        }
    }
}

#[test]
fn files_and_functions_stay_short_enough_to_read() {
    let mut long = vec![];
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{path} does not begin with a description");
        let lines = text.lines().count();
        if lines > LONGEST_FILE && path != TABLE {
            long.push(format!("{path} has {lines} lines without its tests"));
        }
        let functions = functions(&text).into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
        long.extend(functions.map(|(name, lines)| format!("{path}: {name} has {lines} lines")));
    }
    assert!(long.is_empty(), "too long:{}", list(long));
}

#[test]
fn tests_are_left_out_and_functions_measured_from_signature_to_brace() {
    let text = "//! A.\n/// F.\n#[cold]\nfn f(\n) {\n}\n#[cfg(test)]\nuse b::C;\nstruct S;\nimpl S {\n  #[cfg(test)]\n  fn g() {\n  }\n\n  fn h() {}\n}\n#[cfg(test)]\nmod tests {\n  fn t() {}\n}\n";
    let left = "//! A.\n/// F.\n#[cold]\nfn f(\n) {\n}\n\n\nstruct S;\nimpl S {\n\n\n\n\n  fn h() {}\n}";
    assert_eq!(without_tests(text), left);
    assert_eq!(functions(&without_tests(text)), [("f".to_owned(), 3), ("h".to_owned(), 1)]);
}
