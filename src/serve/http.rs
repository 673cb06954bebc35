//! The little of HTTP that a scraper or a probe needs: a request's first line, and a whole response; knows no
//! socket.

/// A request line and fields longer than this are nobody's we serve.
pub(super) const LONGEST_REQUEST: usize = 8 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Metrics,
    Health,
    Ready,
    Master,
    Status,
}

/// Every page's path.
const PAGES: [(&str, Page); 5] = [
    ("/metrics", Page::Metrics),
    ("/healthz", Page::Health),
    ("/readyz", Page::Ready),
    ("/master", Page::Master),
    ("/status", Page::Status),
];

/// A request as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The empty line has not come yet.
    Incomplete,
    /// `body`: false for HEAD.
    For { page: Page, body: bool },
    /// Cannot be served: the status line's code and words.
    Refused(&'static str),
}

impl Request {
    pub(super) fn read(octets: &[u8]) -> Self {
        let ended =
            octets.windows(4).any(|end| end == b"\r\n\r\n") || octets.windows(2).any(|end| end == b"\n\n");
        if !ended {
            let too_long = octets.len() >= LONGEST_REQUEST;
            return if too_long {
                Self::Refused("431 Request Header Fields Too Large")
            } else {
                Self::Incomplete
            };
        }
        let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !words.next().is_some_and(|version| version.starts_with(b"HTTP/1.")) {
            return Self::Refused("400 Bad Request");
        }
        let body = match method {
            b"GET" => true,
            b"HEAD" => false,
            _ => return Self::Refused("405 Method Not Allowed"),
        };
        let path = target.split(|octet| *octet == b'?').next().unwrap_or_default();
        match PAGES.into_iter().find(|(known, _)| known.as_bytes() == path) {
            Some((_, page)) => Self::For { page, body },
            None => Self::Refused("404 Not Found"),
        }
    }
}

/// A whole response, after which the connection ends.
pub(crate) fn response(status: &str, media_type: &str, text: &str, body: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let mut octets = head.into_bytes();
    if body {
        octets.extend_from_slice(text.as_bytes());
    }
    octets
}

/// A refusal says what could be had.
pub(super) fn refusal(status: &str) -> Vec<u8> {
    let paths: Vec<_> = PAGES.iter().map(|(path, _)| *path).collect();
    response(status, "text/plain", &format!("{status}; there are: {}\n", paths.join(" ")), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_served_by_its_path_whatever_its_fields() {
        let page = |request: &str| Request::read(request.as_bytes());
        let metrics = Request::For { page: Page::Metrics, body: true };
        assert_eq!(page("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), metrics);
        assert_eq!(page("GET /metrics?a=b HTTP/1.0\n\n"), metrics);
        assert_eq!(page("HEAD /healthz HTTP/1.1\r\n\r\n"), Request::For { page: Page::Health, body: false });
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let refused = |request: &[u8]| match Request::read(request) {
            Request::Refused(status) => status,
            other @ (Request::Incomplete | Request::For { .. }) => panic!("{other:?}"),
        };
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(refused(b"POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(refused(b"GET /metrics\r\n\r\n"), "400 Bad Request");
        assert_eq!(refused(b"\xff\xfe\r\n\r\n"), "400 Bad Request");
        assert_eq!(refused(&[b'a'; LONGEST_REQUEST]), "431 Request Header Fields Too Large");
        assert_eq!(Request::read(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"), Request::Incomplete);
        assert_eq!(Request::read(b""), Request::Incomplete);
    }

    #[test]
    fn a_response_tells_its_length_and_a_head_has_no_body() {
        let get = String::from_utf8(response("200 OK", "text/plain", "héllo", true)).unwrap();
        assert!(get.contains("\r\nContent-Length: 6\r\n") && get.ends_with("\r\n\r\nhéllo"), "{get}");
        let head = String::from_utf8(response("200 OK", "text/plain", "hello", false)).unwrap();
        assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(String::from_utf8(refusal("404 Not Found")).unwrap().contains("/metrics /healthz"));
    }
}
