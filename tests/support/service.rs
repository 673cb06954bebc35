//! The services that routers check: Debian's haproxy and nginx in the PID namespace of a router, which answer with the
//! name of their host; and an HTTP client.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::lab::Host;
use super::process::{Launch, Running, children_of};
use super::{seconds, wait_until};

/// The port they listen on.
pub(crate) const PORT: u16 = 8080;

pub(crate) struct Haproxy {
    pub(crate) run: Running,
}

impl Haproxy {
    /// Starts it and waits until it answers on its host's own address.
    pub(crate) fn start(host: &Host, init: &Running) -> Self {
        Self::listen(host, init, PORT, "-db")
    }

    /// [`Haproxy::start`], with status 500 for `/health`.
    pub(crate) fn start_unhealthy(host: &Host, init: &Running) -> Self {
        let rule = " http-request return status 500 if { path /health }\n";
        Self::listen_with(host, init, PORT, "-db", rule)
    }

    /// A second one, on another port.
    pub(crate) fn start_another(host: &Host, init: &Running) -> Self {
        Self::listen(host, init, PORT + 1, "-db")
    }

    /// A master process and its worker.
    pub(crate) fn start_master_and_worker(host: &Host, init: &Running) -> Self {
        Self::listen(host, init, PORT, "-W")
    }

    fn listen(host: &Host, init: &Running, port: u16, mode: &str) -> Self {
        Self::listen_with(host, init, port, mode, "")
    }

    fn listen_with(host: &Host, init: &Running, port: u16, mode: &str, rule: &str) -> Self {
        let name = &host.name;
        let conf = host.file(&format!("haproxy-{port}.cfg"));
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode http\n timeout connect 1s\n timeout client 2s\n timeout server 2s\n\
             frontend web\n bind *:{port}\n{rule} http-request return status 200 content-type text/plain string \"{name}\"\n"
        );
        fs::write(&conf, text).expect("a temporary file can be written");
        let args = [mode.into(), "-f".into(), conf.into_os_string()];
        let run = Running::start(host, Launch::Joining(init), Path::new("/usr/sbin/haproxy"), &args, &[]);
        answers(host, port);
        Self { run }
    }

    /// Kills it and returns the time of the signal.
    pub(crate) fn kill(mut self) -> Instant {
        self.run.pid();
        let at = Instant::now();
        self.run.kill();
        at
    }
}

/// nginx with a master process and two workers.
pub(crate) fn start_nginx(host: &Host, init: &Running) -> Running {
    let name = &host.name;
    let conf = host.file("nginx.conf");
    let text = format!(
        "daemon off;\nuser root;\nworker_processes 2;\npid /run/nginx.pid;\nevents {{}}\nhttp {{\n access_log off;\n \
         server {{\n  listen {PORT};\n  default_type text/plain;\n  return 200 {name};\n }}\n}}\n"
    );
    fs::write(&conf, text).expect("a temporary file can be written");
    let args: [OsString; 4] = ["-e".into(), "stderr".into(), "-c".into(), conf.into_os_string()];
    let run = Running::start(host, Launch::Joining(init), Path::new("/usr/sbin/nginx"), &args, &[]);
    answers(host, PORT);
    run
}

/// Makes a master process replace its workers, by `signal`, and waits until none of the old ones is left.
pub(crate) fn reload(master: &Running, signal: Signal) {
    let before = children_of(master.pid());
    assert!(!before.is_empty(), "it has workers");
    master.signal(signal);
    wait_until("new workers have replaced the old ones", seconds(5), || {
        let now = children_of(master.pid());
        !now.is_empty() && now.iter().all(|pid| !before.contains(pid))
    });
}

fn answers(host: &Host, port: u16) {
    wait_until("the service answers", seconds(5), || {
        host.http_get_port(host.address, port).as_ref() == Some(&host.name)
    });
}

impl Host {
    /// The body that a web server on `address` sends to this host within a second, if any.
    pub(crate) fn http_get(&self, address: Ipv4Addr) -> Option<String> {
        self.http_get_port(address, PORT)
    }

    fn http_get_port(&self, address: Ipv4Addr, port: u16) -> Option<String> {
        self.inside(|| {
            let limit = Duration::from_secs(1);
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), limit).ok()?;
            stream.set_read_timeout(Some(limit)).ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            head.contains(" 200 ").then(|| body.to_owned())
        })
    }
}
