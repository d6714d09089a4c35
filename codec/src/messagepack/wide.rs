//! Decides whether an integer of 128 bits in a value can be read again.
//!
//! Facts: serde first reads untagged, internally tagged and flattened types into its own buffer. That buffer cannot hold 128
//! bits, and reading even a small number from it as an `i128` or `u128` is an error. The writer cannot see which types are read
//! in that way. But no type of the standard library is; only a type's own attributes cause it.
//!
//! Invariant: an accepted value's type consists only of types of the standard library.

use super::MessagePackError;

/// Checks the type of a value that contains an integer of 128 bits.
///
/// The form of type names is not guaranteed. A name in an unknown form is refused.
#[cold]
pub(super) fn check(type_name: &str) -> Result<(), MessagePackError> {
    if is_standard(type_name) {
        return Ok(());
    }
    let detail = "an integer of 128 bits inside a type of the application's or of another crate, which serde may be unable to read; \
                  store it as one of 64 bits, as text, as bytes (`to_be_bytes`) or in a model";
    Err(MessagePackError::Unsupported(detail.to_owned()))
}

fn is_standard(type_name: &str) -> bool {
    let is_of_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let is_between = |letter: char| "<>()[]&,; *".contains(letter);
    type_name.chars().all(|letter| is_of_path(letter) || is_between(letter))
        && type_name.split(is_between).filter(|path| !path.is_empty()).all(is_standard_path)
}

/// Whether `path` is a type of the standard library, or the length of an array.
fn is_standard_path(path: &str) -> bool {
    const PRIMITIVE: [&str; 17] = [
        "bool", "char", "str", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
        "usize",
    ];
    let is_of_library = ["core::", "alloc::", "std::"].iter().any(|library| path.starts_with(library));
    is_of_library || PRIMITIVE.contains(&path) || path.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::{
        any::type_name,
        collections::{BTreeMap, HashMap},
    };

    use super::*;

    struct Own<T>(T);

    #[test]
    fn types_of_the_standard_library_are_known() {
        for name in [
            type_name::<u128>(),
            type_name::<&i128>(),
            type_name::<Option<Option<u128>>>(),
            type_name::<Vec<(String, [u128; 4], &[u128], Box<str>)>>(),
            type_name::<HashMap<u128, BTreeMap<char, std::rc::Rc<std::num::Wrapping<u128>>>>>(),
            type_name::<std::cell::RefCell<std::num::NonZeroU128>>(),
            type_name::<Result<(), std::ops::Range<u128>>>(),
        ] {
            assert!(is_standard(name), "{name}");
        }
    }

    #[test]
    fn any_other_type_is_not() {
        for name in [
            type_name::<Own<u128>>(),
            type_name::<Vec<Own<u8>>>(),
            type_name::<(u128, Own<u8>)>(),
            type_name::<HashMap<String, Own<u128>>>(),
            type_name::<Box<dyn Fn(u128)>>(),
            type_name::<serde_json::Value>(),
            "own::core::Type",
            "std",
            "core",
            "u128::Own",
            "_",
            "{{closure}}",
            "<own::Type as core::Trait>::Output",
        ] {
            assert!(!is_standard(name), "{name}");
        }
        assert!(!is_standard(std::any::type_name_of_val(&|| 1)));
    }
}
