//! The cases in which the store is closed and opened again.

use super::{Run, Subject, data, one, other};

pub(super) fn after_a_restart_a_session_is_there<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    if let Some(run) = run.reopen() {
        run.has(&id, &one());
    }
}

pub(super) fn after_a_restart_the_last_save_counts<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.save(&id, &other());
    let last = data([("last", "true")]);
    run.save(&id, &last);
    if let Some(run) = run.reopen() {
        run.has(&id, &last);
    }
}

pub(super) fn after_a_restart_every_session_is_there<S: Subject>(run: Run<S>) {
    let ids: Vec<_> = (0..200).map(|n| (run.create(&data([("n", &n.to_string())])), n)).collect();
    let Some(run) = run.reopen() else { return };
    for (id, n) in &ids {
        run.has(id, &data([("n", &n.to_string())]));
    }
}

pub(super) fn after_a_restart_an_ended_session_is_over<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    if let Some(run) = run.reopen() {
        run.is_gone(&id);
    }
}

pub(super) fn after_a_restart_an_expired_session_is_over<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(2));
    run.0.advance(run.seconds(3));
    if let Some(run) = run.reopen() {
        run.is_gone(&id);
    }
}

pub(super) fn after_a_restart_a_session_ends_when_it_would_have<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    run.0.advance(run.seconds(5));
    run.save_for(&id, &other(), run.seconds(10));
    let Some(run) = run.reopen() else { return };
    run.0.advance(run.seconds(7));
    run.has(&id, &other());
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
}

pub(super) fn after_a_restart_a_touch_counts<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(100));
    // A use too early for a store that writes only some of them; it must still count.
    run.0.advance(run.seconds(1));
    if !run.touch_for(&id, run.seconds(100)) {
        run.save_for(&id, &one(), run.seconds(100));
    }
    let Some(run) = run.reopen() else { return };
    run.0.advance(run.seconds(99));
    run.has(&id, &one());
    run.0.advance(run.seconds(1));
    run.is_gone(&id);
}

pub(super) fn after_a_restart_a_save_after_the_end_revives_nothing<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    run.try_save(&id, &other());
    if let Some(run) = run.reopen() {
        run.is_gone(&id);
    }
}

pub(super) fn after_a_restart_a_taken_id_is_not_overwritten<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    let Some(run) = run.reopen() else { return };
    // It was not loaded since, so it is only in the store's storage.
    run.create_at(&id, &other());
    run.has(&id, &one());
}
