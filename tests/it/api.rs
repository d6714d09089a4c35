//! Properties of the public API's types, such as `Send` and `Sync`.

use sessile::{
    Ack, Builder, Cookie, Error, Flash, Handle, Model, Session, SessionInfo, SessionLayer, Stats, Store, Tier, Token, View,
    error::Cause, model::Entry, web::CookieError,
};

#[derive(Model)]
struct Name(String);

fn is_shareable<T: Send + Sync + 'static>() {}

fn is_cloneable<T: Clone + Send + Sync + 'static>() {}

fn is_an_error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}

#[test]
fn what_handlers_hold_goes_to_any_thread_and_stays_as_long_as_it_likes() {
    is_cloneable::<Store>();
    is_cloneable::<Session>();
    is_cloneable::<View<Name>>();
    is_cloneable::<Entry>();
    is_cloneable::<sessile_codec::Record>();
    is_cloneable::<SessionLayer>();
    is_cloneable::<Builder>();
    is_cloneable::<Cookie>();
    is_cloneable::<Error>();
    is_cloneable::<Cause>();
    is_cloneable::<SessionInfo>();
    is_cloneable::<Flash>();
    is_shareable::<Token>();
    is_shareable::<Handle>();
    is_shareable::<Stats>();
    is_shareable::<Tier>();
    is_shareable::<Ack>();
    is_shareable::<Ack<usize>>();
    is_an_error::<Error>();
    is_an_error::<CookieError>();
    is_an_error::<sessile::error::CodecError>();
    is_an_error::<sessile::error::ParseHandleError>();
}

#[test]
fn a_view_and_a_record_are_small_to_move() {
    let pointer = size_of::<usize>();
    assert!(size_of::<sessile_codec::Record>() <= 2 * pointer, "{}", size_of::<sessile_codec::Record>());
    assert!(size_of::<View<Name>>() <= 4 * pointer, "{}", size_of::<View<Name>>());
    assert_eq!(size_of::<Session>(), pointer);
    assert_eq!(size_of::<Store>(), 2 * pointer);
}
