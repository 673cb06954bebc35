//! The variables as text: for `docker run --env-file` and ENV_FILE, or as a service of a compose file. Knows no
//! keepalived.conf.

/// A variable under its full name.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) value: String,
    /// vrrp-init refuses the value: the line becomes a comment.
    pub(super) is_refused: bool,
}

/// The variables of one router, under what they are imported from.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// Before the name of the image, which follows from that of the repository.
const COMPOSE: &str = "services:
  keepalived:
    image: ghcr.io";
const SERVICE: &str = ":latest
    container_name: keepalived
    network_mode: host
    cap_add: [NET_ADMIN]
    restart: unless-stopped
    environment:
";

pub(super) fn env(routers: &[Router]) -> String {
    lines(routers, "", "=", str::to_owned)
}

pub(super) fn compose(routers: &[Router]) -> String {
    let quoted = |value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "$$");
        ["\"", &value, "\""].concat()
    };
    let image = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com").to_ascii_lowercase();
    [COMPOSE, &image, SERVICE, &lines(routers, "      ", ": ", quoted)].concat()
}

fn lines(routers: &[Router], indent: &str, equals: &str, quote: fn(&str) -> String) -> String {
    let mut text = String::new();
    for router in routers {
        text += &[indent, "# ", &router.title, "\n"].concat();
        for Line { name, value, is_refused } in &router.lines {
            let mark = if *is_refused { "# refused: " } else { "" };
            text += &[indent, mark, name, equals, &quote(value), "\n"].concat();
        }
    }
    text
}
