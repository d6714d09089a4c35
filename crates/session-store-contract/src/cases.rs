//! The cases, except those with several threads.
#![expect(clippy::needless_pass_by_value, reason = "a case has a store of its own, and some of them close it")]

use super::{
    Data, Run, Subject,
    concurrent::{
        a_reader_never_sees_half_a_save, a_session_that_ends_during_saves_is_over, a_session_that_ends_during_touches_is_over,
        a_sweep_during_saves_takes_no_living_session, deletions_at_once_are_no_failure, of_saves_at_once_one_is_there_whole,
        of_those_who_want_one_id_at_once_one_gets_it, saves_of_different_sessions_do_not_disturb_each_other,
        sessions_created_at_once_are_all_there,
    },
    data, one, other,
    restart::{
        after_a_restart_a_save_after_the_end_revives_nothing, after_a_restart_a_session_ends_when_it_would_have,
        after_a_restart_a_session_is_there, after_a_restart_a_taken_id_is_not_overwritten, after_a_restart_a_touch_counts,
        after_a_restart_an_ended_session_is_over, after_a_restart_an_expired_session_is_over,
        after_a_restart_every_session_is_there, after_a_restart_the_last_save_counts,
    },
};

/// Defines the list of cases: each function with its name.
macro_rules! cases {
    ($($name:ident)*) => {
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),*];

        pub(super) fn all<S: Subject>() -> Vec<(&'static str, fn(Run<S>))> {
            vec![$((stringify!($name), $name::<S>)),*]
        }
    };
}

cases! {
    a_new_session_has_what_it_was_created_with
    a_new_session_may_be_empty
    every_new_session_has_an_id_of_its_own
    two_sessions_with_the_same_values_are_two
    many_sessions_are_kept_apart
    a_taken_id_is_not_overwritten
    who_finds_an_id_taken_gets_another
    an_unknown_id_finds_nothing
    to_look_for_an_unknown_id_makes_no_session
    a_save_to_an_unknown_id_makes_no_session
    a_touch_of_an_unknown_id_makes_no_session
    to_load_changes_nothing
    a_save_replaces_a_value
    a_save_adds_a_value
    a_save_removes_what_it_does_not_have
    a_save_of_nothing_leaves_an_empty_session
    of_many_saves_the_last_one_counts
    a_save_of_the_same_changes_nothing
    a_save_concerns_one_session
    text_comes_back_as_it_was
    numbers_come_back_as_they_were
    a_null_is_a_value
    nested_values_come_back_as_they_were
    deep_values_come_back_as_they_were
    a_large_value_comes_back_as_it_was
    a_thousand_keys_come_back
    keys_may_be_any_text
    a_value_may_change_its_type
    a_session_is_there_until_its_time_is_over
    a_session_is_over_when_its_time_is
    an_expired_session_is_over_before_it_is_swept
    a_sweep_takes_what_is_over_and_nothing_else
    a_sweep_of_nothing_is_no_failure
    to_load_does_not_prolong
    a_save_prolongs
    a_save_of_the_same_prolongs
    a_save_may_shorten
    a_touch_prolongs_and_leaves_the_values
    a_touch_may_shorten
    a_save_after_the_time_is_over_revives_nothing
    a_touch_after_the_time_is_over_revives_nothing
    a_deleted_session_is_over
    to_delete_twice_is_no_failure
    to_delete_an_unknown_id_is_no_failure
    a_deletion_concerns_one_session
    a_save_after_the_end_revives_nothing
    a_touch_after_the_end_revives_nothing
    many_saves_after_the_end_revive_nothing
    a_sweep_after_the_end_is_no_failure
    an_ended_session_does_not_prevent_a_new_one
    after_a_restart_a_session_is_there
    after_a_restart_the_last_save_counts
    after_a_restart_every_session_is_there
    after_a_restart_an_ended_session_is_over
    after_a_restart_an_expired_session_is_over
    after_a_restart_a_session_ends_when_it_would_have
    after_a_restart_a_touch_counts
    after_a_restart_a_save_after_the_end_revives_nothing
    after_a_restart_a_taken_id_is_not_overwritten
    sessions_created_at_once_are_all_there
    of_those_who_want_one_id_at_once_one_gets_it
    a_reader_never_sees_half_a_save
    of_saves_at_once_one_is_there_whole
    saves_of_different_sessions_do_not_disturb_each_other
    a_session_that_ends_during_saves_is_over
    a_session_that_ends_during_touches_is_over
    deletions_at_once_are_no_failure
    a_sweep_during_saves_takes_no_living_session
}

