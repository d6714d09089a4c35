//! Models in a session: changed by concurrent requests, kept beyond them, and of a shape that is not the stored one.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use sessile::{Error, Model, View, error::CodecError, model::Stored};

use crate::support::{OnDisk, saved};

#[derive(Model, Clone, Debug, Default, PartialEq)]
struct Cart {
    items: Vec<u64>,
    note: String,
}

/// Another build, in which two fields of one type were swapped.
mod stored {
    #[derive(sessile::Model)]
    pub(super) struct Account {
        pub(super) paid: u64,
        pub(super) open: u64,
    }
}

mod swapped {
    #[derive(sessile::Model, Default)]
    pub(super) struct Account {
        pub(super) open: u64,
        pub(super) paid: u64,
    }
}

#[test]
fn a_model_of_another_shape_is_an_error_is_counted_and_stays() {
    let mut disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("account", &stored::Account { paid: 7, open: 9 }).unwrap();
    session.save().wait().unwrap();
    disk.reopen();

    let session = disk.store.session(Some(&token)).unwrap();
    let is_changed = |error: &Error| matches!(error, Error::Codec(CodecError::ShapeChanged { version: 1, .. }));
    assert!(session.view::<swapped::Account>("account").is_err_and(|error| is_changed(&error)));
    assert!(session.model::<swapped::Account>("account").is_err_and(|error| is_changed(&error)));
    let swap = |account: &mut swapped::Account| account.open += account.paid;
    assert!(session.update_model("account", swap).is_err_and(|error| is_changed(&error)));
    assert_eq!((disk.store.stats().shape_changed, disk.store.stats().unreadable), (3, 0));

    // The session goes on, and the build that stored the value still reads it.
    session.insert("n", 2_u64).unwrap();
    session.save().wait().unwrap();
    disk.reopen();
    let session = disk.store.session(Some(&token)).unwrap();
    assert_eq!(session.get("n").unwrap(), Some(2_u64));
    let account = session.model::<stored::Account>("account").unwrap().unwrap();
    assert_eq!((account.paid, account.open), (7, 9));
}

#[test]
fn concurrent_changes_of_one_model_lose_nothing() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 1);
    let (one, other) = (disk.store.session(Some(&token)).unwrap(), disk.store.session(Some(&token)).unwrap());
    let seen = one.update_model("cart", |cart: &mut Cart| cart.items.push(1)).unwrap();
    assert_eq!(seen.items, [1]);
    other.update_model("cart", |cart: &mut Cart| cart.items.push(2)).unwrap();
    other.update_model("cart", |cart: &mut Cart| cart.note.push_str("gift")).unwrap();
    one.save().wait().unwrap();
    other.save().wait().unwrap();
    let now = disk.store.session(Some(&token)).unwrap();
    assert_eq!(now.model("cart").unwrap(), Some(Cart { items: vec![1, 2], note: "gift".to_owned() }));

    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, token) = (&disk.store, &token);
            scope.spawn(move || {
                for n in 0..25 {
                    let session = store.session(Some(token)).unwrap();
                    session.update_model("cart", move |cart: &mut Cart| cart.items.push(100 * thread + n)).unwrap();
                    session.save().wait().unwrap();
                }
            });
        }
    });
    let cart: Cart = disk.store.session(Some(&token)).unwrap().model("cart").unwrap().unwrap();
    assert_eq!(cart.items.len(), 2 + 100);
}

#[test]
fn an_update_of_a_model_overwrites_nothing_that_it_cannot_read() {
    mod newer {
        #[derive(sessile::Model)]
        #[model(version = 2)]
        pub(super) struct Cart {
            #[model(since = 2, was = "items")]
            pub(super) lines: Vec<u64>,
            pub(super) note: String,
        }
    }

    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("cart", &newer::Cart { lines: vec![7], note: String::new() }).unwrap();
    session.insert("text", "a text").unwrap();
    session.save().wait().unwrap();
    let session = disk.store.session(Some(&token)).unwrap();
    let push = |cart: &mut Cart| cart.items.push(8);
    assert!(matches!(session.update_model("cart", push), Err(Error::Codec(CodecError::ModelFromFuture { .. }))));
    assert!(matches!(session.update_model("text", push), Err(Error::Codec(CodecError::WrongLane { .. }))));
    session.save().wait().unwrap();
    let cart = disk.store.session(Some(&token)).unwrap().model::<newer::Cart>("cart").unwrap().unwrap();
    assert_eq!(cart.lines, [7]);
}

