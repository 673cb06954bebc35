//! The client commands of a running router of ours, and its HTTP pages.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use super::lab::Host;
use super::process::{Launch, Running};
use super::router::{Node, OURS, Router};
use super::seconds;

/// The port of the HTTP server, with [`with_metrics`].
pub(crate) const PORT: u16 = 9165;

/// Runs `vrrp-init ARGS…` in the namespaces of a router; the exit code and the output.
pub(crate) fn command(router: &Router, args: &[&str]) -> (i32, String) {
    command_with(router, args, &[])
}

/// [`command`] with the environment of the router, as in `docker exec`.
pub(crate) fn command_in_its_environment(router: &Router, args: &[&str]) -> (i32, String) {
    command_with(router, args, &router.node.environment(&router.host))
}

fn command_with(router: &Router, args: &[&str], env: &[(OsString, OsString)]) -> (i32, String) {
    let mut run = Running::start(&router.host, Launch::Joining(&router.run), Path::new(OURS), args, env);
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

/// The whole response to `request`; a connection that is reset is an error.
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

/// The body of a page.
pub(crate) fn body(host: &Host, path: &str) -> String {
    let page = page(host, path);
    let (_, body) = page.split_once("\r\n\r\n").expect("a head and a body");
    body.to_owned()
}
