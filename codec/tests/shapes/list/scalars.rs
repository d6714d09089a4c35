//! Scalars, text, bytes, time, paths, addresses.

use std::{
    borrow::Cow,
    ffi::{CString, OsString},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::{NonZeroI8, NonZeroU64, Saturating, Wrapping},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde_bytes::ByteBuf;

use super::{
    Adjacent, Bits, Check, External, Field, Flat, Newtype, NoFields, Tagged, Transparent, UnitStruct, Untagged, everywhere,
    shapes,
};

pub(super) fn all(check: &mut impl Check) {
    shapes! { check,
        "bool" => [true, false];
        "signed integers" => (i8::MIN, i16::MIN, i32::MIN, i64::MIN, isize::MIN, -1, -32, -33);
        "unsigned integers" => (u8::MAX, u16::MAX, u32::MAX, u64::MAX, usize::MAX, 127_u8, 128_u8);
        "integers about 2^53" => [(1_i64 << 53) - 1, (1 << 53) + 1, -(1 << 53) - 1];
        "f64" => [0.1, -0.5, 1e300, f64::MIN_POSITIVE, f64::MAX, 5.0, 1.0 / 3.0];
        "f32" => [0.1_f32, -0.5, f32::MIN_POSITIVE, f32::MAX, 5.0];
        "f64 without a number" => [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0].map(Bits);
        "f32 without a number" => [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0].map(Bits);
        "char" => ['a', '\0', '\u{10ffff}', '\u{e000}'];
        "text" => "Ada \0 \u{fc} \u{1f980}".to_owned();
        "empty text" => String::new();
        "long text" => "x".repeat(70_000);
        "unit" => ();
        "unit struct" => UnitStruct;
        "struct without fields" => NoFields {};
        "units" => ((), UnitStruct, [(), ()], NoFields {});
        "newtype" => Newtype("text".to_owned());
        "newtype of a unit" => Newtype(UnitStruct);
        "transparent newtype" => Transparent(Newtype(5));
        "bytes" => ByteBuf::from([0xff, 0, 0xfe]);
        "bytes as a list" => vec![0xff_u8, 0, 0xfe];
        "array of bytes" => [0xff_u8; 32];
        "array" => [[1_u8, 2], [3, 4]];
        "C string" => CString::new("text").unwrap();
        "boxed text" => "text".to_owned().into_boxed_str();
        "cow" => Cow::<'static, str>::Owned("text".to_owned());
        "duration" => Duration::new(u64::MAX, 999_999_999);
        "system time" => SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 1);
        "path" => PathBuf::from("/tmp/Ada");
        "operating system's text" => OsString::from("Ada");
        "non-zero integers" => (NonZeroU64::MAX, NonZeroI8::MIN);
        "wrapping integers" => (Wrapping(u32::MAX), Saturating(i8::MIN));
        "atomics and cells" => (std::cell::RefCell::new(1), std::cell::Cell::new(2));
        "IPv4 address" => Ipv4Addr::LOCALHOST;
        "IPv6 address" => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        "IP addresses" => [IpAddr::from([127, 0, 0, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        "socket addresses" => [SocketAddr::from(([10, 0, 0, 1], 8080)), SocketAddr::from((Ipv6Addr::LOCALHOST, 443))];
        "IPv6 socket address with a scope" => SocketAddrV6::new(Ipv6Addr::LOCALHOST, 443, 0, 3);
    }
    everywhere!(check, "IP address", IpAddr::from([127, 0, 0, 1]));
    everywhere!(check, "IPv6 address", Ipv6Addr::LOCALHOST);
    everywhere!(check, "socket address", SocketAddr::from((Ipv6Addr::LOCALHOST, 443)));
    everywhere!(check, "IPv4 socket address", SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80));
    everywhere!(check, "unit", ());
    everywhere!(check, "unit struct", UnitStruct);
    everywhere!(check, "struct without fields", NoFields {});
    everywhere!(check, "newtype of a unit struct", Newtype(UnitStruct));
    everywhere!(check, "f32", 0.1_f32);
    everywhere!(check, "f64 without a number", Bits(f64::NAN));
    everywhere!(check, "char", 'a');
    everywhere!(check, "bytes", ByteBuf::from([0xff, 0]));
    everywhere!(check, "C string", CString::new("text").unwrap());
    everywhere!(check, "duration", Duration::new(1, 2));
    everywhere!(check, "path", PathBuf::from("/tmp"));
    everywhere!(check, "operating system's text", OsString::from("Ada"));
    everywhere!(check, "newtype", Newtype(1_u16));
}
