//! Reads `#[model(...)]`: of a type, of its fields and of its variants.

use proc_macro2::{Ident, Span};
use syn::{
    Attribute, Error, Expr, Fields, LitInt, LitStr, Path, Result, Token, Type, ext::IdentExt, meta::ParseNestedMeta,
    parenthesized, parse::ParseStream, spanned::Spanned, token,
};

/// What `#[model(...)]` of a type says.
#[derive(Default)]
pub(crate) struct TypeAttributes {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<Version>,
    pub(crate) krate: Option<Path>,
    pub(crate) migrate: Option<Path>,
    pub(crate) removed: Vec<Removed>,
    pub(crate) removed_variants: Vec<RemovedVariant>,
}

/// A version with its place in the source.
#[derive(Clone, Copy)]
pub(crate) struct Version {
    pub(crate) number: u16,
    pub(crate) span: Span,
}

/// A field that older versions had.
pub(crate) struct Removed {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) span: RemovedIn,
    pub(crate) convert: Option<Path>,
}

/// A variant that older versions had.
pub(crate) struct RemovedVariant {
    pub(crate) name: Ident,
    pub(crate) fields: Fields,
    pub(crate) span: RemovedIn,
    /// Makes a value of the newest version from the fields.
    pub(crate) convert: Path,
}

/// Where a field or a variant was, and in which versions.
pub(crate) struct RemovedIn {
    /// The first version with it.
    pub(crate) since: Option<Version>,
    /// The first version without it.
    pub(crate) until: Version,
    pub(crate) place: Option<Place>,
}

/// The place of a removed field or variant: beside one of this name.
pub(crate) enum Place {
    Before(LitStr),
    After(LitStr),
}

/// What the `#[model(...)]`s of a field or of a variant say.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) nested: Option<Span>,
    pub(crate) born: Option<Born>,
    /// From the oldest to the newest.
    pub(crate) changes: Vec<Change>,
}

/// The version that a field was added in.
pub(crate) struct Born {
    pub(crate) since: Version,
    /// Its value in what is older.
    pub(crate) default: Option<Expr>,
}

/// A change of a field's name, of its type, or of both.
pub(crate) struct Change {
    pub(crate) since: Version,
    /// The name before.
    pub(crate) was: Option<LitStr>,
    /// The type before, and the function that converts it.
    pub(crate) from: Option<(Type, Path)>,
}

/// Sets what an attribute may say once.
fn set<T>(place: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("this is here twice: keep one")),
    }
}

fn version(meta: &ParseNestedMeta<'_>) -> Result<Version> {
    let literal: LitInt = meta.value()?.parse()?;
    match literal.base10_parse() {
        Ok(number) if number > 0 => Ok(Version { number, span: literal.span() }),
        _ => Err(Error::new(literal.span(), "a version is a number from 1 to 65535")),
    }
}

impl TypeAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("model")) {
            attribute.parse_nested_meta(|meta| found.take(&meta))?;
        }
        Ok(found)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            set(&mut self.name, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("version") {
            set(&mut self.version, version(meta)?, meta)
        } else if meta.path.is_ident("crate") {
            set(&mut self.krate, meta.value()?.call(Path::parse_mod_style)?, meta)
        } else if meta.path.is_ident("migrate") {
            set(&mut self.migrate, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("removed") {
            let content;
            parenthesized!(content in meta.input);
            self.add_removed(&content)
        } else {
            Err(meta.error("a type has `name`, `version`, `crate`, `migrate` and `removed(...)`"))
        }
    }
}

impl TypeAttributes {
    /// Reads `legacy: u32, until = 3, after = "id"`, or a variant with its fields in place of the name and the type.
    fn add_removed(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name = input.call(Ident::parse_any)?;
        let name = if syn::parse_str::<Ident>(&name.to_string()).is_ok() {
            name
        } else if matches!(&*name.to_string(), "self" | "Self" | "super" | "crate" | "_") {
            return Err(Error::new(name.span(), "no field has this name"));
        } else {
            Ident::new_raw(&name.to_string(), name.span())
        };
        if input.parse::<Option<Token![:]>>()?.is_some() {
            let ty = input.parse()?;
            let (span, convert) = RemovedIn::parse(input, &name)?;
            self.removed.push(Removed { name, ty, span, convert });
            return Ok(());
        }
        let fields = if input.peek(token::Brace) {
            Fields::Named(input.parse()?)
        } else if input.peek(token::Paren) {
            Fields::Unnamed(input.parse()?)
        } else {
            Fields::Unit
        };
        let (span, convert) = RemovedIn::parse(input, &name)?;
        let convert = convert.ok_or_else(|| {
            Error::new(name.span(), "add `convert = path`, a function from the fields of this variant to the newest version")
        })?;
        self.removed_variants.push(RemovedVariant { name, fields, span, convert });
        Ok(())
    }
}

impl RemovedIn {
    /// Reads what follows the name and the type: `, until = 3, after = "id", convert = path`.
    fn parse(input: ParseStream<'_>, name: &Ident) -> Result<(Self, Option<Path>)> {
        let (mut since, mut until, mut place, mut convert) = (None, None, None, None);
        if input.parse::<Option<Token![,]>>()?.is_some() {
            let parser = syn::meta::parser(|meta| {
                if meta.path.is_ident("since") {
                    set(&mut since, version(&meta)?, &meta)
                } else if meta.path.is_ident("until") {
                    set(&mut until, version(&meta)?, &meta)
                } else if meta.path.is_ident("before") {
                    set(&mut place, Place::Before(meta.value()?.parse()?), &meta)
                } else if meta.path.is_ident("after") {
                    set(&mut place, Place::After(meta.value()?.parse()?), &meta)
                } else if meta.path.is_ident("convert") {
                    set(&mut convert, meta.value()?.parse()?, &meta)
                } else {
                    Err(meta.error("what is removed has `since`, `until`, `before` or `after`, and `convert`"))
                }
            });
            syn::parse::Parser::parse2(parser, input.parse()?)?;
        }
        let until = until.ok_or_else(|| Error::new(name.span(), "add `until = VERSION`, the first version without it"))?;
        if since.is_some_and(|since: Version| since.number >= until.number) {
            return Err(Error::new(until.span, "`until` is the first version without it: it comes after `since`"));
        }
        Ok((Self { since, until, place }, convert))
    }

    /// Whether this version had it.
    pub(crate) fn includes(&self, version: u16) -> bool {
        self.since.is_none_or(|since| since.number <= version) && version < self.until.number
    }

    /// Returns the versions that added and removed it.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        self.since.into_iter().chain([self.until])
    }
}

