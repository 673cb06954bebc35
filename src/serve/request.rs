//! The endpoints of the status server and the requests that they accept. Knows no connection.

use super::http::Page;

/// The socket that a client connected to. The first two send their document without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Document,
    Health,
    Http,
}

/// The request of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The whole status document.
    Document,
    /// Only the part that a health check needs.
    Health,
    /// A page; without its body for HEAD.
    Http { page: Page, body: bool },
}
