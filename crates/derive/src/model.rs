//! The implementation of `Model`: tag, version and migration.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result, ext::IdentExt};

use crate::{
    archive,
    input::{Input, note},
    older::{self, Older},
    shape,
};

/// The most characters of a tag.
const MOST_TAG: usize = 8;

/// Returns the name of the model in the file.
fn tag(input: &Input) -> Result<String> {
    if let Some(name) = &input.attributes.name {
        let text = name.value();
        if text.is_empty() || text.len() > MOST_TAG || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(name.span(), "the name of a model has 1 to 8 printable ASCII characters, and no spaces"));
        }
        return Ok(text);
    }
    let text = input.name.unraw().to_string().to_lowercase();
    if text.len() > MOST_TAG || !text.is_ascii() {
        return Err(Error::new(
            input.name.span(),
            "the name of this type is no name of a model, which has 1 to 8 ASCII characters: set `#[model(name = \"...\")]`",
        ));
    }
    Ok(text)
}

/// Returns the older shapes, unless a function of the application migrates.
fn older(input: &Input) -> Result<Older> {
    let Some(migrate) = &input.attributes.migrate else { return older::expand(input) };
    if let Some(change) = input.changes().first() {
        let migrate = quote!(#migrate);
        return Err(Error::new(
            change.span,
            format!(
                "`migrate = {migrate}` reads every older version: remove `since`, `from` and `removed`, or remove `migrate`"
            ),
        ));
    }
    Ok(Older { shapes: TokenStream::new(), arms: vec![quote!(_ => #migrate(__old))] })
}

/// Returns everything for a model.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let input = Input::parse(input)?;
    let mut errors = None;
    let found = (note(&mut errors, archive::expand(&input)), note(&mut errors, tag(&input)), note(&mut errors, older(&input)));
    let (archive, Some(tag), Some(Older { shapes, arms })) = found else {
        // With its archive, other types that contain this one report no errors of their own.
        let (archive, errors) = (found.0, errors.map(Error::into_compile_error));
        let part = archive.is_some().then(|| shape::expand(&input.support(), &input.name, &shape::current(&input)));
        return Ok(quote!(#archive #part #errors));
    };
    if let Some(errors) = errors {
        return Err(errors);
    }
    let (own, support, version) = (&input.name, input.support(), input.version());
    let part = shape::expand(&support, own, &shape::current(&input));
    // A function of the application gets every version.
    let other = input.attributes.migrate.is_none().then(|| quote!(_ => ::core::result::Result::Err(__old.no_migration()),));
    Ok(quote! {
        #archive
        #part

        const _: () = {
            #shapes

            #[automatically_derived]
            impl #support::Model for #own {
                const TAG: #support::Tag = #support::Tag::new(#tag);
                const VERSION: u16 = #version;

                fn migrate(__old: #support::Stored<'_>) -> ::core::result::Result<Self, #support::Error> {
                    match __old.version() {
                        #(#arms,)*
                        #other
                    }
                }
            }
        };
    })
}

/// Returns everything for a part of models.
pub(crate) fn expand_part(input: &DeriveInput) -> Result<TokenStream> {
    let input = Input::parse(input)?;
    let attributes = &input.attributes;
    let is_part = attributes.name.is_none() && attributes.version.is_none() && attributes.migrate.is_none();
    if !is_part || !input.changes().is_empty() || !attributes.removed.is_empty() || !attributes.removed_variants.is_empty() {
        return Err(Error::new(
            input.name.span(),
            "a part has no name, no version and no changes of its own: keep the old type under another name, \
             and change the model's field with `since`, `from` and `convert`",
        ));
    }
    let part = shape::expand(&input.support(), &input.name, &shape::current(&input));
    let archive = archive::expand(&input)?;
    Ok(quote!(#archive #part))
}
