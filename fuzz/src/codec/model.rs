//! Bytes as a model of each type and version: they are refused, or they are a value that is stored and read again.

use sessile_codec::{Entry, Error, Fingerprint, Lane, Limits, Model};

use super::models::{Chain, Every, Kinds, Nothing, Profile, Tree};

/// The first byte chooses a type, the second a version, and the others are the archive.
pub fn run(data: &[u8]) {
    let [which, version, bytes @ ..] = data else { return };
    match which % 6 {
        0 => read::<Kinds>(*version, bytes),
        1 => read::<Profile>(*version, bytes),
        2 => read::<Every>(*version, bytes),
        3 => read::<Tree>(*version, bytes),
        4 => read::<Chain>(*version, bytes),
        _ => read::<Nothing>(*version, bytes),
    }
}

fn stored<M: Model>(version: u16, fingerprint: Fingerprint, bytes: &[u8]) -> Entry {
    let lane = Lane::Model { tag: M::TAG, version, fingerprint };
    Entry::from_parts(lane, bytes, &Limits::UNLIMITED).expect("no limit")
}

/// Reads `bytes` as an `M` of any version, with the fingerprint that the version has.
fn read<M: Model>(version: u8, bytes: &[u8]) {
    let version = u16::from(version) % (M::VERSION + 2);
    // A version of another shape says which one it has.
    let unknown: Fingerprint = "0".parse().expect("it is a number");
    let expected = match stored::<M>(version, unknown, bytes).view::<M>() {
        Err(Error::ShapeChanged { expected, found, .. }) => {
            assert_eq!(found, unknown);
            expected
        }
        Err(Error::NoMigration { .. }) => return assert!(version == 0),
        Err(Error::ModelFromFuture { .. }) => return assert!(version > M::VERSION),
        other => panic!("an unknown shape was read: {:?}", other.map(drop)),
    };
    let entry = stored::<M>(version, expected, bytes);
    let view = match entry.view::<M>() {
        Ok(view) => view,
        Err(Error::BadArchive | Error::TooDeep { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    // What is read can be stored, and is then the same bytes again and again.
    let Ok(model) = view.to_model() else { return };
    match Entry::model(&model, &Limits::UNLIMITED) {
        Ok(stored) => {
            let again = stored.view::<M>().expect("it was just stored").to_model().expect("it was just a model");
            let again = Entry::model(&again, &Limits::UNLIMITED).expect("it was stored before");
            assert_eq!(stored.as_ref().bytes(), again.as_ref().bytes());
        }
        // An archive may be flatter than what its writer counts.
        Err(Error::TooDeep { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
