//! hyper alone, without a framework: `SessionLayer` around a function, and the session by `Session::of_request`.
//!
//!     cargo run -p sessile-frameworks --example hyper

use std::error::Error;

use hyper::{Request, Response, body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use sessile::{Session, SessionLayer, Store};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

async fn home(request: Request<Incoming>) -> Result<Response<String>, sessile::Error> {
    let session = Session::of_request(request.headers())?;
    let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
    Ok(Response::new(format!("visit {visits}\n")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let store = Store::open(path)?;
    let sessions = SessionLayer::new(store).plain_http_on_loopback();
    let service = ServiceBuilder::new().layer(sessions).service(service_fn(home));
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (connection, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await {
                eprintln!("{error}");
            }
        });
    }
}
