//! Types of other crates that are often in sessions.

use ::bytes::Bytes;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
use uuid_1::Uuid;

use super::{Adjacent, Check, External, Field, Flat, Tagged, Untagged, everywhere, shapes};

const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

/// Times as functions of `#[serde(with)]` serialize them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Times {
    #[serde(with = "time::serde::timestamp::nanoseconds")]
    nanoseconds: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    rfc3339: OffsetDateTime,
    #[serde(with = "chrono::serde::ts_milliseconds")]
    milliseconds: DateTime<Utc>,
    #[serde(with = "uuid_1::serde::compact")]
    compact: Uuid,
    #[serde(with = "rust_decimal::serde::str_option")]
    decimal: Option<Decimal>,
}

pub(super) fn all(check: &mut impl Check) {
    let date = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
    let moment = date.and_hms_nano_opt(23, 59, 59, 123_456_789).unwrap();
    let utc = moment.and_utc();
    let offset = FixedOffset::east_opt(5 * 3600 + 1800).unwrap();
    let now = OffsetDateTime::from_unix_timestamp_nanos(1_795_910_399_123_456_789).unwrap();
    let decimal: Decimal = "-12345678901234567.89012345678".parse().unwrap();
    let times = || Times {
        nanoseconds: now,
        rfc3339: now,
        milliseconds: DateTime::from_timestamp_millis(1_795_910_399_123).unwrap(),
        compact: ID,
        decimal: Some(decimal),
    };
    shapes! { check,
        "uuid" => (ID, Uuid::nil(), Uuid::max());
        "uuid hyphenated" => ID.hyphenated();
        "uuid as a key" => std::collections::BTreeMap::from([(ID, 1)]);
        "chrono date and time" => (date, moment, moment.time());
        "chrono in UTC" => utc;
        "chrono with an offset" => utc.with_timezone(&offset);
        "chrono extremes" => (NaiveDate::MIN, NaiveDate::MAX, NaiveDateTime::MAX, NaiveTime::MIN, DateTime::<Utc>::MAX_UTC);
        "chrono leap second" => date.and_hms_milli_opt(23, 59, 59, 1_500).unwrap();
        "chrono weekday" => Weekday::Mon;
        "chrono duration" => TimeDelta::new(-1, 500_000_000).unwrap();
        "time with an offset" => now.to_offset(UtcOffset::from_hms(-5, -30, 0).unwrap());
        "time in UTC" => now;
        "time parts" => (now.date(), now.time(), PrimitiveDateTime::new(now.date(), now.time()), now.offset());
        "time extremes" => (Date::MIN, Date::MAX, Time::MIDNIGHT, Time::MAX);
        "time month and weekday" => (Month::November, time::Weekday::Saturday);
        "time duration" => [time::Duration::new(5, 500_000_000), time::Duration::new(-5, -1), time::Duration::MIN];
        "time duration between zero and minus one" => time::Duration::new(0, -500_000_000);
        "decimal" => [decimal, Decimal::MAX, Decimal::MIN, Decimal::ZERO, Decimal::new(110, 2)];
        "bytes of the crate bytes" => Bytes::from_static(b"\xff\0");
        "times by functions" => times();
        "times by functions, flattened" => Flat::new(times());
        "times by functions, untagged" => Untagged::Newtype(times());
    }
    everywhere!(check, "uuid", ID);
    everywhere!(check, "chrono", utc);
    everywhere!(check, "time", now);
    everywhere!(check, "time date", now.date());
    everywhere!(check, "time duration", time::Duration::new(-5, -1));
    everywhere!(check, "decimal", decimal);
    everywhere!(check, "bytes of the crate bytes", Bytes::from_static(b"\xff\0"));
}
