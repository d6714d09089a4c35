//! Stores that break the contract on purpose: each case must be able to fail, and a plain map with deadlines must pass.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use session_store_contract::{self as contract, Data, Failure, Subject};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// A save creates the session that it does not find.
    Upserts,
    /// The same, except for an id that was never seen.
    Revives,
    /// Creating a session replaces an existing one.
    Overwrites,
    /// The next id is one that was used before.
    RepeatsIds,
    /// An expired session is served until it is swept.
    ServesExpired,
    /// A sweep removes everything.
    SweepsAll,
    /// Loading prolongs a session.
    LoadProlongs,
    /// A save does not move the deadline.
    SaveKeepsEnd,
    /// An unchanged save is skipped completely.
    SkipsUnchanged,
    /// A touch moves the deadline in one direction only.
    TouchNeverShortens,
    TouchForgetsValues,
    /// A save adds and replaces, and removes nothing.
    SaveOnlyAdds,
    /// A save changes every session with the same values.
    SaveHitsAlike,
    /// An empty session is not stored.
    NoEmpty,
    DeletesNothing,
    DeletesAll,
    DeleteOfUnknownFails,
    SweepOfNothingFails,
    /// A load creates the session that it does not find.
    Adopts,
    /// Numbers become floats.
    Floats,
    /// A null is absent.
    DropsNulls,
    /// Text ends at the first zero byte, keys too.
    CutsAtZero,
    /// Nothing larger than 64 KiB, nor deeper than 32 levels.
    Small,
    /// Keys of another type are not replaced.
    KeepsTypes,
    /// At most 100 values.
    FewKeys,
    /// A save writes one key after another.
    TearsSaves,
    /// A restart loses everything.
    LosesAll,
    /// A restart brings back what was deleted and what was expired.
    RestartRevives,
    /// A restart loses touches, and the deadlines of saves.
    RestartForgetsEnds,
    /// Checking whether an id is taken and taking it are two steps.
    CreatesInTwoSteps,
    /// Checking whether a session exists and saving it are two steps.
    SavesInTwoSteps,
    /// A touch is a load and a save, two steps.
    TouchesInTwoSteps,
    /// Only one session may exist at a time.
    OneOnly,
    SecondDeleteFails,
    /// A save of a session changes the next one.
    Shifts,
    SavesNothing,
    CreatesEmpty,
    /// A load removes a value.
    LoadTakes,
    /// A save of the same values leaves nothing.
    SameSaveEmpties,
    /// A session lasts half as long as it should.
    EndsEarly,
}

struct Broken {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    sessions: HashMap<u64, (Duration, Data)>,
    /// The sessions as they were first, and those that were deleted.
    first: HashMap<u64, (Duration, Data)>,
    seen: HashSet<u64>,
    now: Duration,
    ids: u64,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self { fault, state: Mutex::default() }
    }

    /// A pause in which another thread runs.
    fn pause() {
        std::thread::sleep(Duration::from_micros(300));
    }

    fn kept(&self, data: &Data) -> Data {
        let mut data = data.clone();
        match self.fault {
            Fault::Floats => data.values_mut().filter(|json| json.parse::<i64>().is_ok()).for_each(|json| json.push_str(".0")),
            Fault::DropsNulls => {
                data.retain(|_, json| json != "null");
                for json in data.values_mut() {
                    *json = json.replace(":null", ":0");
                }
            }
            Fault::CutsAtZero => {
                data = data.into_iter().map(|(key, json)| (cut(&key, "\0"), cut(&json, "\\u0000"))).collect();
            }
            Fault::Small => data.values_mut().for_each(|json| {
                json.truncate(json.floor_char_boundary(1 << 16));
                if json.starts_with(&"[".repeat(40)) {
                    json.clear();
                }
            }),
            Fault::FewKeys => {
                while data.len() > 100 {
                    data.pop_last();
                }
            }
            _ => {}
        }
        data
    }
}

