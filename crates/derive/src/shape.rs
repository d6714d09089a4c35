//! The shape of a type as a constant: the names and types of its fields.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Type, ext::IdentExt, spanned::Spanned};

use crate::{
    input::{Body, Field, FieldList, Input},
    types,
};

/// A field as a shape shows it.
pub(crate) struct Part {
    /// Its name; in a tuple, its number.
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Whether it leads to another type that leads back.
    pub(crate) leads_back: bool,
}

/// Which constant is written.
#[derive(Clone, Copy)]
enum Of {
    /// `SHAPE`: everything.
    Shape,
    /// `OUTLINE`: without what leads back to a type that contains this one.
    Outline,
}

/// What a struct or an enum consists of.
pub(crate) enum Parts {
    Struct(Vec<Part>),
    Enum(Vec<(String, Vec<Part>)>),
}

/// Returns the name of a field: its own, or its number in a tuple.
pub(crate) fn name_of(name: Option<&Ident>, at: usize) -> String {
    name.map_or_else(|| at.to_string(), |name| name.unraw().to_string())
}

fn parts_of(list: &FieldList, own: &Ident) -> Vec<Part> {
    let part = |(at, field): (usize, &Field)| Part {
        name: name_of(field.name.as_ref(), at),
        ty: field.ty.clone(),
        leads_back: field.attributes.nested.is_some() && !types::contains(&field.ty, own),
    };
    list.fields.iter().enumerate().map(part).collect()
}

/// Returns what the type consists of in its newest version.
pub(crate) fn current(input: &Input) -> Parts {
    match &input.body {
        Body::Struct(list) => Parts::Struct(parts_of(list, &input.name)),
        Body::Enum(variants) => {
            let parts = variants.iter().map(|variant| (variant.name.unraw().to_string(), parts_of(&variant.list, &input.name)));
            Parts::Enum(parts.collect())
        }
    }
}

/// Returns the fields as a constant. The type `own` stands for the type itself.
fn fields(support: &TokenStream, own: &Ident, parts: &[Part], of: Of) -> TokenStream {
    let fields = parts.iter().map(|Part { name, ty, leads_back }| {
        let itself = syn::parse_quote!(#support::Itself);
        let part = types::replace(ty, own, &itself);
        let shape = match (of, leads_back) {
            (Of::Shape, false) => quote_spanned!(ty.span()=> <#part as #support::ModelPart>::SHAPE),
            (Of::Shape, true) | (Of::Outline, false) => quote_spanned!(ty.span()=> <#part as #support::ModelPart>::OUTLINE),
            (Of::Outline, true) => {
                let text = ty.to_token_stream().to_string().replace(' ', "");
                quote!(&#support::Shape::Plain { name: #text })
            }
        };
        quote!(#support::ShapeField { name: #name, shape: #shape })
    });
    quote!(&[#(#fields),*])
}

fn constant(support: &TokenStream, own: &Ident, parts: &Parts, of: Of) -> TokenStream {
    match parts {
        Parts::Struct(parts) => {
            let fields = fields(support, own, parts, of);
            quote!(&#support::Shape::Struct { fields: #fields })
        }
        Parts::Enum(variants) => {
            let variants = variants.iter().map(|(name, parts)| {
                let fields = fields(support, own, parts, of);
                quote!(#support::ShapeVariant { name: #name, fields: #fields })
            });
            quote!(&#support::Shape::Enum { variants: &[#(#variants),*] })
        }
    }
}

/// Returns the implementation of `ModelPart` for the type `target`, whose parts contain `own` where they contain the type itself.
pub(crate) fn expand(support: &TokenStream, target: &Ident, own: &Ident, parts: &Parts) -> TokenStream {
    let shape = constant(support, own, parts, Of::Shape);
    let outline = constant(support, own, parts, Of::Outline);
    quote! {
        #[automatically_derived]
        impl #support::ModelPart for #target {
            const SHAPE: &'static #support::Shape = #shape;
            const OUTLINE: &'static #support::Shape = #outline;
        }
    }
}
