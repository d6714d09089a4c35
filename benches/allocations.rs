//! T2, T3, T4: how often a request through axum allocates, with and without sessions.

use allocation_counter::measure;
use axum::http::HeaderValue;
use sessile_benches::{
    App, Target, Work, bare_app, call, no_op_app, report, row, sessile_app, sessile_around, sessile_store, tower_app,
    tower_store,
};

fn main() {
    let (store, tokens) = sessile_store(1);
    let (tower, ids) = tower_store(1);
    let ours = HeaderValue::try_from(format!("__Host-id={}", tokens[0].expose())).expect("it is ASCII");
    let theirs = HeaderValue::try_from(format!("id={}", ids[0])).expect("it is ASCII");
    let bare = count(bare_app(), &ours);

    for (work, what) in [
        (Work::Nothing, "T2 untouched request"),
        (Work::Read, "T3 request that reads one key"),
        (Work::Write, "T4 request that reads and writes, relaxed"),
    ] {
        let (id, what) = what.split_at(2);
        let around = count(sessile_around(&store, work), &ours) - bare;
        let layer = count(sessile_app(&store, work), &ours) - bare;
        let peer = count(tower_app(&*tower, work), &theirs) - bare;
        if work == Work::Nothing {
            report(id, &format!("{} around the application", what.trim()), around, "allocations added", Target::AtMost(0.0));
            report(id, &format!("{} as axum's layer", what.trim()), layer, "allocations added", Target::AtMost(3.0));
            row("axum alone", &[(bare, "allocations")]);
            row("a layer that does nothing", &[(count(no_op_app(), &ours) - bare, "added")]);
        } else {
            let what = format!("{}, allocations added as axum's layer", what.trim());
            report(id, &what, peer / layer, "x fewer than tower-sessions", Target::AtLeast(10.0));
        }
        row("sessile, around the application", &[(around, "added")]);
        row("sessile, as axum's layer", &[(layer, "added")]);
        row("tower-sessions, MemoryStore", &[(peer, "added")]);
    }
}

/// Allocations of one request, once the buffers that are used again are there.
fn count(mut app: impl App, cookie: &HeaderValue) -> f64 {
    for _ in 0..100 {
        assert!(call(&mut app, cookie).status().is_success());
    }
    let calls = 1000;
    let info = measure(|| {
        for _ in 0..calls {
            call(&mut app, cookie);
        }
    });
    info.count_total as f64 / f64::from(calls)
}
