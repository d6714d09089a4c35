//! Values that serde_json passes to serde in a private form that only serde_json reads: numbers as text, and JSON as text.
//!
//! With its feature `arbitrary_precision`, which any crate of a build can enable for all of them, `serde_json::Number` is a
//! struct of one field with a private name. A build without the feature could not read that as a number. So it is stored as a
//! number, which both read.
//!
//! Invariant: what is stored is exactly the number in the text, or there is an error.

use super::MessagePackError;

/// A struct or a key that is private to serde_json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Private {
    Number,
    RawValue,
}

const NUMBER: &[u8] = b"$serde_json::private::Number";
const RAW_VALUE: &[u8] = b"$serde_json::private::RawValue";

impl Private {
    /// Returns the error for a value that builds would read differently.
    #[cold]
    pub(super) fn refused(self) -> MessagePackError {
        let detail = match self {
            Self::Number => "a map has a key, or an enum a variant, that serde_json takes for a number",
            Self::RawValue => "JSON as text cannot be read again; store a `serde_json::Value`, or the text",
        };
        MessagePackError::Unsupported(detail.to_owned())
    }
}

/// Returns how serde_json treats a struct of this name.
#[inline]
pub(super) fn private(name: &[u8]) -> Option<Private> {
    match name.len() {
        28 if name == NUMBER => Some(Private::Number),
        30 if name == RAW_VALUE => Some(Private::RawValue),
        _ => None,
    }
}

/// Returns how serde_json treats a map with this key, which is MessagePack.
pub(super) fn private_key(key: &[u8]) -> Option<Private> {
    let (marker, name) = key.split_first()?;
    if begins_private_key(*marker) { private(name) } else { None }
}

/// Whether a key that begins with `marker` can be private: the marker of a text of either length.
#[inline]
pub(super) fn begins_private_key(marker: u8) -> bool {
    matches!(marker, 0xbc | 0xbe)
}

/// A number of JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl Number {
    /// Parses `text` as serde_json does without `arbitrary_precision`.
    pub(super) fn of(text: &str) -> Result<Self, MessagePackError> {
        let exactly = Decimal::of(text).ok_or_else(inexact)?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Unsigned).map_err(|_| inexact());
        }
        // A zero with a sign is a float.
        if exactly.is_integer_text && !exactly.digits.is_empty() {
            return text.parse().map(Self::Signed).map_err(|_| inexact());
        }
        let float: f64 = text.parse().map_err(|_| inexact())?;
        // The shortest text of this float, and so all the digits that it keeps.
        let kept = format!("{float:e}");
        if Decimal::of(&kept).is_some_and(|kept| kept.is_same(&exactly)) { Ok(Self::Float(float)) } else { Err(inexact()) }
    }
}

#[cold]
fn inexact() -> MessagePackError {
    let detail = "a number of JSON that neither 64 bits nor an `f64` hold exactly; store it as text";
    MessagePackError::Unsupported(detail.to_owned())
}

/// A number in decimal notation.
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; the first one counts tenths. Empty for zero.
    digits: Vec<u8>,
    /// The power of ten that the digits are multiplied by.
    exponent: i64,
    is_integer_text: bool,
}

impl Decimal {
    /// Parses `text` if it is a number in JSON's form.
    fn of(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole, fraction].concat().into_bytes();
        if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        digits.truncate(digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1));
        let shift = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(zeros).ok()?)?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        let is_integer_text = unsigned.len() == whole.len();
        Some(Self { is_negative: unsigned.len() < text.len(), digits, exponent, is_integer_text })
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_zero = self.digits.is_empty() && other.digits.is_empty();
        self.is_negative == other.is_negative && self.digits == other.digits && (is_zero || self.exponent == other.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_their_text_says() {
        for (text, number) in [
            ("0", Number::Unsigned(0)),
            ("18446744073709551615", Number::Unsigned(u64::MAX)),
            ("-1", Number::Signed(-1)),
            ("-9223372036854775808", Number::Signed(i64::MIN)),
            ("0.1", Number::Float(0.1)),
            ("1.10", Number::Float(1.1)),
            ("-2.50e1", Number::Float(-25.0)),
            ("1E5", Number::Float(1e5)),
            ("0.0001e+4", Number::Float(1.0)),
            ("5.0", Number::Float(5.0)),
            ("1e300", Number::Float(1e300)),
            ("1.7976931348623157e308", Number::Float(f64::MAX)),
            ("5e-324", Number::Float(5e-324)),
            ("0.30000000000000004", Number::Float(0.1 + 0.2)),
            ("0.0", Number::Float(0.0)),
            ("0e999", Number::Float(0.0)),
        ] {
            assert_eq!(Number::of(text), Ok(number), "{text}");
        }
        for text in ["-0", "-0.0"] {
            let Ok(Number::Float(zero)) = Number::of(text) else { panic!("{text}") };
            assert!(zero == 0.0 && zero.is_sign_negative(), "{text}");
        }
    }

    #[test]
    fn what_is_not_exact_or_no_number_is_refused() {
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.1000000000000000055",
            "9007199254740993.0",
            "1e309",
            "1e-400",
            "",
            "-",
            "+1",
            "+1.5",
            "--1",
            ".5",
            "1e",
            "1e+",
            "1.2.3",
            "NaN",
            "inf",
            "-infinity",
            "1e99999999999999999999",
            "0x10",
            "1_000",
            " 1",
            "\u{661}",
        ] {
            assert!(matches!(Number::of(text), Err(MessagePackError::Unsupported(_))), "{text}");
        }
    }

    #[test]
    fn names_are_those_of_serde_json() {
        assert_eq!(private(b"$serde_json::private::Number"), Some(Private::Number));
        assert_eq!(private(b"$serde_json::private::RawValue"), Some(Private::RawValue));
        assert_eq!(private(b"$serde_json::private::numbeR"), None);
        assert_eq!(private_key(b"\xbc$serde_json::private::Number"), Some(Private::Number));
        assert_eq!(private_key(b"\xbe$serde_json::private::RawValue"), Some(Private::RawValue));
        assert_eq!(private_key(b"\xbe$serde_json::private::RawValue1"), None);
        assert_eq!(private_key(b""), None);
    }
}
