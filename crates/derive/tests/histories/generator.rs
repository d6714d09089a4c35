//! Writes `generated.rs`: models at random, each in three versions, and what each version must be read as in the next.
//!
//! The expected conversions are written by this generator, from what it decided, and not by the macro.

mod enums;

use std::fmt::Write;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

const PLAIN: [&str; 15] =
    ["u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "f64", "bool", "char", "String", "Duration", "()"];

fn random_type(rng: &mut Rng, depth: usize) -> String {
    if depth == 0 || rng.below(2) == 0 {
        return rng.one(&PLAIN).to_owned();
    }
    let inner = random_type(rng, depth - 1);
    match rng.below(6) {
        0 => format!("Option<{inner}>"),
        1 => format!("Vec<{inner}>"),
        2 => format!("Box<{inner}>"),
        3 => format!("[{inner}; 2]"),
        4 => format!("({inner}, {})", random_type(rng, depth - 1)),
        _ => format!("BTreeMap<u16, {inner}>"),
    }
}

/// The next wider type of a number.
fn wider(ty: &str) -> Option<&'static str> {
    [("u8", "u16"), ("u16", "u32"), ("u32", "u64"), ("u64", "u128"), ("i8", "i16"), ("i16", "i32"), ("i32", "i64")]
        .into_iter()
        .find_map(|(from, to)| (from == ty).then_some(to))
}

/// A field over all versions.
#[derive(Clone)]
struct Slot {
    /// The first version with it, and the first without it.
    born: u16,
    gone: u16,
    default: Option<&'static str>,
    /// The first versions with these names and types, from the oldest on.
    names: Vec<(u16, String)>,
    types: Vec<(u16, String)>,
}

fn at(list: &[(u16, String)], version: u16) -> &String {
    &list.iter().rev().find(|(since, _)| *since <= version).expect("there is one from the beginning on").1
}

impl Slot {
    fn new(rng: &mut Rng, count: &mut usize, born: u16) -> Self {
        let ty = random_type(rng, 2);
        let is_number = wider(&ty).is_some();
        let default = (born > 1 && is_number && rng.below(2) == 0).then_some("7");
        *count += 1;
        Self { born, gone: u16::MAX, default, names: vec![(1, format!("f{count}"))], types: vec![(1, ty)] }
    }

    fn is_in(&self, version: u16) -> bool {
        self.born <= version && version < self.gone
    }

    fn has_changed(&self) -> bool {
        self.names.len() + self.types.len() > 2
    }

    fn declared(&self, version: u16, is_struct: bool) -> String {
        let mut text = String::new();
        if self.born > 1 {
            let default = self.default.map(|default| format!(", default = {default}")).unwrap_or_default();
            let _ = write!(text, "#[model(since = {}{default})] ", self.born);
        }
        for since in 2..=version {
            let was = self.names.iter().position(|(first, _)| *first == since).filter(|at| *at > 0);
            let from = self.types.iter().position(|(first, _)| *first == since).filter(|at| *at > 0);
            if was.is_none() && from.is_none() {
                continue;
            }
            let _ = write!(text, "#[model(since = {since}");
            if let Some(was) = was {
                let _ = write!(text, ", was = \"{}\"", self.names[was - 1].1);
            }
            if let Some(from) = from {
                let _ = write!(text, ", from = {}, convert = {}::from", self.types[from - 1].1, self.types[from].1);
            }
            text.push_str(")] ");
        }
        let vis = if is_struct { "pub(crate) " } else { "" };
        let _ = write!(text, "{vis}{}: {}", at(&self.names, version), at(&self.types, version));
        text
    }

    /// The value in `version`, from that of the version before, which is `old`.
    fn value(&self, version: u16, old: &str) -> String {
        if self.born == version {
            return self.default.map_or("Default::default()".to_owned(), ToOwned::to_owned);
        }
        let (now, before) = (at(&self.types, version), at(&self.types, version - 1));
        if now == before { old.to_owned() } else { format!("{now}::from({old})") }
    }
}

/// Makes up to three changes from one version to the next, and at least one.
fn change(rng: &mut Rng, slots: &mut Vec<Slot>, count: &mut usize, version: u16, may_remove: bool) {
    let mut done = 0;
    while done == 0 || (done < 3 && rng.below(2) == 0) {
        let current: Vec<_> = (0..slots.len()).filter(|at| slots[*at].is_in(version)).collect();
        let picked = if current.is_empty() { None } else { Some(rng.one(&current)) };
        match (rng.below(4), picked) {
            (0, Some(at)) if may_remove && current.len() > 1 && !slots[at].has_changed() && slots[at].born < version => {
                slots[at].gone = version;
            }
            (1, Some(at)) if slots[at].born < version && slots[at].names.last().is_some_and(|(since, _)| *since < version) => {
                *count += 1;
                slots[at].names.push((version, format!("f{count}")));
            }
            (2, Some(at)) if slots[at].born < version && slots[at].types.last().is_some_and(|(since, _)| *since < version) => {
                let Some(ty) = wider(self::at(&slots[at].types, version)) else { continue };
                slots[at].types.push((version, ty.to_owned()));
            }
            (3, _) => {
                let place = rng.below(slots.len() + 1);
                slots.insert(place, Slot::new(rng, count, version));
            }
            _ => continue,
        }
        done += 1;
    }
}

