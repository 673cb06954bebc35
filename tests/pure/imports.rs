//! The graph of imports between the files of a crate, read from its sources.
//!
//! A file imports another one if a `use` or a path in its code, macros included, names an item of that file. An item
//! that a `mod.rs` re-exports belongs to the file that defines it. A file that reaches an item through a `mod.rs` above
//! itself imports that `mod.rs` as well. `mod child;` alone, doc comments and `pub(in path)` are not imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Macro, Meta, UseTree, VisRestricted};

/// The texts of a crate's files by path, without tests: `src/lib.rs` and all modules that it declares.
pub(crate) type Sources = BTreeMap<String, String>;

/// One place in a file that names an item of another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) line: usize,
    pub(crate) to: String,
    /// The path as written, from the crate's root: `vrrp::Family`.
    pub(crate) path: String,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} → {} ({})", self.from, self.line, self.to, self.path)
    }
}

/// All imports between files.
pub(crate) fn imports(sources: &Sources) -> Vec<Import> {
    let modules = Modules::read(sources);
    let all =
        modules.0.iter().flat_map(|(at, module)| module.names.iter().map(move |name| (at, module, name)));
    all.flat_map(|(at, module, name)| modules.imports(at, module, name)).collect()
}

/// The shortest circles. Of those with a pair of files in common, only the shortest.
pub(crate) fn circles(imports: &[Import]) -> Vec<Vec<Import>> {
    let mut all: Vec<_> = imports.iter().filter_map(|start| way_back(imports, start)).collect();
    all.sort_by_key(Vec::len);
    let mut shown = BTreeSet::new();
    all.retain(|circle| {
        let pairs: BTreeSet<_> =
            circle.iter().map(|import| (import.from.clone(), import.to.clone())).collect();
        let is_new = shown.is_disjoint(&pairs);
        shown.extend(pairs);
        is_new
    });
    all
}

