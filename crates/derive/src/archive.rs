//! The archive of the type: rkyv's derives, put on a hidden type with the same fields.
//!
//! A derive macro cannot put attributes on the type it is for, so rkyv's derives are for a copy of it, as a *remote* type. The
//! type itself then has rkyv's traits by asking the copy.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Result, Type, Visibility, ext::IdentExt};

use crate::{
    input::{Body, FieldList, Input, Kind},
    types,
};

/// One field of a generated type.
pub(crate) struct Item {
    pub(crate) name: Option<Ident>,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) nested: bool,
}

/// Returns the names that a pattern binds, one for each field.
pub(crate) fn bindings(count: usize) -> Vec<Ident> {
    (0..count).map(|at| format_ident!("__field{at}")).collect()
}

/// Returns `{ name: value, ... }`, `(value, ...)` or nothing.
pub(crate) fn with_values(kind: Kind, names: &[Option<Ident>], values: &[TokenStream]) -> TokenStream {
    match kind {
        Kind::Named => quote!({ #(#names: #values,)* }),
        Kind::Tuple => quote!((#(#values,)*)),
        Kind::Unit => quote!(),
    }
}

/// Returns the fields of a generated type, as they are declared.
///
/// # Errors
/// If rkyv has no adapter for a type.
pub(crate) fn declared(kind: Kind, items: &[Item], support: &TokenStream, own: &Ident) -> Result<TokenStream> {
    let mut fields = Vec::new();
    for Item { name, vis, ty, nested } in items {
        let adapter = types::adapter(ty, support)?;
        let attribute = if *nested || types::contains(ty, own) {
            if adapter.is_some() {
                return Err(syn::Error::new_spanned(ty, "a field has the model's own type or a `SystemTime`, and not both"));
            }
            quote!(#[rkyv(omit_bounds, with = #support::Nested)])
        } else {
            adapter.map_or_else(TokenStream::new, |adapter| quote!(#[rkyv(with = #adapter)]))
        };
        let name = name.as_ref().map(|name| quote!(#name:));
        fields.push(quote!(#attribute #vis #name #ty));
    }
    Ok(match kind {
        Kind::Named => quote!({ #(#fields,)* }),
        Kind::Tuple => quote!((#(#fields,)*)),
        Kind::Unit => quote!(),
    })
}

/// Returns the attribute for rkyv's derives on a generated type.
pub(crate) fn options(support: &TokenStream, is_nested: bool, more: &TokenStream) -> TokenStream {
    let rkyv = quote!(#support::rkyv);
    let bounds = is_nested.then(|| {
        quote! {
            serialize_bounds(__S: #support::NestedWriter, __S::Error: #rkyv::rancor::Source),
            deserialize_bounds(__D::Error: #rkyv::rancor::Source),
            bytecheck(bounds(__C: #rkyv::validation::ArchiveContext, __C::Error: #rkyv::rancor::Source)),
        }
    });
    quote!(#[rkyv(crate = #rkyv, #bounds #more)])
}

fn items(list: &FieldList) -> Vec<Item> {
    let item = |field: &crate::input::Field| Item {
        name: field.name.clone(),
        vis: field.vis.clone(),
        ty: field.ty.clone(),
        nested: field.attributes.nested.is_some(),
    };
    list.fields.iter().map(item).collect()
}

/// Returns the declaration of the copy, and an expression that makes the type of the copy `__copy`.
fn copy(input: &Input, copy: &Ident, support: &TokenStream) -> Result<(TokenStream, TokenStream)> {
    let (own, vis) = (&input.name, &input.vis);
    let move_of = |list: &FieldList, to: TokenStream, from: TokenStream| {
        let names: Vec<_> = list.fields.iter().map(|field| field.name.clone()).collect();
        let values: Vec<_> = bindings(names.len()).iter().map(|name| quote!(#name)).collect();
        let fields = with_values(list.kind, &names, &values);
        quote!(#from #fields => #to #fields)
    };
    match &input.body {
        Body::Struct(list) => {
            let fields = declared(list.kind, &items(list), support, own)?;
            let end = (list.kind != Kind::Named).then(|| quote!(;));
            let arm = move_of(list, quote!(#own), quote!(#copy));
            Ok((quote!(#vis struct #copy #fields #end), quote!(match __copy { #arm })))
        }
        Body::Enum(variants) => {
            let (mut declarations, mut arms) = (Vec::new(), Vec::new());
            for variant in variants {
                let (name, list) = (&variant.name, &variant.list);
                let fields = declared(list.kind, &items(list), support, own)?;
                declarations.push(quote!(#name #fields));
                arms.push(move_of(list, quote!(#own::#name), quote!(#copy::#name)));
            }
            Ok((quote!(#vis enum #copy { #(#declarations,)* }), quote!(match __copy { #(#arms,)* })))
        }
    }
}

/// Returns the implementations of rkyv's traits for the type.
pub(crate) fn expand(input: &Input) -> Result<TokenStream> {
    let (own, support) = (&input.name, input.support());
    let rkyv = quote!(#support::rkyv);
    let base = own.unraw();
    let (copy_name, archived) = (format_ident!("__{base}Fields"), format_ident!("Archived{base}", span = own.span()));
    let resolver = format_ident!("{base}Resolver");
    let is_nested = input.fields().any(|field| field.attributes.nested.is_some() || types::contains(&field.ty, own));
    let options = options(&support, is_nested, &quote!(remote = #own, archived = #archived, resolver = #resolver));
    let (declaration, moved) = copy(input, &copy_name, &support)?;
    Ok(quote! {
        #[doc(hidden)]
        #[allow(dead_code, non_camel_case_types, clippy::all, clippy::pedantic)]
        #[derive(#rkyv::Archive, #rkyv::Serialize, #rkyv::Deserialize)]
        #options
        #declaration

        #[automatically_derived]
        impl ::core::convert::From<#copy_name> for #own {
            fn from(__copy: #copy_name) -> Self {
                #moved
            }
        }

        #[automatically_derived]
        impl #rkyv::Archive for #own {
            type Archived = #archived;
            type Resolver = #resolver;

            fn resolve(&self, resolver: Self::Resolver, out: #rkyv::Place<Self::Archived>) {
                <#copy_name as #rkyv::with::ArchiveWith<#own>>::resolve_with(self, resolver, out);
            }
        }

        #[automatically_derived]
        impl<__S: #rkyv::rancor::Fallible + ?Sized> #rkyv::Serialize<__S> for #own
        where
            #copy_name: #rkyv::with::SerializeWith<#own, __S>,
        {
            fn serialize(&self, serializer: &mut __S) -> ::core::result::Result<Self::Resolver, __S::Error> {
                <#copy_name as #rkyv::with::SerializeWith<#own, __S>>::serialize_with(self, serializer)
            }
        }

        #[automatically_derived]
        impl<__D: #rkyv::rancor::Fallible + ?Sized> #rkyv::Deserialize<#own, __D> for #archived
        where
            #copy_name: #rkyv::with::DeserializeWith<#archived, #own, __D>,
        {
            fn deserialize(&self, deserializer: &mut __D) -> ::core::result::Result<#own, __D::Error> {
                <#copy_name as #rkyv::with::DeserializeWith<#archived, #own, __D>>::deserialize_with(self, deserializer)
            }
        }
    })
}
