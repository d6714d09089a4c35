//! G10: a deploy that changes a model migrates or drops that one value, reports it, and logs no user out.

use sessile::{Error, error::CodecError, model::Lane};

use crate::support::{OnDisk, n_of, saved};

/// The models of one key in three releases of an application.
mod v1 {
    #[derive(sessile::Model)]
    pub(crate) struct Profile {
        pub name: String,
        pub legacy: u64,
    }
}

mod v2 {
    /// `name` was renamed, `theme` added, `legacy` removed.
    #[derive(sessile::Model)]
    #[model(version = 2, removed(legacy: u64, until = 2, after = "display_name"))]
    pub(crate) struct Profile {
        #[model(since = 2, was = "name")]
        pub display_name: String,
        #[model(since = 2, default = 3)]
        pub theme: u8,
    }
}

mod v3 {
    /// Cannot read the older ones.
    #[derive(sessile::Model)]
    #[model(version = 3, migrate = refuse)]
    pub(crate) struct Profile {
        pub id: u64,
    }

    fn refuse(old: sessile::model::Stored<'_>) -> Result<Profile, sessile::error::CodecError> {
        Err(old.no_migration())
    }
}

/// A session that the first release left behind, after a restart.
fn left_by_v1() -> (OnDisk, sessile::Token) {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("profile", &v1::Profile { name: "Ada".into(), legacy: 7 }).unwrap();
    session.save().wait().unwrap();
    drop(session);
    disk.reopen();
    (disk, token)
}

fn version(disk: &OnDisk, token: &sessile::Token) -> u16 {
    let entry = disk.store.session(Some(token)).unwrap().entry("profile").unwrap();
    let Lane::Model { version, .. } = entry.as_ref().lane() else { panic!("a model was stored") };
    version
}

#[test]
fn g10_an_older_model_is_migrated_when_read_and_stored_with_the_next_change() {
    let (mut disk, token) = left_by_v1();
    let commits = disk.store.stats().commits;
    let session = disk.store.session(Some(&token)).unwrap();
    for _ in 0..2 {
        let profile = session.view::<v2::Profile>("profile").unwrap().unwrap();
        assert_eq!((profile.display_name.as_str(), profile.theme), ("Ada", 3));
    }
    session.save().wait().unwrap();
    assert_eq!(disk.store.stats().commits, commits, "to read is no reason to write");
    assert_eq!(version(&disk, &token), 1);
    session.view::<v2::Profile>("profile").unwrap();
    session.insert("other", 1).unwrap();
    session.save().wait().unwrap();
    assert_eq!(version(&disk, &token), 2);
    disk.reopen();
    assert_eq!(version(&disk, &token), 2);
    let session = disk.store.session(Some(&token)).unwrap();
    assert_eq!(session.view::<v2::Profile>("profile").unwrap().unwrap().display_name.as_str(), "Ada");
    assert_eq!(session.keys(), ["n", "other", "profile"]);
    assert_eq!(disk.store.stats().unreadable, 0);
}

#[test]
fn g10_a_migration_does_not_undo_what_another_request_wrote() {
    let (disk, token) = left_by_v1();
    let (migrating, other) = (disk.store.session(Some(&token)).unwrap(), disk.store.session(Some(&token)).unwrap());
    migrating.view::<v2::Profile>("profile").unwrap();
    other.insert_model("profile", &v2::Profile { display_name: "Grace".into(), theme: 1 }).unwrap();
    other.save().wait().unwrap();
    migrating.insert("other", 1).unwrap();
    migrating.save().wait().unwrap();
    let now = disk.store.session(Some(&token)).unwrap();
    assert_eq!(now.view::<v2::Profile>("profile").unwrap().unwrap().display_name.as_str(), "Grace");

    // Nor this request's own changes.
    let (disk, token) = left_by_v1();
    let session = disk.store.session(Some(&token)).unwrap();
    session.view::<v2::Profile>("profile").unwrap();
    session.remove("profile").unwrap();
    session.save().wait().unwrap();
    assert_eq!(disk.store.session(Some(&token)).unwrap().keys(), ["n"]);
}

#[test]
fn g10_a_model_that_cannot_be_read_is_absent_and_its_bytes_are_kept() {
    let (mut disk, token) = left_by_v1();
    let session = disk.store.session(Some(&token)).unwrap();
    assert!(session.view::<v3::Profile>("profile").unwrap().is_none());
    assert_eq!(disk.store.stats().unreadable, 1);
    assert_eq!(session.keys(), ["n", "profile"]);
    assert!(session.contains_key("profile"));
    session.insert("other", 1).unwrap();
    session.save().wait().unwrap();
    disk.reopen();
    assert_eq!(n_of(&disk.store, &token), Some(1), "no user was logged out");
    // The old release is deployed again, and finds everything.
    let session = disk.store.session(Some(&token)).unwrap();
    let profile = session.view::<v1::Profile>("profile").unwrap().unwrap();
    assert_eq!((profile.name.as_str(), profile.legacy.to_native()), ("Ada", 7));
    // Until it is overwritten.
    session.insert_model("profile", &v3::Profile { id: 5 }).unwrap();
    assert_eq!(session.view::<v3::Profile>("profile").unwrap().unwrap().id, 5);
    session.save().wait().unwrap();
    assert_eq!(version(&disk, &token), 3);
}

#[test]
fn g10_a_model_of_a_newer_release_is_absent_and_kept() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("profile", &v3::Profile { id: 5 }).unwrap();
    session.save().wait().unwrap();
    let rolled_back = disk.store.session(Some(&token)).unwrap();
    assert!(rolled_back.view::<v2::Profile>("profile").unwrap().is_none());
    rolled_back.insert("n", 2_u64).unwrap();
    rolled_back.save().wait().unwrap();
    assert_eq!(disk.store.stats().unreadable, 1);
    assert_eq!(version(&disk, &token), 3);
}

#[test]
fn to_ask_for_another_type_than_was_put_is_an_error() {
    let (disk, token) = left_by_v1();
    let session = disk.store.session(Some(&token)).unwrap();
    assert!(matches!(session.view::<v2::Profile>("n"), Err(Error::Codec(CodecError::WrongLane { .. }))));
    assert_eq!(disk.store.stats().unreadable, 0);
}
