//! The shapes that older versions of a model had, as hidden types, and the migrations from them.

use std::collections::BTreeSet;

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Error, Fields, Result, Type, Visibility, ext::IdentExt, spanned::Spanned};

use crate::{
    archive::{Item, bindings, declared, options, with_values},
    attributes::{Removed, RemovedVariant, TypeAttributes},
    input::{Body, Field, Input, Kind, Variant},
    place::{Slot, slots},
    shape::{self, Part, Parts, name_of},
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

/// A field of an older version.
type FieldSlot<'a> = Slot<'a, Field, Removed>;

impl Shape<'_> {
    /// Returns the field of this shape, if it has it.
    fn item(&self, slot: &FieldSlot<'_>) -> Option<Item> {
        let (name, ty) = match *slot {
            Slot::Kept(field) => (field.name.clone(), field.type_in(self.version)?),
            Slot::Removed(removed) if removed.span.includes(self.version) => (Some(removed.name.clone()), &removed.ty),
            Slot::Removed(_) => return None,
        };
        Some(self.older_item(name, ty))
    }

    /// Returns a field with this shape in place of the type itself.
    fn older_item(&self, name: Option<Ident>, ty: &Type) -> Item {
        let nested = types::contains(ty, &self.input.name);
        Item { name, vis: Visibility::Inherited, ty: self.older_type(ty), nested }
    }

    /// Returns the type with this shape in place of the type itself.
    fn older_type(&self, ty: &Type) -> Type {
        let shape = &self.name;
        types::replace(ty, &self.input.name, &syn::parse_quote!(#shape))
    }

    /// Returns the fields of this shape, as a constant shows them.
    fn part_list(&self, slots: &[FieldSlot<'_>], kind: Kind) -> Vec<Part> {
        let mut parts = Vec::new();
        for slot in slots {
            let at = parts.len();
            let (name, ty) = match *slot {
                Slot::Kept(field) => match field.type_in(self.version) {
                    Some(ty) => (field.name_in(self.version, at), ty),
                    None => continue,
                },
                Slot::Removed(removed) if removed.span.includes(self.version) => {
                    (name_of((kind != Kind::Tuple).then_some(&removed.name), at), &removed.ty)
                }
                Slot::Removed(_) => continue,
            };
            parts.push(Part { name, ty: self.older_type(ty), leads_back: false });
        }
        parts
    }

    /// Returns what this shape consists of.
    fn parts(&self) -> Result<Parts> {
        Ok(match &self.input.body {
            Body::Struct(list) => {
                Parts::Struct(self.part_list(&slots(&list.fields, &self.input.attributes.removed)?, list.kind))
            }
            Body::Enum(_) => {
                let parts = self.variants()?.into_iter().map(|slot| match slot {
                    Slot::Kept(variant) => {
                        let name = variant.attributes.name_in(self.version);
                        let name = name.unwrap_or_else(|| variant.name.unraw().to_string());
                        Ok((name, self.part_list(&slots(&variant.list.fields, &[])?, variant.list.kind)))
                    }
                    Slot::Removed(variant) => {
                        let part = |(at, field): (usize, &syn::Field)| Part {
                            name: name_of(field.ident.as_ref(), at),
                            ty: self.older_type(&field.ty),
                            leads_back: false,
                        };
                        Ok((variant.name.unraw().to_string(), variant.fields.iter().enumerate().map(part).collect()))
                    }
                });
                Parts::Enum(parts.collect::<Result<_>>()?)
            }
        })
    }

    /// Returns the declared fields, a pattern that binds them, and the value of each current field.
    fn fields(&self, kind: Kind, slots: &[FieldSlot<'_>]) -> Result<(TokenStream, TokenStream, Vec<TokenStream>)> {
        let names = bindings(slots.len());
        let (mut items, mut bound, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, name) in slots.iter().zip(&names) {
            let item = self.item(slot);
            if let Slot::Kept(field) = *slot {
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
            let Some((_, convert)) = &change.from else { continue };
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
                // An older version of a unit struct may have had fields.
                let kind = if list.kind == Kind::Unit { Kind::Named } else { list.kind };
                let slots = slots(&list.fields, removed)?;
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
            Body::Enum(_) => {
                let (mut declarations, mut arms) = (Vec::new(), Vec::new());
                for slot in self.variants()? {
                    let (declaration, arm) = match slot {
                        Slot::Kept(variant) => self.kept_variant(variant)?,
                        Slot::Removed(variant) => self.removed_variant(variant)?,
                    };
                    declarations.push(declaration);
                    arms.push(arm);
                }
                Ok((quote!(enum #name { #(#declarations,)* }), quote!(match __old { #(#arms,)* })))
            }
        }
    }

    /// Returns the variants of this shape.
    fn variants(&self) -> Result<Vec<Slot<'_, Variant, RemovedVariant>>> {
        let Body::Enum(variants) = &self.input.body else { return Ok(Vec::new()) };
        let mut slots = slots(variants, &self.input.attributes.removed_variants)?;
        slots.retain(|slot| match slot {
            Slot::Kept(variant) => variant.attributes.first_version() <= self.version,
            Slot::Removed(variant) => variant.span.includes(self.version),
        });
        Ok(slots)
    }

    /// Returns the declaration of a variant, and the arm that makes the current one.
    fn kept_variant(&self, variant: &Variant) -> Result<(TokenStream, TokenStream)> {
        let (own, name) = (&self.input.name, &self.name);
        let (variant, list) = (&variant.name, &variant.list);
        let (fields, pattern, values) = self.fields(list.kind, &slots(&list.fields, &[])?)?;
        let names: Vec<_> = list.fields.iter().map(|field| field.name.clone()).collect();
        let current = with_values(list.kind, &names, &values);
        Ok((quote!(#variant #fields), quote!(#name::#variant #pattern => #own::#variant #current)))
    }

    /// Returns the declaration of a variant that is gone, and the arm that calls its function.
    fn removed_variant(&self, variant: &RemovedVariant) -> Result<(TokenStream, TokenStream)> {
        let (own, name, convert) = (&self.input.name, &self.name, &variant.convert);
        let kind = match &variant.fields {
            Fields::Named(_) => Kind::Named,
            Fields::Unnamed(_) => Kind::Tuple,
            Fields::Unit => Kind::Unit,
        };
        let (mut items, mut values) = (Vec::new(), Vec::new());
        let bound = bindings(variant.fields.len());
        for (field, bound) in variant.fields.iter().zip(&bound) {
            items.push(self.older_item(field.ident.clone(), &field.ty));
            values.push(types::convert(&field.ty, own, name, &quote!(#bound))?);
        }
        let declared = declared(kind, &items, &self.input.support(), name)?;
        let names: Vec<_> = items.into_iter().map(|item| item.name).collect();
        let bound: Vec<_> = bound.iter().map(|bound| quote!(#bound)).collect();
        let pattern = with_values(kind, &names, &bound);
        let variant = &variant.name;
        Ok((quote!(#variant #declared), quote_spanned!(convert.span()=> #name::#variant #pattern => #convert(#(#values),*))))
    }

    /// Returns the calls of the functions that get removed values.
    fn removed_values(&self, slots: &[FieldSlot<'_>]) -> Result<TokenStream> {
        let mut calls = Vec::new();
        for (slot, name) in slots.iter().zip(bindings(slots.len())) {
            let Slot::Removed(removed) = *slot else { continue };
            if !removed.span.includes(self.version) {
                continue;
            }
            let value = types::convert(&removed.ty, &self.input.name, &self.name, &quote!(#name))?;
            let call = |convert| quote_spanned!(Spanned::span(convert)=> #convert(&mut __new, #value););
            calls.push(removed.convert.as_ref().map_or_else(|| quote!(let _ = #name;), call));
        }
        Ok(calls.into_iter().collect())
    }
}

/// Checks what the type says about fields and variants that it no longer has.
fn check_removed(input: &Input) -> Result<()> {
    let TypeAttributes { removed, removed_variants, .. } = &input.attributes;
    match (&input.body, removed.first(), removed_variants.first()) {
        (Body::Enum(_), Some(field), _) => Err(Error::new(
            field.name.span(),
            "`removed(name: Type, ...)` is a field of a struct, and this is an enum: a variant is `removed(Name { ... }, ...)`; \
             if a variant loses a field, set `#[model(migrate = path)]`",
        )),
        (Body::Struct(_), _, Some(variant)) => Err(Error::new(
            variant.name.span(),
            "`removed(Name, ...)` is a variant of an enum, and this is a struct: a field is `removed(name: Type, ...)`",
        )),
        _ => {
            let of_variants = removed_variants.iter().flat_map(|variant| variant.fields.iter().map(|field| &field.ty));
            removed.iter().map(|field| &field.ty).chain(of_variants).try_for_each(types::check)
        }
    }
}

/// Whether the shape of this version contains the type itself.
fn is_nested(input: &Input, version: u16) -> bool {
    let TypeAttributes { removed, removed_variants, .. } = &input.attributes;
    let kept = input.fields().filter_map(|field| field.type_in(version));
    let gone = removed.iter().filter(|field| field.span.includes(version)).map(|field| &field.ty);
    let in_variants = removed_variants.iter().filter(|variant| variant.span.includes(version));
    let in_variants = in_variants.flat_map(|variant| variant.fields.iter().map(|field| &field.ty));
    kept.chain(gone).chain(in_variants).any(|ty| types::contains(ty, &input.name))
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
        let options = options(&support, is_nested(input, *first), &quote!());
        let rkyv = quote!(#support::rkyv);
        let part = shape::expand(&support, name, &shape.parts()?);
        shapes.extend(quote! {
            #[allow(dead_code, non_camel_case_types, clippy::all, clippy::pedantic)]
            #[derive(#rkyv::Archive, #rkyv::Deserialize)]
            #options
            #declaration

            #part

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
