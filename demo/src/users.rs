//! Who may sign in: names and argon2id hashes of passwords, in a redb file of the demo's own.
//!
//! Invariants: passwords are stored and compared as hashes only; an unknown name costs a hash like a wrong password, so neither the
//! answer nor its time shows which it was; names that differ in case, in spaces or in variation selectors only are one account; no name
//! has a character that is invisible or turns text around. Hashing and the file's syncs block, so both run on blocking threads.
//!
//! Knows nothing of sessions or HTTP. It leaves out what a real application needs next: changing a password, an e-mail address to
//! verify, a limit on tries, and Unicode normalisation (NFC, and names of several scripts that look alike).

use std::{
    fmt,
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{
    Argon2,
    password_hash::{self, PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use redb::{AccessGuard, Database, ReadableDatabase, ReadableTable, TableDefinition, backends::FileBackend};
use tokio::task;

/// User id -> (name as it was typed, hash of the password).
const ACCOUNTS: TableDefinition<'_, &str, (&str, &str)> = TableDefinition::new("accounts");

/// Characters of a name.
const NAME: std::ops::RangeInclusive<usize> = 1..=64;
/// Characters of a password. The upper end keeps a request from making the hash's input large.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=128;

/// Somebody with an account.
#[derive(Debug)]
pub(crate) struct User {
    /// The name without its case: what the account is found by, and what owns the user's sessions.
    pub(crate) id: String,
    /// The name as it was typed at sign-up.
    pub(crate) name: String,
}

impl User {
    /// Returns the user who has this name, or would have it.
    fn named(name: &str) -> Result<Self, Refusal> {
        // What is pasted may end with a line break.
        if let Some(found) = name.trim().chars().find(|character| is_invisible(*character)) {
            return Err(Refusal::Invisible(found));
        }
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if !NAME.contains(&name.chars().count()) {
            return Err(Refusal::NameLength);
        }
        if !name.chars().any(char::is_alphanumeric) {
            return Err(Refusal::Blank);
        }
        // Keyboards add variation selectors to some emoji: they change how a character looks, and are invisible elsewhere.
        let compared = name.chars().filter(|character| !matches!(character, '\u{fe00}'..='\u{fe0f}'));
        // Up and down again, letter by letter, is near to Unicode's case folding: "STRASSE" and "Straße" are one name.
        let id = compared.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        Ok(Self { id, name })
    }
}

/// Whether a character shows nothing, or changes the direction or the lines of the text around it: control characters, most of those that
/// Unicode has as "default ignorable", line separators, and blanks that are not white space.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Why a visitor does not get the account they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NameLength,
    Invisible(char),
    Blank,
    Taken,
    PasswordLength,
    NoAccount,
}

impl Refusal {
    /// Whether the password is what to type again, and not the name.
    pub(crate) fn concerns_password(self) -> bool {
        matches!(self, Self::PasswordLength | Self::NoAccount)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NameLength => write!(f, "A name has {} to {} characters.", NAME.start(), NAME.end()),
            Self::Invisible(found) => {
                write!(
                    f,
                    "This name contains the character U+{:04X}, which cannot be seen. Type the name again without it.",
                    u32::from(found)
                )
            }
            Self::Blank => f.write_str("A name has at least one letter or digit."),
            Self::Taken => f.write_str("This name is taken. Choose another, or sign in if it is yours."),
            Self::PasswordLength => write!(f, "A password has {} to {} characters.", PASSWORD.start(), PASSWORD.end()),
            Self::NoAccount => f.write_str("There is no account with this name and password."),
        }
    }
}

/// What can fail here although the user did nothing wrong.
#[derive(Debug)]
pub(crate) enum Error {
    Database(redb::Error),
    Hash(password_hash::Error),
    NoRandomness(getrandom::Error),
    Interrupted(task::JoinError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(source) => write!(f, "users.redb: {source}"),
            Self::Hash(source) => write!(f, "a password could not be hashed or a stored hash not be read: {source}"),
            Self::NoRandomness(source) => write!(f, "the operating system gave no random bytes: {source}"),
            Self::Interrupted(source) => write!(f, "looking up a user was interrupted: {source}"),
        }
    }
}

impl std::error::Error for Error {}

impl<E: Into<redb::Error>> From<E> for Error {
    fn from(source: E) -> Self {
        Self::Database(source.into())
    }
}

