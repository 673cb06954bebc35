//! Asking a router of ours: its commands beside it, and its pages over HTTP.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::lab::Host;
use super::process::{Launch, Running};
use super::router::{Node, OURS, Router};
use super::seconds;

/// Where [`with_metrics`] has it listen.
pub(crate) const PORT: u16 = 9165;

/// What `vrrp-init WORDS…` beside a router says, and its exit code.
pub(crate) fn ask(router: &Router, words: &[&str]) -> (i32, String) {
    ask_with(router, words, &[])
}

/// The same in the environment of the router, as `docker exec` has it.
pub(crate) fn ask_as_itself(router: &Router, words: &[&str]) -> (i32, String) {
    ask_with(router, words, &router.node.environment(&router.host))
}

fn ask_with(router: &Router, words: &[&str], env: &[(OsString, OsString)]) -> (i32, String) {
    let mut run = Running::start(&router.host, Launch::Beside(&router.run), Path::new(OURS), words, env);
    let code = run.wait_exit(seconds(5));
    (code, run.log.whole(seconds(1)))
}

pub(crate) fn with_metrics(node: Node) -> Node {
    node.with("METRICS_LISTEN", format!(":{PORT}"))
}

pub(crate) fn connect(host: &Host) -> TcpStream {
    let stream =
        host.inside(|| TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], PORT))).expect("it listens"));
    stream.set_read_timeout(Some(seconds(5))).expect("a socket");
    stream
}

/// The whole answer to `request`; what the other end closes early is an error.
pub(crate) fn get(host: &Host, request: &[u8]) -> std::io::Result<String> {
    let mut stream = connect(host);
    stream.write_all(request)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn page(host: &Host, path: &str) -> String {
    get(host, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("it answers")
}

/// The page without its head.
pub(crate) fn body(host: &Host, path: &str) -> String {
    let page = page(host, path);
    let (_, body) = page.split_once("\r\n\r\n").expect("a head and a body");
    body.to_owned()
}
