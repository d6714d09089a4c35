//! The shapes of the types that a model can contain.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::{
        NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128,
    },
    time::{Duration, SystemTime},
};

use crate::{ModelPart, Shape};

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(impl ModelPart for $type {
            const SHAPE: &'static Shape = &Shape::Plain { name: stringify!($type) };
        })*
    };
}

plain!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, bool, char, String, str, Duration, SystemTime);
plain!(NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128);
plain!(IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);

/// `uuid::Uuid`.
#[cfg(feature = "uuid-1")]
impl ModelPart for uuid_1::Uuid {
    const SHAPE: &'static Shape = &Shape::Plain { name: "Uuid" };
}

macro_rules! made_of {
    ($($name:literal: $type:ty, $($part:ident $(: ?$sized:ident)?),*;)*) => {
        $(impl<$($part: ModelPart $(+ ?$sized)?),*> ModelPart for $type {
            const SHAPE: &'static Shape = &Shape::Generic { name: $name, parts: &[$($part::SHAPE),*] };
            const WITHIN_2: &'static Shape = &Shape::Generic { name: $name, parts: &[$($part::WITHIN_2),*] };
            const WITHIN_1: &'static Shape = &Shape::Generic { name: $name, parts: &[$($part::WITHIN_1),*] };
            const REFERENCE: &'static Shape = &Shape::Generic { name: $name, parts: &[$($part::REFERENCE),*] };
        })*
    };
}

made_of! {
    "Option": Option<T>, T;
    "Vec": Vec<T>, T;
    "Box": Box<T>, T: ?Sized;
    "slice": [T], T;
    "BTreeMap": BTreeMap<K, V>, K, V;
    "BTreeSet": BTreeSet<T>, T;
    "Result": Result<T, E>, T, E;
    "": (A,), A;
    "": (A, B), A, B;
    "": (A, B, C), A, B, C;
    "": (A, B, C, D), A, B, C, D;
    "": (A, B, C, D, E), A, B, C, D, E;
    "": (A, B, C, D, E, F), A, B, C, D, E, F;
    "": (A, B, C, D, E, F, G), A, B, C, D, E, F, G;
    "": (A, B, C, D, E, F, G, H), A, B, C, D, E, F, G, H;
    "": (A, B, C, D, E, F, G, H, I), A, B, C, D, E, F, G, H, I;
    "": (A, B, C, D, E, F, G, H, I, J), A, B, C, D, E, F, G, H, I, J;
    "": (A, B, C, D, E, F, G, H, I, J, K), A, B, C, D, E, F, G, H, I, J, K;
    "": (A, B, C, D, E, F, G, H, I, J, K, L), A, B, C, D, E, F, G, H, I, J, K, L;
    "": (A, B, C, D, E, F, G, H, I, J, K, L, M), A, B, C, D, E, F, G, H, I, J, K, L, M;
}

impl ModelPart for () {
    const SHAPE: &'static Shape = &Shape::Generic { name: "", parts: &[] };
}

impl<T: ModelPart, const N: usize> ModelPart for [T; N] {
    const SHAPE: &'static Shape = &Shape::Array { item: T::SHAPE, len: N };
    const WITHIN_2: &'static Shape = &Shape::Array { item: T::WITHIN_2, len: N };
    const WITHIN_1: &'static Shape = &Shape::Array { item: T::WITHIN_1, len: N };
    const REFERENCE: &'static Shape = &Shape::Array { item: T::REFERENCE, len: N };
}
