//! What bytes say of their own length reserves no memory.
//!
//! A binary of its own, because it counts what the whole process allocates on a thread.

#![allow(clippy::option_option, clippy::zero_sized_map_values, reason = "values of every shape")]

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, de::IgnoredAny};
use serde_bytes::ByteBuf;
use sessile_codec::{Entry, Limits, Meta, Patch, Record};

#[allow(dead_code, reason = "the tests in `it` use the rest")]
#[path = "it/forge.rs"]
mod forge;
#[allow(dead_code, unreachable_pub, reason = "the tests in `it` use the rest")]
#[path = "../../fuzz/src/codec/mod.rs"]
mod fuzz;

use forge::Forged;

/// Reads `entry` as a `T`, which it is not, and checks that next to nothing is allocated on the way.
#[track_caller]
fn refuses_without_memory<'a, T: Deserialize<'a>>(entry: &'a Entry) {
    let mut refused = false;
    let info = allocation_counter::measure(|| refused = entry.get::<T>().is_err());
    assert!(refused);
    // A message, and what serde itself reserves for the few elements that there are.
    assert!(info.bytes_max < 4096, "{info:?}");
}

#[test]
fn a_hostile_length_reserves_no_memory() {
    for marker in [0xdd_u8, 0xdf, 0xdb, 0xc6, 0xc9] {
        for len in [u32::MAX, u32::MAX / 2, 1 << 28, 1 << 20] {
            for rest in [&[][..], &[1, 2, 3]] {
                let content = [&[marker][..], &len.to_be_bytes(), rest].concat();
                for lane in [1, 2] {
                    let entry = Forged { lane, ..Forged::serde("k", &content) };
                    let entry = forge::read(vec![entry]).entry("k").unwrap();
                    refuses_without_memory::<Vec<u8>>(&entry);
                    refuses_without_memory::<Vec<[u64; 16]>>(&entry);
                    refuses_without_memory::<HashMap<u64, [u64; 16]>>(&entry);
                    refuses_without_memory::<BTreeMap<String, String>>(&entry);
                    refuses_without_memory::<String>(&entry);
                    refuses_without_memory::<ByteBuf>(&entry);
                    refuses_without_memory::<serde_json::Value>(&entry);
                    refuses_without_memory::<Option<Vec<String>>>(&entry);
                    refuses_without_memory::<IgnoredAny>(&entry);
                }
            }
        }
    }
}

#[test]
fn lengths_in_lengths_reserve_no_more_than_their_bytes() {
    /// A list of lists, for the elements of which serde reserves memory.
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Lists(#[expect(dead_code, reason = "it cannot be read")] Vec<Lists>);

    // 64 arrays in one another, each of which claims all bytes that are left.
    let (levels, elements) = (64_u32, 1000_u32);
    let mut content = Vec::new();
    for level in 1..=levels {
        content.push(0xdd);
        content.extend(((levels - level) * 5 + elements).to_be_bytes());
    }
    content.resize(content.len() + elements as usize, 0);
    let entry = forge::read(vec![Forged::serde("k", &content)]).entry("k").unwrap();
    let info = allocation_counter::measure(|| assert!(entry.get::<Lists>().is_err()));
    // Each level may reserve for the elements that could be there, and does: so all of them were reached.
    let most = u64::from(levels) * (content.len() * size_of::<Lists>()) as u64;
    assert!((most / 2..most).contains(&info.bytes_max), "{info:?}");
}

#[test]
fn a_read_that_borrows_allocates_nothing() {
    let limits = Limits::default();
    let mut patch = Patch::new();
    patch.set("name", Entry::serde("Ada Lovelace", &limits).unwrap(), &limits).unwrap();
    patch.set("pair", Entry::serde(&(1, Some(true)), &limits).unwrap(), &limits).unwrap();
    let profile = fuzz::models::Profile { display_name: "Ada Lovelace".to_owned(), theme: Some(1), tags: vec![] };
    patch.set("profile", Entry::model(&profile, &limits).unwrap(), &limits).unwrap();
    let record = patch.apply(None, &fuzz::KEY, &Meta::default(), &limits).unwrap();
    let info = allocation_counter::measure(|| {
        assert_eq!(record.get("name").unwrap().get(), Ok("Ada Lovelace"));
        assert_eq!(record.get("pair").unwrap().get(), Ok((1, Some(true))));
        let view = record.entry("profile").unwrap().view::<fuzz::models::Profile>().unwrap();
        assert_eq!(view.display_name.as_str(), "Ada Lovelace");
        assert!(record.get("missing").is_none());
    });
    assert_eq!(info.count_total, 0, "{info:?}");
    // A checked copy, or the same under another header, is one allocation.
    let info = allocation_counter::measure(|| drop(Record::check(record.bytes(), &fuzz::KEY, 1 << 20).unwrap()));
    assert_eq!(info.count_total, 1, "{info:?}");
}

#[test]
fn no_large_buffer_stays_with_a_thread() {
    let limits = Limits { record_bytes: 64 << 20, ..Limits::default() };
    // Texts in a vector: their pointers lie in an arena of their own while they are written.
    let tags = vec![String::new(); 1 << 20];
    let profile = fuzz::models::Profile { display_name: String::new(), theme: None, tags };
    let list = vec![7_u32; 1 << 20];
    let info = allocation_counter::measure(|| {
        drop(Entry::model(&profile, &limits).unwrap());
        // Refused at the first bytes, when the arena is already as large as it gets.
        drop(Entry::model(&profile, &Limits { record_bytes: 1 << 10, ..limits }).unwrap_err());
        drop(Entry::serde(&list, &limits).unwrap());
    });
    assert!(info.bytes_max > 4 << 20, "{info:?}");
    assert!(info.bytes_current < 200 << 10, "{info:?}");
}
