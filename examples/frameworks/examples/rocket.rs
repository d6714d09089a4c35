//! Rocket 0.5: a request guard that finds the session, and a fairing that commits it and sets the cookie.
//!
//!     cargo run -p sessile-frameworks --example rocket

use std::{convert::Infallible, net::SocketAddr};

use rocket::{
    Build, Config, Request, Response, Rocket,
    fairing::{self, Fairing, Info, Kind},
    get,
    http::Status,
    request::{FromRequest, Outcome},
    routes,
};
use sessile::{Session, Store, Token};

/// The request's session. Any handler may ask for it; all of them get the same one.
struct Visitor(Session);

fn brought(request: &Request<'_>) -> Option<Token> {
    request.cookies().get("session").and_then(|cookie| Token::parse(cookie.value().as_bytes()))
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Visitor {
    type Error = Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Infallible> {
        let store = request.rocket().state::<Store>().expect("`main` manages a store");
        let session = request.local_cache(|| store.session(brought(request).as_ref()).ok());
        // Not a new session where the disk failed: that would sign the visitor out.
        session.clone().map_or(Outcome::Forward(Status::ServiceUnavailable), |session| Outcome::Success(Self(session)))
    }
}

struct Commit;

#[rocket::async_trait]
impl Fairing for Commit {
    fn info(&self) -> Info {
        Info { name: "sessions", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let Some(session) = request.local_cache(|| None::<Session>) else { return };
        if session.save().await.is_err() {
            *response = Response::build().status(Status::ServiceUnavailable).finalize();
        } else if session.token() != brought(request) {
            let token = session.token().map_or_else(String::new, |token| token.expose());
            let ends = if token.is_empty() { "; Max-Age=0" } else { "" };
            response.adjoin_raw_header("Set-Cookie", format!("session={token}; HttpOnly; SameSite=Lax; Path=/{ends}"));
        }
    }
}

#[get("/")]
#[expect(clippy::needless_pass_by_value, reason = "a guard is passed by value")]
fn home(visitor: Visitor) -> Result<String, Status> {
    let visits = visitor.0.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1);
    visits.map(|visits| format!("visit {visits}\n")).map_err(|_| Status::InternalServerError)
}

fn rocket(address: SocketAddr, store: Store) -> Rocket<Build> {
    let config = Config { address: address.ip(), port: address.port(), ..Config::release_default() };
    let liftoff = fairing::AdHoc::on_liftoff("address", |rocket| {
        Box::pin(async move { println!("listening on http://127.0.0.1:{}", rocket.config().port) })
    });
    rocket::custom(config).manage(store).attach(Commit).attach(liftoff).mount("/", routes![home])
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, path) = sessile_frameworks::arguments();
    rocket(address, Store::open(path)?).launch().await?;
    Ok(())
}