fn a_new_session_has_what_it_was_created_with<S: Subject>(run: Run<S>) {
    run.has(&run.create(&one()), &one());
}

fn a_new_session_may_be_empty<S: Subject>(run: Run<S>) {
    run.has(&run.create(&Data::new()), &Data::new());
}

fn every_new_session_has_an_id_of_its_own<S: Subject>(run: Run<S>) {
    let mut ids: Vec<S::Id> = Vec::new();
    for _ in 0..100 {
        let id = run.create(&one());
        assert!(!ids.contains(&id), "an id was given twice");
        ids.push(id);
    }
}

fn two_sessions_with_the_same_values_are_two<S: Subject>(run: Run<S>) {
    let (changed, left) = (run.create(&one()), run.create(&one()));
    run.save(&changed, &other());
    run.has(&left, &one());
}

fn many_sessions_are_kept_apart<S: Subject>(run: Run<S>) {
    let ids: Vec<_> = (0..200).map(|n| (run.create(&data([("n", &n.to_string())])), n)).collect();
    for (id, n) in &ids {
        run.has(id, &data([("n", &n.to_string())]));
    }
}

fn a_taken_id_is_not_overwritten<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.create_at(&id, &other());
    run.has(&id, &one());
}

fn who_finds_an_id_taken_gets_another<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    let Some(another) = run.create_at(&id, &other()) else { return };
    assert_ne!(another, id);
    run.has(&another, &other());
}

fn an_unknown_id_finds_nothing<S: Subject>(run: Run<S>) {
    run.create(&one());
    run.is_gone(&run.0.unknown());
}

fn to_look_for_an_unknown_id_makes_no_session<S: Subject>(run: Run<S>) {
    let id = run.0.unknown();
    for _ in 0..3 {
        run.is_gone(&id);
    }
}

fn a_save_to_an_unknown_id_makes_no_session<S: Subject>(run: Run<S>) {
    let id = run.0.unknown();
    run.try_save(&id, &one());
    if !S::SAVE_CREATES {
        run.is_gone(&id);
    }
}

fn a_touch_of_an_unknown_id_makes_no_session<S: Subject>(run: Run<S>) {
    let id = run.0.unknown();
    run.try_touch(&id);
    run.is_gone(&id);
}

fn to_load_changes_nothing<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    for _ in 0..10 {
        run.has(&id, &one());
    }
}

fn a_save_replaces_a_value<S: Subject>(run: Run<S>) {
    let id = run.create(&data([("a", "1"), ("b", "2")]));
    run.save(&id, &data([("a", "3"), ("b", "2")]));
    run.has(&id, &data([("a", "3"), ("b", "2")]));
}

fn a_save_adds_a_value<S: Subject>(run: Run<S>) {
    let id = run.create(&data([("a", "1")]));
    run.save(&id, &data([("a", "1"), ("b", "2")]));
    run.has(&id, &data([("a", "1"), ("b", "2")]));
}

fn a_save_removes_what_it_does_not_have<S: Subject>(run: Run<S>) {
    let id = run.create(&data([("a", "1"), ("b", "2"), ("c", "3")]));
    run.save(&id, &data([("b", "2")]));
    run.has(&id, &data([("b", "2")]));
}

fn a_save_of_nothing_leaves_an_empty_session<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.save(&id, &Data::new());
    run.has(&id, &Data::new());
}

fn of_many_saves_the_last_one_counts<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    for n in 0..50 {
        run.save(&id, &data([("n", &n.to_string())]));
        run.has(&id, &data([("n", &n.to_string())]));
    }
}

fn a_save_of_the_same_changes_nothing<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    for _ in 0..3 {
        run.save(&id, &one());
        run.has(&id, &one());
    }
}

fn a_save_concerns_one_session<S: Subject>(run: Run<S>) {
    let (saved, left) = (run.create(&one()), run.create(&one()));
    run.save(&saved, &other());
    run.has(&saved, &other());
    run.has(&left, &one());
}

fn comes_back<S: Subject>(run: &Run<S>, values: &Data) {
    let id = run.create(values);
    run.has(&id, values);
    run.save(&id, &one());
    run.save(&id, values);
    run.has(&id, values);
}