/// The accounts; a cheap handle.
#[derive(Clone)]
pub(crate) struct Users(Arc<Inner>);

struct Inner {
    database: Database,
    /// The hash that a password is compared with if its user does not exist.
    dummy: String,
    /// Held while hashing. One hash takes 19 MiB; a flood of sign-ins would else take that times the blocking threads, 512.
    hashing: Mutex<()>,
}

impl Users {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        // redb's cache is 1 GiB unless told otherwise; this file will hold a handful of accounts.
        let database = Database::builder().set_cache_size(1 << 20).create_with_backend(private_file(path)?)?;
        let transaction = database.begin_write()?;
        transaction.open_table(ACCOUNTS)?;
        transaction.commit()?;
        Ok(Self(Arc::new(Inner { database, dummy: hash(&random_bytes::<32>()?)?, hashing: Mutex::new(()) })))
    }

    /// Makes an account, unless the name or the password is refused.
    pub(crate) async fn sign_up(&self, name: &str, password: String) -> Result<Result<User, Refusal>, Error> {
        let user = match User::named(name) {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !PASSWORD.contains(&password.chars().count()) {
            return Ok(Err(Refusal::PasswordLength));
        }
        self.blocking(move |users| users.create(user, &password)).await
    }

    /// Returns the user with this name and password. A refusal does not say which of the two was wrong.
    pub(crate) async fn sign_in(&self, name: &str, password: String) -> Result<Result<User, Refusal>, Error> {
        // What no account can have is wrong without a hash; that shows nothing of which accounts there are.
        let user = User::named(name).ok().filter(|_| PASSWORD.contains(&password.chars().count()));
        let Some(user) = user else { return Ok(Err(Refusal::NoAccount)) };
        let found = self.blocking(move |users| users.check(&user, &password)).await?;
        Ok(found.ok_or(Refusal::NoAccount))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let users = Arc::clone(&self.0);
        task::spawn_blocking(move || work(&users)).await.map_err(Error::Interrupted)?
    }
}

impl Inner {
    fn create(&self, user: User, password: &str) -> Result<Result<User, Refusal>, Error> {
        let hash = self.one_at_a_time(|| hash(password.as_bytes()))?;
        let transaction = self.database.begin_write()?;
        {
            let mut accounts = transaction.open_table(ACCOUNTS)?;
            // Looked up in the transaction that writes: of two who ask for a name at once, one gets it. Dropping it undoes it.
            if accounts.get(&*user.id)?.is_some() {
                return Ok(Err(Refusal::Taken));
            }
            accounts.insert(&*user.id, (&*user.name, &*hash))?;
        }
        transaction.commit()?;
        Ok(Ok(user))
    }

    fn check(&self, user: &User, password: &str) -> Result<Option<User>, Error> {
        let accounts = self.database.begin_read()?.open_table(ACCOUNTS)?;
        let account = accounts.get(&*user.id)?;
        let (name, hash) = account.as_ref().map_or(("", &*self.dummy), AccessGuard::value);
        let right = self.one_at_a_time(|| verify(password.as_bytes(), hash))?;
        // Nobody knows the dummy's password, but an account that is not there must not open even so.
        Ok((right && account.is_some()).then(|| User { id: user.id.clone(), name: name.to_owned() }))
    }

    fn one_at_a_time<T>(&self, work: impl FnOnce() -> T) -> T {
        // The lock guards no data, so that a panic under it left none half written.
        let _turn = self.hashing.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

/// Opens the file, or makes one that only this user of the computer may read: hashes are there to be guessed at.
fn private_file(path: &Path) -> Result<FileBackend, redb::Error> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(FileBackend::new(options.open(path)?)?)
}

/// Hashes with argon2id at the crate's defaults, which are those OWASP recommends: 19 MiB, two passes, one lane.
fn hash(password: &[u8]) -> Result<String, Error> {
    let salt = SaltString::encode_b64(&random_bytes::<16>()?).map_err(Error::Hash)?;
    let hash = Argon2::default().hash_password(password, &salt).map_err(Error::Hash)?;
    Ok(hash.to_string())
}

fn verify(password: &[u8], hash: &str) -> Result<bool, Error> {
    let hash = PasswordHash::new(hash).map_err(Error::Hash)?;
    match Argon2::default().verify_password(password, &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::Password) => Ok(false),
        Err(source) => Err(Error::Hash(source)),
    }
}

fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Error::NoRandomness)?;
    Ok(bytes)
}
