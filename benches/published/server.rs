//! A Redis, or Valkey, of this bench's own: on loopback, without a file, and ended with it.

use std::{
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};

pub(crate) type Redis = RedisStore<Pool>;

/// The server.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts the first of the two that is there.
    pub(crate) fn start(dir: &Path) -> Option<Self> {
        // Free a moment ago: the server takes no socket from outside.
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).ok()?.port();
        let start = |name| {
            Command::new(name)
                .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"])
                .arg(dir)
                .stdout(Stdio::null())
                .spawn()
                .ok()
        };
        let process = ["valkey-server", "redis-server"].into_iter().find_map(start);
        if process.is_none() {
            println!("without Redis: neither `valkey-server` nor `redis-server` was found");
        }
        let server = Self { process: process?, port };
        // It listens in a moment.
        (0..100).find(|_| {
            thread::sleep(Duration::from_millis(50));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })?;
        Some(server)
    }

    /// A store on it, with as many connections as its documentation has.
    pub(crate) async fn store(&self) -> Redis {
        let config = Config::from_url(&format!("redis://127.0.0.1:{}", self.port)).expect("it is an address");
        let pool = Pool::new(config, None, None, None, 6).expect("six connections are not too many");
        pool.init().await.expect("the server was started");
        RedisStore::new(pool)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