fn text_comes_back_as_it_was<S: Subject>(run: Run<S>) {
    let texts = [
        r#""""#,
        r#"" ""#,
        r#""äöü ß 漢字 🦀 \u0000 \u001f""#,
        r#""\"quoted\" and \\ and / and \n\r\t""#,
        "\"\u{feff}\u{200f}\u{10ffff}\"",
        r#""'; DROP TABLE sessions; --""#,
        r#""null""#,
        r#""1""#,
    ];
    comes_back(&run, &texts.iter().enumerate().map(|(n, text)| (n.to_string(), (*text).to_owned())).collect());
}

fn numbers_come_back_as_they_were<S: Subject>(run: Run<S>) {
    let numbers = [
        "0",
        "-1",
        "127",
        "128",
        "-128",
        "-129",
        "255",
        "256",
        "32768",
        "65536",
        "-2147483649",
        "4294967296",
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
        "-0.0",
        "1.0",
        "5e-324",
    ];
    comes_back(&run, &numbers.iter().map(|number| (format!("n {number}"), (*number).to_owned())).collect());
}

fn a_null_is_a_value<S: Subject>(run: Run<S>) {
    comes_back(&run, &data([("nothing", "null"), ("yes", "true"), ("no", "false")]));
}

fn nested_values_come_back_as_they_were<S: Subject>(run: Run<S>) {
    let cart = r#"[{"id":1,"options":{"color":null,"size":"M"}},{"id":2,"options":{}},[],[[1,[2]],"x"]]"#;
    comes_back(&run, &data([("cart", cart), ("empty", "{}"), ("none", "[]"), ("mixed", r#"{"":[null,{"":0}]}"#)]));
}

fn deep_values_come_back_as_they_were<S: Subject>(run: Run<S>) {
    let lists = format!("{}{}", "[".repeat(50), "]".repeat(50));
    let objects = format!("{}null{}", r#"{"a":"#.repeat(50), "}".repeat(50));
    comes_back(&run, &data([("lists", &lists), ("objects", &objects)]));
}

fn a_large_value_comes_back_as_it_was<S: Subject>(run: Run<S>) {
    comes_back(&run, &data([("large", &format!("\"{}\"", "0123456789abcdef".repeat(16 << 10)))]));
}

fn a_thousand_keys_come_back<S: Subject>(run: Run<S>) {
    comes_back(&run, &(0..1000).map(|n| (format!("key {n}"), n.to_string())).collect());
}

fn keys_may_be_any_text<S: Subject>(run: Run<S>) {
    let (long, longer, reserved) = ("k".repeat(256), "k".repeat(5000), format!("sessile.{}", "k".repeat(247)));
    let keys = [
        "",
        " ",
        "\0",
        "\0\0a",
        "a.b",
        "sessile.",
        "sessile.label",
        "sessile.flashes",
        "\0sessile.label",
        "ключ 🔑",
        "\"",
        &long,
        &longer,
        &reserved,
    ];
    let values: Data = keys.iter().enumerate().map(|(n, key)| ((*key).to_owned(), n.to_string())).collect();
    comes_back(&run, &values);
    // Each of them is removed alone.
    let id = run.create(&values);
    let mut left = values.clone();
    for key in keys {
        left.remove(key);
        run.save(&id, &left);
        run.has(&id, &left);
    }
}

fn a_value_may_change_its_type<S: Subject>(run: Run<S>) {
    let id = run.create(&data([("value", "1")]));
    for json in [r#""1""#, "[1]", r#"{"1":1}"#, "null", "true", "1.0", "1"] {
        run.save(&id, &data([("value", json)]));
        run.has(&id, &data([("value", json)]));
    }
}

fn a_session_is_there_until_its_time_is_over<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    run.0.advance(run.seconds(5));
    run.has(&id, &one());
}

fn a_session_is_over_when_its_time_is<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    run.0.advance(run.seconds(10));
    run.is_gone(&id);
}

fn an_expired_session_is_over_before_it_is_swept<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(2));
    run.has(&id, &one());
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
    run.sweep();
    run.is_gone(&id);
}

fn a_sweep_takes_what_is_over_and_nothing_else<S: Subject>(run: Run<S>) {
    let short: Vec<_> = (0..20).map(|_| run.create_for(&one(), run.seconds(2))).collect();
    let long: Vec<_> = (0..20).map(|_| run.create(&other())).collect();
    run.0.advance(run.seconds(3));
    run.sweep();
    for id in &short {
        run.is_gone(id);
    }
    for id in &long {
        run.has(id, &other());
    }
}

fn a_sweep_of_nothing_is_no_failure<S: Subject>(run: Run<S>) {
    run.sweep();
    let id = run.create(&one());
    run.sweep();
    run.sweep();
    run.has(&id, &one());
}

fn to_load_does_not_prolong<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    for _ in 0..3 {
        run.0.advance(run.seconds(3));
        run.has(&id, &one());
    }
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
}

