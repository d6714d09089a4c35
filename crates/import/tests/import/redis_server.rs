//! Sessions of a real Redis or Valkey server, which each test starts for itself. It is installed if it is missing.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use actix_session::storage::{SessionKey, SessionStore as _};
use redis::{Cmd, Connection, ConnectionLike, RedisResult, Value as Reply, cmd, pipe};
use sessile::{
    Store,
    testing::{self, ManualClock},
};
use sessile_actix_session::ActixSessions;
use sessile_import::{Import, ImportError, Imported, Outcome};
use tempfile::TempDir;
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};

use crate::{EXPIRED, RECORDS, has_all, loaded, record};

const LIVING: u64 = RECORDS as u64 - EXPIRED;

/// The program's name, or why it is missing.
static PROGRAM: LazyLock<Result<&str, String>> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/install.sh");
    let install = Command::new(script).arg("redis-server|valkey-server").stdin(Stdio::null()).output();
    let output = install.map_err(|error| format!("{script}: {error}"))?;
    let is_there = |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    match ["redis-server", "valkey-server"].into_iter().find(is_there) {
        Some(name) if output.status.success() => Ok(name),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
});

/// A server that is ended on drop.
struct Server {
    process: Child,
    url: String,
    _directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let program = PROGRAM.as_ref().unwrap_or_else(|error| panic!("the server cannot be installed: {error}"));
        // Another process may take the port in between.
        (0..10).find_map(|_| Self::try_start(program)).expect("the server starts on one of ten ports")
    }

    fn try_start(program: &str) -> Option<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
        command.args([Path::new("--dir"), directory.path()]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut server =
            Self { process: command.spawn().unwrap(), url: format!("redis://127.0.0.1:{port}/"), _directory: directory };
        let began = Instant::now();
        while server.process.try_wait().unwrap().is_none() {
            if server.try_connect().is_ok() {
                return Some(server);
            }
            assert!(began.elapsed() < Duration::from_mins(1), "{program} does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    fn try_connect(&self) -> RedisResult<Connection> {
        redis::Client::open(&*self.url)?.get_connection()
    }

    fn connect(&self) -> Connection {
        self.try_connect().unwrap()
    }

    /// Stores these records as tower-sessions-redis-store does.
    fn store(&self, prefix: &str, records: &[Record]) {
        let mut all = pipe();
        for record in records {
            let value = rmp_serde::to_vec(record).unwrap();
            all.cmd("SET").arg(format!("{prefix}{}", record.id)).arg(value).arg("EXAT").arg(4_200_000_000_u64).ignore();
        }
        all.exec(&mut self.connect()).unwrap();
    }

    fn set(&self, key: &str, value: &[u8]) {
        cmd("SET").arg(key).arg(value).exec(&mut self.connect()).unwrap();
    }

    fn import(&self, store: &Store, prefix: &str) -> Imported {
        Import::into(store).source("redis").tower_sessions_redis(&mut self.connect(), prefix).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).unwrap();
    }
}

fn records() -> Vec<Record> {
    (0..RECORDS).map(record).collect()
}

fn many(count: i128) -> Vec<Record> {
    let ends = OffsetDateTime::from_unix_timestamp(4_000_000_000).unwrap();
    (1..=count).map(|n| Record { id: Id(n), data: HashMap::from([("n".to_owned(), 7.into())]), expiry_date: ends }).collect()
}

/// A connection that reports each command before it is sent.
struct Watched<F> {
    connection: Connection,
    before: F,
}

impl<F: FnMut(&str)> ConnectionLike for Watched<F> {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Reply> {
        (self.before)(&String::from_utf8_lossy(command));
        self.connection.req_packed_command(command)
    }

    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Reply>> {
        (self.before)(&String::from_utf8_lossy(commands));
        self.connection.req_packed_commands(commands, offset, count)
    }

    fn req_command(&mut self, command: &Cmd) -> RedisResult<Reply> {
        self.req_packed_command(&command.get_packed_command())
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }

    fn check_connection(&mut self) -> bool {
        self.connection.check_connection()
    }

    fn is_open(&self) -> bool {
        self.connection.is_open()
    }
}

#[tokio::test]
async fn sessions_come_over_whole_and_a_second_time_changes_nothing() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &records());
    let imported = server.import(&store, "");
    assert_eq!((imported.created, imported.expired, imported.refused), (LIVING, EXPIRED, 0), "{:?}", imported.reasons);
    has_all(&store).await;
    let again = server.import(&store, "");
    assert_eq!((again.unchanged, again.created), (LIVING, 0));
    // One signs out there.
    let () = cmd("DEL").arg(record(1).id.to_string()).query(&mut server.connect()).unwrap();
    assert_eq!(server.import(&store, "").gone, 1);
    assert!(loaded(&store, record(1).id).await.is_none());
}