/// One `#[model(...)]` of a field.
#[derive(Default)]
struct Step {
    since: Option<Version>,
    default: Option<Expr>,
    was: Option<LitStr>,
    from: Option<Type>,
    convert: Option<Path>,
}

impl FieldAttributes {
    /// Reads the attributes of a field or a variant with this name.
    pub(crate) fn parse(attributes: &[Attribute], name: Option<&Ident>) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("model")) {
            let mut step = Step::default();
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("nested") {
                    return set(&mut found.nested, meta.path.span(), &meta);
                }
                step.take(&meta)
            })?;
            found.add(step, attribute, name)?;
        }
        found.changes.sort_by_key(|change| change.since.number);
        if let (Some(born), Some(first)) = (&found.born, found.changes.first())
            && born.since.number >= first.since.number
        {
            return Err(Error::new(first.since.span, "a field changes after the version that it was added in"));
        }
        Ok(found)
    }

    fn add(&mut self, step: Step, attribute: &Attribute, name: Option<&Ident>) -> Result<()> {
        if let Some(was) = &step.was {
            check_was(was, name)?;
        }
        match step {
            Step { since: Some(since), was: None, from: None, convert: None, default } => {
                if self.born.is_some() {
                    return Err(Error::new(
                        since.span,
                        "a field is added once: a later change of its type has `from` and `convert`, one of its name has `was`",
                    ));
                }
                self.born = Some(Born { since, default });
                Ok(())
            }
            Step { since: Some(since), was, from: Some(from), convert: Some(convert), default: None } => {
                self.change(Change { since, was, from: Some((from, convert)) })
            }
            Step { since: Some(since), was, from: None, convert: None, default: None } => {
                self.change(Change { since, was, from: None })
            }
            Step { since: None, was: None, from: None, convert: None, default: None } => Ok(()),
            Step { since: None, was: Some(was), from: None, .. } => Err(Error::new(
                was.span(),
                "a name is part of the shape: add `since = VERSION`, the first version with the new name",
            )),
            Step { from: None, convert: None, was: None, .. } => {
                Err(Error::new_spanned(attribute, "`default` needs `since = VERSION`, the first version with this field"))
            }
            _ => Err(Error::new_spanned(
                attribute,
                "a change of name has `since = VERSION, was = \"old_name\"`, a change of type \
                 `since = VERSION, from = OldType, convert = path`, and neither has `default`",
            )),
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        if self.changes.iter().any(|other| other.since.number == change.since.number) {
            return Err(Error::new(change.since.span, "a field changes once in a version: put `was` and `from` together"));
        }
        self.changes.push(change);
        Ok(())
    }

    /// Returns the versions that changed something, each with its place in the source.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        let changes = self.changes.iter().map(|change| change.since);
        changes.chain(self.born.as_ref().map(|born| born.since))
    }

    /// Returns the first version with the field or the variant.
    pub(crate) fn first_version(&self) -> u16 {
        self.born.as_ref().map_or(1, |born| born.since.number)
    }

    /// Returns the name that a version had, if it was another than now.
    pub(crate) fn name_in(&self, version: u16) -> Option<String> {
        let older = self.changes.iter().filter(|change| version < change.since.number);
        older.filter_map(|change| change.was.as_ref()).map(|was| plain(&was.value()).to_owned()).next()
    }
}

impl Step {
    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("since") {
            set(&mut self.since, version(meta)?, meta)
        } else if meta.path.is_ident("default") {
            set(&mut self.default, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("was") {
            set(&mut self.was, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("from") {
            set(&mut self.from, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("convert") {
            set(&mut self.convert, meta.value()?.parse()?, meta)
        } else {
            Err(meta.error("a field has `since`, `default`, `was`, `from`, `convert` and `nested`"))
        }
    }
}

/// Returns a name without the `r#` of a raw identifier, which a shape does not have.
fn plain(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// Checks the earlier name of a field.
fn check_was(was: &LitStr, name: Option<&Ident>) -> Result<()> {
    if name.is_none() {
        return Err(Error::new(was.span(), "a field of a tuple has a number and no name: remove `was`"));
    }
    if syn::parse::Parser::parse_str(Ident::parse_any, &was.value()).is_err() {
        return Err(Error::new(was.span(), "`was` is the name that the field had"));
    }
    if name.is_some_and(|name| name.unraw() == plain(&was.value())) {
        return Err(Error::new(was.span(), "`was` is the name that the field had before, and this is the name that it has"));
    }
    Ok(())
}