fn a_save_prolongs<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    run.0.advance(run.seconds(5));
    run.save_for(&id, &other(), run.seconds(10));
    run.0.advance(run.seconds(7));
    run.has(&id, &other());
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
}

fn a_save_of_the_same_prolongs<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    for _ in 0..8 {
        run.0.advance(run.seconds(3));
        run.save_for(&id, &one(), run.seconds(10));
    }
    run.0.advance(run.seconds(7));
    run.has(&id, &one());
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
}

fn a_save_may_shorten<S: Subject>(run: Run<S>) {
    for values in [one(), other()] {
        let id = run.create(&one());
        run.save_for(&id, &values, run.seconds(2));
        run.has(&id, &values);
        run.0.advance(run.seconds(3));
        run.is_gone(&id);
    }
}

fn a_touch_prolongs_and_leaves_the_values<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(10));
    for _ in 0..8 {
        run.0.advance(run.seconds(3));
        if !run.touch_for(&id, run.seconds(10)) {
            return;
        }
    }
    run.0.advance(run.seconds(7));
    run.has(&id, &one());
    run.0.advance(run.seconds(3));
    run.is_gone(&id);
}

fn a_touch_may_shorten<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    if run.touch_for(&id, run.seconds(2)) {
        run.0.advance(run.seconds(3));
        run.is_gone(&id);
    }
}

fn a_save_after_the_time_is_over_revives_nothing<S: Subject>(run: Run<S>) {
    // Loaded in between or not, swept in between or not.
    for (asks, sweeps) in [(false, false), (true, false), (false, true), (true, true)] {
        let id = run.create_for(&one(), run.seconds(2));
        run.0.advance(run.seconds(3));
        if asks {
            run.is_gone(&id);
        }
        if sweeps {
            run.sweep();
        }
        if S::SAVE_CREATES {
            // It expired without being ended, so the save begins a new session, with nothing of the old one.
            run.save(&id, &other());
            run.has(&id, &other());
        } else {
            run.try_save(&id, &other());
            run.is_gone(&id);
        }
    }
}

fn a_touch_after_the_time_is_over_revives_nothing<S: Subject>(run: Run<S>) {
    for asks in [false, true] {
        let id = run.create_for(&one(), run.seconds(2));
        run.0.advance(run.seconds(3));
        if asks {
            run.is_gone(&id);
        }
        run.try_touch(&id);
        run.is_gone(&id);
    }
}

fn a_deleted_session_is_over<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    run.is_gone(&id);
}

fn to_delete_twice_is_no_failure<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    run.delete(&id);
    run.is_gone(&id);
}

fn to_delete_an_unknown_id_is_no_failure<S: Subject>(run: Run<S>) {
    run.delete(&run.0.unknown());
}

fn a_deletion_concerns_one_session<S: Subject>(run: Run<S>) {
    let ids: Vec<_> = (0..10).map(|_| run.create(&one())).collect();
    run.delete(&ids[3]);
    run.is_gone(&ids[3]);
    ids.iter().filter(|id| **id != ids[3]).for_each(|id| run.has(id, &one()));
}

fn a_save_after_the_end_revives_nothing<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    run.try_save(&id, &other());
    run.is_gone(&id);
}

fn a_touch_after_the_end_revives_nothing<S: Subject>(run: Run<S>) {
    let id = run.create(&one());
    run.delete(&id);
    run.try_touch(&id);
    run.is_gone(&id);
}

fn many_saves_after_the_end_revive_nothing<S: Subject>(run: Run<S>) {
    let ended: Vec<_> = (0..100).map(|_| run.create(&one())).collect();
    for id in &ended {
        run.delete(id);
    }
    for id in &ended {
        run.try_save(id, &one());
        run.try_save(id, &other());
        run.is_gone(id);
    }
}

fn a_sweep_after_the_end_is_no_failure<S: Subject>(run: Run<S>) {
    let id = run.create_for(&one(), run.seconds(2));
    run.delete(&id);
    run.0.advance(run.seconds(3));
    run.sweep();
    run.is_gone(&id);
}

fn an_ended_session_does_not_prevent_a_new_one<S: Subject>(run: Run<S>) {
    let ended = run.create(&one());
    run.delete(&ended);
    let id = run.create(&one());
    run.has(&id, &one());
    run.is_gone(&ended);
}
