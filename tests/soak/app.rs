//! The application under load.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use sessile::{Error, Session, SessionLayer, Store};
use tokio::net::TcpListener;

/// How long a bot's session lasts.
pub(crate) const BOT_LIFE: Duration = Duration::from_secs(1);
/// Items in a cart: the oldest goes for one more.
pub(crate) const CART: usize = 20;
/// What the application keeps of everybody who has signed in.
pub(crate) const PROFILE: &str = "tea, no sugar; a window seat; the newspaper on Saturdays; parcels to the neighbour in number 12, who is \
                                  always at home; never call before nine; invoices by post, please, and twice; large print";

/// Serves the application on a free port of loopback, until the runtime ends.
pub(crate) async fn serve(store: Store) -> crate::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/look", get(look))
        .route("/visit", get(visit))
        .route("/put/{item}", get(put))
        .route("/quick/{n}", get(quick))
        .route("/sign-in/{owner}", get(sign_in))
        .route("/sign-out", get(sign_out))
        .route("/renew", get(renew))
        .route("/everywhere", get(everywhere))
        .route("/crawl", get(crawl))
        .layer(SessionLayer::new(store.clone()).plain_http_on(address)?)
        .with_state(store);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// What is in a session, as one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) visits: u32,
    pub(crate) cart: Vec<u32>,
    pub(crate) quick: Option<u32>,
    pub(crate) owner: Option<String>,
}

impl Content {
    pub(crate) fn line(&self) -> String {
        let profile = if self.owner.is_some() { PROFILE } else { "" };
        format!("{} visits, cart {:?}, quick {:?}, {:?}, {profile:?}", self.visits, self.cart, self.quick, self.owner)
    }
}

async fn look(session: Session) -> Result<String, Error> {
    let content = Content {
        visits: session.get("visits")?.unwrap_or_default(),
        cart: session.get("cart")?.unwrap_or_default(),
        quick: session.get("quick")?,
        owner: session.get("owner")?,
    };
    let profile: Option<String> = session.get("profile")?;
    // Told apart here, so that a profile that is lost shows.
    Ok(if profile.is_some() == content.owner.is_some() { content.line() } else { format!("profile {profile:?}") })
}

async fn visit(session: Session) -> Result<String, Error> {
    Ok(session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?.to_string())
}

async fn put(Path(item): Path<u32>, session: Session) -> Result<String, Error> {
    let cart = session.update("cart", move |cart: Option<Vec<u32>>| {
        let mut cart = cart.unwrap_or_default();
        cart.push(item);
        cart.drain(..cart.len().saturating_sub(CART));
        cart
    })?;
    Ok(cart.len().to_string())
}

async fn quick(Path(n): Path<u32>, session: Session) -> Result<(), Error> {
    session.insert_quick("quick", n)
}

async fn sign_in(Path(owner): Path<String>, session: Session) -> Result<(), Error> {
    session.sign_in(&owner)?;
    session.insert("owner", owner)?;
    session.insert("profile", PROFILE)
}

async fn sign_out(session: Session) {
    session.destroy();
}

async fn renew(session: Session) {
    session.rotate_with_grace();
}

async fn everywhere(State(store): State<Store>, session: Session) -> Result<String, StatusCode> {
    let owner: String = session.get("owner").ok().flatten().ok_or(StatusCode::UNAUTHORIZED)?;
    let ended = store.destroy_sessions_of(owner).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(ended.to_string())
}

async fn crawl(session: Session) -> Result<(), Error> {
    session.insert("page", PROFILE)?;
    session.set_idle_timeout(BOT_LIFE)
}