fn cut(text: &str, at: &str) -> String {
    text.split(at).next().unwrap_or_default().to_owned()
}

impl Subject for Broken {
    type Id = u64;

    fn create(&self, data: &Data, life: Duration) -> Result<u64, Failure> {
        let mut state = self.state.lock().unwrap();
        let repeats = self.fault == Fault::RepeatsIds && state.ids % 7 == 6;
        state.ids += u64::from(!repeats);
        let id = state.ids;
        if self.fault == Fault::OneOnly {
            state.sessions.clear();
        }
        if self.fault != Fault::NoEmpty || !data.is_empty() {
            let life = if self.fault == Fault::EndsEarly { life / 2 } else { life };
            let data = if self.fault == Fault::CreatesEmpty { Data::new() } else { self.kept(data) };
            let session = (state.now + life, data);
            state.first.insert(id, session.clone());
            state.sessions.insert(id, session);
            state.seen.insert(id);
        }
        Ok(id)
    }

    fn create_at(&self, id: &u64, data: &Data, life: Duration) -> Option<Result<u64, Failure>> {
        let is_taken = self.state.lock().unwrap().sessions.contains_key(id);
        if self.fault == Fault::CreatesInTwoSteps {
            Self::pause();
        }
        let mut state = self.state.lock().unwrap();
        let is_taken = if self.fault == Fault::CreatesInTwoSteps { is_taken } else { state.sessions.contains_key(id) };
        if is_taken && self.fault != Fault::Overwrites {
            drop(state);
            return Some(self.create(data, life));
        }
        let ends = state.now + life;
        state.sessions.insert(*id, (ends, self.kept(data)));
        Some(Ok(*id))
    }

    fn load(&self, id: &u64) -> Result<Option<Data>, Failure> {
        let mut state = self.state.lock().unwrap();
        let now = state.now;
        if self.fault == Fault::Adopts {
            state.sessions.entry(*id).or_insert((now + Duration::from_secs(1), Data::new()));
        }
        let Some((ends, data)) = state.sessions.get_mut(id) else { return Ok(None) };
        if *ends <= now && self.fault != Fault::ServesExpired {
            return Ok(None);
        }
        if self.fault == Fault::LoadProlongs {
            *ends += Duration::from_secs(5);
        }
        let found = data.clone();
        if self.fault == Fault::LoadTakes {
            data.pop_first();
        }
        Ok(Some(found))
    }

    fn save(&self, id: &u64, data: &Data, life: Duration) -> Result<(), Failure> {
        let shifted = id + u64::from(self.fault == Fault::Shifts);
        let id = if self.state.lock().unwrap().sessions.contains_key(&shifted) { &shifted } else { id };
        let is_there = {
            let state = self.state.lock().unwrap();
            let revives = self.fault == Fault::Upserts || self.fault == Fault::Revives && state.seen.contains(id);
            revives || state.sessions.get(id).is_some_and(|(ends, _)| *ends > state.now)
        };
        if self.fault == Fault::SavesInTwoSteps {
            Self::pause();
        }
        let data = self.kept(data);
        if self.fault == Fault::TearsSaves {
            for (key, json) in &data {
                if let Some((_, stored)) = self.state.lock().unwrap().sessions.get_mut(id) {
                    stored.insert(key.clone(), json.clone());
                }
                Self::pause();
            }
            return Ok(());
        }
        let mut state = self.state.lock().unwrap();
        let now = state.now;
        let is_there = match self.fault {
            Fault::SavesInTwoSteps | Fault::Upserts | Fault::Revives => is_there,
            _ => state.sessions.get(id).is_some_and(|(ends, _)| *ends > now),
        };
        if !is_there {
            return Ok(());
        }
        let old = state.sessions.get(id).cloned().unwrap_or_default();
        let mut new = (now + life, data);
        match self.fault {
            Fault::SaveKeepsEnd => new.0 = old.0,
            Fault::SavesNothing => return Ok(()),
            Fault::SameSaveEmpties if old.1 == new.1 => new.1.clear(),
            Fault::SkipsUnchanged if old.1 == new.1 => return Ok(()),
            Fault::SaveOnlyAdds => new.1 = old.1.clone().into_iter().chain(new.1).collect(),
            Fault::SaveHitsAlike => {
                state.sessions.values_mut().filter(|(_, data)| *data == old.1).for_each(|session| session.1 = new.1.clone());
            }
            Fault::NoEmpty if new.1.is_empty() => {
                state.sessions.remove(id);
                return Ok(());
            }
            Fault::KeepsTypes => {
                for (key, json) in &mut new.1 {
                    let other_type = |was: &&String| {
                        was.as_bytes().first().map(u8::is_ascii_digit) != Some(json.as_bytes()[0].is_ascii_digit())
                    };
                    if let Some(was) = old.1.get(key).filter(other_type) {
                        *json = was.clone();
                    }
                }
            }
            _ => {}
        }
        state.sessions.insert(*id, new);
        Ok(())
    }

