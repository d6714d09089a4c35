//! The shapes that older versions of a model had, as hidden types, and the migrations from them.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Result, Visibility, ext::IdentExt, spanned::Spanned};

use crate::{
    archive::{Item, bindings, declared, options, with_values},
    attributes::{Place, Removed},
    input::{Body, Field, FieldList, Input, Kind},
    types,
};

/// What generated migrations consist of.
pub(crate) struct Older {
    /// The shapes and the conversions from them.
    pub(crate) shapes: TokenStream,
    /// The arms of a `match` on the stored version.
    pub(crate) arms: Vec<TokenStream>,
}

/// One older shape.
struct Shape<'a> {
    input: &'a Input,
    /// Any version with this shape.
    version: u16,
    name: Ident,
}

/// A field of an older version.
#[derive(Clone, Copy)]
enum Slot<'a> {
    Kept(&'a Field),
    Removed(&'a Removed),
}

/// Checks the versions that attributes name.
fn check_versions(input: &Input) -> Result<()> {
    let newest = input.version();
    for change in input.changes() {
        if change.number > newest {
            return Err(Error::new(
                change.span,
                format!("this model has version {newest}: set `#[model(version = {})]`", change.number),
            ));
        }
    }
    let described: BTreeSet<u16> = input.changes().into_iter().map(|change| change.number).collect();
    if let Some(silent) = (2..=newest).find(|version| !described.contains(version)) {
        let span = input.attributes.version.map_or_else(|| input.name.span(), |version| version.span);
        return Err(Error::new(
            span,
            format!(
                "nothing says what version {silent} changed, so older values would be read in the shape of another version: \
                 mark the change with `since`, `from` or `removed`, or set `#[model(migrate = path)]`"
            ),
        ));
    }
    for field in input.fields() {
        if let Some(nested) = field.attributes.nested
            && newest > 1
            && !types::contains(&field.ty, &input.name)
        {
            return Err(Error::new(
                nested,
                "the older form of this field's type cannot be derived, as the type is declared elsewhere: \
                 set `#[model(migrate = path)]`",
            ));
        }
    }
    Ok(())
}

/// Returns the fields of a struct and the removed ones among them, each in its place.
fn slots<'a>(list: &'a FieldList, removed: &'a [Removed]) -> Result<Vec<Slot<'a>>> {
    let mut slots: Vec<_> = list.fields.iter().enumerate().map(|(at, field)| (at, Slot::Kept(field))).collect();
    for gone in removed {
        let Some(place) = &gone.place else {
            slots.push((usize::MAX, Slot::Removed(gone)));
            continue;
        };
        let (Place::Before(name) | Place::After(name)) = place;
        let is_meant = |(at, slot): &(usize, Slot<'_>)| match slot {
            Slot::Kept(field) => field.is_called(&name.value(), *at),
            Slot::Removed(other) => other.name.unraw() == name.value(),
        };
        let Some(at) = slots.iter().position(is_meant) else {
            return Err(Error::new(name.span(), "no field has this name, and none that is removed before this one"));
        };
        let at = if matches!(place, Place::After(_)) { at + 1 } else { at };
        slots.insert(at, (usize::MAX, Slot::Removed(gone)));
    }
    Ok(slots.into_iter().map(|(_, slot)| slot).collect())
}

impl Shape<'_> {
    /// Returns the field of this shape, if it has it.
    fn item(&self, slot: Slot<'_>) -> Option<Item> {
        let (name, ty) = match slot {
            Slot::Kept(field) => (field.name.clone(), field.type_in(self.version)?),
            Slot::Removed(removed) if removed.is_in(self.version) => (Some(removed.name.clone()), &removed.ty),
            Slot::Removed(_) => return None,
        };
        let nested = types::contains(ty, &self.input.name);
        Some(Item { name, vis: Visibility::Inherited, ty: types::replace(ty, &self.input.name, &self.name), nested })
    }

    /// Returns the declared fields, a pattern that binds them, and the value of each current field.
    fn fields(&self, kind: Kind, slots: &[Slot<'_>]) -> Result<(TokenStream, TokenStream, Vec<TokenStream>)> {
        let names = bindings(slots.len());
        let (mut items, mut bound, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, name) in slots.iter().zip(&names) {
            let item = self.item(*slot);
            if let Slot::Kept(field) = slot {
                values.push(self.value(field, name)?);
            }
            if let Some(mut item) = item {
                if kind != Kind::Named {
                    item.name = None;
                }
                items.push(item);
                bound.push(quote!(#name));
            }
        }
        let declared = declared(kind, &items, &self.input.support(), &self.name)?;
        let names: Vec<_> = items.into_iter().map(|item| item.name).collect();
        Ok((declared, with_values(kind, &names, &bound), values))
    }

    /// Returns the current value of a field, from its value in this shape, which is `name`.
    fn value(&self, field: &Field, name: &Ident) -> Result<TokenStream> {
        let ty = &field.ty;
        let Some(old) = field.type_in(self.version) else {
            let default = field.attributes.born.as_ref().and_then(|born| born.default.as_ref());
            let of_type = || quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default());
            return Ok(default.map_or_else(of_type, |default| quote_spanned!(default.span()=> #default)));
        };
        let mut value = types::convert(old, &self.input.name, &self.name, &quote!(#name))?;
        for change in field.attributes.changes.iter().filter(|change| self.version < change.since.number) {
            let convert = &change.convert;
            value = quote_spanned!(convert.span()=> #convert(#value));
        }
        Ok(value)
    }

    /// Returns the declaration of this shape, and the expression that makes the current type of `__old`.
    fn expand(&self) -> Result<(TokenStream, TokenStream)> {
        let (own, name) = (&self.input.name, &self.name);
        match &self.input.body {
            Body::Struct(list) => {
                let removed = &self.input.attributes.removed;
                // What had fields once is a unit struct only by now.
                let kind = if list.kind == Kind::Unit { Kind::Named } else { list.kind };
                let slots = slots(list, removed)?;
                let (fields, pattern, values) = self.fields(kind, &slots)?;
                let end = (kind == Kind::Tuple).then(|| quote!(;));
                let names: Vec<_> = list.fields.iter().map(|field| field.name.clone()).collect();
                let current = with_values(list.kind, &names, &values);
                let after = self.removed_values(&slots)?;
                let made = quote!({
                    let #name #pattern = __old;
                    #[allow(unused_mut)]
                    let mut __new = #own #current;
                    #after
                    __new
                });
                Ok((quote!(struct #name #fields #end), made))
            }
            Body::Enum(variants) => {
                let (mut declarations, mut arms) = (Vec::new(), Vec::new());
                let is_in = |since: Option<crate::attributes::Version>| since.is_none_or(|since| since.number <= self.version);
                for variant in variants.iter().filter(|variant| is_in(variant.since)) {
                    let (variant, list) = (&variant.name, &variant.list);
                    let (fields, pattern, values) = self.fields(list.kind, &slots(list, &[])?)?;
                    let names: Vec<_> = list.fields.iter().map(|field| field.name.clone()).collect();
                    let current = with_values(list.kind, &names, &values);
                    declarations.push(quote!(#variant #fields));
                    arms.push(quote!(#name::#variant #pattern => #own::#variant #current));
                }
                Ok((quote!(enum #name { #(#declarations,)* }), quote!(match __old { #(#arms,)* })))
            }
        }
    }

    /// Returns the calls of the functions that get removed values.
    fn removed_values(&self, slots: &[Slot<'_>]) -> Result<TokenStream> {
        let mut calls = Vec::new();
        for (slot, name) in slots.iter().zip(bindings(slots.len())) {
            let Slot::Removed(removed) = slot else { continue };
            if !removed.is_in(self.version) {
                continue;
            }
            let value = types::convert(&removed.ty, &self.input.name, &self.name, &quote!(#name))?;
            let call = |convert| quote_spanned!(Spanned::span(convert)=> #convert(&mut __new, #value););
            calls.push(removed.convert.as_ref().map_or_else(|| quote!(let _ = #name;), call));
        }
        Ok(calls.into_iter().collect())
    }
}

/// Checks what the type says about fields that it no longer has.
fn check_removed(input: &Input) -> Result<()> {
    for removed in &input.attributes.removed {
        if matches!(input.body, Body::Enum(_)) {
            return Err(Error::new(
                removed.name.span(),
                "`removed` is for the fields of a struct. A variant that is no longer used stays in its place; \
                 to take it away, set `#[model(migrate = path)]`",
            ));
        }
        types::check(&removed.ty)?;
    }
    Ok(())
}

/// Returns the older shapes of a model and the migrations from them.
pub(crate) fn expand(input: &Input) -> Result<Older> {
    check_versions(input)?;
    check_removed(input)?;
    let support = input.support();
    let (own, newest) = (&input.name, input.version());
    // Versions between two changes have the same shape.
    let mut starts: BTreeSet<u16> = input.changes().into_iter().map(|change| change.number).collect();
    starts.insert(1);
    let starts: Vec<_> = starts.into_iter().filter(|start| *start < newest).collect();
    let (mut shapes, mut arms) = (TokenStream::new(), Vec::new());
    for (at, first) in starts.iter().enumerate() {
        let last = starts.get(at + 1).map_or(newest, |next| *next) - 1;
        let shape = Shape { input, version: *first, name: format_ident!("{}SessileV{first}", own.unraw()) };
        let (declaration, made) = shape.expand()?;
        let name = &shape.name;
        let is_nested = input.fields().filter_map(|field| field.type_in(*first)).any(|ty| types::contains(ty, own))
            || input.attributes.removed.iter().any(|removed| removed.is_in(*first) && types::contains(&removed.ty, own));
        let options = options(&support, is_nested, &quote!());
        let rkyv = quote!(#support::rkyv);
        shapes.extend(quote! {
            #[allow(dead_code, non_camel_case_types, clippy::all, clippy::pedantic)]
            #[derive(#rkyv::Archive, #rkyv::Deserialize)]
            #options
            #declaration

            #[automatically_derived]
            impl ::core::convert::From<#name> for #own {
                fn from(__old: #name) -> Self {
                    #made
                }
            }
        });
        arms.push(quote!(#first..=#last => __old.read::<#name>().map(<#own as ::core::convert::From<#name>>::from)));
    }
    Ok(Older { shapes, arms })
}
