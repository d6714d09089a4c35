//! Sessions as lines of JSON: one object for each.

use std::io::{BufRead, Write};

use serde_json::{Map, Value, json};
use sessile_codec::{Entry, EntryRef, Lane, Meta, Patch, Record};
use tower_sessions_core_0_15::session::Id;

use super::{Import, ImportError, Imported, Made};
use crate::{
    Ack, Error, Store,
    adapters::foreign::{Foreign, New},
    owner::{self, Owner},
    store::Kind,
    token::{Handle, Key},
};

/// Sessions from lines of JSON; empty lines are skipped.
///
/// A line is one of two:
///
/// - a session of another crate, under the id that its visitor's cookie holds:
///   `{"kind": "tower-sessions", "id": "...", "ends_ms": 1790000000000, "data": {"key": value, ...}}`. `kind` says what the application
///   will go on with: `tower-sessions`, `actix-session` (whose values are JSON in a text) or `poem`. `ends_ms` is milliseconds
///   since 1970.
/// - what [`export_json_lines`] wrote.
///
/// # Errors
/// [`ImportError`]. A line that is neither is in [`Imported::refused`].
pub fn json_lines(store: &Store, lines: impl BufRead) -> Result<Imported, ImportError> {
    let mut import = Import::new(store);
    for (nth, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        // serde_json's own messages say where, not what.
        let parsed = serde_json::from_str(&line).map_err(|error| format!("the line is no JSON: {error}"));
        let session = parsed.and_then(|line: Value| Line::of(&line));
        match session {
            Ok(session) => import.note(nth, session.make(store))?,
            Err(why) => import.refuse(nth, &why),
        }
    }
    import.finish()
}

/// Every living session as a line of JSON, in no order; gives how many.
///
/// A line has `key` (what the session is stored under, which leads to no id and no token), `created_ms`, `last_seen_ms`,
/// `idle_deadline_ms` and `absolute_deadline_ms` (`null` is never), `owner` (a hash) and `owner_name` (who that is), `authenticated_ms`,
/// `handle`, `revision`, `flags`, and `data` with its values.
/// What JSON cannot say, models and values such as byte strings, stands as hexadecimal text in `opaque`, to look at; a line with such a
/// value cannot be imported. Sessions of this crate's own tokens are found again only in a store that has the same MAC keys.
///
/// Sessions that travel sealed in cookies are not in the store, and not among them.
///
/// **The values of sessions are as private as the sessions**: keep such a file as you keep the store's.
///
/// # Errors
/// [`ImportError`].
///
/// # Examples
/// ```
/// # let store = sessile::testing::store();
/// let session = store.session(None)?;
/// session.insert("name", "Ada")?;
/// session.save().wait()?;
///
/// let mut lines = Vec::new();
/// assert_eq!(sessile::import::export_json_lines(&store, &mut lines)?, 1);
/// assert!(String::from_utf8(lines).unwrap().contains(r#""data":{"name":"Ada"}"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_json_lines(store: &Store, mut lines: impl Write) -> Result<u64, ImportError> {
    let (mut sessions, mut failed) = (0, None);
    let scanned = store.scan(|key, record, seen_ms| {
        if failed.is_none() {
            match writeln!(lines, "{}", line(key, record, seen_ms, store)) {
                Ok(()) => sessions += 1,
                Err(error) => failed = Some(error),
            }
        }
        Ok(())
    });
    scanned?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    lines.flush()?;
    Ok(sessions)
}

fn line(key: &Key, record: &Record, seen_ms: u64, store: &Store) -> Value {
    let meta = crate::expiry::touched(&record.meta(), seen_ms);
    let deadline = |ms: u64| if ms == u64::MAX { Value::Null } else { ms.into() };
    let (mut data, mut opaque) = (Map::new(), Map::new());
    let owner_name = record.entry(owner::KEY).and_then(|entry| Owner::of_entry(&entry));
    for (name, entry) in record.iter().filter(|(name, _)| *name != owner::KEY) {
        match exact_json(entry, store) {
            Some(value) => data.insert(name.to_owned(), value),
            None => opaque.insert(name.to_owned(), described(entry)),
        };
    }
    let mut line = json!({
        "key": hex(key),
        "created_ms": meta.created_ms,
        "last_seen_ms": meta.last_seen_ms,
        "idle_deadline_ms": deadline(meta.idle_deadline_ms),
        "absolute_deadline_ms": deadline(meta.absolute_deadline_ms),
        "owner": if meta.owner == [0; 16] { Value::Null } else { hex(&meta.owner).into() },
        "revision": meta.revision,
        "flags": meta.flags,
        "handle": format!("{:016x}", meta.handle),
        "authenticated_ms": meta.authenticated_ms,
        "data": data,
    });
    if let Some(owner) = owner_name {
        line["owner_name"] = owner.as_str().into();
    }
    if !opaque.is_empty() {
        line["opaque"] = opaque.into();
    }
    line
}

/// The value as JSON, if the same bytes come of it again.
fn exact_json(entry: EntryRef<'_>, store: &Store) -> Option<Value> {
    let value: Value = entry.get().ok()?;
    let again = Entry::serde(&value, store.limits()).ok()?;
    (again.as_ref().lane() == entry.lane() && again.as_ref().bytes() == entry.bytes()).then_some(value)
}

