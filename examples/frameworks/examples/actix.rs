//! actix-web with actix-session, whose sessions our store keeps: one line differs from an application with another store.
//! Sign in with `POST /in/NAME`, out with `POST /out`.
//!
//!     cargo run -p sessile-frameworks --example actix

use std::error::Error;

use actix_session::{Session, SessionMiddleware};
use actix_web::{
    App, HttpServer,
    cookie::Key,
    rt::System,
    web::{Path, get, post},
};
use sessile::Store;
use sessile_actix_session::ActixSessions;

type Answer = Result<String, actix_web::Error>;

async fn home(session: Session) -> Answer {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    let name = session.get::<String>("name")?.unwrap_or_else(|| "nobody".to_owned());
    Ok(format!("visit {visits} of {name}\n"))
}

async fn sign_in(session: Session, name: Path<String>) -> Answer {
    // A new id: who knew the old one, or planted it, is not signed in.
    session.renew();
    session.insert("name", name.as_str())?;
    Ok(format!("hello {name}\n"))
}

async fn sign_out(session: Session) -> Answer {
    session.purge();
    Ok("goodbye\n".to_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let store = Store::open(path)?;
    // One store for all workers. The line that differs is this one.
    let sessions = ActixSessions::new(store);
    // Signs the cookies: a real one comes from the configuration, or nobody is signed in after a restart.
    let key = Key::from(&[7; 64]);
    let server = HttpServer::new(move || {
        let middleware = SessionMiddleware::builder(sessions.clone(), key.clone());
        App::new()
            // Plain http is for development on this computer.
            .wrap(middleware.cookie_secure(false).build())
            .route("/", get().to(home))
            .route("/in/{name}", post().to(sign_in))
            .route("/out", post().to(sign_out))
    });
    let server = server.bind(address)?;
    println!("listening on http://{}", server.addrs()[0]);
    System::new().block_on(server.run())?;
    Ok(())
}
