//! Which field types a model may have, and what in a type needs care: the model's own type, and times.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{Error, GenericArgument, PathArguments, PathSegment, Result, Type};

/// Runs `visit` on a type and then on every type inside it.
pub(crate) fn walk(ty: &mut Type, visit: &mut dyn FnMut(&mut Type) -> Result<()>) -> Result<()> {
    visit(ty)?;
    match ty {
        Type::Path(path) => {
            for segment in &mut path.path.segments {
                let PathArguments::AngleBracketed(arguments) = &mut segment.arguments else { continue };
                for argument in &mut arguments.args {
                    if let GenericArgument::Type(inner) = argument {
                        walk(inner, visit)?;
                    }
                }
            }
            Ok(())
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().try_for_each(|inner| walk(inner, visit)),
        Type::Array(array) => walk(&mut array.elem, visit),
        Type::Slice(slice) => walk(&mut slice.elem, visit),
        Type::Paren(paren) => walk(&mut paren.elem, visit),
        Type::Group(group) => walk(&mut group.elem, visit),
        _ => Ok(()),
    }
}

/// Returns the last segment of a type that is a path.
fn last(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Paren(paren) => last(&paren.elem),
        Type::Group(group) => last(&group.elem),
        _ => None,
    }
}

/// Returns the name of a type and its type arguments: `Vec` and `u8` of `std::vec::Vec<u8>`.
fn parts(ty: &Type) -> Option<(String, Vec<&Type>)> {
    let segment = last(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Some((segment.ident.to_string(), Vec::new()));
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    });
    Some((segment.ident.to_string(), types.collect()))
}

fn is_named(ty: &Type, name: &Ident) -> bool {
    matches!(ty, Type::Path(path) if path.qself.is_none() && path.path.is_ident(name))
}

/// Whether a type is, or contains, the type `own`.
pub(crate) fn contains(ty: &Type, own: &Ident) -> bool {
    let mut found = false;
    let _ = walk(&mut ty.clone(), &mut |inner| {
        found |= is_named(inner, own);
        Ok(())
    });
    found
}

/// Returns the type with `new` in place of `own`.
pub(crate) fn replace(ty: &Type, own: &Ident, new: &Type) -> Type {
    let mut ty = ty.clone();
    let _ = walk(&mut ty, &mut |inner| {
        if is_named(inner, own) {
            *inner = new.clone();
        }
        Ok(())
    });
    ty
}

/// Refuses a type that an archive cannot keep, or not exactly.
pub(crate) fn check(ty: &Type) -> Result<()> {
    walk(&mut ty.clone(), &mut |inner| match refusal(inner) {
        Some(text) => Err(Error::new_spanned(&*inner, text)),
        None => Ok(()),
    })
}

/// Returns why a type is refused, and what to use in its place. Does not look at the types inside it.
fn refusal(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(_) => {
            let segment = last(ty)?;
            let name = segment.ident.to_string();
            // A type of the application has no type arguments, and may be called `Cell`.
            if segment.arguments.is_none() { refused_name(&name) } else { refused_generic(&name) }
        }
        Type::Reference(_) => Some("a model owns its values and has no references: use `String`, `Vec<u8>` or `Box`".into()),
        Type::Ptr(_) => Some("a model has no raw pointers: use `Box`, `Vec` or `Option<Box<_>>`".into()),
        Type::Tuple(_) | Type::Array(_) | Type::Slice(_) | Type::Paren(_) | Type::Group(_) => None,
        _ => Some("a model has only types with a name, tuples and arrays: use an enum or a struct with `ModelPart`".into()),
    }
}

fn refused_generic(name: &str) -> Option<String> {
    Some(match name {
        "HashMap" => {
            "a model has no `HashMap`, whose order differs from run to run: use `BTreeMap`, or a sorted `Vec` of pairs".into()
        }
        "HashSet" => "a model has no `HashSet`, whose order differs from run to run: use `BTreeSet`, or a sorted `Vec`".into(),
        "Cow" => "a model owns its values: use `String` or `Vec<u8>` in place of `Cow`".into(),
        "Rc" | "Arc" | "Weak" => format!("a model does not share its values: use `Box` in place of `{name}`"),
        "Cell" | "RefCell" | "UnsafeCell" | "OnceCell" | "OnceLock" | "LazyCell" | "LazyLock" | "Mutex" | "RwLock" => {
            format!("a stored model does not change in place: use the value itself, without the `{name}`")
        }
        "VecDeque" | "LinkedList" | "BinaryHeap" => format!("a model has no `{name}`: use `Vec`"),
        "DateTime" => "a model has no `DateTime`: use `SystemTime`, or a number of seconds".into(),
        _ => return None,
    })
}