#[test]
fn thousands_of_keys_come_over_in_batches_and_without_keys() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &many(5000));
    let (mut commands, mut longest) = (Vec::new(), 0);
    let mut connection = Watched {
        connection: server.connect(),
        before: |command: &str| {
            commands.push(command.lines().nth(2).unwrap_or_default().to_owned());
            longest = longest.max(command.len());
        },
    };
    let imported = Import::into(&store).tower_sessions_redis(&mut connection, "").unwrap();
    assert_eq!((imported.created, imported.refused, imported.skipped), (5000, 0, 0), "{:?}", imported.reasons);
    commands.sort_unstable();
    commands.dedup();
    assert_eq!(commands, ["MGET", "SCAN"]);
    assert!(longest < 10_000, "{longest} bytes in a command");
}

#[test]
fn a_key_that_is_scanned_twice_is_imported_once() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &many(2000));
    // Tables that shrink during a scan return keys again.
    let mut fill = pipe();
    for n in 0..60_000 {
        fill.cmd("SET").arg(format!("other:{n}")).arg("x").ignore();
    }
    fill.exec(&mut server.connect()).unwrap();
    let (mut scans, mut other) = (0, server.connect());
    let mut connection = Watched {
        connection: server.connect(),
        before: |command: &str| {
            scans += usize::from(command.contains("SCAN"));
            if scans == 3 {
                let mut less = pipe();
                for n in 0..60_000 {
                    less.cmd("DEL").arg(format!("other:{n}")).ignore();
                }
                less.exec(&mut other).unwrap();
                scans += 1;
            }
        },
    };
    let imported = Import::into(&store).tower_sessions_redis(&mut connection, "").unwrap();
    assert_eq!((imported.created, imported.unchanged), (2000, 0), "{:?}", imported.reasons);
}

#[test]
fn a_session_that_ends_between_the_scan_and_the_read_is_not_there() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &many(10));
    let mut other = server.connect();
    let mut connection = Watched {
        connection: server.connect(),
        before: |command: &str| {
            if command.contains("MGET") {
                let () = cmd("PEXPIRE").arg(Id(3).to_string()).arg(1).query(&mut other).unwrap();
                while cmd("EXISTS").arg(Id(3).to_string()).query::<bool>(&mut other).unwrap() {
                    thread::yield_now();
                }
            }
        },
    };
    let imported = Import::into(&store).tower_sessions_redis(&mut connection, "").unwrap();
    assert_eq!((imported.created, imported.refused, imported.expired), (9, 0, 0), "{:?}", imported.reasons);
}

#[tokio::test]
async fn what_is_no_record_is_refused_and_is_not_gone() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &many(6));
    assert_eq!(server.import(&store, "").created, 6);
    let mut connection = server.connect();
    server.set(&Id(1).to_string(), b"garbage");
    server.set(&Id(2).to_string(), &rmp_serde::to_vec(&many(9)[8]).unwrap());
    let mut types = pipe();
    types.cmd("DEL").arg(Id(3).to_string()).arg(Id(4).to_string()).arg(Id(5).to_string());
    types.cmd("HSET").arg(Id(3).to_string()).arg("a").arg("b").cmd("RPUSH").arg(Id(4).to_string()).arg("a");
    types.exec(&mut connection).unwrap();
    let imported = server.import(&store, "");
    assert_eq!((imported.unchanged, imported.refused, imported.gone), (1, 4, 1), "{:?}", imported.reasons);
    let mut whys: Vec<_> = imported.reasons.iter().map(|why| why.split_once(": ").unwrap().1).collect();
    whys.sort_unstable();
    assert!(whys[0].starts_with("its key holds a value of another type") && whys[0] == whys[1], "{whys:?}");
    assert!(whys[2].contains("not one of tower-sessions") && whys[3].contains("names another id"), "{whys:?}");
    for n in 1..=6 {
        assert_eq!(loaded(&store, Id(n)).await.is_some(), n != 5, "{n}");
    }
    assert!(loaded(&store, Id(9)).await.is_none());
}

#[tokio::test]
async fn only_keys_of_the_prefix_come_over_and_others_are_counted() {
    for prefix in ["session:", "a*b?[c]^\\", "s\u{e9}ances/", "*"] {
        let (server, store) = (Server::start(), testing::store());
        server.store(prefix, &records());
        server.store("", &many(2));
        server.store("axxb1c:", &many(3));
        server.set(&format!("{prefix}cart"), b"tea");
        cmd("SET").arg([prefix.as_bytes(), &[0xff; 22]].concat()).arg("x").exec(&mut server.connect()).unwrap();
        let imported = server.import(&store, prefix);
        assert_eq!((imported.created, imported.expired), (LIVING, EXPIRED), "{prefix}: {:?}", imported.reasons);
        assert_eq!((imported.refused, imported.skipped), (0, 2), "{prefix}: {:?}", imported.reasons);
        has_all(&store).await;
        let imported = server.import(&testing::store(), "");
        assert_eq!((imported.created, imported.skipped), (2, u64::from(RECORDS) + 5), "{prefix}");
    }
}

