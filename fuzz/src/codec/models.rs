//! Models of every shape: scalars, text, an older version, boxes and vectors of their own type, nothing at all.

use arbitrary::Arbitrary;
use sessile_codec::{Error, Model, Nested, NestedWriter, Stored, Tag, rkyv, rkyv::string::ArchivedString};

/// One field of each kind.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub struct Kinds {
    pub wide: (i128, u128),
    pub number: u64,
    pub float: f64,
    pub small_float: f32,
    pub letter: char,
    pub text: String,
    pub bytes: Vec<u8>,
    pub options: Option<Option<u8>>,
    pub pairs: Vec<(String, Option<Box<i16>>)>,
    pub choice: Choice,
    pub unit: (),
}

#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub enum Choice {
    Nothing,
    Text(String),
    Numbers { list: Vec<u32>, array: [u8; 3] },
}

impl Model for Kinds {
    const TAG: Tag = Tag::new("kinds");
}

/// A profile as the first version of an application had it.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub struct ProfileV1 {
    pub name: String,
    pub age: u8,
    pub tags: Vec<String>,
}

impl Model for ProfileV1 {
    const TAG: Tag = Tag::new("profile");
}

/// The same one version later: a field was renamed, one added, one removed, one kept.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub struct Profile {
    pub display_name: String,
    pub theme: Option<u16>,
    pub tags: Vec<String>,
}

impl Model for Profile {
    const TAG: Tag = Tag::new("profile");
    const VERSION: u16 = 2;

    fn migrate(old: Stored<'_>) -> Result<Self, Error> {
        match old.version() {
            1 => old.read().map(|ProfileV1 { name, tags, .. }| Self { display_name: name, theme: None, tags }),
            _ => Err(old.no_migration()),
        }
    }
}

/// As many levels as it has links.
#[derive(Debug, rkyv::Archive, rkyv::Serialize)]
#[rkyv(
    crate = sessile_codec::rkyv,
    serialize_bounds(__S: NestedWriter),
    bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source))
)]
pub struct Chain {
    #[rkyv(omit_bounds, with = Nested)]
    pub next: Option<Box<Chain>>,
}

impl Model for Chain {
    const TAG: Tag = Tag::new("chain");
}

/// Branches; not of use beyond a writer's stack, unlike [`Chain`], as it does not say that it nests.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize)]
#[rkyv(
    crate = sessile_codec::rkyv,
    serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator),
    bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source))
)]
pub struct Tree {
    pub label: String,
    #[rkyv(omit_bounds)]
    pub children: Vec<Tree>,
}

impl Tree {
    /// How many vectors and texts lie in one another in its archive, and the tree itself.
    pub fn levels(&self) -> usize {
        fn vectors(tree: &Tree) -> usize {
            1 + tree.children.iter().map(vectors).max().unwrap_or(0)
        }
        1 + vectors(self)
    }
}

impl Model for Tree {
    const TAG: Tag = Tag::new("tree");
}

/// No bytes at all.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize)]
#[rkyv(crate = sessile_codec::rkyv)]
pub struct Nothing;

impl Model for Nothing {
    const TAG: Tag = Tag::new("nothing");
}

impl ArchivedKinds {
    /// Compares bit by bit, so that a NaN is itself.
    pub fn is(&self, kinds: &Kinds) -> bool {
        (self.wide.0.to_native(), self.wide.1.to_native()) == kinds.wide
            && self.number.to_native() == kinds.number
            && self.float.to_native().to_bits() == kinds.float.to_bits()
            && self.small_float.to_native().to_bits() == kinds.small_float.to_bits()
            && self.letter.to_native() == kinds.letter
            && self.text.as_str() == kinds.text
            && self.bytes.as_slice() == kinds.bytes
            && self.options.as_ref().map(|inner| inner.as_ref().copied()) == kinds.options
            && self.pairs.len() == kinds.pairs.len()
            && self.pairs.iter().zip(&kinds.pairs).all(|(found, pair)| {
                found.0.as_str() == pair.0 && found.1.as_ref().map(|n| n.to_native()) == pair.1.as_deref().copied()
            })
            && match (&self.choice, &kinds.choice) {
                (ArchivedChoice::Nothing, Choice::Nothing) => true,
                (ArchivedChoice::Text(found), Choice::Text(text)) => found.as_str() == text,
                (ArchivedChoice::Numbers { list: found, array: bytes }, Choice::Numbers { list, array }) => {
                    found.iter().map(|n| n.to_native()).eq(list.iter().copied()) && bytes == array
                }
                _ => false,
            }
    }
}

impl ArchivedProfile {
    pub fn is(&self, profile: &Profile) -> bool {
        self.display_name.as_str() == profile.display_name
            && self.theme.as_ref().map(|theme| theme.to_native()) == profile.theme
            && self.tags.iter().map(ArchivedString::as_str).eq(profile.tags.iter().map(String::as_str))
    }
}

impl ArchivedTree {
    pub fn is(&self, tree: &Tree) -> bool {
        self.label.as_str() == tree.label
            && self.children.len() == tree.children.len()
            && self.children.iter().zip(&tree.children).all(|(found, child)| found.is(child))
    }

    /// Reads all of it.
    pub fn count(&self) -> usize {
        1 + self.label.chars().count() + self.children.iter().map(Self::count).sum::<usize>()
    }
}

impl ArchivedChain {
    pub fn count(&self) -> usize {
        1 + self.next.as_ref().map_or(0, |next| next.count())
    }
}