fn refused_name(name: &str) -> Option<String> {
    Some(match name {
        "usize" => "an archive truncates a `usize` to 32 bits: use `u64` or `u32`".into(),
        "isize" => "an archive truncates an `isize` to 32 bits: use `i64` or `i32`".into(),
        "NonZeroUsize" | "NonZeroIsize" => {
            format!("an archive truncates a `{name}` to 32 bits: use `NonZeroU64` or `NonZeroI64`")
        }
        "Instant" => "an `Instant` means nothing after a restart: use `SystemTime`, or a `Duration`".into(),
        "PathBuf" | "OsString" => {
            format!("a `{name}` has another form on each platform: use `String`, or `Vec<u8>`")
        }
        "NaiveDateTime" | "OffsetDateTime" | "PrimitiveDateTime" => {
            format!("a model has no `{name}`: use `SystemTime`, or a number of seconds")
        }
        atomic if atomic.starts_with("Atomic") => {
            format!("a stored model does not change in place: use a plain number in place of `{atomic}`")
        }
        _ => return None,
    })
}

/// Returns the adapter that a field of this type needs, if it contains a `SystemTime`.
pub(crate) fn adapter(ty: &Type, support: &TokenStream) -> Result<Option<TokenStream>> {
    let Some((name, arguments)) = parts(ty) else { return refuse_time(ty).map(|()| None) };
    match (&*name, &*arguments) {
        ("SystemTime", []) => Ok(Some(quote!(#support::UnixTime))),
        ("Option" | "Vec", [inner]) => {
            let inner = adapter(inner, support)?;
            Ok(inner.map(|inner| quote!(#support::rkyv::with::Map<#inner>)))
        }
        _ => refuse_time(ty).map(|()| None),
    }
}

/// Refuses a type with a `SystemTime` somewhere inside it.
fn refuse_time(ty: &Type) -> Result<()> {
    walk(&mut ty.clone(), &mut |inner| match last(inner) {
        Some(segment) if segment.ident == "SystemTime" => Err(Error::new_spanned(
            &*inner,
            "a `SystemTime` is a field by itself, or in an `Option` or a `Vec`: \
             use a `Duration` since 1970 here, or a struct with `ModelPart`",
        )),
        _ => Ok(()),
    })
}

/// Returns an expression of type `ty`, made from `value`, whose type has `shape` in place of `own`.
pub(crate) fn convert(ty: &Type, own: &Ident, shape: &Ident, value: &TokenStream) -> Result<TokenStream> {
    if !contains(ty, own) {
        return Ok(value.clone());
    }
    if is_named(ty, own) {
        return Ok(quote!(<#own as ::core::convert::From<#shape>>::from(#value)));
    }
    let item = quote!(__item);
    match ty {
        Type::Array(array) => {
            let inner = convert(&array.elem, own, shape, &item)?;
            return Ok(quote!(#value.map(|__item| #inner)));
        }
        Type::Tuple(tuple) => {
            let names: Vec<_> = (0..tuple.elems.len()).map(|at| quote::format_ident!("__part{at}")).collect();
            let parts = tuple.elems.iter().zip(&names).map(|(ty, name)| convert(ty, own, shape, &quote!(#name)));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            return Ok(quote!({ let (#(#names,)*) = #value; (#(#parts,)*) }));
        }
        _ => {}
    }
    let (name, arguments) = parts(ty).unwrap_or_default();
    match (&*name, &*arguments) {
        ("Box", [inner]) => {
            let inner = convert(inner, own, shape, &quote!(__boxed))?;
            Ok(quote!({ let __boxed = *#value; ::std::boxed::Box::new(#inner) }))
        }
        ("Option", [inner]) => {
            let inner = convert(inner, own, shape, &item)?;
            Ok(quote!(#value.map(|__item| #inner)))
        }
        ("Vec", [inner]) => {
            let inner = convert(inner, own, shape, &item)?;
            Ok(quote!(#value.into_iter().map(|__item| #inner).collect()))
        }
        ("BTreeMap", [key, inner]) if !contains(key, own) => {
            let inner = convert(inner, own, shape, &item)?;
            Ok(quote!(#value.into_iter().map(|(__key, __item)| (__key, #inner)).collect()))
        }
        _ => Err(Error::new_spanned(
            ty,
            "no migration can be derived for the model's own type in this one: \
             use `Box`, `Option`, `Vec`, an array, a tuple or the values of a `BTreeMap`, or set `migrate = path`",
        )),
    }
}
