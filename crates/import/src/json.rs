//! Sessions as lines of JSON: one object for each.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use serde_json::{Map, Value, json};
use sessile::{
    Handle, Owner, Store,
    foreign::{
        ForeignKind, SessionKey, Sessions,
        import::{Exported, Meta, export},
    },
    model::{Entry, EntryRef, Lane, Limits, Tag},
};
use tower_sessions_core::session::Id;

use crate::{Import, ImportError, Imported, run::Run};

impl Import<'_> {
    /// Imports sessions from lines of JSON. Skips empty lines, and a byte order mark at the beginning.
    ///
    /// A line is one of two:
    ///
    /// - a session of another crate, under the id in its visitor's cookie: `{"kind": "tower-sessions", "id": "...", "ends_ms":
    ///   1790000000000, "data": {"key": value, ...}}`. `kind` is the crate that the application will use: `tower-sessions`,
    ///   `actix-session` or `poem`. `ends_ms` is when the session ends, in milliseconds since 1970, to the end of the year
    ///   9999. With actix-session, each value is a string that contains JSON, as that crate stores it: `{"name": "\"Ada\"",
    ///   "visits": "3"}`.
    /// - a line that [`export_json_lines`] wrote.
    ///
    /// Several lines may describe one session: the last one counts. A line may have eight times the bytes of
    /// [`Builder::record_limit`](sessile::Builder::record_limit), and 64 KiB.
    ///
    /// # Errors
    /// [`ImportError`]. A line that is neither, or not UTF-8, or too long, is counted in [`Imported::refused`].
    ///
    /// # Examples
    /// ```
    /// use sessile_import::Import;
    ///
    /// # let store = sessile::testing::store();
    /// let lines = [r#"{"kind": "poem", "id": "one", "ends_ms": 4102444800000, "data": {"name": "Ada"}}"#, "no JSON"].join("\n");
    /// let imported = Import::into(&store).json_lines(lines.as_bytes())?;
    /// assert_eq!((imported.created, imported.refused), (1, 1));
    /// assert!(imported.reasons[0].starts_with("line 2: "));
    /// # Ok::<(), sessile_import::ImportError>(())
    /// ```
    pub fn json_lines(self, lines: impl BufRead) -> Result<Imported, ImportError> {
        let mut run = self.begin("line")?;
        let most_bytes = run.record_limit_bytes().saturating_mul(8).saturating_add(64 << 10);
        let mut lines = Lines { text: lines, line: Vec::new(), most_bytes };
        let mut position = 0;
        while let Some(is_whole) = lines.next()? {
            position += 1;
            let start = if position == 1 && lines.line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
            let line = lines.line[start..].trim_ascii();
            if !is_whole {
                run.refuse(position, None, &format!("it is longer than {most_bytes} bytes; raise `Builder::record_limit`"));
            } else if !line.is_empty() {
                // serde_json's own messages contain the position, not the problem.
                let parsed = serde_json::from_slice(line).map_err(|error| Bad::of(&format!("it is no JSON: {error}")));
                match parsed.and_then(|line: Value| Line::of(run.store, &line)) {
                    Ok(line) => line.take(&mut run, position)?,
                    Err(Bad { key, why }) => run.refuse(position, key, &why),
                }
            }
        }
        run.finish()
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The lines of a text, with bounded length.
struct Lines<R> {
    text: R,
    line: Vec<u8>,
    most_bytes: usize,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line into `line`. `None`: the end. `Some(false)`: the line is too long, and was skipped.
    fn next(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let (mut is_whole, mut is_any) = (true, false);
        loop {
            let found = match self.text.fill_buf() {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if found.is_empty() {
                return Ok(is_any.then_some(is_whole));
            }
            is_any = true;
            let end = found.iter().position(|byte| *byte == b'\n');
            let part = &found[..end.unwrap_or(found.len())];
            is_whole &= self.line.len() + part.len() <= self.most_bytes;
            if is_whole {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(found.len(), |end| end + 1);
            self.text.consume(used);
            if end.is_some() {
                return Ok(Some(is_whole));
            }
        }
    }
}

/// Writes every living session as a line of JSON, in no order, and returns their number.
///
/// A line has `key` (the session's key in the store, which leads to no id and no token), `created_ms`, `last_seen_ms`,
/// `idle_deadline_ms` and `absolute_deadline_ms` (`null` is never), `owner` (a hash) and `owner_name` (its text),
/// `authenticated_ms`, `handle`, `revision`, `flags`, `store` (an id unique to the store), and `data` with its values. Values
/// that JSON cannot represent, such as models and byte strings, are hexadecimal text in `opaque`. Sessions of this crate's own tokens are found again only in a store that has the same
/// MAC keys.
///
/// It is not a backup of this store: imported into the same store again, it brings back nothing that has ended since. For that,
/// remove `store` from the lines, or use `Store::backup`.
///
/// Sessions sealed in cookies are not in the store, and not included.
///
/// **The values of sessions are as private as the sessions**: protect such a file like the store's.
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
/// assert_eq!(sessile_import::export_json_lines(&store, &mut lines)?, 1);
/// assert!(String::from_utf8(lines).unwrap().contains(r#""data":{"name":"Ada"}"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export_json_lines(store: &Store, mut lines: impl Write) -> Result<u64, ImportError> {
    let mut sessions = 0;
    export(store, |session, values| {
        writeln!(lines, "{}", line(session, values))?;
        sessions += 1;
        Ok::<(), ImportError>(())
    })?;
    lines.flush()?;
    Ok(sessions)
}

fn line(session: &Exported, values: &mut dyn Iterator<Item = (&str, EntryRef<'_>)>) -> Value {
    let Exported { store, key, meta, owner } = session;
    let deadline = |ms: u64| if ms > LAST_MS { Value::Null } else { ms.into() };
    let (mut data, mut opaque) = (Map::new(), Map::new());
    for (name, entry) in values {
        match exact_json(entry) {
            Some(value) => data.insert(name.to_owned(), value),
            None => opaque.insert(name.to_owned(), described(entry)),
        };
    }
    let mut line = json!({
        "key": hex(&key.to_bytes()),
        "created_ms": meta.created_ms,
        "last_seen_ms": meta.last_seen_ms,
        "idle_deadline_ms": deadline(meta.idle_deadline_ms),
        "absolute_deadline_ms": deadline(meta.absolute_deadline_ms),
        "owner": if meta.owner == NOBODY { Value::Null } else { hex(&meta.owner).into() },
        "revision": meta.revision,
        "flags": meta.flags,
        "handle": format!("{:016x}", meta.handle),
        "authenticated_ms": meta.authenticated_ms,
        "data": data,
    });
    if let Some(store) = store {
        line["store"] = hex(store).into();
    }
    if let Some(owner) = owner {
        line["owner_name"] = owner.as_str().into();
    }
    if !opaque.is_empty() {
        line["opaque"] = opaque.into();
    }
    line
}

/// Returns the value as JSON, if that converts back into the same bytes.
fn exact_json(entry: EntryRef<'_>) -> Option<Value> {
    if entry.until_ms() != 0 {
        return None;
    }
    let value: Value = entry.get().ok()?;
    let again = Entry::serde(&value, &Limits::UNLIMITED).ok()?;
    (again.as_ref().lane() == entry.lane() && again.as_ref().bytes() == entry.bytes()).then_some(value)
}

/// Returns the value as JSON that says how its bytes are to be read.
fn described(entry: EntryRef<'_>) -> Value {
    let bytes = hex(entry.bytes());
    let mut value = match entry.lane() {
        Lane::Model { tag, version, fingerprint } => {
            json!({"model": tag.name(), "version": version, "shape": fingerprint.to_string(), "bytes": bytes})
        }
        Lane::SerdeExplicit => json!({"explicit_messagepack": bytes}),
        _ => json!({"messagepack": bytes}),
    };
    if entry.until_ms() != 0 {
        value["until_ms"] = entry.until_ms().into();
    }
    value
}

/// Returns the values of a line that was exported.
fn values(line: &Value) -> Result<Vec<(String, Entry)>, String> {
    let mut values = Vec::new();
    for (name, value) in data(line)? {
        let entry = Entry::serde(&value, &Limits::UNLIMITED).map_err(|error| format!("its value `{name}`: {error}"))?;
        values.push((name, entry));
    }
    let opaque = match line.get("opaque") {
        None => return Ok(values),
        Some(opaque) => opaque.as_object().ok_or("its `opaque` is no object")?,
    };
    for (name, value) in opaque {
        let entry = entry(value).ok_or_else(|| {
            format!("its value `{name}` in `opaque` is none that an export writes; export again with this version")
        })?;
        values.push((name.clone(), entry));
    }
    Ok(values)
}

/// Returns the value that [`described`] described.
fn entry(value: &Value) -> Option<Entry> {
    let bytes = |name: &str| unhex_all(value.get(name)?.as_str()?);
    let (lane, bytes) = if let Some(bytes) = bytes("messagepack") {
        (Lane::Serde, bytes)
    } else if let Some(bytes) = bytes("explicit_messagepack") {
        (Lane::SerdeExplicit, bytes)
    } else {
        let tag = Tag::parse(value.get("model")?.as_str()?)?;
        let version = u16::try_from(value.get("version")?.as_u64()?).ok()?;
        let fingerprint = value.get("shape")?.as_str()?.parse().ok()?;
        (Lane::Model { tag, version, fingerprint }, bytes("bytes")?)
    };
    let until_ms = value.get("until_ms").map_or(Some(0), Value::as_u64)?;
    Some(Entry::from_parts(lane, &bytes, &Limits::UNLIMITED).ok()?.with_until_ms(until_ms))
}

/// Reads pairs of hexadecimal digits.
fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        u8::try_from(digit(0)? * 16 + digit(1)?).ok()
    };
    pairs.map(byte).collect()
}

/// The last millisecond of the year 9999. A later time means never, or a mistake in its unit.
const LAST_MS: u64 = 253_402_300_799_999;
/// The longest session key of actix-session: that of a cookie.
const MOST_ACTIX_BYTES: usize = 4064;
/// The hash of a session without an owner.
const NOBODY: [u8; 16] = [0; 16];

/// A session that a line describes.
enum Line {
    Foreign { sessions: Sessions, id: Vec<u8>, ends_ms: u64, data: HashMap<String, Value> },
    Own { exported: Exported, values: Vec<(String, Entry)> },
}

/// Why a line is refused, and the key of its session if that is known.
struct Bad {
    key: Option<SessionKey>,
    why: String,
}

impl Bad {
    fn of(why: &str) -> Self {
        Self { key: None, why: why.to_owned() }
    }
}

impl Line {
    fn of(store: &Store, line: &Value) -> Result<Self, Bad> {
        if line.get("kind").is_none() {
            let key = SessionKey::from_bytes(unhex(line, "key").map_err(|why| Bad::of(&why))?);
            return Self::own(line, key).map_err(|why| Bad { key: Some(key), why });
        }
        let (kind, id) = id(line).map_err(|why| Bad::of(&why))?;
        let sessions = Sessions::new(store.clone(), kind);
        let key = sessions.key(&id);
        Self::foreign(line, kind, sessions, id).map_err(|why| Bad { key: Some(key), why })
    }

    fn own(line: &Value, key: SessionKey) -> Result<Self, String> {
        let owner = line.get("owner_name").and_then(Value::as_str).map(Owner::from);
        let store = line.get("store").map(|_| unhex(line, "store")).transpose()?;
        Ok(Self::Own { exported: Exported { store, key, meta: meta(line)?, owner }, values: values(line)? })
    }

    fn foreign(line: &Value, kind: ForeignKind, sessions: Sessions, id: Vec<u8>) -> Result<Self, String> {
        let (ends_ms, data) = (number(line, "ends_ms")?, data(line)?);
        if ends_ms > LAST_MS {
            return Err("its `ends_ms` is after the year 9999; write milliseconds since 1970".to_owned());
        }
        if kind == ForeignKind::ActixSession && !data.values().all(|value| value.as_str().is_some_and(is_json)) {
            return Err("a value is no text that holds JSON, as actix-session stores each of them".to_owned());
        }
        Ok(Self::Foreign { sessions, id, ends_ms, data: data.into_iter().collect() })
    }

    fn take(&self, run: &mut Run<'_>, position: u64) -> Result<(), ImportError> {
        match self {
            Self::Foreign { sessions, id, ends_ms, data } => {
                let values = sessions.values(data.iter().map(|(key, value)| (&**key, value))).map(|values| (values, *ends_ms));
                run.take_foreign(position, sessions, id, values, data)
            }
            Self::Own { exported, values } => {
                run.take_exported(position, exported, values.iter().map(|(name, value)| (&**name, value.clone())))
            }
        }
    }
}

/// Whether the text contains JSON, as each value of actix-session does.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// Returns the crate of the line's id, and the bytes from which its key is computed.
fn id(line: &Value) -> Result<(ForeignKind, Vec<u8>), String> {
    let text = |name: &str| line.get(name).and_then(Value::as_str).ok_or(format!("it has no text `{name}`"));
    let id = text("id")?;
    match text("kind")? {
        "tower-sessions" => {
            let id: Id = id.parse().map_err(|_| "its `id` is not one of tower-sessions: 22 characters of base64url")?;
            Ok((ForeignKind::TowerSessions, id.0.to_le_bytes().to_vec()))
        }
        "actix-session" if id.len() > MOST_ACTIX_BYTES => {
            Err(format!("its `id` has more than {MOST_ACTIX_BYTES} bytes, which actix-session does not take"))
        }
        "actix-session" | "poem" if id.is_empty() => Err("its `id` is empty".to_owned()),
        "actix-session" => Ok((ForeignKind::ActixSession, id.as_bytes().to_vec())),
        "poem" => Ok((ForeignKind::Poem, id.as_bytes().to_vec())),
        _ => Err("its `kind` is none of tower-sessions, actix-session, poem".to_owned()),
    }
}

fn data(line: &Value) -> Result<Map<String, Value>, String> {
    line.get("data").and_then(Value::as_object).cloned().ok_or_else(|| "it has no object `data` with the values".to_owned())
}

fn meta(line: &Value) -> Result<Meta, String> {
    let deadline = |name| match line.get(name) {
        Some(Value::Null) => Ok(u64::MAX),
        _ => number(line, name).map(|ms| if ms > LAST_MS { u64::MAX } else { ms }),
    };
    let owner = if line.get("owner").is_none_or(Value::is_null) { NOBODY } else { unhex(line, "owner")? };
    Ok(Meta {
        created_ms: number(line, "created_ms")?,
        last_seen_ms: number(line, "last_seen_ms")?,
        idle_deadline_ms: deadline("idle_deadline_ms")?,
        absolute_deadline_ms: deadline("absolute_deadline_ms")?,
        owner,
        revision: count(line, "revision")?,
        handle: handle(line)?,
        authenticated_ms: number(line, "authenticated_ms")?,
        flags: u16::try_from(count(line, "flags")?).map_err(|_| "its `flags` are more than 16 bits")?,
        ..Meta::default()
    })
}

fn handle(line: &Value) -> Result<u64, String> {
    // The type accepts one spelling of a number, which is the one that an export writes.
    let text = line.get("handle").and_then(Value::as_str).filter(|text| text.parse::<Handle>().is_ok());
    let number = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    number.ok_or_else(|| "its `handle` is not 16 hexadecimal digits".to_owned())
}

fn number(line: &Value, name: &str) -> Result<u64, String> {
    line.get(name).and_then(Value::as_u64).ok_or_else(|| format!("it has no whole number `{name}`, in milliseconds since 1970"))
}

fn count(line: &Value, name: &str) -> Result<u64, String> {
    line.get(name).and_then(Value::as_u64).ok_or_else(|| format!("it has no whole number `{name}`"))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).expect("four bits are less than 16")).collect()
}

fn unhex(line: &Value, name: &str) -> Result<[u8; 16], String> {
    let text = line.get(name).and_then(Value::as_str).filter(|text| text.len() == 32);
    // The parser would accept a sign.
    let digits = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    number.map(u128::to_be_bytes).ok_or_else(|| format!("its `{name}` is not 32 hexadecimal digits"))
}
