//! Compares the shapes of an application's models with those in a file of its repository.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use sessile_codec::{Entry, Error as Codec, Fingerprint, Lane, Limits, Model, Shape};

/// Fails if the shape of a model has changed without a new version, so that a mistake shows in a test and not after a deploy.
///
/// Takes the name of a file, relative to the directory of the crate, and every [`Model`](crate::Model) of the application. The first
/// run writes the file; commit it. Later runs compare the models with it and add new models and new versions. Where the environment
/// variable `CI` is set, nothing is written: there a model or a version that is not in the file is a failure. To see what a model
/// reads, the macro passes empty values of each older version to [`Model::migrate`](crate::Model), which returns an error for them.
///
/// # Panics
/// With the model, the field and what to do, if
/// - the fields of a model are not those that the file has for its version;
/// - a model no longer reads a version that is in the file, or reads it in another shape;
/// - a model of the file is not in the list, or has a lower version than in the file;
/// - two models have the same name;
/// - the file cannot be read, or is not one that this macro wrote.
///
/// # Examples
/// ```
/// use sessile::{Model, testing::check_models};
///
/// #[derive(Model)]
/// struct Cart {
///     items: Vec<u64>,
/// }
///
/// # mod first {
/// #     #[derive(sessile::Model)]
/// #     #[model(name = "profile")]
/// #     pub struct Profile { pub name: String }
/// # }
/// #[derive(Model)]
/// struct Profile {
///     name: String,
/// }
///
/// // In an application: "models.lock".
/// # let directory = tempfile::tempdir().unwrap();
/// # let file = directory.path().join("models.lock");
/// # let file = file.to_str().unwrap();
/// # // The documentation is tested with `CI`, too.
/// # if std::env::var_os("CI").is_some() { return }
/// check_models!(file, Cart, Profile);
///
/// let text = std::fs::read_to_string(file).unwrap();
/// assert!(text.contains("model cart version 1 "));
/// assert!(text.contains("    items: Vec<u64>\n"));
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __check_models {
    ($file:expr, $($model:ty),+ $(,)?) => {
        $crate::testing::__check_models(env!("CARGO_MANIFEST_DIR"), $file, &[
            $($crate::testing::Declared::of::<$model>(stringify!($model))),+
        ])
    };
}

/// A model of the application.
#[doc(hidden)]
#[derive(Debug)]
pub struct Declared {
    type_name: &'static str,
    tag: String,
    version: u16,
    shape: &'static Shape,
    /// Tries to migrate an empty value.
    migrate: fn(u16, Fingerprint) -> Result<(), Codec>,
}

impl Declared {
    #[must_use]
    pub fn of<M: Model>(type_name: &'static str) -> Self {
        Self {
            type_name,
            tag: M::TAG.name(),
            version: M::VERSION,
            shape: M::SHAPE,
            migrate: |version, fingerprint| {
                let lane = Lane::Model { tag: M::TAG, version, fingerprint };
                Entry::from_parts(lane, &[], &Limits::UNLIMITED)?.upgraded::<M>().map(drop)
            },
        }
    }

    fn entry(&self) -> Locked {
        let (version, fingerprint) = (self.version, self.shape.fingerprint());
        Locked { tag: self.tag.clone(), version, fingerprint, lines: self.shape.lines() }
    }
}

/// One version of a model in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Locked {
    tag: String,
    version: u16,
    fingerprint: Fingerprint,
    lines: Vec<String>,
}

const HEAD: &str = "# The shapes of the models that sessions contain, written by sessile::testing::check_models!. Commit this file.\n\
                    # Other comments are not kept.\n";

