//! Integers of 128 bits.

use std::{collections::BTreeMap, num::NonZeroU128};

use super::{Adjacent, Check, External, Field, Flat, Newtype, Tagged, Untagged, everywhere, shapes};

pub(super) fn all(check: &mut impl Check) {
    shapes! { check,
        "u128 that fits" => [0, 1, u128::from(u64::MAX)];
        "i128 that fits" => [i128::from(i64::MIN), -1, 0, i128::from(u64::MAX)];
        "u128 as a key" => BTreeMap::from([(5_u128, 1)]);
        "u128, least that does not fit" => 1_u128 << 64;
        "i128, greatest that does not fit" => i128::from(i64::MIN) - 1;
        "u128::MAX" => u128::MAX;
        "i128::MIN" => i128::MIN;
        "i128::MAX" => Some(i128::MAX);
        "wide in a list" => vec![u128::MAX];
        "wide in a newtype" => Newtype(u128::MAX);
        "wide in a variant" => External::Newtype(u128::MAX);
        "wide as a key" => BTreeMap::from([(u128::MAX, 1)]);
        "non-zero wide" => NonZeroU128::MAX;
        "bytes of a wide integer" => u128::MAX.to_be_bytes();
    }
    everywhere!(check, "u128 that fits", 5_u128);
    everywhere!(check, "i128 that fits", -5_i128);
    everywhere!(check, "wide", u128::MAX);
    everywhere!(check, "wide and negative", i128::MIN);
}
