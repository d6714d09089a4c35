//! What the store counts, as Prometheus reads it: `/metrics` beside the application.
//!
//!     cargo run -p sessile-frameworks --example metrics

use std::error::Error;

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use sessile::{Session, SessionLayer, Store};
use tokio::net::TcpListener;

async fn home(session: Session) -> Result<String, sessile::Error> {
    let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
    Ok(format!("visit {visits}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let store = Store::open(path)?;
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let scraped = store.clone();
    let metrics = move || async move {
        // Before each scrape, so that requests need do nothing for it.
        scraped.publish_metrics("main");
        prometheus.render()
    };
    let sessions = SessionLayer::new(store).plain_http_on_loopback();
    // Outside of the layer: who scrapes has no session.
    let app = Router::new().route("/", get(home)).layer(sessions).route("/metrics", get(metrics));
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