impl Locked {
    fn read_all(text: &str) -> Result<Vec<Self>, String> {
        let mut found: Vec<Self> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            if let Some(part) = line.strip_prefix("    ")
                && let Some(last) = found.last_mut()
            {
                last.lines.push(part.to_owned());
                continue;
            }
            let words: Vec<_> = line.split(' ').collect();
            let entry = match *words {
                ["model", tag, "version", version, "shape", fingerprint] => version
                    .parse()
                    .ok()
                    .zip(fingerprint.parse().ok())
                    .map(|(version, fingerprint)| Self { tag: tag.to_owned(), version, fingerprint, lines: Vec::new() }),
                _ => None,
            };
            let Some(entry) = entry else {
                return Err(format!(
                    "line {} is `{line}`, expected `model NAME version NUMBER shape FINGERPRINT` or an indented field; take the \
                     file from the repository again",
                    at + 1
                ));
            };
            found.push(entry);
        }
        Ok(found)
    }

    fn write_all(entries: &[Self]) -> String {
        let mut text = HEAD.to_owned();
        for Self { tag, version, fingerprint, lines } in entries {
            // Writing to a text does not fail.
            let _ = write!(text, "\nmodel {tag} version {version} shape {fingerprint}\n");
            for line in lines {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

/// Checks the models and panics if one has changed.
///
/// # Panics
/// See [`check_models!`](super::check_models).
#[doc(hidden)]
pub fn __check_models(directory: &str, file: &str, models: &[Declared]) {
    let may_write = std::env::var_os("CI").is_none();
    // Where the test runs, the crate may be in another directory than where it was built.
    let directory = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(directory), PathBuf::from);
    if let Err(text) = compare(&directory.join(file), models, may_write) {
        panic!("{text}");
    }
}

fn compare(file: &Path, models: &[Declared], may_write: bool) -> Result<(), String> {
    let known = match fs::read_to_string(file) {
        Ok(text) => Locked::read_all(&text).map_err(|problem| format!("{}: {problem}", file.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{} cannot be read: {error}", file.display())),
    };
    let mut problems = Vec::new();
    check_names(models, &known, &mut problems);
    for model in models {
        for entry in known.iter().filter(|entry| entry.tag == model.tag) {
            problems.extend(problem(model, entry));
        }
    }
    let is_known = |entry: &Locked| known.iter().any(|known| (&known.tag, known.version) == (&entry.tag, entry.version));
    let new: Vec<_> = models.iter().map(Declared::entry).filter(|entry| !is_known(entry)).collect();
    if !may_write {
        problems.extend(new.iter().map(|entry| {
            let Locked { tag, version, .. } = entry;
            format!("version {version} of model `{tag}` is not in the file: run this test where `CI` is not set, and commit the file")
        }));
    }
    if !problems.is_empty() {
        return Err(format!("{}:\n- {}", file.display(), problems.join("\n- ")));
    }
    if new.is_empty() {
        return Ok(());
    }
    let mut entries = [known, new].concat();
    entries.sort_by(|a, b| (&a.tag, a.version).cmp(&(&b.tag, b.version)));
    write(file, &Locked::write_all(&entries)).map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

/// Replaces the file as a whole, so that a run that is interrupted leaves the old one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    // Several tests of one process may write at once.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let new = file.with_extension(format!("{}-{write}.new", std::process::id()));
    fs::write(&new, text)?;
    fs::rename(&new, file)
}

/// Finds names that two models have, and names in the file that no model has.
fn check_names(models: &[Declared], known: &[Locked], problems: &mut Vec<String>) {
    for (at, model) in models.iter().enumerate() {
        if let Some(other) = models[..at].iter().find(|other| other.tag == model.tag) {
            let Declared { type_name, tag, .. } = model;
            let other = other.type_name;
            problems.push(format!(
                "`{other}` and `{type_name}` are both named `{tag}`, so each reads the other's values: give one another \
                 `#[model(name = \"...\")]`"
            ));
        }
    }
    let mut gone: Vec<_> =
        known.iter().map(|entry| &entry.tag).filter(|tag| models.iter().all(|model| model.tag != **tag)).collect();
    gone.dedup();
    problems.extend(gone.into_iter().map(|tag| {
        format!(
            "no model is named `{tag}` any more, and sessions may contain one: list it, give it back its name with \
             `#[model(name = \"{tag}\")]`, or remove its lines from the file when no session has it"
        )
    }));
}

/// Compares a model with one version of it in the file.
fn problem(model: &Declared, known: &Locked) -> Option<String> {
    let Declared { type_name, tag, version, .. } = model;
    let stored = known.version;
    match stored.cmp(version) {
        std::cmp::Ordering::Greater => Some(format!(
            "`{type_name}` has version {version} and the file has version {stored} of `{tag}`, which sessions may contain: set \
             `#[model(version = {stored})]`"
        )),
        std::cmp::Ordering::Equal if known.fingerprint == model.shape.fingerprint() => None,
        std::cmp::Ordering::Equal => {
            let what = changed(&known.lines, model.shape, version.saturating_add(1));
            Some(format!(
                "`{type_name}` has changed and still has version {version}: {what}; or, if no session has version {version} yet, remove \
                 its lines from the file"
            ))
        }
        std::cmp::Ordering::Less => match (model.migrate)(stored, known.fingerprint) {
            Err(Codec::NoMigration { .. }) => Some(format!(
                "`{type_name}` does not read version {stored} of `{tag}` any more, and sessions may contain it: state what changed \
                 since, or remove its lines from the file when no session has it"
            )),
            Err(Codec::ShapeChanged { field, .. }) => {
                let place = field.map(|field| format!(", first at `{field}`")).unwrap_or_default();
                Some(format!(
                    "what `{type_name}` says of version {stored} is not what version {stored} was{place}: it had {{ {} }}",
                    known.lines.join(", ")
                ))
            }
            // An empty value is of no version, so any other error means that the version is known.
            Ok(()) | Err(_) => None,
        },
    }
}

/// Says what changed between the lines of two shapes, and what to write at it.
fn changed(old: &[String], new: &Shape, next: u16) -> String {
    let is_enum = new.is_enum();
    let new = &*new.lines();
    let raise = format!("set `#[model(version = {next})]`");
    if old == new {
        return "the file has the same fields and another fingerprint, so its lines do not belong together: take the file from \
                the repository again"
            .to_owned();
    }
    if old.len() != new.len() && [old, new].iter().any(|lines| lines.first().is_some_and(|line| line.starts_with("0: "))) {
        return format!(
            "the tuple has {} fields in place of {}: {raise}, and state the change or `migrate = path`",
            new.len(),
            old.len()
        );
    }
    let at = old.iter().zip(new).position(|(old, new)| old != new).unwrap_or_else(|| old.len().min(new.len()));
    let (gone, come) = (&old[at..], &new[at..]);
    if is_same_set(gone, come) {
        let line = gone.first().map_or("the type", String::as_str);
        return format!("`{line}` has another place: put it back, or {raise} and `migrate = path`");
    }
    match (gone, come) {
        (gone, [come, others @ ..]) if gone == others => {
            let at_end = if is_enum && !others.is_empty() { ", at the end of the enum" } else { "" };
            format!("`{come}` was added: {raise}, and `#[model(since = {next})]` at it{at_end}")
        }
        ([gone, others @ ..], come) if come == others => {
            let convert = if is_enum { ", convert = path" } else { "" };
            format!("`{gone}` was removed: {raise} and `removed({gone}, until = {next}, ...{convert})`, or `migrate = path`")
        }
        ([gone, ..], [come, ..]) => format!("`{gone}` is now `{come}`: {raise}, and {} at it", step(gone, come, is_enum, next)),
        _ => format!("several changed: {raise}, and state each change"),
    }
}

fn is_same_set(old: &[String], new: &[String]) -> bool {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    sorted(old) == sorted(new)
}

/// Returns the attribute for a field or a variant that changed.
fn step(old: &str, new: &str, is_enum: bool, next: u16) -> String {
    let separator = if is_enum { " " } else { ": " };
    let (old_name, old_type) = old.split_once(separator).unwrap_or((old, ""));
    let (new_name, new_type) = new.split_once(separator).unwrap_or((new, ""));
    let was = if old_name == new_name { String::new() } else { format!(", was = \"{old_name}\"") };
    match (old_type == new_type, is_enum) {
        (true, _) => format!("`#[model(since = {next}{was})]`"),
        (false, false) => format!("`#[model(since = {next}{was}, from = OldType, convert = path)]`"),
        (false, true) => "the change of its field".to_owned(),
    }
}

#[cfg(test)]
mod tests;