    fn touch(&self, id: &u64, life: Duration) -> Option<Result<(), Failure>> {
        if self.fault == Fault::TouchesInTwoSteps {
            let loaded = self.load(id).unwrap();
            Self::pause();
            let mut state = self.state.lock().unwrap();
            let ends = state.now + life;
            loaded.map(|data| state.sessions.insert(*id, (ends, data)));
            return Some(Ok(()));
        }
        let mut state = self.state.lock().unwrap();
        let now = state.now;
        let upserts = self.fault == Fault::Upserts || self.fault == Fault::Revives && state.seen.contains(id);
        if upserts {
            state.sessions.entry(*id).or_default().0 = now + life;
        }
        if let Some((ends, data)) = state.sessions.get_mut(id).filter(|(ends, _)| *ends > now) {
            *ends = if self.fault == Fault::TouchNeverShortens { (*ends).max(now + life) } else { now + life };
            if self.fault == Fault::TouchForgetsValues {
                data.clear();
            }
        }
        Some(Ok(()))
    }

    fn delete(&self, id: &u64) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap();
        match self.fault {
            Fault::DeletesNothing => return Ok(()),
            Fault::DeletesAll => state.sessions.clear(),
            Fault::DeleteOfUnknownFails if !state.seen.contains(id) => return Err("there is no such session".into()),
            Fault::SecondDeleteFails if !state.sessions.contains_key(id) && state.seen.contains(id) => {
                return Err("there is no such session any more".into());
            }
            _ => {}
        }
        state.sessions.remove(id);
        Ok(())
    }

    fn sweep(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap();
        let (now, before) = (state.now, state.sessions.len());
        state.sessions.retain(|_, (ends, _)| *ends > now && self.fault != Fault::SweepsAll);
        if self.fault == Fault::SweepOfNothingFails && state.sessions.len() == before {
            return Err("there is nothing to sweep".into());
        }
        Ok(())
    }

    fn unknown(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.ids += 1_000_000;
        state.ids
    }

    fn advance(&self, by: Duration) {
        self.state.lock().unwrap().now += by;
    }

    fn reopen(self) -> Option<Self> {
        let mut state = self.state.lock().unwrap().clone();
        let now = state.now;
        match self.fault {
            Fault::LosesAll => state.sessions.clear(),
            Fault::RestartRevives => {
                for (id, (_, data)) in state.first.clone() {
                    state.sessions.entry(id).or_insert((now + Duration::from_mins(1), data));
                }
                state.sessions.values_mut().for_each(|(ends, _)| *ends = (*ends).max(now + Duration::from_mins(1)));
            }
            Fault::RestartForgetsEnds => {
                let first = state.first.clone();
                state.sessions.iter_mut().for_each(|(id, (ends, _))| *ends = first[id].0);
            }
            _ => {}
        }
        Some(Self { fault: self.fault, state: Mutex::new(state) })
    }
}

