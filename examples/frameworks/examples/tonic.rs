//! gRPC with tonic: `SessionLayer` around the services, and the token in the metadata, as `authorization: Bearer ...`. The answer brings
//! a new one as `session-token`.
//!
//!     cargo run -p sessile-frameworks --example tonic

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use sessile::{Session, SessionLayer, Store, web::Transport};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

async fn count(request: Request<()>) -> Result<Response<String>, Status> {
    let visits = Session::of_request(request.metadata().as_ref())
        .and_then(|session| session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1))
        .map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(Response::new(format!("visit {visits}")))
}

/// `service Visits { rpc Count(google.protobuf.Empty) returns (google.protobuf.StringValue); }`, as tonic-build would write it: by hand
/// here, so that nobody needs a protobuf compiler.
#[derive(Clone)]
struct Visits;

impl NamedService for Visits {
    const NAME: &'static str = "tour.Visits";
}

impl Service<http::Request<Body>> for Visits {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async { Ok(Grpc::new(ProstCodec::<String, ()>::default()).unary(service_fn(count), request).await) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let sessions = SessionLayer::new(Store::open(path)?).transport(Transport::Bearer)?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = Server::builder().layer(sessions).add_service(Visits);
    server.serve_with_incoming(TcpIncoming::from(listener)).await?;
    Ok(())
}
