//! What any session store must do, as tests for any store.
//!
//! Each case is one sentence, such as `a_save_after_the_end_revives_nothing`, and gets its own store. Implement [`Subject`] for
//! a store in a test, and call [`check`]. If the store's trait lacks a call, [`Subject`] may leave it out; the cases that need
//! it then pass.
//!
//! # Examples
//! ```
//! # use std::{collections::HashMap, sync::Mutex, time::Duration};
//! use session_store_contract::{self as contract, Data, Failure, Subject};
//!
//! /// A store in memory: the end of each session, and its values.
//! #[derive(Default)]
//! struct MyStore {
//!     sessions: Mutex<HashMap<u64, (Duration, Data)>>,
//!     now: Mutex<Duration>,
//!     last_id: Mutex<u64>,
//! }
//!
//! impl Subject for MyStore {
//!     type Id = u64;
//!
//!     fn create(&self, data: &Data, life: Duration) -> Result<u64, Failure> {
//!         let mut id = self.last_id.lock().unwrap();
//!         *id += 1;
//!         let ends = *self.now.lock().unwrap() + life;
//!         self.sessions.lock().unwrap().insert(*id, (ends, data.clone()));
//!         Ok(*id)
//!     }
//!
//!     fn load(&self, id: &u64) -> Result<Option<Data>, Failure> {
//!         let now = *self.now.lock().unwrap();
//!         let sessions = self.sessions.lock().unwrap();
//!         Ok(sessions.get(id).filter(|(ends, _)| *ends > now).map(|(_, data)| data.clone()))
//!     }
//!
//!     fn save(&self, id: &u64, data: &Data, life: Duration) -> Result<(), Failure> {
//!         let now = *self.now.lock().unwrap();
//!         if let Some(session) = self.sessions.lock().unwrap().get_mut(id).filter(|(ends, _)| *ends > now) {
//!             *session = (now + life, data.clone());
//!         }
//!         Ok(())
//!     }
//!
//!     fn delete(&self, id: &u64) -> Result<(), Failure> {
//!         self.sessions.lock().unwrap().remove(id);
//!         Ok(())
//!     }
//!
//!     fn unknown(&self) -> u64 {
//!         u64::MAX
//!     }
//!
//!     fn advance(&self, by: Duration) {
//!         *self.now.lock().unwrap() += by;
//!     }
//! }
//!
//! contract::check(MyStore::default);
//! ```

#![forbid(unsafe_code)]

mod cases;
mod concurrent;
mod restart;

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

/// A session's values: each is JSON, written as serde_json writes it, objects with their keys in order.
pub type Data = BTreeMap<String, String>;

/// The store's own error.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A store to be tested. Its calls block; they may use any runtime.
pub trait Subject: Sync {
    /// Identifies a session.
    type Id: Clone + Debug + PartialEq + Send + Sync;

    /// Whether a save to an unknown id creates a session, because the store's trait has one call for both.
    const SAVE_CREATES: bool = false;

    /// Creates a session that ends after `life`, and returns its id.
    ///
    /// # Errors
    /// Any error of the store; the case then fails, as with the other calls.
    fn create(&self, data: &Data, life: Duration) -> Result<Self::Id, Failure>;

    /// Creates a session under `id` or, if that is taken, under another, and returns its id. `None`: the store chooses all ids
    /// itself.
    fn create_at(&self, id: &Self::Id, data: &Data, life: Duration) -> Option<Result<Self::Id, Failure>> {
        let _ = (id, data, life);
        None
    }

    /// Returns a session's values; `None` if there is no session.
    ///
    /// # Errors
    /// See [`create`](Self::create).
    fn load(&self, id: &Self::Id) -> Result<Option<Data>, Failure>;

    /// Replaces a session's values with `data`, and ends it after `life` from now.
    ///
    /// # Errors
    /// See [`create`](Self::create); for a session that is over, an error is accepted as well.
    fn save(&self, id: &Self::Id, data: &Data, life: Duration) -> Result<(), Failure>;

    /// Ends a session after `life` from now and leaves its values alone. `None`: there is no such call.
    fn touch(&self, id: &Self::Id, life: Duration) -> Option<Result<(), Failure>> {
        let _ = (id, life);
        None
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`create`](Self::create). A missing session is no error.
    fn delete(&self, id: &Self::Id) -> Result<(), Failure>;

    /// Deletes expired sessions. May do nothing.
    ///
    /// # Errors
    /// See [`create`](Self::create).
    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// Returns an id that no session has, in the form of ids.
    fn unknown(&self) -> Self::Id;

