//! The cases with several threads.
#![expect(clippy::needless_pass_by_value, reason = "as the other cases")]

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Data, Run, Subject, data, one, other};

const THREADS: usize = 8;

/// Runs `work` in several threads that begin together; each gets its number.
fn together(work: impl Fn(usize) + Sync) {
    let (barrier, work) = (Barrier::new(THREADS), &work);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                work(thread);
            });
        }
    });
}

pub(super) fn sessions_created_at_once_are_all_there<S: Subject>(run: Run<S>) {
    let created = Mutex::new(Vec::new());
    together(|thread| {
        for n in 0..20 {
            let values = data([("who", &(thread * 100 + n).to_string())]);
            let id = run.create(&values);
            created.lock().expect("no thread panics with it").push((id, values));
        }
    });
    let created = created.into_inner().expect("no thread panics with it");
    for (nth, (id, values)) in created.iter().enumerate() {
        run.has(id, values);
        assert!(created[..nth].iter().all(|(earlier, _)| earlier != id), "an id was given twice");
    }
}

pub(super) fn of_those_who_want_one_id_at_once_one_gets_it<S: Subject>(run: Run<S>) {
    if S::SAVE_CREATES {
        return;
    }
    for _ in 0..10 {
        let (wanted, got) = (run.0.unknown(), Mutex::new(Vec::new()));
        together(|thread| {
            let values = data([("who", &thread.to_string())]);
            if let Some(id) = run.create_at(&wanted, &values) {
                got.lock().expect("no thread panics with it").push((id, values));
            }
        });
        let got = got.into_inner().expect("no thread panics with it");
        if got.is_empty() {
            return;
        }
        assert_eq!(got.iter().filter(|(id, _)| *id == wanted).count(), 1, "the id was given once");
        for (id, values) in &got {
            run.has(id, values);
        }
        run.delete(&wanted);
    }
}

/// Values that show a mixture: all are the same number.
fn whole(number: usize) -> Data {
    (0..8).map(|key| (key.to_string(), number.to_string())).collect()
}

fn is_whole(values: &Data) -> bool {
    values.len() == 8 && values.values().all(|value| value == &values["0"])
}

/// Marks a writer until it is dropped, even by a failure, so that no thread waits forever.
struct Writes<'a>(&'a AtomicUsize);

impl Drop for Writes<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn a_reader_never_sees_half_a_save<S: Subject>(run: Run<S>) {
    let id = run.create(&whole(0));
    let writers = AtomicUsize::new(2);
    together(|thread| {
        if thread < 2 {
            let _writes = Writes(&writers);
            for n in 0..40 {
                run.save(&id, &whole(thread * 1000 + n));
            }
            return;
        }
        while writers.load(Ordering::SeqCst) > 0 {
            let found = run.load(&id).expect("the session is there");
            assert!(is_whole(&found), "found {found:?}");
        }
    });
}

pub(super) fn of_saves_at_once_one_is_there_whole<S: Subject>(run: Run<S>) {
    let id = run.create(&whole(0));
    for round in 1..10 {
        together(|thread| run.save(&id, &whole(round * 100 + thread)));
        let found = run.load(&id).expect("the session is there");
        assert!(is_whole(&found), "found {found:?}");
        let number: usize = found["0"].parse().expect("a number was saved");
        assert_eq!(number / 100, round, "a save of this round is there, not one of an earlier round");
    }
}

pub(super) fn saves_of_different_sessions_do_not_disturb_each_other<S: Subject>(run: Run<S>) {
    let ids: Vec<_> = (0..THREADS).map(|_| run.create(&one())).collect();
    together(|thread| {
        for n in 0..20 {
            let values = data([("n", &(thread * 1000 + n).to_string())]);
            run.save(&ids[thread], &values);
            run.has(&ids[thread], &values);
        }
    });
}

pub(super) fn a_session_that_ends_during_saves_is_over<S: Subject>(run: Run<S>) {
    for _ in 0..20 {
        let id = run.create(&one());
        together(|thread| {
            if thread == 0 {
                run.delete(&id);
                run.is_gone(&id);
            } else {
                for n in 0..5 {
                    run.try_save(&id, &data([("n", &(thread * 100 + n).to_string())]));
                }
            }
        });
        run.is_gone(&id);
    }
}

pub(super) fn a_session_that_ends_during_touches_is_over<S: Subject>(run: Run<S>) {
    for _ in 0..20 {
        let id = run.create(&one());
        together(|thread| {
            if thread == 0 {
                run.delete(&id);
                run.is_gone(&id);
            } else {
                (0..5).for_each(|_| run.try_touch(&id));
            }
        });
        run.is_gone(&id);
    }
}

pub(super) fn deletions_at_once_are_no_failure<S: Subject>(run: Run<S>) {
    let (ended, left) = (run.create(&one()), run.create(&other()));
    together(|_| run.delete(&ended));
    run.is_gone(&ended);
    run.has(&left, &other());
}

pub(super) fn a_sweep_during_saves_takes_no_living_session<S: Subject>(run: Run<S>) {
    let ids: Vec<_> = (0..THREADS).map(|_| run.create_for(&one(), run.seconds(10))).collect();
    run.0.advance(run.seconds(9));
    together(|thread| {
        if thread == 0 {
            run.sweep();
            run.sweep();
        } else {
            run.save(&ids[thread], &other());
        }
    });
    run.0.advance(run.seconds(9));
    run.sweep();
    ids[1..].iter().for_each(|id| run.has(id, &other()));
}
