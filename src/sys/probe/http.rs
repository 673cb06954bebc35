//! The HTTP request of a probe and the status line of its response, as octets. Knows no socket.

use std::fmt::Write as _;

/// The longest accepted status line in octets, with its line end.
pub const LONGEST_LINE: usize = 256;

/// The beginning of every HTTP/1 response.
const PROTOCOL: &[u8] = b"HTTP/";

/// The request for `path`, or one that brings it a JSON object. `host` becomes the `Host` header unchanged.
pub fn request(host: &str, path: &str, object: Option<&str>) -> Vec<u8> {
    let agent = concat!("vrrp-init/", env!("CARGO_PKG_VERSION"));
    let method = if object.is_some() { "POST" } else { "GET" };
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n");
    if let Some(object) = object {
        _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", object.len());
    }
    (text + "\r\n" + object.unwrap_or_default()).into_bytes()
}

/// The status line of a response as far as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusLine {
    /// More octets are needed.
    Incomplete,
    /// The status code, 000 to 999.
    Status(u16),
    /// Not a status line of HTTP.
    Malformed,
    /// No line end within [`LONGEST_LINE`] octets.
    TooLong,
}

/// Reads the status line (RFC 9112 §4) at the beginning of a response. Accepts a lone LF as its end (§2.2), and a missing
/// space before an empty reason, as some servers send. HTTP libraries want more of the response than we read, or are
/// stricter about the version.
pub fn status_line(answer: &[u8]) -> StatusLine {
    let compared = answer.len().min(PROTOCOL.len());
    if answer[..compared] != PROTOCOL[..compared] {
        return StatusLine::Malformed;
    }
    let within = &answer[..answer.len().min(LONGEST_LINE)];
    match within.iter().position(|&octet| octet == b'\n') {
        Some(end) => {
            let line = within[..end].strip_suffix(b"\r").unwrap_or(&within[..end]);
            status(line).map_or(StatusLine::Malformed, StatusLine::Status)
        }
        None if within.len() < LONGEST_LINE => StatusLine::Incomplete,
        None => StatusLine::TooLong,
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let [major, b'.', minor, b' ', digits @ ..] = line.strip_prefix(PROTOCOL)? else { return None };
    let [hundreds, tens, ones, rest @ ..] = digits else { return None };
    let all_digits = [major, minor, hundreds, tens, ones].iter().all(|octet| octet.is_ascii_digit());
    if !all_digits || rest.first().is_some_and(|&octet| octet != b' ') {
        return None;
    }
    let value = |octet: &u8| u16::from(octet - b'0');
    Some(value(hundreds) * 100 + value(tens) * 10 + value(ones))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_conforms_to_rfc_9112() {
        let text = String::from_utf8(request("[::1]:8080", "/health?full=1", None)).unwrap();
        let lines: Vec<_> = text.split("\r\n").collect();
        let agent = format!("User-Agent: vrrp-init/{}", env!("CARGO_PKG_VERSION"));
        let expected =
            ["GET /health?full=1 HTTP/1.1", "Host: [::1]:8080", &agent, "Connection: close", "", ""];
        assert_eq!(lines, expected);
        let text = String::from_utf8(request("a", "/", Some("{\"a\":\"ä\"}"))).unwrap();
        assert!(text.starts_with("POST / HTTP/1.1\r\nHost: a\r\n"));
        let rest = "\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"a\":\"ä\"}";
        assert!(text.ends_with(rest), "{text}");
    }

    #[test]
    fn status_lines_as_servers_write_them_are_read() {
        for (line, status) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], 200),
            (b"HTTP/1.0 503 Service Unavailable\r\nServer: x\r\n", 503),
            (b"HTTP/1.1 301 \r\n", 301),
            (b"HTTP/1.1 204\n", 204),
            (b"HTTP/2.0 999 \xff\xfe\r\n", 999),
        ] {
            assert_eq!(status_line(line), StatusLine::Status(status), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_invalid_status_line_is_rejected_as_early_as_possible() {
        for line in [
            &b"S"[..],
            b"HTTQ",
            b"\x15\x03\x03\x00\x02",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\r\nHTTP/1.1 200 OK\r\n",
            b"HTTP/1.1\r\n",
            b"HTTP/1.1  200 OK\r\n",
            b"HTTP/1.1 20 OK\r\n",
            b"HTTP/1.1 2000\r\n",
            b"HTTP/11 200 OK\r\n",
            b"HTTP/1.1 +20 OK\r\n",
            b"HTTP/1.1 200\rOK\n",
            b"HTTP/\n",
        ] {
            assert_eq!(status_line(line), StatusLine::Malformed, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_line_must_end_within_its_limit() {
        let mut line = b"HTTP/1.1 200 ".to_vec();
        line.resize(LONGEST_LINE - 1, b'x');
        assert_eq!(status_line(&line), StatusLine::Incomplete);
        let ended = [&line[..], b"\n"].concat();
        assert_eq!(status_line(&ended), StatusLine::Status(200));
        line.extend(b"x\n");
        assert_eq!(status_line(&line), StatusLine::TooLong);
        assert_eq!(status_line(&line[..LONGEST_LINE]), StatusLine::TooLong);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = status_line(&answer);
        }

        #[test]
        fn nor_does_one_that_starts_well(rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = status_line(&[b"HTTP/1.", &rest[..]].concat());
        }

        /// However it is cut: incomplete until the line is whole, and then always the same.
        #[test]
        fn a_line_read_octet_by_octet_is_read_alike(status in 0..1000_u16, reason in "[ -~]{0,100}") {
            let line = format!("HTTP/1.1 {status:03} {reason}\r\n").into_bytes();
            for end in 0..line.len() {
                prop_assert_eq!(status_line(&line[..end]), StatusLine::Incomplete);
            }
            prop_assert_eq!(status_line(&line), StatusLine::Status(status));
        }
    }
}
