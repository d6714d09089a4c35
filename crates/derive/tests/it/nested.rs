//! A model that contains its own type is bounded in depth, also while it is written.

use std::collections::BTreeMap;

use sessile::{Error, Model, error::CodecError, model::ModelPart, testing};

use crate::{back, seen};

#[derive(Clone, Debug, PartialEq, Model)]
struct Comment {
    text: String,
    answers: Vec<Comment>,
    first: Option<Box<Self>>,
    by_name: BTreeMap<String, Comment>,
}

fn comment(text: &str, answers: Vec<Comment>) -> Comment {
    Comment { text: text.to_owned(), answers, first: None, by_name: BTreeMap::new() }
}

/// As many levels of comments.
fn levels(count: usize) -> Comment {
    (1..count).fold(comment("a text that does not fit in place", vec![]), |inner, _| comment("", vec![inner]))
}

#[test]
fn a_model_in_itself_comes_back_as_it_was() {
    let mut tree = comment("a", vec![comment("b", vec![]), comment("c", vec![levels(5)])]);
    tree.first = Some(Box::new(levels(3)));
    tree.by_name.insert("x".to_owned(), levels(2));
    assert_eq!(back(&tree), tree);
}

#[test]
fn a_model_that_is_nested_too_deeply_is_refused() {
    let deepest = (1..100).take_while(|count| testing::session().insert_model("k", &levels(*count)).is_ok()).count();
    assert!((60..=64).contains(&deepest), "{deepest} levels");
    assert_eq!(back(&levels(deepest)), levels(deepest));
    let error = testing::session().insert_model("k", &levels(deepest + 1)).unwrap_err();
    assert!(matches!(error, Error::Codec(CodecError::TooDeep { limit: 64 })), "{error}");
}

#[derive(Model)]
struct Chain {
    next: Option<Box<Chain>>,
}

#[test]
fn the_depth_is_counted_while_writing() {
    // Without the count, writing this overflows the stack.
    let mut chain = Chain { next: None };
    for _ in 0..1_000_000 {
        chain = Chain { next: Some(Box::new(chain)) };
    }
    let error = testing::session().insert_model("k", &chain).unwrap_err();
    assert!(matches!(error, Error::Codec(CodecError::TooDeep { limit: 64 })), "{error}");
    // Its own drop would overflow the stack, too.
    while let Some(next) = chain.next.take() {
        chain = *next;
    }
}

#[derive(Debug, PartialEq, Model)]
struct Folder {
    #[model(nested)]
    entries: Vec<Item>,
}

#[derive(Debug, PartialEq, ModelPart)]
enum Item {
    File(String),
    Folder(#[model(nested)] Folder),
}

#[test]
fn two_types_may_contain_each_other() {
    let inner = Folder { entries: vec![Item::File("b".to_owned())] };
    let folder = Folder { entries: vec![Item::File("a".to_owned()), Item::Folder(inner)] };
    assert_eq!(back(&folder), folder);
}

mod v1 {
    #[derive(sessile::Model)]
    pub(super) struct Tree {
        pub label: u8,
        pub children: Vec<Tree>,
        pub left: Option<Box<(Tree, [Tree; 1])>>,
    }
}

#[derive(Debug, PartialEq, Model)]
#[model(version = 2)]
struct Tree {
    #[model(since = 2, from = u8, convert = u32::from)]
    label: u32,
    children: Vec<Tree>,
    left: Option<Box<(Tree, [Tree; 1])>>,
}

#[test]
fn the_older_shape_of_a_model_in_itself_has_the_older_shape_inside() {
    let leaf = |label| v1::Tree { label, children: vec![], left: None };
    let left = Some(Box::new((leaf(3), [leaf(4)])));
    let view = seen::<_, Tree>(&v1::Tree { label: 1, children: vec![leaf(2), leaf(200)], left });
    let tree: Tree = sessile::rkyv::api::deserialize_using::<_, _, sessile::rkyv::rancor::Error>(&*view, &mut ()).unwrap();
    let leaf = |label| Tree { label, children: vec![], left: None };
    let left = Some(Box::new((leaf(3), [leaf(4)])));
    assert_eq!(tree, Tree { label: 1, children: vec![leaf(2), leaf(200)], left });
}