#[test]
fn an_update_of_an_older_version_stores_the_newest() {
    mod newer {
        #[derive(sessile::Model, Default)]
        #[model(version = 2)]
        pub(super) struct Cart {
            pub(super) items: Vec<u64>,
            pub(super) note: String,
            #[model(since = 2, default = 3)]
            pub(super) theme: u8,
        }
    }

    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("cart", &Cart { items: vec![7], note: "gift".to_owned() }).unwrap();
    session.save().wait().unwrap();
    let session = disk.store.session(Some(&token)).unwrap();
    session.update_model("cart", |cart: &mut newer::Cart| cart.items.push(8)).unwrap();
    session.save().wait().unwrap();
    let cart = disk.store.session(Some(&token)).unwrap().model::<newer::Cart>("cart").unwrap().unwrap();
    assert_eq!((cart.items, cart.note.as_str(), cart.theme), (vec![7, 8], "gift", 3));
}

static MIGRATIONS: AtomicU32 = AtomicU32::new(0);

#[derive(Model)]
#[model(name = "cart", version = 2, migrate = counted)]
struct Counted {
    items: Vec<u64>,
}

fn counted(old: Stored<'_>) -> Result<Counted, CodecError> {
    MIGRATIONS.fetch_add(1, Ordering::Relaxed);
    old.read().map(|Cart { items, .. }| Counted { items })
}

#[test]
fn a_request_migrates_a_model_once_and_sees_what_it_sets_afterwards() {
    let disk = OnDisk::new();
    let (session, token) = saved(&disk.store, 1);
    session.insert_model("cart", &Cart { items: vec![7], note: String::new() }).unwrap();
    session.save().wait().unwrap();
    let session = disk.store.session(Some(&token)).unwrap();
    for _ in 0..3 {
        assert_eq!(session.model::<Counted>("cart").unwrap().unwrap().items, [7]);
    }
    assert_eq!(MIGRATIONS.load(Ordering::Relaxed), 1);
    session.insert_model("cart", &Counted { items: vec![8] }).unwrap();
    assert_eq!(session.model::<Counted>("cart").unwrap().unwrap().items, [8]);
    session.remove("cart").unwrap();
    assert!(session.model::<Counted>("cart").unwrap().is_none());
}

/// A template that borrows from a view.
struct Page<'a> {
    cart: &'a ArchivedCart,
}

impl std::fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<p>{}</p>{}", self.cart.note, self.cart.items.len())
    }
}

#[test]
fn a_view_is_kept_over_a_commit_sent_to_a_thread_and_lent_to_a_template() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    session.insert_model("cart", &Cart { items: vec![7, 9], note: "a note that does not fit in place".to_owned() }).unwrap();
    session.save().wait().unwrap();
    let view: View<Cart> = session.view("cart").unwrap().unwrap();
    session.insert_model("cart", &Cart::default()).unwrap();
    session.save().wait().unwrap();
    session.destroy();
    session.save().wait().unwrap();
    drop(session);
    let note = view.note.as_str().as_ptr().addr();
    let page = std::thread::spawn(move || {
        assert_eq!(view.note.as_str().as_ptr().addr(), note, "it was not copied");
        Page { cart: &view }.to_string()
    });
    assert_eq!(page.join().unwrap(), "<p>a note that does not fit in place</p>2");
    // A clone is the same bytes, and an owned model is not.
    let session = disk.store.session(None).unwrap();
    session.insert_model("cart", &Cart { items: vec![1], note: "another that does not fit in place".to_owned() }).unwrap();
    let view: Arc<View<Cart>> = Arc::new(session.view("cart").unwrap().unwrap());
    assert_eq!(View::clone(&view).note.as_str().as_ptr(), view.note.as_str().as_ptr());
    assert_ne!(view.to_model().unwrap().note.as_ptr(), view.note.as_str().as_ptr());
}

#[test]
fn models_in_a_scope_are_the_same() {
    let disk = OnDisk::new();
    let (session, _) = saved(&disk.store, 1);
    let shop = session.scope("shop");
    shop.update_model("cart", |cart: &mut Cart| cart.items.push(7)).unwrap();
    assert_eq!(shop.model::<Cart>("cart").unwrap().unwrap().items, [7]);
    assert_eq!(session.model::<Cart>("cart").unwrap(), None);
    assert_eq!(session.model::<Cart>("shop:cart").unwrap().unwrap().items, [7]);
}
