//! Follows README block by block on two Docker hosts and a client, with no more knowledge than a reader.
//!
//! A block is carried out when the line before its fence is a comment: `file on WHERE: PATH` or `runnable on WHERE`,
//! where WHERE is `host 1`, `host 2`, `both hosts` or `the client`. On the client, `until it prints: TEXT` repeats the
//! block until it succeeds and prints exactly this line.

use std::fs;
use std::path::{Path, PathBuf};

use super::host::{Host, run, wait_for};
use super::pair::{Pair, SETTLE};
use crate::{HAPROXY, IMAGE, machine, repository, tempfile};

/// A block, and the line before its fence.
pub(crate) struct Block {
    /// In the document, for error messages.
    line: usize,
    before: String,
    pub(crate) text: String,
}

impl Block {
    /// What the comment before it orders.
    fn order(&self) -> Option<&str> {
        order(&self.before)
    }
}

fn order(line: &str) -> Option<&str> {
    let order = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
    order.filter(|order| order.starts_with("file ") || order.starts_with("runnable "))
}

/// Every block of a document. In a list it is indented.
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let mut lines = document.lines().enumerate();
    let (mut blocks, mut before) = (vec![], "");
    while let Some((line, fence)) = lines.next() {
        let indent = fence.len() - fence.trim_start().len();
        if fence[indent..].starts_with("```") {
            let text = lines.by_ref().map(|(_, line)| line.get(indent..).unwrap_or_default());
            let text: Vec<&str> = text.take_while(|line| *line != "```").collect();
            blocks.push(Block { line, before: before.to_owned(), text: text.join("\n") + "\n" });
        } else {
            assert!(order(before).is_none(), "line {line}: no block follows {before:?}");
        }
        before = fence;
    }
    blocks
}

/// A folder on each host, like a user's home; removed at the end.
struct Homes([PathBuf; 2]);

impl Homes {
    fn new() -> Self {
        let homes = ["home-1", "home-2"].map(tempfile);
        for home in &homes {
            fs::create_dir_all(home).expect("the temporary directory is writable");
        }
        Self(homes)
    }
}

impl Drop for Homes {
    fn drop(&mut self) {
        for home in &self.0 {
            let _ = fs::remove_dir_all(home);
        }
    }
}

/// The hosts that an order names, counted from 0.
fn hosts(order: &str) -> &'static [usize] {
    if order.contains("both hosts") {
        &[0, 1]
    } else if order.contains("host 1") {
        &[0]
    } else {
        assert!(order.contains("host 2"), "no host in {order:?}");
        &[1]
    }
}

fn write(homes: &Homes, order: &str, block: &Block) {
    let (_, path) = order.split_once(": ").expect("a file has a path");
    for &host in hosts(order) {
        let path = homes.0[host].join(path);
        fs::create_dir_all(path.parent().expect("in a home")).expect("the temporary directory is writable");
        fs::write(path, &block.text).expect("the temporary directory is writable");
    }
}

fn perform(pair: &Pair, homes: &Homes, order: &str, block: &Block) {
    let Block { text, line, .. } = block;
    if order.contains("from the registry") {
        // `Pair::with` has given each host the image of these sources under this name.
        assert_eq!(*text, format!("docker pull {IMAGE}\n"), "line {line}");
    } else if order.contains("in the repository") {
        // The images of this repository were built by the same command.
        assert_eq!(text, "make image\n", "line {line}");
    } else if order.contains("the client") {
        let attempt = || run(pair.client.program("bash -euc").arg(text));
        if let Some((_, expected)) = order.split_once("until it prints: ") {
            wait_for(&format!("line {line}: {text}"), SETTLE, || {
                let printed = attempt()?;
                if printed.trim_end() == expected {
                    Ok(())
                } else {
                    Err(format!("it printed {printed:?}, not {expected:?}"))
                }
            });
        } else {
            attempt().unwrap_or_else(|failure| panic!("line {line}: {failure}"));
        }
    } else {
        let both: [&Host; 2] = [&pair.master, &pair.slave];
        let folder = order.split_once(", in ").map_or("", |(_, folder)| folder);
        for &host in hosts(order) {
            let done = both[host].shell(&homes.0[host].join(folder), text);
            let output = done.unwrap_or_else(|failure| panic!("line {line}: {failure}"));
            println!("host {}: {text}{output}", host + 1);
        }
    }
}

#[test]
fn every_instruction_of_the_readme_works() {
    let _machine = machine::shared();
    let pair = Pair::with(&[IMAGE, HAPROXY]);
    let homes = Homes::new();
    let mut documents = vec![repository().join("README.md")];
    let docs = fs::read_dir(repository().join("docs")).expect("docs is there").flatten();
    documents
        .extend(docs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "md")));
    documents[1..].sort();
    let mut done = 0;
    for path in documents {
        done += follow(&path, &pair, &homes);
    }
    assert!(done >= 14, "only {done} blocks were found");
    pair.expect_page("10.0.0.2", "master", "haproxy was started again");
}

/// Runs every executable block of a document, and returns their number.
fn follow(path: &Path, pair: &Pair, homes: &Homes) -> usize {
    let blocks = blocks(&fs::read_to_string(path).expect("a document can be read"));
    let ordered: Vec<_> = blocks.iter().filter_map(|block| Some((block.order()?, block))).collect();
    for (order, block) in &ordered {
        println!("{}:{}: {order}", path.display(), block.line);
        if order.starts_with("file ") {
            write(homes, order, block);
        } else {
            perform(pair, homes, order, block);
        }
    }
    ordered.len()
}
