//! Options, lists, maps and ranges.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
    marker::PhantomData,
    ops::Bound,
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Number, Value, json};

use super::{
    Adjacent, Check, External, Field, Flat, Newtype, NoFields, Tagged, Transparent, UnitStruct, Untagged, everywhere, shapes,
};

/// A unit-only enum, as a key of a map.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Role {
    Admin,
    Guest,
}

/// Contains itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tree<T> {
    value: T,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    children: Vec<Tree<T>>,
}

/// With each way in which a field is left out or renamed.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attributes {
    long_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
    #[serde(rename = "$")]
    odd: u8,
    #[serde(skip)]
    skipped: u8,
}

/// Maps that are flattened.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Others<K: Ord, V> {
    id: u64,
    name: String,
    #[serde(flatten)]
    rest: BTreeMap<K, V>,
}

impl<V> Others<String, V> {
    fn new(keys: &[&str], value: impl Fn() -> V) -> Self {
        let rest = keys.iter().map(|key| ((*key).to_owned(), value())).collect();
        Self { id: 1, name: "Ada".to_owned(), rest }
    }
}

/// A map beside a tag.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum TaggedMap {
    Map(BTreeMap<String, String>),
}

impl TaggedMap {
    fn of(key: &str) -> Self {
        Self::Map(BTreeMap::from([("a".to_owned(), "1".to_owned()), (key.to_owned(), "2".to_owned())]))
    }
}

/// A field that has the name of the tag.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Kind {
    kind: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum TagTwice {
    Newtype(Kind),
}

pub(super) fn all(check: &mut impl Check) {
    type Nested = Option<Option<Option<u8>>>;
    let nested: [Nested; 4] = [None, Some(None), Some(Some(None)), Some(Some(Some(0)))];
    let tree = Tree { value: 1, children: vec![Tree { value: 2, children: vec![] }] };
    shapes! { check,
        "none" => None::<String>;
        "some" => Some("text".to_owned());
        "options of options" => nested;
        "some unit" => (Some(()), None::<()>, Some(UnitStruct), Some(Newtype(())), Some(NoFields {}));
        "some null" => (Some(Value::Null), None::<Value>);
        "lists of options" => vec![None, Some(vec![None, Some(1)])];
        "list" => (0..300).collect::<Vec<u32>>();
        "empty list" => Vec::<u8>::new();
        "tuple" => (1, "two".to_owned(), 3.0, '4', (5, [6; 3]));
        "deque" => VecDeque::from([1, 2]);
        "linked list" => LinkedList::from([1, 2]);
        "sets" => (BTreeSet::from(["a".to_owned()]), HashSet::from([1, 2]));
        "heap" => BinaryHeap::from([1]).into_sorted_vec();
        "boxed list" => vec![1, 2].into_boxed_slice();
        "reverse" => Reverse(1);
        "phantom" => PhantomData::<u8>;
        "result" => [Ok::<u8, String>(1), Err("no".to_owned())];
        "range" => (1..5, 1..=5, ..5, 5..);
        "bounds" => (Bound::Included(1), Bound::Excluded(2), Bound::<u8>::Unbounded);
        "tree" => tree;
        "attributes" => Attributes { long_name: Some("x".to_owned()), left_out: None, odd: 1, skipped: 0 };
        "map" => HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        "empty map" => BTreeMap::<String, u8>::new();
        "map in a map" => BTreeMap::from([("a".to_owned(), HashMap::from([(1_u8, vec![Some('a')])]))]);
        "keys that are integers" => BTreeMap::from([(i64::MIN, 1), (-1, 2), (i64::MAX, 3)]);
        "keys that are booleans" => BTreeMap::from([(true, 1), (false, 2)]);
        "keys that are chars" => BTreeMap::from([('a', 1), ('b', 2)]);
        "keys that are enums" => BTreeMap::from([(Role::Admin, 1), (Role::Guest, 2)]);
        "keys that are newtypes" => BTreeMap::from([(Newtype("a".to_owned()), 1)]);
        "keys that are transparent" => BTreeMap::from([(Transparent(1_u8), 1)]);
        "keys that are tuples" => BTreeMap::from([((1_u8, 'a'), 1), ((2, 'b'), 2)]);
        "keys that are options" => BTreeMap::from([(None, 1), (Some(1), 2)]);
        "keys that are lists" => BTreeMap::from([(vec![1], 1), (vec![], 2)]);
        "keys that are bytes" => BTreeMap::from([(ByteBuf::from([0xff]), 1)]);
        "keys that are units" => BTreeMap::from([((), 1)]);
        "JSON" => json!({ "a": [1, -1, null, true, "x", 0.5, 1e300, u64::MAX, i64::MIN], "b": { "c": {} } });
        "JSON in a list" => vec![json!(null), json!([]), json!("x"), json!(5.0)];
        "JSON numbers" => vec![5.into(), (-5).into(), u64::MAX.into(), Number::from_f64(0.1).unwrap(), Number::from_f64(5.0).unwrap()];
        "JSON with a key that serde_json takes for a number" => json!({ "$serde_json::private::Number": "5" });
        "JSON with a key that serde_json takes for JSON" => json!([{ "$serde_json::private::RawValue": "5" }]);
        "JSON, flattened" => Flat::new(json!({ "a": 1, "b": { "c": [0.5] } }).as_object().unwrap().clone());
        "JSON, untagged" => Untagged::Newtype(json!({ "a": [1, 0.5, null] }));
        "flattened map" => Others::new(&["a", "b", "idea", "names"], || 1);
        "flattened map of lists" => Others::new(&["a"], || vec![Some(1), None]);
        "flattened map, empty" => Others::new(&[], || 1);
        "flattened map of integers" => Others { id: 1, name: "Ada".to_owned(), rest: BTreeMap::from([(5_u8, 1)]) };
        "flattened map with a field's name" => Others::new(&["a", "id"], || 1);
        "flattened map with another field's name" => Others::new(&["a", "name"], || 1);
        "flattened some" => Flat::new(Some(Field::new(1)));
        "flattened none" => Flat::new(None::<Field<u8>>);
        "tagged map" => TaggedMap::of("b");
        "tagged map with the tag's name" => TaggedMap::of("kind");
        "tagged struct with the tag's name" => TagTwice::Newtype(Kind { kind: 1 });
    }
    everywhere!(check, "option", Some(1_u8));
    everywhere!(check, "none", None::<u8>);
    everywhere!(check, "option of an option", Some(None::<u8>));
    everywhere!(check, "some unit", Some(()));
    everywhere!(check, "keys that are integers", BTreeMap::from([(1_u8, -1), (2, -2)]));
    everywhere!(check, "keys that are booleans", BTreeMap::from([(true, 1)]));
    everywhere!(check, "keys that are enums", BTreeMap::from([(Role::Admin, 1)]));
    everywhere!(check, "keys that are tuples", BTreeMap::from([((1_u8, 'a'), 1)]));
    everywhere!(check, "list", vec![1_u8, 2]);
    everywhere!(check, "map of texts", BTreeMap::from([("a".to_owned(), vec![0.5])]));
    everywhere!(check, "tuple", (1_u8, 'a', ()));
    everywhere!(check, "range", 1..5);
    everywhere!(check, "bound", Bound::Included(1));
    everywhere!(check, "result", Err::<u8, _>('a'));
    everywhere!(check, "JSON value", json!({ "a": [1, 0.5, null] }));
}
