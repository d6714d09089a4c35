//! Values that applications put into the sessions of other crates: each is read back as in JSON, or its save is an error.

use std::{fmt::Debug, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use session_store_contract::Data;

use self::list::Check;
use crate::support::{Adapter, OnDisk};

#[allow(unreachable_pub, reason = "shared with the tests of the codec")]
#[path = "../../../codec/tests/shapes/list/mod.rs"]
mod list;

for_each_adapter! {
    values_of_every_shape_come_back
    what_is_accepted_comes_back
}

const HOUR: Duration = Duration::from_hours(1);

/// A value as the other crates pass it, as JSON.
struct Shape {
    name: &'static str,
    json: String,
}

impl Shape {
    /// Whether serde_json, with one of its features, takes it for something else, or its number for one that is not a float.
    fn is_odd(&self) -> bool {
        ["wide", "128", "serde_json takes", "times by functions"].iter().any(|odd| self.name.contains(odd))
    }

    /// Checks the value that was read back: the same text, or the text of what serde_json read from it before it was stored.
    #[track_caller]
    fn check(&self, loaded: &str) {
        let read = serde_json::from_str::<Value>(&self.json).unwrap().to_string();
        assert!(loaded == self.json || loaded == read, "{}: {} came back as {loaded}", self.name, self.json);
    }
}

/// The shapes that JSON can express.
#[derive(Default)]
struct Shapes(Vec<Shape>);

impl Check for Shapes {
    fn shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &'static str, value: T) {
        // As the other crates do it. It fails for keys that are not text, and the like.
        if let Ok(json) = serde_json::to_value(&value) {
            self.0.push(Shape { name, json: json.to_string() });
        }
    }
}

fn shapes() -> Vec<Shape> {
    let mut shapes = Shapes::default();
    list::all(&mut shapes);
    assert!(shapes.0.len() > 500, "{}", shapes.0.len());
    shapes.0
}

/// A session of this crate, and how many values it accepted.
struct Own(sessile::Session, usize);

impl Check for Own {
    fn shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &'static str, value: T) {
        match self.0.insert("key", &value) {
            Ok(()) => {
                assert_eq!(self.0.get("key").unwrap(), Some(value), "{name}");
                self.1 += 1;
            }
            Err(error) => assert!(matches!(error, sessile::Error::Codec(_)), "{name}: {error}"),
        }
    }
}

#[test]
fn a_session_of_this_crate_gives_back_what_it_accepts() {
    let mut own = Own(sessile::testing::store().session(None).unwrap(), 0);
    list::all(&mut own);
    assert!(own.1 > 550, "{}", own.1);
}

fn values_of_every_shape_come_back<A: Adapter>() {
    let shapes: Vec<Shape> = shapes().into_iter().filter(|shape| !shape.is_odd()).collect();
    let data: Data = shapes.iter().map(|shape| (shape.name.to_owned(), shape.json.clone())).collect();
    let adapter = A::over(OnDisk::new());
    let id = adapter.create(&data, HOUR).unwrap();
    let adapter = adapter.reopen().expect("it is in a file");
    let loaded = adapter.load(&id).unwrap().unwrap();
    assert_eq!(loaded.len(), shapes.len());
    for shape in shapes {
        shape.check(&loaded[shape.name]);
    }
}

fn what_is_accepted_comes_back<A: Adapter>() {
    let adapter = A::over(OnDisk::new());
    for shape in shapes().into_iter().filter(Shape::is_odd) {
        let Ok(id) = adapter.create(&Data::from([("key".to_owned(), shape.json.clone())]), HOUR) else { continue };
        let loaded = adapter.load(&id).unwrap().unwrap();
        shape.check(&loaded["key"]);
    }
}
