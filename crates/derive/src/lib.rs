//! The derive macros of [sessile](https://docs.rs/sessile): `sessile::Model` and `sessile::model::ModelPart`.
//!
//! Use them through sessile, whose feature `derive` is on by default. The documentation of each macro is here.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod attributes;
mod input;
mod model;
mod older;
mod place;
mod shape;
mod types;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Makes a struct or an enum a model: a value that a session stores as an archive and reads in place.
///
/// ```
/// use sessile::Model;
///
/// #[derive(Model)]
/// struct Cart {
///     items: Vec<u64>,
///     voucher: Option<String>,
/// }
///
/// # let session = sessile::testing::session();
/// session.insert_model("cart", &Cart { items: vec![7, 9], voucher: None })?;
/// let cart = session.view::<Cart>("cart")?.unwrap();
/// assert_eq!(cart.items.len(), 2);
/// # Ok::<(), sessile::Error>(())
/// ```
///
/// Also declares `ArchivedCart`, the type of a view, and implements rkyv's `Archive`, `Serialize` and `Deserialize`, and the trait
/// `ModelPart`, whose shape contains the names and types of the fields. Its fingerprint is stored with each value: a value whose
/// fields are not those of its version in this build is an error.
///
/// # The type
///
/// - `#[model(name = "cart")]`: the tag of the model in the file, 1 to 8 printable ASCII characters. Default: the name of the
///   type in lower case, if that has at most 8.
/// - `#[model(version = 2)]`: raise it with every change of the fields. Default: 1.
/// - `#[model(crate = path)]`: the path to sessile, in a crate that renames it. Default: `::sessile`.
/// - `#[model(migrate = path)]`: a function with the signature of `Model::migrate`, which reads every older version in place of
///   the derived migration.
///
/// # Changes of a model
///
/// State each change where it is, with the version that made it. The macro derives the older shapes, and the migrations from
/// each of them to the newest.
///
/// ```
/// use sessile::Model;
///
/// mod first {
///     #[derive(sessile::Model)]
///     pub struct Profile {
///         pub name: String,
///         pub legacy: u64,
///         pub age: u8,
///     }
/// }
///
/// #[derive(Model)]
/// #[model(version = 3, removed(legacy: u64, until = 3, before = "age"))]
/// struct Profile {
///     #[model(since = 2, was = "name")]
///     display_name: String,
///     #[model(since = 2, from = u8, convert = u32::from)]
///     age: u32,
///     #[model(since = 2)]
///     newsletter: bool,
///     #[model(since = 3, default = 7)]
///     theme: u8,
/// }
///
/// # let session = sessile::testing::session();
/// session.insert_model("profile", &first::Profile { name: "Ada".to_owned(), legacy: 1, age: 36 })?;
/// let profile = session.view::<Profile>("profile")?.unwrap();
/// assert_eq!(profile.display_name, "Ada");
/// assert_eq!((profile.age.to_native(), profile.newsletter, profile.theme), (36, false, 7));
/// # Ok::<(), sessile::Error>(())
/// ```
///
/// - `since = 2`: version 2 is the first with this field. Older values get `Default::default()`, or the expression of `default =`.
/// - `since = 2, from = Old, convert = path`: before version 2 the field was an `Old`. `path` is a `fn(Old) -> New`. A type that
///   changed more than once has one `#[model(...)]` for each change.
/// - `since = 2, was = "name"`: before version 2 the field, or the variant, had this name. With `from` and `convert` it also had
///   another type.
/// - Of the type, `removed(name: Type, since = 1, until = 3, after = "field", convert = path)`: versions 1 and 2 had this field.
///   Archives have fields in order, so say whether it was directly `before` or `after` which one; the default is the end. In a
///   tuple, a field is named by its number: `before = "0"`. `convert`, if there is one, is a `fn(&mut Self, Type)`, which moves the
///   value to where it is now. Repeat `removed` for each field; one can be the neighbour of a later one.
/// - Of an enum's variant, `since = 2`. New variants are added at the end.
/// - Of an enum, `removed(Cheque { bank: String }, until = 3, after = "Cash", convert = path)`: versions 1 and 2 had this variant.
///   `path` is a function from its fields, `fn(String) -> Self`, to a value of now.
///
/// A version whose change is not stated is a compile error: older values would be read in a wrong shape. To change the order of
/// fields, to take a field out of a variant, or the last one out of a tuple struct, set `migrate`.
///
/// # Types of fields
///
/// Integers of a fixed size, also as `NonZero`, floats, `bool`, `char`, `String`, `Option`, `Result`, `Vec`, `Box`, arrays, tuples, `()`,
/// `BTreeMap`, `BTreeSet`,
/// `Duration`, the addresses of `std::net`, `Uuid` of the crate uuid 1 (sessile's feature `uuid-1`), and enums and structs with
/// [`ModelPart`]. A `SystemTime` is a field by itself, or in an `Option` or a `Vec`; it is read as the time since 1970, and one before
/// 1970 is refused when it is set.
///
/// A field that contains the model's own type is bounded in depth by itself. If two types contain each other, put
/// `#[model(nested)]` on such a field of each.
///
/// These are compile errors, with the type to use instead: `usize` and `isize`, `HashMap` and `HashSet`, references and `Cow`, `Rc`
/// and `Arc`, cells and locks, and type parameters.
#[proc_macro_derive(Model, attributes(model))]
pub fn derive_model(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    model::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes a struct or an enum a part of models: the type of a field, which is not stored by itself.
///
/// ```
/// use sessile::{Model, model::ModelPart};
///
/// #[derive(ModelPart)]
/// enum Payment {
///     OnDelivery,
///     Card { last_digits: u16 },
/// }
///
/// #[derive(Model)]
/// struct Order {
///     payment: Payment,
/// }
///
/// # let session = sessile::testing::session();
/// session.insert_model("order", &Order { payment: Payment::Card { last_digits: 4242 } })?;
/// let order = session.view::<Order>("order")?.unwrap();
/// assert!(matches!(&order.payment, ArchivedPayment::Card { last_digits } if *last_digits == 4242));
/// # session.insert_model("order", &Order { payment: Payment::OnDelivery })?;
/// # Ok::<(), sessile::Error>(())
/// ```
///
/// It has no version, and its fields are part of the shape of every model that contains it; its own name is not. When it changes, keep the old type under another name, and change the field of each model with
/// `#[model(since = ..., from = OldPart, convert = path)]`.
///
/// Takes `#[model(crate = path)]` on the type and `#[model(nested)]` on a field, as [`Model`] does.
#[proc_macro_derive(ModelPart, attributes(model))]
pub fn derive_model_part(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    model::expand_part(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
