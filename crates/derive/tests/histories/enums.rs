//! Enums in three versions.

use std::fmt::Write;

use super::{DERIVES, Rng, Slot, at, change, mutated};

/// A variant over all versions.
struct Variant {
    /// The first version with it, and the first without it.
    born: u16,
    gone: u16,
    names: Vec<(u16, String)>,
    slots: Vec<Slot>,
}

impl Variant {
    fn new(rng: &mut Rng, count: &mut usize, born: u16) -> Self {
        let slots = (0..rng.below(3)).map(|_| Slot::new(rng, count, 1)).collect();
        *count += 1;
        Self { born, gone: u16::MAX, names: vec![(1, format!("V{count}"))], slots }
    }

    fn is_in(&self, version: u16) -> bool {
        self.born <= version && version < self.gone
    }

    fn name(&self, version: u16) -> &str {
        at(&self.names, version)
    }

    /// `V1 { ... }`, with what `of` makes of each field.
    fn with_fields(&self, version: u16, of: impl Fn(&Slot) -> String) -> String {
        let fields: Vec<_> = self.slots.iter().filter(|slot| slot.is_in(version)).map(of).collect();
        format!("{} {{ {} }}", self.name(version), fields.join(", "))
    }

    /// The same, with a value for each field.
    fn with_values(&self, version: u16, of: impl Fn(&Slot) -> String) -> String {
        self.with_fields(version, |slot| format!("{}: {}", at(&slot.names, version), of(slot)))
    }

    fn declared(&self, version: u16) -> String {
        let mut text = String::new();
        if self.born > 1 {
            let _ = write!(text, "#[model(since = {})] ", self.born);
        }
        for names in self.names.windows(2).filter(|names| names[1].0 <= version) {
            let _ = write!(text, "#[model(since = {}, was = \"{}\")] ", names[1].0, names[0].1);
        }
        text + &self.with_fields(version, |slot| slot.declared(version, false))
    }

    /// `removed(...)` after `before`, and the function that it names.
    fn removed(&self, version: u16, before: &Self, place: usize, default: &str) -> (String, String) {
        let fields: Vec<_> = self.slots.iter().map(|slot| format!("{}: {}", slot.names[0].1, slot.types[0].1)).collect();
        let since = if self.born > 1 { format!(", since = {}", self.born) } else { String::new() };
        let attribute = format!(
            ", removed({} {{ {} }}{since}, until = {}, after = \"{}\", convert = gone_{place})",
            self.names[0].1,
            fields.join(", "),
            self.gone,
            before.name(version)
        );
        let arguments: Vec<_> = self.slots.iter().map(|slot| format!("_: {}", slot.types[0].1)).collect();
        (attribute, format!("fn gone_{place}({}) -> M {{ M::{default} }}\n", arguments.join(", ")))
    }

    /// What this variant of the version before is in `version`.
    fn arm(&self, version: u16, default: &str) -> String {
        let (before, own) = (version - 1, self.name(version - 1));
        if self.gone == version {
            return format!("v{before}::M::{own} {{ .. }} => Self::{default}");
        }
        let bound = self.with_fields(before, |slot| at(&slot.names, before).clone());
        let values = self.with_values(version, |slot| slot.value(version, at(&slot.names, before)));
        format!("v{before}::M::{bound} => Self::{values}")
    }
}

/// Makes one change from one version to the next.
fn change_one(rng: &mut Rng, variants: &mut Vec<Variant>, count: &mut usize, version: u16) {
    let place = rng.below(variants.len());
    let picked = &mut variants[place];
    let is_older = picked.born < version && picked.gone > version;
    match rng.below(4) {
        0 => variants.push(Variant::new(rng, count, version)),
        // The first stays: it is what the others become.
        1 if place > 0 && is_older && picked.names.len() == 1 => picked.gone = version,
        2 if is_older => {
            *count += 1;
            picked.names.push((version, format!("V{count}")));
        }
        // The fields of a variant that is as old as the enum, so that each has a version before.
        _ => change(rng, &mut variants[0].slots, count, version, false),
    }
}

/// The declaration of a version, and its conversion from the one before.
fn of_version(variants: &[Variant], version: u16) -> String {
    let default = variants[0].with_values(version, |_| "Default::default()".to_owned());
    let (mut attributes, mut functions) = (String::new(), String::new());
    for (place, variant) in variants.iter().enumerate().filter(|(_, variant)| variant.gone <= version) {
        let before = variants[..place].iter().rev().find(|variant| variant.born <= version).expect("the first stays");
        let (attribute, function) = variant.removed(version, before, place, &default);
        attributes.push_str(&attribute);
        functions.push_str(&function);
    }
    let current: Vec<_> = variants.iter().filter(|variant| variant.is_in(version)).collect();
    let declared: Vec<_> = current.iter().map(|variant| variant.declared(version)).collect();
    let made = current.iter().map(|variant| variant.with_values(version, |_| "Make::make(rng)".to_owned()));
    let made: Vec<_> = made.enumerate().map(|(nth, value)| format!("{nth} => Self::{value}")).collect();
    let mut text = format!(
        "pub(crate) mod v{version} {{ use super::super::prelude::*;\n{DERIVES}\n#[model(name = \"m\", version = {version}{attributes})]\n\
         pub(crate) enum M {{ {} }}\n{functions}impl Make for M {{ fn make(rng: &mut Rng) -> Self {{ \
         match rng.below({}) {{ {}, _ => unreachable!() }} }} }} }}\n",
        declared.join(", "),
        made.len(),
        made.join(", ")
    );
    if version > 1 {
        let older = variants.iter().filter(|variant| variant.is_in(version - 1));
        let arms: Vec<_> = older.map(|variant| variant.arm(version, &default)).collect();
        let _ = writeln!(
            text,
            "impl From<v{0}::M> for v{version}::M {{ fn from(old: v{0}::M) -> Self {{ match old {{ {1} }} }} }}",
            version - 1,
            arms.join(", ")
        );
    }
    text
}

pub(super) fn history(rng: &mut Rng, name: &str) -> String {
    let mut count = 0;
    let mut variants: Vec<_> = (0..=rng.below(3)).map(|_| Variant::new(rng, &mut count, 1)).collect();
    for version in [2, 3] {
        change_one(rng, &mut variants, &mut count, version);
    }
    let versions: String = (1..=3).map(|version| of_version(&variants, version)).collect();

    let first: Vec<_> = variants.iter().filter(|variant| variant.born == 1).collect();
    let mut declared: Vec<_> = first.iter().map(|variant| variant.declared(1)).collect();
    let place = rng.below(first.len());
    let slots: Vec<_> = first[place].slots.iter().filter(|slot| slot.is_in(1)).cloned().collect();
    declared[place] = if slots.is_empty() {
        "Renamed {}".to_owned()
    } else {
        format!("{} {{ {} }}", first[place].names[0].1, mutated(rng, &slots, false).join(", "))
    };
    format!(
        "mod {name} {{\n{versions}pub(crate) mod mutant {{ use super::super::prelude::*;\n{DERIVES}\n#[model(name = \"m\")]\n\
         pub(crate) enum M {{ {} }} }}\n}}\n",
        declared.join(", ")
    )
}
