//! The endpoints of the status server and the requests that they accept. Knows no connection.

use super::http::Page;

/// The socket that a client connected to. The first two send their document without reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Document,
    Health,
    Http,
}

impl Endpoint {
    /// Whether its clients are on this host and send nothing.
    pub const fn is_local(self) -> bool {
        match self {
            Self::Document | Self::Health => true,
            Self::Http => false,
        }
    }
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
