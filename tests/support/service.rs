//! Debian's haproxy in the PID namespace of a router, answering with its host's name; and the client that asks it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::lab::Host;
use super::process::{Launch, Running};

const PORT: u16 = 8080;

pub(crate) struct Haproxy {
    run: Running,
}

impl Haproxy {
    /// Starts it and waits until it answers on its host's own address.
    pub(crate) fn start(host: &Host, beside: &Running) -> Self {
        let name = &host.name;
        let conf = host.file("haproxy.cfg");
        let text = format!(
            "global\n nbthread 1\ndefaults\n mode http\n timeout connect 1s\n timeout client 2s\n timeout server 2s\n\
             frontend web\n bind *:{PORT}\n http-request return status 200 content-type text/plain string \"{name}\"\n"
        );
        fs::write(&conf, text).expect("a temporary file can be written");
        let args = ["-db".into(), "-f".into(), conf.into_os_string()];
        let run = Running::start(host, Launch::Beside(beside), Path::new("/usr/sbin/haproxy"), &args, &[]);
        let haproxy = Self { run };
        super::wait_until("haproxy answers", super::seconds(5), || {
            host.http_get(host.address).as_deref() == Some(name)
        });
        haproxy
    }

    pub(crate) fn kill(mut self) {
        self.run.kill();
    }
}

impl Host {
    /// What a web server on `address` answers to this host within a second, if anything.
    pub(crate) fn http_get(&self, address: Ipv4Addr) -> Option<String> {
        self.inside(|| {
            let limit = Duration::from_secs(1);
            let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), limit).ok()?;
            stream.set_read_timeout(Some(limit)).ok()?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            head.contains(" 200 ").then(|| body.to_owned())
        })
    }
}
