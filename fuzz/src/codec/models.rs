//! Models of every shape: scalars, text, an older version, boxes and vectors of their own type, nothing at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use arbitrary::Arbitrary;
use sessile_codec::{Itself, Shape, Tag, rkyv, rkyv::string::ArchivedString, shape};
use sessile_derive::{Model, ModelPart};

/// One field of each kind.
#[derive(Arbitrary, Clone, Debug, PartialEq, Model)]
#[model(crate = sessile_codec)]
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

#[derive(Arbitrary, Clone, Debug, PartialEq, ModelPart)]
#[model(crate = sessile_codec)]
pub enum Choice {
    Nothing,
    Text(String),
    Numbers { list: Vec<u32>, array: [u8; 3] },
}

/// A profile as the first version of an application had it.
#[derive(Arbitrary, Clone, Debug, PartialEq, Model)]
#[model(crate = sessile_codec, name = "profile")]
pub struct ProfileV1 {
    pub name: String,
    pub age: u8,
    pub tags: Vec<String>,
}

/// The same one version later: a field was renamed, one added, one removed, one kept.
#[derive(Arbitrary, Clone, Debug, PartialEq, Model)]
#[model(crate = sessile_codec, version = 2, removed(age: u8, until = 2, after = "theme"))]
pub struct Profile {
    #[model(since = 2, was = "name")]
    pub display_name: String,
    #[model(since = 2)]
    pub theme: Option<u16>,
    pub tags: Vec<String>,
}

/// As many levels as it has links.
#[derive(Debug, Model)]
#[model(crate = sessile_codec)]
pub struct Chain {
    pub next: Option<Box<Chain>>,
}

/// Branches; not of use beyond a writer's stack, unlike [`Chain`], as it does not say that it nests.
#[derive(Arbitrary, Clone, Debug, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(
    crate = sessile_codec::rkyv,
    serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator),
    deserialize_bounds(__D::Error: rkyv::rancor::Source),
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

impl sessile_codec::ModelPart for Tree {
    const SHAPE: &'static Shape = shape!(label: String, children: Vec<Itself>);
}

impl sessile_codec::Model for Tree {
    const TAG: Tag = Tag::new("tree");
}

/// One field of each type of the standard library that a model can contain, and more than two versions.
#[derive(Clone, Debug, PartialEq, Model)]
#[allow(clippy::large_enum_variant, reason = "it is of use only because it has everything")]
#[model(crate = sessile_codec, version = 3, removed(Old { text: String, tree: Option<Box<Every>> }, until = 2, convert = of_old))]
pub enum Every {
    Nothing,
    #[model(since = 2, was = "All")]
    Everything {
        numbers: (u8, i8, u16, i16, u32, i32, u64, i64),
        wide: Box<(u128, i128)>,
        times: Option<SystemTime>,
        lists: Vec<[Option<String>; 2]>,
        map: BTreeMap<String, Vec<u8>>,
        set: BTreeSet<char>,
        address: IpAddr,
        socket: SocketAddr,
        #[model(since = 3, from = u32, convert = seconds)]
        length: Duration,
        choice: Result<Choice, bool>,
    },
    Inner(Vec<Every>),
    #[model(since = 3)]
    New(String),
}

fn of_old(text: String, tree: Option<Box<Every>>) -> Every {
    tree.map_or_else(|| Every::New(text), |tree| *tree)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// No bytes at all.
#[derive(Arbitrary, Clone, Debug, PartialEq, Model)]
#[model(crate = sessile_codec)]
pub struct Nothing;

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