/// The fault, and one case that must find it.
const FINDS: &[(Fault, &str)] = &[
    (Fault::Upserts, "a_save_to_an_unknown_id_makes_no_session"),
    (Fault::Upserts, "a_touch_of_an_unknown_id_makes_no_session"),
    (Fault::Revives, "a_save_after_the_end_revives_nothing"),
    (Fault::Revives, "many_saves_after_the_end_revive_nothing"),
    (Fault::Revives, "a_touch_after_the_end_revives_nothing"),
    (Fault::Revives, "a_save_after_the_time_is_over_revives_nothing"),
    (Fault::Revives, "a_touch_after_the_time_is_over_revives_nothing"),
    (Fault::Revives, "after_a_restart_a_save_after_the_end_revives_nothing"),
    (Fault::Overwrites, "a_taken_id_is_not_overwritten"),
    (Fault::Overwrites, "who_finds_an_id_taken_gets_another"),
    (Fault::Overwrites, "of_those_who_want_one_id_at_once_one_gets_it"),
    (Fault::CreatesInTwoSteps, "of_those_who_want_one_id_at_once_one_gets_it"),
    (Fault::RepeatsIds, "every_new_session_has_an_id_of_its_own"),
    (Fault::RepeatsIds, "many_sessions_are_kept_apart"),
    (Fault::RepeatsIds, "sessions_created_at_once_are_all_there"),
    (Fault::RepeatsIds, "after_a_restart_every_session_is_there"),
    (Fault::ServesExpired, "a_session_is_over_when_its_time_is"),
    (Fault::ServesExpired, "an_expired_session_is_over_before_it_is_swept"),
    (Fault::ServesExpired, "after_a_restart_an_expired_session_is_over"),
    (Fault::SweepsAll, "a_sweep_takes_what_is_over_and_nothing_else"),
    (Fault::SweepsAll, "a_sweep_during_saves_takes_no_living_session"),
    (Fault::SweepOfNothingFails, "a_sweep_of_nothing_is_no_failure"),
    (Fault::SweepOfNothingFails, "a_sweep_after_the_end_is_no_failure"),
    (Fault::LoadProlongs, "to_load_does_not_prolong"),
    (Fault::SaveKeepsEnd, "a_save_prolongs"),
    (Fault::SaveKeepsEnd, "a_save_may_shorten"),
    (Fault::SaveKeepsEnd, "after_a_restart_a_session_ends_when_it_would_have"),
    (Fault::SkipsUnchanged, "a_save_of_the_same_prolongs"),
    (Fault::TouchNeverShortens, "a_touch_may_shorten"),
    (Fault::TouchForgetsValues, "a_touch_prolongs_and_leaves_the_values"),
    (Fault::SaveOnlyAdds, "a_save_removes_what_it_does_not_have"),
    (Fault::SaveOnlyAdds, "a_save_of_nothing_leaves_an_empty_session"),
    (Fault::SaveHitsAlike, "two_sessions_with_the_same_values_are_two"),
    (Fault::SaveHitsAlike, "a_save_concerns_one_session"),
    (Fault::NoEmpty, "a_new_session_may_be_empty"),
    (Fault::NoEmpty, "a_save_of_nothing_leaves_an_empty_session"),
    (Fault::DeletesNothing, "a_deleted_session_is_over"),
    (Fault::DeletesNothing, "an_ended_session_does_not_prevent_a_new_one"),
    (Fault::DeletesNothing, "a_session_that_ends_during_saves_is_over"),
    (Fault::DeletesNothing, "a_session_that_ends_during_touches_is_over"),
    (Fault::DeletesNothing, "after_a_restart_an_ended_session_is_over"),
    (Fault::DeletesAll, "a_deletion_concerns_one_session"),
    (Fault::DeletesAll, "deletions_at_once_are_no_failure"),
    (Fault::DeleteOfUnknownFails, "to_delete_an_unknown_id_is_no_failure"),
    (Fault::SecondDeleteFails, "to_delete_twice_is_no_failure"),
    (Fault::SecondDeleteFails, "deletions_at_once_are_no_failure"),
    (Fault::Adopts, "an_unknown_id_finds_nothing"),
    (Fault::Adopts, "to_look_for_an_unknown_id_makes_no_session"),
    (Fault::Floats, "numbers_come_back_as_they_were"),
    (Fault::Floats, "a_value_may_change_its_type"),
    (Fault::DropsNulls, "a_null_is_a_value"),
    (Fault::CutsAtZero, "text_comes_back_as_it_was"),
    (Fault::CutsAtZero, "keys_may_be_any_text"),
    (Fault::Small, "a_large_value_comes_back_as_it_was"),
    (Fault::Small, "deep_values_come_back_as_they_were"),
    (Fault::FewKeys, "a_thousand_keys_come_back"),
    (Fault::KeepsTypes, "a_value_may_change_its_type"),
    (Fault::TearsSaves, "a_reader_never_sees_half_a_save"),
    (Fault::LosesAll, "after_a_restart_a_session_is_there"),
    (Fault::LosesAll, "after_a_restart_the_last_save_counts"),
    (Fault::Overwrites, "after_a_restart_a_taken_id_is_not_overwritten"),
    (Fault::LosesAll, "after_a_restart_a_touch_counts"),
    (Fault::RestartRevives, "after_a_restart_an_ended_session_is_over"),
    (Fault::RestartRevives, "after_a_restart_an_expired_session_is_over"),
    (Fault::RestartForgetsEnds, "after_a_restart_a_session_ends_when_it_would_have"),
    (Fault::RestartForgetsEnds, "after_a_restart_a_touch_counts"),
    (Fault::SavesInTwoSteps, "a_session_that_ends_during_saves_is_over"),
    (Fault::TouchesInTwoSteps, "a_session_that_ends_during_touches_is_over"),
    (Fault::OneOnly, "many_sessions_are_kept_apart"),
    (Fault::SavesNothing, "a_save_replaces_a_value"),
    (Fault::SavesNothing, "a_save_adds_a_value"),
    (Fault::SavesNothing, "of_many_saves_the_last_one_counts"),
    (Fault::TearsSaves, "of_saves_at_once_one_is_there_whole"),
    (Fault::CreatesEmpty, "a_new_session_has_what_it_was_created_with"),
    (Fault::LoadTakes, "to_load_changes_nothing"),
    (Fault::SameSaveEmpties, "a_save_of_the_same_changes_nothing"),
    (Fault::DropsNulls, "nested_values_come_back_as_they_were"),
    (Fault::EndsEarly, "a_session_is_there_until_its_time_is_over"),
    (Fault::Shifts, "saves_of_different_sessions_do_not_disturb_each_other"),
];

#[test]
fn a_plain_map_passes() {
    contract::check(|| Broken::new(Fault::None));
}

#[test]
fn every_fault_is_found_by_the_cases_that_are_about_it() {
    let mut faults: Vec<Fault> = Vec::new();
    for (fault, _) in FINDS {
        if !faults.contains(fault) {
            faults.push(*fault);
        }
    }
    for fault in faults {
        let failing = contract::failing(|| Broken::new(fault));
        for (_, case) in FINDS.iter().filter(|(of, _)| *of == fault) {
            assert!(failing.contains(case), "{case} does not see what is wrong with a store that {fault:?}; {failing:?} do");
        }
    }
}

#[test]
fn every_case_can_fail() {
    for case in contract::names() {
        assert!(FINDS.iter().any(|(_, found)| *found == case), "nothing shows that {case} can fail");
    }
}
