//! The command of a vrrp_script to the check that does the same without a program; runs nothing.

/// A check: its variable, its value, and what is different.
pub(super) type Check = (&'static str, String, &'static str);

/// What runs another program, or is an argument of that.
const WRAPPERS: &str = "sh bash dash ash busybox sudo env exec timeout";

/// What may follow a command and does not change its result.
const TAIL: &str = "|| && exit 0 1 true false > 2>&1 /dev/null >/dev/null 2>/dev/null &>/dev/null";

/// Options that make another request of it.
const REQUEST: &str = "-H -X -d -u --header --request --data --user";

const NO_TLS: &str = "now checks only that the port accepts a connection";
const BY_STATUS: &str = "must now answer with 2xx or 3xx";

/// The check that `command` is; `None` if only a program can tell.
pub(super) fn check(command: &str) -> Option<Check> {
    let plain: String = command.chars().map(|c| if "'\"".contains(c) { ' ' } else { c }).collect();
    let words: Vec<_> = plain.split_whitespace().collect();
    let mut words = words.as_slice();
    if let Some((_, target)) = plain.split_once("/dev/tcp/") {
        let (host, port) = target.split_whitespace().next()?.split_once('/')?;
        return tcp(host, port);
    }
    while let [first, rest @ ..] = words
        && is_wrapper(first)
    {
        words = rest;
    }
    let [program, arguments @ ..] = words else { return None };
    let (mut options, mut names, mut is_tail) = (vec![], vec![], false);
    for &word in arguments {
        is_tail |= word.contains(['>', '<', '|', '&']);
        if !is_tail {
            if word.starts_with('-') { options.push(word) } else { names.push(word) }
        } else if !has(TAIL, word) {
            return None;
        }
    }
    let has_option = |letter: char| options.iter().any(|option| option.contains(letter));
    match (base(program), &names[..]) {
        ("killall", [name]) if has_option('0') => service(name),
        ("pidof", [name]) => service(name),
        ("pgrep", [name]) if !has_option('f') => service(name),
        ("nc" | "ncat" | "netcat", [.., host, port]) if !has_option('u') => tcp(host, port),
        ("curl" | "wget", names) if !options.iter().any(|option| has(REQUEST, option)) => page(names),
        _ => None,
    }
}

/// Whether a word runs what follows it, or is an option or a number for that.
fn is_wrapper(word: &str) -> bool {
    has(WRAPPERS, base(word))
        || word.starts_with('-')
        || word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A process by the name or path of its program.
pub(super) fn service(name: &str) -> Option<Check> {
    let name = base(name);
    (!name.is_empty() && name.chars().all(is_plain)).then(|| ("SERVICE", name.to_owned(), ""))
}

fn tcp(host: &str, port: &str) -> Option<Check> {
    port.parse::<u16>().ok()?;
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    Some(("CHECK_TCP", [open, host, close, ":", port].concat(), ""))
}

fn page(names: &[&str]) -> Option<Check> {
    let url = names.iter().find(|word| word.starts_with("http"))?;
    let (scheme, rest) = url.split_once("://")?;
    if scheme == "http" {
        return Some(("CHECK_HTTP", (*url).to_owned(), BY_STATUS));
    }
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let port = if host.ends_with(|c: char| c.is_ascii_digit()) && host.contains(':') { "" } else { ":443" };
    Some(("CHECK_TCP", [host, port].concat(), NO_TLS))
}

fn has(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

fn base(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether a character has no meaning to a shell or in a pattern.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-:@+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_checks() {
        for (command, variable, value) in [
            ("killall -0 haproxy", "SERVICE", "haproxy"),
            ("/usr/bin/killall -q -0 haproxy", "SERVICE", "haproxy"),
            ("busybox killall -0 haproxy", "SERVICE", "haproxy"),
            ("/bin/sh -c 'killall -0 haproxy'", "SERVICE", "haproxy"),
            ("sudo timeout 2 pidof nginx", "SERVICE", "nginx"),
            ("pidof /usr/sbin/nginx >/dev/null 2>&1", "SERVICE", "nginx"),
            ("pgrep -x pihole-FTL || exit 1", "SERVICE", "pihole-FTL"),
            ("</dev/tcp/127.0.0.1/80", "CHECK_TCP", "127.0.0.1:80"),
            ("bash -c 'echo > /dev/tcp/localhost/6443'", "CHECK_TCP", "localhost:6443"),
            ("nc -z -w 1 127.0.0.1 53", "CHECK_TCP", "127.0.0.1:53"),
            ("nc -zvw1 ::1 53", "CHECK_TCP", "[::1]:53"),
            (
                "curl -sf -o /dev/null http://127.0.0.1:8080/health",
                "CHECK_HTTP",
                "http://127.0.0.1:8080/health",
            ),
            ("wget -q --spider http://localhost", "CHECK_HTTP", "http://localhost"),
            ("curl -k https://localhost:6443/healthz", "CHECK_TCP", "localhost:6443"),
            ("curl --fail https://127.0.0.1/", "CHECK_TCP", "127.0.0.1:443"),
        ] {
            let found = check(command).unwrap_or_else(|| panic!("{command}"));
            assert_eq!((found.0, found.1.as_str()), (variable, value), "{command}");
        }
    }

    #[test]
    fn what_only_a_program_can_tell_stays_one() {
        for command in [
            "",
            "/etc/keepalived/check.sh",
            "killall haproxy",
            "killall -0 haproxy nginx",
            "pgrep -f 'java .*kafka'",
            "pidof haproxy && pidof nginx",
            "ps aux | grep haproxy",
            "nc -zu 127.0.0.1 53",
            "curl -H 'Host: a' http://127.0.0.1/",
            "curl 127.0.0.1",
            "pgrep '^ha'",
            "test -f /run/ok",
            "sh -c",
            "kill -0 1",
            "kill -0 $(cat /run/x.pid)",
            "systemctl is-active haproxy",
        ] {
            assert_eq!(check(command), None, "{command}");
        }
    }
}
