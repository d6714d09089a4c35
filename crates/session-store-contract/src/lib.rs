//! What any session store must do, as tests that any store can be put through.
//!
//! Each case is one sentence, such as `a_save_after_the_end_revives_nothing`, and gets a store of its own. Implement [`Subject`] for a store in a test, and
//! call [`check`]. What a trait has no call for, [`Subject`] may leave out, and the cases that need it pass.
//!
//! # Examples
//! ```
//! # use std::{collections::HashMap, sync::Mutex, time::Duration};
//! use session_store_contract::{self as contract, Data, Failure, Subject};
//!
//! /// A store in memory: when a session ends, and what is in it.
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

/// What went wrong, in the store's own words.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A store to be tested. Its calls block; behind them may be any runtime.
pub trait Subject: Sync {
    /// What names a session.
    type Id: Clone + Debug + PartialEq + Send + Sync;

    /// Whether a save to an id that nobody knows makes a session, because the store's trait has one call for both.
    const SAVE_CREATES: bool = false;

    /// Makes a session that ends after `life`, and gives its id.
    ///
    /// # Errors
    /// Whatever the store says; the case fails then, here as in the other calls.
    fn create(&self, data: &Data, life: Duration) -> Result<Self::Id, Failure>;

    /// Makes a session under `id` or, if that is taken, under another, and gives its id. `None`: the store chooses all ids itself.
    fn create_at(&self, id: &Self::Id, data: &Data, life: Duration) -> Option<Result<Self::Id, Failure>> {
        let _ = (id, data, life);
        None
    }

    /// What is in a session; `None` if there is none.
    ///
    /// # Errors
    /// See [`create`](Self::create).
    fn load(&self, id: &Self::Id) -> Result<Option<Data>, Failure>;

    /// Makes a session what `data` says, and ends it after `life` from now.
    ///
    /// # Errors
    /// See [`create`](Self::create); for a session that is over, an error is as good as none.
    fn save(&self, id: &Self::Id, data: &Data, life: Duration) -> Result<(), Failure>;

    /// Ends a session after `life` from now and leaves its values alone. `None`: there is no such call.
    fn touch(&self, id: &Self::Id, life: Duration) -> Option<Result<(), Failure>> {
        let _ = (id, life);
        None
    }

    /// Ends a session.
    ///
    /// # Errors
    /// See [`create`](Self::create). That there was none is no error.
    fn delete(&self, id: &Self::Id) -> Result<(), Failure>;

    /// Deletes what has expired. Need not do anything.
    ///
    /// # Errors
    /// See [`create`](Self::create).
    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// An id that no session has, of the form that ids have.
    fn unknown(&self) -> Self::Id;

    /// Lets time go by: moves the store's clock, or sleeps.
    fn advance(&self, by: Duration);

    /// How long the cases take a second to be. Default: a second. A store that sleeps in [`advance`](Self::advance) may give less,
    /// as far as it can tell such times apart.
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

/// Puts the stores that `make` makes through all cases.
///
/// # Panics
/// With the names of the cases that failed; what each of them found was printed before.
pub fn check<S: Subject>(make: impl Fn() -> S) {
    let failing = failing(make);
    let of = cases::all::<S>().len();
    assert!(failing.is_empty(), "{} of {of} cases failed: {failing:#?}", failing.len());
}

/// The names of the cases that fail for the stores that `make` makes.
pub fn failing<S: Subject>(make: impl Fn() -> S) -> Vec<&'static str> {
    let fails = |run: fn(Run<S>)| catch_unwind(AssertUnwindSafe(|| run(Run(make())))).is_err();
    cases::all().into_iter().filter(|(_, run)| fails(*run)).map(|(name, _)| name).collect()
}

/// The names of all cases.
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

    /// A save of a session that is over, which may fail.
    fn try_save(&self, id: &S::Id, data: &Data) {
        let _ = self.0.save(id, data, self.hour());
    }

    /// As [`try_save`](Self::try_save), for a touch.
    fn try_touch(&self, id: &S::Id) {
        let _ = self.0.touch(id, self.hour());
    }

    /// `false`: there is no such call.
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

/// A session with these values.
fn data<const N: usize>(pairs: [(&str, &str); N]) -> Data {
    pairs.into_iter().map(|(key, json)| (key.to_owned(), json.to_owned())).collect()
}

fn one() -> Data {
    data([("name", r#""Ada""#), ("visits", "1")])
}

fn other() -> Data {
    data([("name", r#""Grace""#), ("theme", r#""dark""#)])
}
