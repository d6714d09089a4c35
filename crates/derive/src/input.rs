//! The type that the macro is put on, checked.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result, Type, Visibility};

use crate::{
    attributes::{FieldAttributes, TypeAttributes, Version},
    shape::name_of,
    types,
};

/// A struct or an enum.
pub(crate) struct Input {
    pub(crate) name: Ident,
    pub(crate) vis: Visibility,
    pub(crate) attributes: TypeAttributes,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Struct(FieldList),
    Enum(Vec<Variant>),
}

pub(crate) struct Variant {
    pub(crate) name: Ident,
    /// When it was added and renamed.
    pub(crate) attributes: FieldAttributes,
    pub(crate) list: FieldList,
}

/// The fields of a struct or of a variant.
pub(crate) struct FieldList {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Named,
    Tuple,
    Unit,
}

pub(crate) struct Field {
    /// `None` in a tuple.
    pub(crate) name: Option<Ident>,
    pub(crate) vis: Visibility,
    pub(crate) ty: Type,
    pub(crate) attributes: FieldAttributes,
}

/// Adds the error of `result` to `errors`, so that all of them are reported at once.
pub(crate) fn note<T>(errors: &mut Option<Error>, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            match errors {
                Some(errors) => errors.combine(error),
                None => *errors = Some(error),
            }
            None
        }
    }
}

impl Input {
    pub(crate) fn parse(input: &DeriveInput) -> Result<Self> {
        let name = input.ident.clone();
        if !input.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &input.generics,
                "a model has no type parameters, no lifetimes and no constants: name the types of its fields",
            ));
        }
        let attributes = TypeAttributes::parse(&input.attrs)?;
        let mut errors = None;
        let body = match &input.data {
            Data::Struct(data) => Body::Struct(FieldList::parse(&data.fields, &name, &mut errors)),
            Data::Enum(data) => Body::Enum(Variant::parse_all(data, &name, &mut errors)?),
            Data::Union(data) => {
                return Err(Error::new(data.union_token.span, "a union does not know what it contains: use an enum"));
            }
        };
        match errors {
            Some(errors) => Err(errors),
            None => Ok(Self { name, vis: input.vis.clone(), attributes, body }),
        }
    }

    /// Returns what generated code takes from sessile.
    pub(crate) fn support(&self) -> TokenStream {
        let path = self.attributes.krate.as_ref().map_or_else(|| quote!(::sessile), |path| quote!(#path));
        quote!(#path::__derive)
    }

    pub(crate) fn version(&self) -> u16 {
        self.attributes.version.map_or(1, |version| version.number)
    }

    pub(crate) fn lists(&self) -> Vec<&FieldList> {
        match &self.body {
            Body::Struct(list) => vec![list],
            Body::Enum(variants) => variants.iter().map(|variant| &variant.list).collect(),
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.lists().into_iter().flat_map(|list| &list.fields)
    }

    /// Returns the versions in which the shape changed, each with its place in the source.
    pub(crate) fn changes(&self) -> Vec<Version> {
        let mut found: Vec<_> = self.fields().flat_map(|field| field.attributes.versions()).collect();
        if let Body::Enum(variants) = &self.body {
            found.extend(variants.iter().flat_map(|variant| variant.attributes.versions()));
        }
        found.extend(self.attributes.removed.iter().flat_map(|removed| removed.span.versions()));
        found.extend(self.attributes.removed_variants.iter().flat_map(|removed| removed.span.versions()));
        found
    }
}

impl Variant {
    fn parse_all(data: &syn::DataEnum, own: &Ident, errors: &mut Option<Error>) -> Result<Vec<Self>> {
        if data.variants.is_empty() {
            return Err(Error::new(data.enum_token.span, "an enum without variants has no value to store"));
        }
        let mut found: Vec<Self> = Vec::new();
        for variant in &data.variants {
            let list = FieldList::parse(&variant.fields, own, errors);
            let Some(attributes) = note(errors, FieldAttributes::parse(&variant.attrs, Some(&variant.ident))) else { continue };
            if attributes.nested.is_some() || attributes.changes.iter().any(|change| change.from.is_some()) {
                let text = "a variant has `since` and `was`; its fields have the others";
                note::<()>(errors, Err(Error::new_spanned(variant, text)));
                continue;
            }
            if let Some(default) = attributes.born.as_ref().and_then(|born| born.default.as_ref()) {
                let text = "a variant that is added needs no default: no older value has it";
                note::<()>(errors, Err(Error::new_spanned(default, text)));
            }
            let before = found.last().map_or(1, |before| before.attributes.first_version());
            if attributes.first_version() < before {
                let text = "a new variant is added at the end: before this one, it changes the number that an archive \
                            has for this one";
                note::<()>(errors, Err(Error::new_spanned(&variant.ident, text)));
            }
            found.push(Self { name: variant.ident.clone(), attributes, list });
        }
        if let Some(born) =
            found.first().and_then(|variant| variant.attributes.born.as_ref()).filter(|born| born.since.number > 1)
        {
            note::<()>(
                errors,
                Err(Error::new(born.since.span, "the first variant is in every version: an enum has at least one")),
            );
        }
        Ok(found)
    }
}

impl FieldList {
    fn parse(fields: &Fields, own: &Ident, errors: &mut Option<Error>) -> Self {
        let kind = match fields {
            Fields::Named(_) => Kind::Named,
            Fields::Unnamed(_) => Kind::Tuple,
            Fields::Unit => Kind::Unit,
        };
        let fields = fields.iter().filter_map(|field| note(errors, Field::parse(field, own))).collect();
        Self { kind, fields }
    }
}

impl Field {
    fn parse(field: &syn::Field, own: &Ident) -> Result<Self> {
        let attributes = FieldAttributes::parse(&field.attrs, field.ident.as_ref())?;
        let ty = types::replace(&field.ty, &format_ident!("Self"), &syn::parse_quote!(#own));
        types::check(&ty)?;
        attributes.changes.iter().filter_map(|change| change.from.as_ref()).try_for_each(|(from, _)| types::check(from))?;
        Ok(Self { name: field.ident.clone(), vis: field.vis.clone(), ty, attributes })
    }

    /// Returns the type that the field had in a version; `None` if that version did not have it.
    pub(crate) fn type_in(&self, version: u16) -> Option<&Type> {
        if self.attributes.born.as_ref().is_some_and(|born| version < born.since.number) {
            return None;
        }
        let older = self.attributes.changes.iter().filter(|change| version < change.since.number);
        Some(older.filter_map(|change| change.from.as_ref()).map(|(from, _)| from).next().unwrap_or(&self.ty))
    }

    /// Returns the name that the field had in a version.
    pub(crate) fn name_in(&self, version: u16, at: usize) -> String {
        self.attributes.name_in(version).unwrap_or_else(|| name_of(self.name.as_ref(), at))
    }
}
