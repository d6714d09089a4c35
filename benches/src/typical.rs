//! One typical session, the same one for every contestant.

use serde_json::{Value, json};

/// The key that is read: a number, as nearly every request needs one.
pub const USER_ID: &str = "user_id";

/// A signed-in visitor's session in a shop: ten values, some 500 bytes as MessagePack, some 900 as a record.
#[must_use]
pub fn typical(user_id: u64) -> Vec<(&'static str, Value)> {
    vec![
        (
            "cart",
            json!([
                { "sku": "A-1042", "count": 2, "cents": 1999 },
                { "sku": "B-0007", "count": 1, "cents": 450 },
                { "sku": "C-3310", "count": 5, "cents": 75 },
            ]),
        ),
        ("csrf", json!("vZ3pXb0JmJkq0mU6y3u0c9m3n1sW5dQ2r8tYxKfLhAe")),
        ("email", json!("ada.lovelace@analytical-engine.example")),
        ("name", json!("Ada Lovelace")),
        ("preferences", json!({ "locale": "en-GB", "theme": "dark", "currency": "GBP", "per_page": 50 })),
        ("return_to", json!("/account/orders?page=2&sort=newest")),
        ("roles", json!(["admin", "editor", "viewer"])),
        (USER_ID, json!(user_id)),
        ("viewed", json!(["A-1042", "C-3310", "D-0815", "E-4711", "F-0042"])),
        ("visits", json!(0)),
    ]
}
