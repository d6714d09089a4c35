//! The shape of a type as a constant: the names and types of its fields.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
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

/// The constants of `ModelPart`. Where a field leads to a type that leads back, each is made of the next one of the field's type, and
/// the last refers to it: so no constant is made of itself.
const LEVELS: [&str; 4] = ["SHAPE", "WITHIN_2", "WITHIN_1", "REFERENCE"];

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

/// Returns the fields as a constant, for the level with this number.
fn fields(support: &TokenStream, own: &Ident, parts: &[Part], level: usize) -> TokenStream {
    let fields = parts.iter().map(|Part { name, ty, leads_back }| {
        let part = types::replace(ty, own, &syn::parse_quote!(#support::Itself));
        let constant = format_ident!("{}", LEVELS[if *leads_back { level + 1 } else { level }]);
        quote_spanned!(ty.span()=> #support::ShapeField { name: #name, shape: <#part as #support::ModelPart>::#constant })
    });
    quote!(&[#(#fields),*])
}

fn content(support: &TokenStream, own: &Ident, parts: &Parts, level: usize) -> TokenStream {
    match parts {
        Parts::Struct(parts) => {
            let fields = fields(support, own, parts, level);
            quote!(&#support::Shape::Struct { fields: #fields })
        }
        Parts::Enum(variants) => {
            let variants = variants.iter().map(|(name, parts)| {
                let fields = fields(support, own, parts, level);
                quote!(#support::ShapeVariant { name: #name, fields: #fields })
            });
            quote!(&#support::Shape::Enum { variants: &[#(#variants),*] })
        }
    }
}

/// Returns the implementation of `ModelPart` for the type `own`.
pub(crate) fn expand(support: &TokenStream, own: &Ident, parts: &Parts) -> TokenStream {
    let name = own.unraw().to_string();
    let id = quote!(#support::id_of(::core::concat!(::core::module_path!(), "::", #name), ::core::line!(), ::core::column!()));
    let constants = LEVELS.iter().enumerate().map(|(level, constant)| {
        let constant = format_ident!("{constant}");
        let shape = if level == LEVELS.len() - 1 {
            quote!(&#support::Shape::Enclosing { id: #id })
        } else {
            let content = content(support, own, parts, level);
            quote!(&#support::Shape::Declared { id: #id, shape: #content })
        };
        quote!(const #constant: &'static #support::Shape = #shape;)
    });
    quote! {
        #[automatically_derived]
        impl #support::ModelPart for #own {
            #(#constants)*
        }
    }
}
