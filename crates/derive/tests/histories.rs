//! Models at random, each in three versions: every version is read as every later one, and a change without a version is found.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the fields of mutants are never read")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a value is made of any bits"
)]

#[path = "histories/generator.rs"]
mod generator;

/// What `generated.rs` is written with.
mod prelude {
    pub(crate) use std::{collections::BTreeMap, time::Duration};

    pub(crate) use sessile::Model;

    pub(crate) use crate::{Make, Rng};
}

use std::{collections::BTreeMap, path::Path, time::Duration};

use proptest::prelude::*;
use sessile::{Error, Model, Session, error::CodecError, testing};

/// The numbers that a value is made of.
pub(crate) struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Makes a value at random.
pub(crate) trait Make {
    fn make(rng: &mut Rng) -> Self;
}

macro_rules! make {
    ($($type:ty: $rng:ident => $value:expr;)*) => {
        $(impl Make for $type {
            fn make($rng: &mut Rng) -> Self { $value }
        })*
    };
}

make! {
    u8: rng => rng.next() as u8;
    u16: rng => rng.next() as u16;
    u32: rng => rng.next() as u32;
    u64: rng => rng.next() << 17;
    u128: rng => u128::from(rng.next()) << 71;
    i8: rng => rng.next() as i8;
    i16: rng => rng.next() as i16;
    i32: rng => rng.next() as i32;
    i64: rng => -(rng.next() as i64);
    f64: rng => rng.next() as f64 / 8.0;
    bool: rng => rng.next() & 1 == 1;
    char: rng => char::from_u32(rng.next() as u32 % 0xd800).unwrap_or('?');
    String: rng => (0..rng.below(12)).map(|_| char::make(rng)).collect();
    Duration: rng => Duration::new(rng.next(), rng.below(1_000_000_000) as u32);
    (): _rng => ();
}

impl<T: Make> Make for Option<T> {
    fn make(rng: &mut Rng) -> Self {
        (rng.below(2) == 0).then(|| T::make(rng))
    }
}

impl<T: Make> Make for Vec<T> {
    fn make(rng: &mut Rng) -> Self {
        (0..rng.below(4)).map(|_| T::make(rng)).collect()
    }
}

impl<T: Make> Make for Box<T> {
    fn make(rng: &mut Rng) -> Self {
        Self::new(T::make(rng))
    }
}

impl<T: Make> Make for [T; 2] {
    fn make(rng: &mut Rng) -> Self {
        [T::make(rng), T::make(rng)]
    }
}

impl<T: Make, U: Make> Make for (T, U) {
    fn make(rng: &mut Rng) -> Self {
        (T::make(rng), U::make(rng))
    }
}

impl<T: Make> Make for BTreeMap<u16, T> {
    fn make(rng: &mut Rng) -> Self {
        (0..rng.below(4)).map(|_| (u16::make(rng), T::make(rng))).collect()
    }
}

/// Stores `model` and reads it as an `N`, in a request of its own.
fn read<M: Model, N: Model>(model: &M) -> Result<N, Error> {
    let store = testing::store();
    let session = store.session(None)?;
    session.insert_model("k", model)?;
    session.save().wait()?;
    let again: Session = store.session(session.token().as_ref())?;
    again.model("k").map(|model| model.expect("it is there"))
}

/// Three versions of a model, and one that is the first with a change that no version states.
macro_rules! histories {
    ($($name:ident),*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(24))]
            $(#[test]
            fn $name(seed: u64) {
                let rng = &mut Rng(seed);
                let (first, second, third) = (<$name::v1::M>::make(rng), <$name::v2::M>::make(rng), <$name::v3::M>::make(rng));
                prop_assert_eq!(read::<_, $name::v1::M>(&first).unwrap(), first.clone());
                prop_assert_eq!(read::<_, $name::v3::M>(&third).unwrap(), third);
                prop_assert_eq!(read::<_, $name::v2::M>(&first).unwrap(), first.clone().into());
                prop_assert_eq!(read::<_, $name::v3::M>(&second).unwrap(), second.into());
                let through: $name::v2::M = first.clone().into();
                prop_assert_eq!(read::<_, $name::v3::M>(&first).unwrap(), through.into());
                let is_found = matches!(
                    read::<_, $name::mutant::M>(&first),
                    Err(Error::Codec(CodecError::ShapeChanged { version: 1, .. }))
                );
                prop_assert!(is_found);
            })*
        }
    };
}

#[allow(clippy::all, clippy::pedantic, reason = "a program wrote it")]
mod generated {
    use super::*;

    include!("histories/generated.rs");
}

#[test]
fn the_generated_file_is_what_the_generator_writes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/generated.rs");
    let text = generator::file();
    if std::env::var_os("SESSILE_WRITE_GENERATED").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap();
    assert!(found == text, "run `SESSILE_WRITE_GENERATED=1 cargo test -p sessile-derive --test histories`");
}
