//! Derived models, through sessions of a real store: every type of field, every older version, types that contain themselves.
#![forbid(unsafe_code)]

#[path = "it/fields.rs"]
mod fields;
#[path = "it/nested.rs"]
mod nested;
#[path = "it/refused.rs"]
mod refused;
#[path = "it/versions.rs"]
mod versions;

use sessile::{Model, Session, View, testing};

/// Stores a model in a session, and returns what another request sees of it as an `N`.
#[track_caller]
fn seen<M: Model, N: Model>(model: &M) -> View<N> {
    let store = testing::store();
    let session = store.session(None).unwrap();
    session.insert_model("k", model).unwrap();
    session.save().wait().unwrap();
    let token = session.token().unwrap();
    let again: Session = store.session(Some(&token)).unwrap();
    again.view("k").unwrap().expect("the model can be read")
}

/// Stores a model and reads it back as a value.
#[track_caller]
fn back<M: Model>(model: &M) -> M {
    seen::<M, M>(model).to_model().unwrap()
}