    /// Lets time pass: moves the store's clock, or sleeps.
    fn advance(&self, by: Duration);

    /// Returns what the cases use as a second. Default: a second. A store that sleeps in [`advance`](Self::advance) may return
    /// less, if it can distinguish such times.
    fn second(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Closes the store and opens it again, as at a restart. `None`: it keeps nothing.
    #[must_use]
    fn reopen(self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Runs all cases on the stores that `make` returns.
///
/// # Panics
/// With the names of the cases that failed; what each of them found is printed before.
pub fn check<S: Subject>(make: impl Fn() -> S) {
    let failing = failing(make);
    let of = cases::all::<S>().len();
    assert!(failing.is_empty(), "{} of {of} cases failed: {failing:#?}", failing.len());
}

/// Returns the names of the cases that fail for the stores that `make` returns.
pub fn failing<S: Subject>(make: impl Fn() -> S) -> Vec<&'static str> {
    let fails = |run: fn(Run<S>)| catch_unwind(AssertUnwindSafe(|| run(Run(make())))).is_err();
    cases::all().into_iter().filter(|(_, run)| fails(*run)).map(|(name, _)| name).collect()
}

/// Returns the names of all cases.
#[must_use]
pub fn names() -> Vec<&'static str> {
    cases::NAMES.to_vec()
}

/// One case's store, with calls that fail the case where the store fails.
struct Run<S>(S);

impl<S: Subject> Run<S> {
    fn seconds(&self, seconds: u32) -> Duration {
        self.0.second() * seconds
    }

    /// Long enough for everything that a case does.
    fn hour(&self) -> Duration {
        self.seconds(3600)
    }

    #[track_caller]
    fn create(&self, data: &Data) -> S::Id {
        self.create_for(data, self.hour())
    }

    #[track_caller]
    fn create_for(&self, data: &Data, life: Duration) -> S::Id {
        self.0.create(data, life).unwrap_or_else(|error| panic!("create failed: {error}"))
    }

    #[track_caller]
    fn create_at(&self, id: &S::Id, data: &Data) -> Option<S::Id> {
        let created = self.0.create_at(id, data, self.hour())?;
        Some(created.unwrap_or_else(|error| panic!("create at a given id failed: {error}")))
    }

    #[track_caller]
    fn load(&self, id: &S::Id) -> Option<Data> {
        self.0.load(id).unwrap_or_else(|error| panic!("load failed: {error}"))
    }

    #[track_caller]
    fn save(&self, id: &S::Id, data: &Data) {
        self.save_for(id, data, self.hour());
    }

    #[track_caller]
    fn save_for(&self, id: &S::Id, data: &Data, life: Duration) {
        self.0.save(id, data, life).unwrap_or_else(|error| panic!("save failed: {error}"));
    }

    /// Saves a session that is over, which may fail.
    fn try_save(&self, id: &S::Id, data: &Data) {
        let _ = self.0.save(id, data, self.hour());
    }

    /// Like [`try_save`](Self::try_save), for a touch.
    fn try_touch(&self, id: &S::Id) {
        let _ = self.0.touch(id, self.hour());
    }

    /// Returns false if there is no such call.
    #[track_caller]
    fn touch_for(&self, id: &S::Id, life: Duration) -> bool {
        let Some(touched) = self.0.touch(id, life) else { return false };
        touched.unwrap_or_else(|error| panic!("touch failed: {error}"));
        true
    }

    #[track_caller]
    fn delete(&self, id: &S::Id) {
        self.0.delete(id).unwrap_or_else(|error| panic!("delete failed: {error}"));
    }

    #[track_caller]
    fn sweep(&self) {
        self.0.sweep().unwrap_or_else(|error| panic!("sweep failed: {error}"));
    }

    #[track_caller]
    fn is_gone(&self, id: &S::Id) {
        assert_eq!(self.load(id), None, "the session is over");
    }

    #[track_caller]
    fn has(&self, id: &S::Id, data: &Data) {
        assert_eq!(self.load(id).as_ref(), Some(data), "the session has what was saved last");
    }

    fn reopen(self) -> Option<Self> {
        self.0.reopen().map(Self)
    }
}

/// Returns these values as a session's data.
fn data<const N: usize>(pairs: [(&str, &str); N]) -> Data {
    pairs.into_iter().map(|(key, json)| (key.to_owned(), json.to_owned())).collect()
}

fn one() -> Data {
    data([("name", r#""Ada""#), ("visits", "1")])
}

fn other() -> Data {
    data([("name", r#""Grace""#), ("theme", r#""dark""#)])
}
