//! Processes that open one store at the same time, beginning without any.

use std::{process::Stdio, time::Duration};

use sessile::{Error, Store};

use super::{Place, builder, child, names, path_of_child, tokens_of};
use crate::support::{n_of, saved};

/// Opens the store, waiting for it or not, commits one session and closes it.
fn use_it(wait: Duration) {
    let Some(path) = path_of_child() else { return };
    match builder().wait_for_lock(wait).open(&path) {
        Ok(store) => {
            let token = saved(&store, 7).1;
            store.close().unwrap();
            println!("said {}", token.expose());
        }
        Err(error) => assert!(wait.is_zero() && matches!(error, Error::AlreadyOpen { .. }), "{error:?}"),
    }
}

#[test]
fn child_that_waits() {
    use_it(Duration::from_mins(1));
}

#[test]
fn child_that_does_not_wait() {
    use_it(Duration::ZERO);
}

#[test]
fn processes_that_make_a_store_at_once_make_one() {
    for round in 0..5 {
        let place = Place::new();
        let names_of = ["together::child_that_waits", "together::child_that_does_not_wait"];
        let children: Vec<_> = (0..6)
            .map(|nth| {
                let mut command = child(names_of[nth % 2], &place.path);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        let mut said = Vec::new();
        for output in outputs {
            assert!(output.status.success(), "{round}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            said.extend(text.lines().filter_map(|line| Some(line.split_once("said ")?.1.to_owned())));
        }
        assert!(said.len() >= 3, "{round}: processes that wait are served: {said:?}");
        assert_eq!(names(place.dir.path()), ["a"], "{round}");
        let store = Store::open(&place.path).unwrap();
        assert_eq!(store.stats().sessions, said.len() as u64, "{round}");
        assert!(tokens_of(&said).iter().all(|token| n_of(&store, token) == Some(7)), "{round}");
    }
}