/// `start`, and the shortest chain of imports from its target back to its file.
fn way_back(imports: &[Import], start: &Import) -> Option<Vec<Import>> {
    let mut seen = BTreeSet::from([&start.to]);
    let mut chains = VecDeque::from([vec![start.clone()]]);
    while let Some(chain) = chains.pop_front() {
        let end = chain.last()?;
        if end.to == start.from {
            return Some(chain);
        }
        for next in imports.iter().filter(|next| next.from == end.to) {
            if seen.insert(&next.to) {
                chains.push_back(chain.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}

/// The first import of each file above (`mod.rs` of a folder around the importing file) that itself imports something
/// from below.
pub(crate) fn upward(imports: &[Import]) -> Vec<&Import> {
    let builds =
        |file: &String| imports.iter().any(|import| import.from == *file && is_above(file, &import.to));
    let upward = imports.iter().filter(|import| is_above(&import.to, &import.from) && builds(&import.to));
    let mut pairs = BTreeSet::new();
    upward.filter(|import| pairs.insert((&import.from, &import.to))).collect()
}

fn is_above(file: &str, other: &str) -> bool {
    let folder = file.strip_suffix("lib.rs").or(file.strip_suffix("mod.rs"));
    let folder = folder.map_or_else(|| file.replace(".rs", "/"), str::to_owned);
    file != other && other.starts_with(&folder)
}

/// The names of a path, from left to right.
type Path = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    file: String,
    /// What `use` brings into scope: the local name and the path as written.
    uses: BTreeMap<String, Path>,
    /// Every path in the module, with its line.
    names: Vec<(Path, usize)>,
}

/// The modules by their paths from the crate's root.
struct Modules(BTreeMap<Path, Module>);

impl Modules {
    fn read(sources: &Sources) -> Self {
        let mut reader =
            Reader { sources, path: vec![], file: "src/lib.rs".to_owned(), modules: BTreeMap::new() };
        reader.read_file();
        Self(reader.modules)
    }

    fn imports(&self, at: &Path, module: &Module, (path, line): &(Path, usize)) -> Vec<Import> {
        let Some(path) = self.absolute(at, path.clone()) else { return vec![] };
        let mut files = BTreeSet::new();
        self.resolve(at, &path, &mut files);
        files.remove(&module.file);
        let import = |to| Import { from: module.file.clone(), line: *line, to, path: path.join("::") };
        files.into_iter().map(import).collect()
    }

    /// The path from the crate's root. `None` if it leads to another crate, or to an item of the same module.
    fn absolute(&self, at: &Path, mut path: Path) -> Option<Path> {
        // A `use` may name what another one imports; no chain is this long.
        for _ in 0..8 {
            let mut module = at.clone();
            let rest = path.iter().skip_while(|name| match name.as_str() {
                "crate" => {
                    module.clear();
                    true
                }
                "super" => {
                    module.pop();
                    true
                }
                "self" => true,
                _ => false,
            });
            let rest: Path = rest.cloned().collect();
            let is_relative = rest.len() == path.len();
            let first = rest.first()?;
            if !is_relative || self.0.contains_key(&child(at, first)) {
                return Some([module, rest].concat());
            }
            path = self.0[at].uses.get(first)?.iter().chain(&rest[1..]).cloned().collect();
        }
        None
    }

    /// Adds the file that defines the item at `path`, and every module above `importer` on the way there.
    fn resolve(&self, importer: &Path, path: &[String], files: &mut BTreeSet<String>) {
        let mut module = vec![];
        for (n, name) in path.iter().enumerate() {
            let inner = child(&module, name);
            if self.0.contains_key(&inner) {
                module = inner;
                continue;
            }
            let file = &self.0[&module].file;
            let re_exported =
                self.0[&module].uses.get(name).and_then(|used| self.absolute(&module, used.clone()));
            let Some(defined) = re_exported else {
                files.insert(file.clone());
                return;
            };
            if importer.starts_with(&module) {
                files.insert(file.clone());
            }
            return self.resolve(importer, &[&defined, &path[n + 1..]].concat(), files);
        }
    }
}

fn child(module: &[String], name: &str) -> Path {
    module.iter().map(String::as_str).chain([name]).map(str::to_owned).collect()
}

/// Reads a file and the files of its child modules.
struct Reader<'a> {
    sources: &'a Sources,
    path: Path,
    file: String,
    modules: BTreeMap<Path, Module>,
}

impl Reader<'_> {
    fn read_file(&mut self) {
        let text = self.sources.get(&self.file).unwrap_or_else(|| panic!("no source {}", self.file));
        let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", self.file));
        self.module();
        self.visit_file(&syntax);
    }

    fn module(&mut self) -> &mut Module {
        let file = self.file.clone();
        self.modules.entry(self.path.clone()).or_insert_with(|| Module { file, ..Module::default() })
    }

    fn add(&mut self, path: Path, line: usize) {
        if path.len() > 1 {
            self.module().names.push((path, line));
        }
    }

    fn add_use(&mut self, before: &Path, tree: &UseTree) {
        let (name, local) = match tree {
            UseTree::Path(path) => return self.add_use(&child(before, &path.ident.to_string()), &path.tree),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(before, tree);
                }
                return;
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(rename) => (&rename.ident, &rename.rename),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                return self.add(child(before, "*"), line);
            }
        };
        let mut path = before.clone();
        if name != "self" {
            path.push(name.to_string());
        }
        let local = if local == "self" { path.last().cloned() } else { Some(local.to_string()) };
        self.module().uses.extend(local.map(|local| (local, path.clone())));
        self.add(path, name.span().start().line);
    }

    /// The paths in a macro's input, which has no syntax of its own.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons) = (vec![], 0, 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(std::mem::take(&mut path), line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Group(group) => {
                    colons = 0;
                    self.add(std::mem::take(&mut path), line);
                    self.add_tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    colons = 0;
                    self.add(std::mem::take(&mut path), line);
                }
            }
        }
        self.add(path, line);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let path = child(&self.path, &module.ident.to_string());
        let outer = std::mem::replace(&mut self.path, path);
        if let Some((_, items)) = &module.content {
            self.module();
            for item in items {
                self.visit_item(item);
            }
        } else {
            let place = format!("src/{}", self.path.join("/"));
            let file = [format!("{place}.rs"), format!("{place}/mod.rs")];
            let file = file.into_iter().find(|file| self.sources.contains_key(file));
            let file = file.unwrap_or_else(|| panic!("{} declares {place}, which has no file", self.file));
            let outer = std::mem::replace(&mut self.file, file);
            self.read_file();
            self.file = outer;
        }
        self.path = outer;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&vec![], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(names, path.segments[0].ident.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Vec<Import> {
        let sources = files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())).collect();
        imports(&sources)
    }

    fn shown<'a>(imports: impl IntoIterator<Item = &'a Import>) -> Vec<String> {
        imports.into_iter().map(Import::to_string).collect()
    }

    #[test]
    fn a_circle_of_three_files_is_found_once() {
        let imports = read(&[
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::B;\npub struct A;"),
            ("b.rs", "pub struct B;\nfn c() { crate::c::c(); }"),
            ("c.rs", "pub fn c() { println!(\"{}\", super::a::A) }"),
            ("d.rs", "use crate::{a::A, c};"),
        ]);
        let circle =
            ["src/a.rs:1 → src/b.rs (b::B)", "src/b.rs:2 → src/c.rs (c::c)", "src/c.rs:1 → src/a.rs (a::A)"];
        assert_eq!(circles(&imports).iter().map(shown).collect::<Vec<_>>(), [circle]);
    }

    #[test]
    fn an_import_of_the_file_that_is_built_from_it_runs_upward() {
        let imports = read(&[
            ("lib.rs", "mod roof; mod base;"),
            ("roof/mod.rs", "mod part; mod other;\npub struct Limit(part::Part);"),
            ("roof/part.rs", "pub struct Part;"),
            ("roof/other.rs", "use super::Limit;"),
            ("base/mod.rs", "pub mod part;\npub struct Error;"),
            ("base/part.rs", "use super::Error;"),
        ]);
        assert_eq!(shown(upward(&imports)), ["src/roof/other.rs:1 → src/roof/mod.rs (roof::Limit)"]);
        assert_eq!(circles(&imports), Vec::<Vec<_>>::new());
    }

    #[test]
    fn a_re_exported_item_belongs_to_the_file_that_defines_it() {
        let imports = read(&[
            ("lib.rs", "mod user; mod folder;"),
            ("user.rs", "use crate::folder::{\n  self as f,\n  Renamed,\n};\ntype T = f::Item;"),
            ("folder/mod.rs", "mod child; mod sibling;\npub use child::{Item, Item as Renamed};"),
            ("folder/child.rs", "pub struct Item;"),
            ("folder/sibling.rs", "use super::Item;"),
        ]);
        let expected = [
            "src/folder/mod.rs:2 → src/folder/child.rs (folder::child::Item)",
            "src/folder/mod.rs:2 → src/folder/child.rs (folder::child::Item)",
            "src/folder/sibling.rs:1 → src/folder/child.rs (folder::Item)",
            "src/folder/sibling.rs:1 → src/folder/mod.rs (folder::Item)",
            "src/user.rs:3 → src/folder/child.rs (folder::Renamed)",
            "src/user.rs:5 → src/folder/child.rs (folder::Item)",
        ];
        assert_eq!(shown(&imports), expected);
        assert_eq!(shown(upward(&imports)), [expected[3]]);
    }

    #[test]
    fn declarations_visibilities_documents_and_other_crates_are_not_imports() {
        let imports = read(&[
            ("lib.rs", "pub mod a;"),
            (
                "a.rs",
                "//! Like [`crate::b::B`].\nuse std::fmt;\nmod b; pub use inner::C; mod inner { pub struct C; }",
            ),
            (
                "a/b.rs",
                "use std::fmt::Display;\npub(in crate::a) fn f() { fmt::a(); log::info!(target: log::x, \"\"); }",
            ),
        ]);
        assert_eq!(shown(&imports), Vec::<String>::new());
    }

    #[test]
    fn a_glob_imports_the_file_that_it_names() {
        let imports = read(&[("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::*;"), ("b.rs", "")]);
        assert_eq!(shown(&imports), ["src/a.rs:1 → src/b.rs (b::*)"]);
    }
}