fn described(entry: EntryRef<'_>) -> Value {
    let bytes = hex(entry.bytes());
    match entry.lane() {
        Lane::Model { tag, version } => json!({"model": format!("{tag:?}"), "version": version, "bytes": bytes}),
        _ => json!({"messagepack": bytes}),
    }
}

/// A session that a line describes.
enum Line {
    Foreign { kind: Kind, id: Vec<u8>, ends_ms: u64, data: Map<String, Value> },
    Own { key: Key, meta: Meta, owner: Option<Owner>, data: Map<String, Value> },
}

impl Line {
    fn of(line: &Value) -> Result<Self, String> {
        if line.get("opaque").is_some() {
            return Err("it has values that JSON cannot say (`opaque`)".to_owned());
        }
        let data = line.get("data").and_then(Value::as_object).ok_or("it has no object `data` with the values")?.clone();
        if line.get("kind").is_none() {
            let owner = line.get("owner_name").and_then(Value::as_str).map(Owner::from);
            return Ok(Self::Own { key: unhex(line, "key")?, meta: meta(line)?, owner, data });
        }
        let text = |name: &str| line.get(name).and_then(Value::as_str).ok_or(format!("it has no text `{name}`"));
        let id = text("id")?;
        let (kind, id) = match text("kind")? {
            "tower-sessions" => {
                let id: Id = id.parse().map_err(|_| "its `id` is not one of tower-sessions: 22 characters of base64url")?;
                (Kind::TowerSessions, id.0.to_le_bytes().to_vec())
            }
            "actix-session" => (Kind::ActixSession, id.as_bytes().to_vec()),
            "poem" => (Kind::Poem, id.as_bytes().to_vec()),
            _ => return Err("its `kind` is none of tower-sessions, actix-session, poem".to_owned()),
        };
        Ok(Self::Foreign { kind, id, ends_ms: number(line, "ends_ms")?, data })
    }

    fn make(&self, store: &Store) -> Result<Made, Error> {
        let created: Option<Ack> = match self {
            Self::Foreign { ends_ms, .. } if *ends_ms <= store.now_ms() => return Ok(Made::Expired),
            Self::Own { meta, .. } if meta.deadline_ms() <= store.now_ms() => return Ok(Made::Expired),
            Self::Foreign { kind, id, ends_ms, data } => {
                let sessions = Foreign::new(store.clone(), *kind);
                let values = sessions.values(data)?;
                sessions.create(&sessions.key(id), &New { values: &values, ends_ms: *ends_ms, owner: None })?
            }
            Self::Own { key, meta, owner, data } => {
                let (mut values, limits) = (Patch::new(), store.limits());
                if let Some(owner) = owner {
                    values.set(owner::KEY, owner.entry(limits)?, limits)?;
                }
                for (name, value) in data {
                    values.set(name, Entry::serde(value, limits)?, limits)?;
                }
                let record = values.apply(None, key, meta, limits)?;
                store.create_foreign(key, |_| Ok(record.clone()), store.durability())?.map(|ticket| Ack::new(ticket, ()))
            }
        };
        Ok(Made::of(created))
    }
}

fn meta(line: &Value) -> Result<Meta, String> {
    let deadline = |name| if line.get(name) == Some(&Value::Null) { Ok(u64::MAX) } else { number(line, name) };
    let owner = if line.get("owner").is_none_or(Value::is_null) { [0; 16] } else { unhex(line, "owner")? };
    Ok(Meta {
        created_ms: number(line, "created_ms")?,
        last_seen_ms: number(line, "last_seen_ms")?,
        idle_deadline_ms: deadline("idle_deadline_ms")?,
        absolute_deadline_ms: deadline("absolute_deadline_ms")?,
        owner,
        revision: number(line, "revision")?,
        handle: handle(line)?,
        authenticated_ms: number(line, "authenticated_ms")?,
        flags: u16::try_from(number(line, "flags")?).map_err(|_| "its `flags` are more than 16 bits")?,
        ..Meta::default()
    })
}

fn handle(line: &Value) -> Result<u64, String> {
    let handle: Option<Handle> = line.get("handle").and_then(Value::as_str).and_then(|text| text.parse().ok());
    handle.map(Handle::bits).ok_or_else(|| "its `handle` is not 16 hexadecimal digits".to_owned())
}

fn number(line: &Value, name: &str) -> Result<u64, String> {
    line.get(name).and_then(Value::as_u64).ok_or_else(|| format!("it has no whole number `{name}`, in milliseconds since 1970"))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).expect("four bits are less than 16")).collect()
}

fn unhex(line: &Value, name: &str) -> Result<[u8; 16], String> {
    let text = line.get(name).and_then(Value::as_str);
    let number = text.filter(|text| text.len() == 32).and_then(|text| u128::from_str_radix(text, 16).ok());
    number.map(u128::to_be_bytes).ok_or_else(|| format!("its `{name}` is not 32 hexadecimal digits"))
}
