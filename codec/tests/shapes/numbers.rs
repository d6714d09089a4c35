//! Numbers of serde_json, which are other values for serde if the feature `arbitrary_precision` is on, and must not be others in a store.
//!
//! `.ci/run` runs this with the feature, too, and sets `SESSILE_ARBITRARY_PRECISION` then.

use std::{collections::BTreeMap, env};

use serde::Serialize;
use serde_json::{Number, Value};
use sessile_codec::{Entry, Error, Limits};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn is_precise() -> bool {
    // Without the feature, both are the same float.
    json("0.10") != json("0.1")
}

fn entry<T: Serialize + ?Sized>(value: &T) -> Entry {
    Entry::serde(value, &Limits::default()).unwrap()
}

#[track_caller]
fn same(one: &Entry, other: &Entry) {
    assert_eq!((one.as_ref().lane(), one.as_ref().bytes()), (other.as_ref().lane(), other.as_ref().bytes()));
}

#[derive(Serialize)]
struct Outer<T> {
    a: Inner<T>,
    e: &'static str,
}

#[derive(Serialize)]
struct Inner<T> {
    b: T,
    d: (),
}

#[test]
fn the_feature_is_on_where_the_command_says_so() {
    assert_eq!(is_precise(), env::var_os("SESSILE_ARBITRARY_PRECISION").is_some());
}

#[test]
fn a_number_is_stored_alike_whether_the_feature_is_on_or_off() {
    let integers = json("[0, 1, 127, 128, -1, -33, 65536, 18446744073709551615, -9223372036854775808]");
    same(&entry(&integers), &entry(&(0, 1, 127, 128, -1, -33, 65536, u64::MAX, i64::MIN)));
    let floats = json("[0.1, -0.5, 5.0, 1e300, 5e-324, 1.7976931348623157e308, 1.10, 2.5e1, -0.0]");
    same(&entry(&floats), &entry(&(0.1, -0.5, 5.0, 1e300, 5e-324, f64::MAX, 1.1, 25.0, -0.0)));
    let nested = json(r#"{"a": {"b": [1, {"c": 2.5}], "d": null}, "e": "5"}"#);
    let inner = (1, BTreeMap::from([("c", 2.5)]));
    same(&entry(&nested), &entry(&Outer { a: Inner { b: inner, d: () }, e: "5" }));
    // With an option that makes each one explicit.
    same(&entry(&(Some(json("1")), Some(()))), &entry(&(Some(1), Some(()))));
    same(&entry(&BTreeMap::from([(1, Number::from(2))])), &entry(&BTreeMap::from([(1, 2)])));
}

#[test]
fn what_was_stored_as_a_number_is_read_as_one_of_json() {
    for (entry, text) in
        [(entry(&5), "5"), (entry(&-5), "-5"), (entry(&u64::MAX), "18446744073709551615"), (entry(&0.1), "0.1")]
    {
        assert_eq!(entry.get::<Value>(), Ok(json(text)));
        assert_eq!(entry.get::<Number>(), Ok(text.parse().unwrap()));
        let again = Entry::serde(&entry.get::<Value>().unwrap(), &Limits::default()).unwrap();
        same(&again, &entry);
    }
    // JSON is read as what was stored, and the other way round.
    assert_eq!(entry(&json("[5, -5, 0.5]")).get(), Ok((5_u8, -5_i64, 0.5_f64)));
}

#[test]
fn a_number_that_would_come_back_as_another_is_refused() {
    for text in ["18446744073709551616", "123456789012345678901234567890", "0.1000000000000000055", "-1e-400"] {
        let stored = Entry::serde(&json(text), &Limits::default());
        if is_precise() {
            assert!(matches!(stored, Err(Error::Unsupported { .. })), "{text}");
        } else {
            // serde_json itself made the nearest float of it.
            assert_eq!(stored.unwrap().get(), json(text).as_f64().ok_or(Error::TooDeep { limit: 0 }), "{text}");
        }
    }
}
