//! nginx and HAProxy as used in front of an application: they end TLS and speak plain http to it.
//!
//! The test creates the listening socket and the proxy inherits it. So the port is known before the proxy runs, no other
//! program can take it in between, and no connection is ever refused.

use std::{
    fs::{self, File},
    net::{Shutdown, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command},
    thread,
};

use tempfile::TempDir;

use crate::{certificate, programs};

/// Runs the proxy until its own standard output, which is a socket, closes. The proxy has the listening socket as descriptor 3.
const START: &str = r#"
exec 3<&0 </dev/null
"$@" >/dev/null &
exec 3<&-
read -r _ <&1
kill "$!" && wait "$!""#;

/// A port of loopback on which a proxy will listen.
#[derive(Debug)]
pub struct Front {
    listener: TcpListener,
    port: u16,
}

impl Front {
    /// A port that the kernel chooses.
    #[track_caller]
    pub fn bind() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("the listener is bound").port();
        Self { listener, port }
    }

    /// The origin under which browsers see the host `host` there.
    pub fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    /// Starts nginx there, in front of the server on the port `upstream`, with its default settings except for `directives` in its one location.
    #[track_caller]
    pub fn nginx(self, upstream: u16, directives: &str) -> Proxy {
        let listen = self.port;
        self.start("nginx", ["-p", ".", "-e", "log", "-c", "config"], |_| {
            format!(
                "daemon off;\n\
                 # Only for a master that is root, whose workers could not read the directory else.\n\
                 user root;\n\
                 pid pid;\n\
                 events {{}}\n\
                 http {{\n\
                 access_log off;\n\
                 client_body_temp_path body; proxy_temp_path proxy;\n\
                 fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
                 proxy_cache_path cache keys_zone=pages:1m;\n\
                 server {{\n\
                 listen 127.0.0.1:{listen} ssl;\n\
                 ssl_certificate certificate.pem; ssl_certificate_key certificate.pem;\n\
                 location / {{ proxy_pass http://127.0.0.1:{upstream}; {directives} }}\n\
                 }} }}\n"
            )
        })
    }

    /// Starts HAProxy there, in front of the server on the port `upstream`, with its default settings.
    #[track_caller]
    pub fn haproxy(self, upstream: u16) -> Proxy {
        self.start("haproxy", ["-db", "-f", "config"], |directory| {
            format!(
                "defaults\n    mode http\n    timeout connect 10s\n    timeout client 1m\n    timeout server 1m\n\
                 frontend visitors\n    bind fd@3 ssl crt {}\n    default_backend application\n\
                 backend application\n    server application 127.0.0.1:{upstream}\n",
                directory.join("certificate.pem").display()
            )
        })
    }

    #[track_caller]
    fn start<const N: usize>(self, program: &str, arguments: [&str; N], config: impl FnOnce(&Path) -> String) -> Proxy {
        programs::install();
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let write = |name, text: String| fs::write(directory.path().join(name), text).expect("the directory was just made");
        write("certificate.pem", certificate::pem());
        write("config", config(directory.path()));
        let log = File::create(directory.path().join("stderr")).expect("the directory was just made");
        let (lifeline, its_end) = UnixStream::pair().expect("two more descriptors are to be had");
        let process = Command::new("sh")
            .args(["-c", START, "sh", program])
            .args(arguments)
            .current_dir(directory.path())
            .env("PATH", programs::path())
            // nginx takes over sockets that it inherits, as when it upgrades itself.
            .env("NGINX", "3;")
            .stdin(OwnedFd::from(self.listener))
            .stdout(OwnedFd::from(its_end))
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        Proxy { port: self.port, lifeline, process, directory }
    }
}

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    lifeline: UnixStream,
    process: Child,
    directory: TempDir,
}

impl Proxy {
    /// The origin under which browsers see the host `host` there.
    pub fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Neither fails while both are ours; and a test may be panicking.
        let _ = self.lifeline.shutdown(Shutdown::Both);
        let _ = self.process.wait();
        if thread::panicking() {
            for name in ["stderr", "log"] {
                let text = fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
                eprintln!("the proxy's {name}: {text}");
            }
        }
    }
}
