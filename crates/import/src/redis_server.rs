//! Sessions of a Redis or Valkey server.
//!
//! Keys are listed by `SCAN`, which blocks the server for no longer than one batch takes, and read by `MGET` or a pipeline.
//! Invariants: each session is imported once, though `SCAN` may return a key twice; a session that ends between `SCAN` and the
//! read is skipped; a key with a value of another type is refused, and does not count as ended.

use std::collections::{HashMap, HashSet};

use redis::{ConnectionLike, Pipeline, Value as Reply, cmd, pipe};
use serde_json::Value;
use sessile::foreign::{ForeignKind, Sessions};
use tower_sessions_core::session::Id;

use crate::{Import, ImportError, Imported, json::is_json, run::Run};

/// Keys that the server checks per `SCAN`.
const SCAN_COUNT: usize = 1000;
/// Sessions that are in memory at once.
const BATCH: usize = 200;
/// The number of letters and digits in actix-session's session keys.
const ACTIX_CHARACTERS: usize = 64;

impl Import<'_> {
    /// Imports the sessions of tower-sessions-redis-store from a Redis or Valkey server. Each key is a session's id, its value
    /// the record. `prefix` is the application's prefix before the id, `""` by default.
    ///
    /// The server continues to serve the application. The number of a session in [`Imported::reasons`] counts the sessions that
    /// were read. Keys that begin with `prefix` and are not the prefix and an id are counted in [`Imported::skipped`]. A
    /// cluster is imported node by node, each master under its own [`source`](Self::source).
    ///
    /// # Errors
    /// [`ImportError::Redis`] if the server refuses a command or the connection breaks. A session that cannot be read is counted in
    /// [`Imported::refused`].
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{Import, ImportError, redis};
    ///
    /// # let store = sessile::testing::store();
    /// let import = |url: &str| {
    ///     let mut connection = redis::Client::open(url)?.get_connection()?;
    ///     Import::into(&store).source("redis").tower_sessions_redis(&mut connection, "")
    /// };
    /// // No server listens on this port.
    /// assert!(matches!(import("redis://127.0.0.1:1/"), Err(ImportError::Redis(_))));
    /// ```
    pub fn tower_sessions_redis(self, connection: &mut impl ConnectionLike, prefix: &str) -> Result<Imported, ImportError> {
        let run = self.begin("session")?;
        let sessions = run.sessions(ForeignKind::TowerSessions);
        import(
            run,
            connection,
            prefix,
            |id| id.parse::<Id>().is_ok(),
            |run, connection, batch| {
                let found: Vec<Reply> = cmd("MGET").arg(keys(batch)).query(connection)?;
                let nil = batch.iter().zip(&found).filter(|(_, reply)| matches!(reply, Reply::Nil)).map(|(found, _)| found);
                let others = others(connection, nil)?;
                for (Found { id, key, position }, reply) in batch.iter().zip(&found) {
                    match reply {
                        Reply::BulkString(bytes) => run.take_record(*position, &sessions, id, Ok(bytes))?,
                        _ if others.contains(key) => run.take_record(*position, &sessions, id, Err(NO_STRING))?,
                        // It has ended meanwhile.
                        _ => {}
                    }
                }
                Ok(())
            },
        )
    }

    /// Imports the sessions of actix-session's `RedisSessionStore` from a Redis or Valkey server. `prefix` is the prefix that
    /// the application's `cache_keygen` adds to the session key, `""` without one. The application then uses `ActixSessions` of
    /// the crate `sessile-actix-session`.
    ///
    /// Keys that begin with `prefix` and are not the prefix and a session key of 64 letters and digits are counted in
    /// [`Imported::skipped`]. Otherwise as [`tower_sessions_redis`](Self::tower_sessions_redis).
    ///
    /// # Errors
    /// [`ImportError::Redis`] if the server refuses a command or the connection breaks. A session that cannot be read, or that
    /// never ends, is counted in [`Imported::refused`].
    ///
    /// # Examples
    /// ```
    /// use sessile_import::{Import, ImportError, redis};
    ///
    /// # let store = sessile::testing::store();
    /// let import = |url: &str| {
    ///     let mut connection = redis::Client::open(url)?.get_connection()?;
    ///     Import::into(&store).source("redis").actix_sessions_redis(&mut connection, "")
    /// };
    /// // No server listens on this port.
    /// assert!(matches!(import("redis://127.0.0.1:1/"), Err(ImportError::Redis(_))));
    /// ```
    pub fn actix_sessions_redis(self, connection: &mut impl ConnectionLike, prefix: &str) -> Result<Imported, ImportError> {
        let run = self.begin("session")?;
        let sessions = run.sessions(ForeignKind::ActixSession);
        let is_key = |id: &str| id.len() == ACTIX_CHARACTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        import(run, connection, prefix, is_key, |run, connection, batch| {
            // In one transaction: otherwise a session could be saved with another end between the two.
            let mut read = pipe();
            read.atomic().cmd("MGET").arg(keys(batch));
            for found in batch {
                read.cmd("PTTL").arg(&found.key);
            }
            let mut replies: Vec<Reply> = read.query(connection)?;
            let ends = replies.split_off(1.min(replies.len()));
            let found: Vec<Reply> =
                redis::from_redis_value(replies.pop().unwrap_or(Reply::Nil)).map_err(redis::RedisError::from)?;
            let now_ms = sessions.now_ms();
            let nil = batch.iter().zip(&found).filter(|(_, reply)| matches!(reply, Reply::Nil)).map(|(found, _)| found);
            let others = others(connection, nil)?;
            for ((Found { id, key, position }, reply), left) in batch.iter().zip(&found).zip(&ends) {
                let left_ms = if let Reply::Int(left_ms) = left { u64::try_from(*left_ms).ok() } else { None };
                let session = match (reply, left_ms) {
                    (Reply::BulkString(bytes), Some(left_ms)) => {
                        state(bytes).map(|data| (data, now_ms.saturating_add(left_ms)))
                    }
                    (Reply::BulkString(_), None) => Err("it has no time to live, which actix-session sets for each session"),
                    _ if others.contains(key) => Err(NO_STRING),
                    _ => continue,
                };
                take_state(run, &sessions, *position, id, session)?;
            }
            Ok(())
        })
    }
}