#[test]
fn a_connection_that_breaks_is_an_error_and_what_was_read_stays() {
    let (server, store) = (Server::start(), testing::store());
    server.store("", &many(3000));
    assert_eq!(server.import(&store, "").created, 3000);
    let (mut reads, mut other) = (0, server.connect());
    let mut connection = Watched {
        connection: server.connect(),
        before: |command: &str| {
            reads += usize::from(command.contains("MGET"));
            if reads == 3 {
                let () = cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query(&mut other).unwrap();
            }
        },
    };
    let import = Import::into(&store).source("redis").tower_sessions_redis(&mut connection, "");
    let error = import.unwrap_err();
    assert!(matches!(error, ImportError::Redis(_)) && error.to_string().contains("import again"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(store.stats().sessions, 3000, "none is taken for gone");
    assert_eq!(server.import(&store, "").unchanged, 3000);
}

/// Returns a session key as actix-session creates them.
fn actix_key(n: u32) -> String {
    format!("{n:0>64}")
}

fn actix_set(server: &Server, prefix: &str, n: u32, value: &str, life_ms: Option<u64>) {
    let mut set = cmd("SET");
    set.arg(format!("{prefix}{}", actix_key(n))).arg(value);
    if let Some(life_ms) = life_ms {
        set.arg("PX").arg(life_ms);
    }
    set.exec(&mut server.connect()).unwrap();
}

#[tokio::test]
async fn sessions_of_actix_session_come_over_with_their_ends() {
    const HOUR_MS: u64 = 3_600_000;
    for prefix in ["", "app:sess:"] {
        let server = Server::start();
        let clock = ManualClock::default();
        let store = Store::builder().clock(clock.clone()).open_in_memory().unwrap();
        (0..500).for_each(|n| actix_set(&server, prefix, n, &format!(r#"{{"n":"{n}","name":"\"Ada\""}}"#), Some(HOUR_MS)));
        actix_set(&server, prefix, 1000, r#"{"n":1}"#, Some(HOUR_MS));
        actix_set(&server, prefix, 1001, r#"{"n":"no JSON"}"#, Some(HOUR_MS));
        actix_set(&server, prefix, 1002, "garbage", Some(HOUR_MS));
        actix_set(&server, prefix, 1003, r#"{"n":"1"}"#, None);
        cmd("RPUSH").arg(format!("{prefix}{}", actix_key(1004))).arg("a").exec(&mut server.connect()).unwrap();
        server.set(&format!("{prefix}short"), b"{}");
        server.set(&format!("{prefix}{}", actix_key(1).replace('0', "-")), b"{}");
        let (mut refused, mut connection) = (Vec::new(), server.connect());
        let import = Import::into(&store).owned_by(|data| Some(data.get("n")?.as_str()?.to_owned())).each(|session| {
            if let Outcome::Refused { reason } = &session.outcome {
                refused.push(reason.clone());
            }
        });
        let imported = import.actix_sessions_redis(&mut connection, prefix).unwrap();
        assert_eq!((imported.created, imported.refused, imported.skipped), (500, 5, 2), "{:?}", imported.reasons);
        refused.sort_unstable();
        for (why, expected) in refused.iter().zip([
            "a value is no text",
            "it has no time to live",
            "its key holds",
            "its value is no",
            "its value is no",
        ]) {
            assert!(why.starts_with(expected) && !why.contains("garbage"), "{refused:?}");
        }
        let sessions = ActixSessions::new(store.clone());
        let load = async |n| sessions.load(&SessionKey::try_from(actix_key(n)).unwrap()).await.unwrap();
        let found = load(7).await.unwrap();
        assert_eq!((found["n"].as_str(), found["name"].as_str()), ("7", "\"Ada\""));
        assert_eq!(store.sessions_of("7").unwrap().len(), 1);
        clock.advance(Duration::from_millis(HOUR_MS - 120_000));
        assert!(load(7).await.is_some() && load(1003).await.is_none());
        clock.advance(Duration::from_mins(2));
        assert!(load(7).await.is_none());
    }
}

#[test]
fn a_server_that_refuses_a_command_is_an_error() {
    let (server, store) = (Server::start(), testing::store());
    let mut connection = server.connect();
    cmd("ACL").arg(&["SETUSER", "default", "-scan"][..]).exec(&mut connection).unwrap();
    for import in [Import::tower_sessions_redis, Import::actix_sessions_redis] {
        let error = import(Import::into(&store), &mut connection, "").unwrap_err();
        assert!(matches!(&error, ImportError::Redis(error) if error.code() == Some("NOPERM")), "{error:?}");
    }
}
