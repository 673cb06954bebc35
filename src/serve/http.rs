//! The part of HTTP that a scraper or a probe needs: parses the request line and formats a response. Knows no socket.
//! Header fields are not parsed, because none of them changes the response.

/// The longest request line with its header fields, in bytes.
pub const LONGEST_REQUEST: usize = 8 * 1024;

/// A page of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Metrics,
    Health,
    Ready,
    Master,
    Serving,
    Status,
}

/// Every page's path.
const PAGES: [(&str, Page); 6] = [
    ("/metrics", Page::Metrics),
    ("/healthz", Page::Health),
    ("/readyz", Page::Ready),
    ("/master", Page::Master),
    ("/serving", Page::Serving),
    ("/status", Page::Status),
];

/// The result of parsing the bytes received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The empty line is missing.
    Incomplete,
    /// `body`: false for HEAD.
    Request { page: Page, body: bool },
    /// The code and reason phrase of the error response.
    Rejected(&'static str),
}

/// Parses the bytes of a request.
pub fn parse(octets: &[u8]) -> Parsed {
    let ended =
        octets.windows(4).any(|end| end == b"\r\n\r\n") || octets.windows(2).any(|end| end == b"\n\n");
    if !ended {
        let too_long = octets.len() >= LONGEST_REQUEST;
        return if too_long {
            Parsed::Rejected("431 Request Header Fields Too Large")
        } else {
            Parsed::Incomplete
        };
    }
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !words.next().is_some_and(|version| version.starts_with(b"HTTP/1.")) {
        return Parsed::Rejected("400 Bad Request");
    }
    let body = match method {
        b"GET" => true,
        b"HEAD" => false,
        _ => return Parsed::Rejected("405 Method Not Allowed"),
    };
    let path = target.split(|octet| *octet == b'?').next().unwrap_or_default();
    match PAGES.into_iter().find(|(known, _)| known.as_bytes() == path) {
        Some((_, page)) => Parsed::Request { page, body },
        None => Parsed::Rejected("404 Not Found"),
    }
}

/// A whole response, after which the server closes the connection.
pub fn response(status: &str, media_type: &str, text: &str, body: bool) -> Vec<u8> {
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

/// An error response with the list of pages.
pub fn rejection(status: &str) -> Vec<u8> {
    let paths: Vec<_> = PAGES.iter().map(|(path, _)| *path).collect();
    response(status, "text/plain", &format!("{status}; there are: {}\n", paths.join(" ")), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_served_by_its_path_whatever_its_fields() {
        let page = |request: &str| parse(request.as_bytes());
        let metrics = Parsed::Request { page: Page::Metrics, body: true };
        assert_eq!(page("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), metrics);
        assert_eq!(page("GET /metrics?a=b HTTP/1.0\n\n"), metrics);
        assert_eq!(
            page("HEAD /healthz HTTP/1.1\r\n\r\n"),
            Parsed::Request { page: Page::Health, body: false }
        );
    }

    #[test]
    fn a_request_that_cannot_be_served_is_rejected_with_a_reason() {
        let rejected = |request: &[u8]| match parse(request) {
            Parsed::Rejected(status) => status,
            other @ (Parsed::Incomplete | Parsed::Request { .. }) => panic!("{other:?}"),
        };
        assert_eq!(rejected(b"GET / HTTP/1.1\r\n\r\n"), "404 Not Found");
        assert_eq!(rejected(b"POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(rejected(b"GET /metrics\r\n\r\n"), "400 Bad Request");
        assert_eq!(rejected(b"\xff\xfe\r\n\r\n"), "400 Bad Request");
        assert_eq!(rejected(&[b'a'; LONGEST_REQUEST]), "431 Request Header Fields Too Large");
        assert_eq!(parse(b"GET /metrics HTTP/1.1\r\nHost: x\r\n"), Parsed::Incomplete);
        assert_eq!(parse(b""), Parsed::Incomplete);
    }

    #[test]
    fn a_response_has_its_length_and_head_has_no_body() {
        let get = String::from_utf8(response("200 OK", "text/plain", "héllo", true)).unwrap();
        assert!(get.contains("\r\nContent-Length: 6\r\n") && get.ends_with("\r\n\r\nhéllo"), "{get}");
        let head = String::from_utf8(response("200 OK", "text/plain", "hello", false)).unwrap();
        assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(String::from_utf8(rejection("404 Not Found")).unwrap().contains("/metrics /healthz"));
    }
}