const NO_STRING: &str = "its key holds a value of another type than string";

/// A session's key.
struct Found {
    position: u64,
    key: Vec<u8>,
    id: String,
}

fn keys(batch: &[Found]) -> Vec<&[u8]> {
    batch.iter().map(|found| &found.key[..]).collect()
}

/// Passes each session's key, once, to `read`, in batches.
fn import<C: ConnectionLike>(
    mut run: Run<'_>,
    connection: &mut C,
    prefix: &str,
    is_id: impl Fn(&str) -> bool,
    mut read: impl FnMut(&mut Run<'_>, &mut C, &[Found]) -> Result<(), ImportError>,
) -> Result<Imported, ImportError> {
    let (pattern, mut cursor) = (pattern(prefix), 0_u64);
    let (mut seen, mut position) = (HashSet::new(), 0);
    loop {
        let scan = cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT).to_owned();
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query(connection)?;
        let mut batch = Vec::new();
        for key in keys {
            // The pattern compares bytes, so what it returned begins with the prefix.
            let id =
                key.get(prefix.len()..).and_then(|id| std::str::from_utf8(id).ok()).filter(|id| is_id(id)).map(str::to_owned);
            if !seen.insert(key.clone()) {
                continue;
            }
            let Some(id) = id else {
                run.skip();
                continue;
            };
            position += 1;
            batch.push(Found { position, key, id });
        }
        for batch in batch.chunks(BATCH) {
            read(&mut run, connection, batch)?;
        }
        cursor = next;
        if cursor == 0 {
            return run.finish();
        }
    }
}

/// Returns the `SCAN` pattern that matches the keys with this prefix.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

/// Returns the keys without a string that have another value.
fn others<'f>(
    connection: &mut impl ConnectionLike,
    found: impl Iterator<Item = &'f Found>,
) -> Result<HashSet<Vec<u8>>, ImportError> {
    let keys: Vec<_> = found.map(|found| &found.key).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let mut types = Pipeline::new();
    for key in &keys {
        types.cmd("TYPE").arg(key);
    }
    let types: Vec<String> = types.query(connection)?;
    // If a string was stored since, the next import finds it.
    let is_other = |kind: &str| kind != "none" && kind != "string";
    Ok(keys.into_iter().zip(types).filter(|(_, kind)| is_other(kind)).map(|(key, _)| key.clone()).collect())
}

/// Parses the state of a session of actix-session: a JSON object of strings that contain JSON.
fn state(bytes: &[u8]) -> Result<HashMap<String, Value>, &'static str> {
    let state: HashMap<String, String> =
        serde_json::from_slice(bytes).map_err(|_| "its value is no JSON object of texts, as actix-session stores")?;
    if !state.values().all(|text| is_json(text)) {
        return Err("a value is no text that holds JSON, as actix-session stores each of them");
    }
    Ok(state.into_iter().map(|(key, text)| (key, Value::String(text))).collect())
}

fn take_state(
    run: &mut Run<'_>,
    sessions: &Sessions,
    position: u64,
    id: &str,
    session: Result<(HashMap<String, Value>, u64), &str>,
) -> Result<(), ImportError> {
    match session {
        Ok((data, ends_ms)) => {
            let values = sessions.values(data.iter().map(|(key, value)| (&**key, value)));
            run.take_foreign(position, sessions, id.as_bytes(), values.map(|values| (values, ends_ms)), &data)
        }
        Err(why) => {
            run.refuse(position, Some(sessions.key(id.as_bytes())), why);
            Ok(())
        }
    }
}