/// `removed(...)` for each field that is gone, beside what was before it or, if there is nothing, after it.
fn removed(slots: &[Slot], version: u16) -> String {
    let mut text = String::new();
    for (place, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.gone <= version) {
        let name = |slot: &Slot| at(&slot.names, version).clone();
        let is_there = |slot: &&Slot| slot.is_in(version) || slot.gone <= version;
        let beside = if let Some(before) = slots[..place].iter().rev().find(is_there) {
            format!("after = \"{}\"", name(before))
        } else {
            let after = slots[place..].iter().find(|slot| slot.is_in(version)).expect("one field is left");
            format!("before = \"{}\"", name(after))
        };
        let since = if slot.born > 1 { format!(", since = {}", slot.born) } else { String::new() };
        let _ = write!(text, ", removed({}: {}{since}, until = {}, {beside})", name(slot), at(&slot.types, version), slot.gone);
    }
    text
}

const DERIVES: &str = "#[derive(Model, Clone, Debug, PartialEq)]";

fn struct_history(rng: &mut Rng, name: &str) -> String {
    let mut count = 0;
    let mut slots: Vec<_> = (0..=rng.below(5)).map(|_| Slot::new(rng, &mut count, 1)).collect();
    for version in [2, 3] {
        change(rng, &mut slots, &mut count, version, true);
    }
    let mut text = format!("mod {name} {{\n");
    for version in 1..=3 {
        let known: Vec<_> = slots.iter().filter(|slot| slot.born <= version).cloned().collect();
        let current: Vec<_> = known.iter().filter(|slot| slot.is_in(version)).collect();
        let fields: Vec<_> = current.iter().map(|slot| slot.declared(version, true)).collect();
        let gone = removed(&known, version);
        let makes: Vec<_> = current.iter().map(|slot| format!("{}: Make::make(rng)", at(&slot.names, version))).collect();
        let _ = write!(
            text,
            "pub(crate) mod v{version} {{ use super::super::prelude::*;\n{DERIVES}\n#[model(name = \"m\", version = {version}{gone})]\n\
             pub(crate) struct M {{ {} }}\nimpl Make for M {{ fn make(rng: &mut Rng) -> Self {{ Self {{ {} }} }} }} }}\n",
            fields.join(", "),
            makes.join(", ")
        );
        if version > 1 {
            let values: Vec<_> = current
                .iter()
                .map(|slot| {
                    format!(
                        "{}: {}",
                        at(&slot.names, version),
                        slot.value(version, &format!("old.{}", at(&slot.names, version - 1)))
                    )
                })
                .collect();
            let _ = writeln!(
                text,
                "impl From<v{0}::M> for v{version}::M {{ fn from(old: v{0}::M) -> Self {{ Self {{ {1} }} }} }}",
                version - 1,
                values.join(", ")
            );
        }
    }
    let first: Vec<_> = slots.iter().filter(|slot| slot.is_in(1)).cloned().collect();
    let fields = mutated(rng, &first, true);
    let _ = write!(
        text,
        "pub(crate) mod mutant {{ use super::super::prelude::*;\n{DERIVES}\n#[model(name = \"m\")]\npub(crate) struct M {{ {} }} }}\n}}\n",
        fields.join(", ")
    );
    text
}

/// Returns the fields of the first version with one change that no version states.
fn mutated(rng: &mut Rng, first: &[Slot], is_struct: bool) -> Vec<String> {
    let mut slots = first.to_vec();
    loop {
        let place = rng.below(slots.len());
        match rng.below(5) {
            0 => "renamed".clone_into(&mut slots[place].names[0].1),
            1 => {
                let ty = random_type(rng, 1);
                if ty == slots[place].types[0].1 {
                    continue;
                }
                slots[place].types[0].1 = ty;
            }
            2 if slots.len() > 1 => drop(slots.remove(place)),
            3 if place > 0 => slots.swap(place - 1, place),
            4 => {
                let mut slot = slots[place].clone();
                "added".clone_into(&mut slot.names[0].1);
                slots.insert(place, slot);
            }
            _ => continue,
        }
        return slots.iter().map(|slot| slot.declared(1, is_struct)).collect();
    }
}

/// Returns the whole file.
pub(crate) fn file() -> String {
    let mut rng = Rng(2026);
    let mut text =
        "// Written by generator.rs: run `SESSILE_WRITE_GENERATED=1 cargo test -p sessile-derive --test histories`.\n"
            .to_owned();
    let mut names = Vec::new();
    for n in 0..16 {
        let name = format!("h{n}");
        text.push_str(&if n % 3 == 2 { enums::history(&mut rng, &name) } else { struct_history(&mut rng, &name) });
        names.push(name);
    }
    let _ = writeln!(text, "histories!({});", names.join(", "));
    text
}
