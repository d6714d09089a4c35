//! warp, which is a tower service: `SessionLayer` around its filters, and the session from the request's headers.
//!
//!     cargo run -p sessile-frameworks --example warp

use std::error::Error;

use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use sessile::{Session, SessionLayer, Store};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use warp::{
    Filter,
    http::{HeaderMap, StatusCode},
};

async fn home(headers: HeaderMap) -> Result<String, StatusCode> {
    let visits = Session::of_request(&headers)
        .and_then(|session| session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1))
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("visit {visits}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let store = Store::open(path)?;
    let sessions = SessionLayer::new(store).plain_http_on_loopback();
    let filters = warp::path::end().and(warp::header::headers_cloned()).then(home);
    let service = ServiceBuilder::new().layer(sessions).service(warp::service(filters));
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
