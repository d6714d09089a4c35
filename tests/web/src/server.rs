//! An application on a port of loopback, over TLS or without, that can be replaced while it runs.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Router, extract::Request, serve::Listener};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt as _;

use crate::certificate;

/// A server on a port that the kernel chose. It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    current: Arc<Mutex<Router>>,
    scheme: &'static str,
    port: u16,
    runtime: Option<Runtime>,
}

impl Server {
    /// A server of `application` that speaks https.
    pub fn https(application: Router) -> Self {
        Self::start("https", application)
    }

    /// A server of `application` that speaks plain http.
    pub fn http(application: Router) -> Self {
        Self::start("http", application)
    }

    fn start(scheme: &'static str, application: Router) -> Self {
        let current = Arc::new(Mutex::new(application));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread can be started");
        let port = runtime.block_on(serve(scheme, dispatch(&current)));
        Self { current, scheme, port, runtime: Some(runtime) }
    }

    /// Replaces the application, as a new release does.
    pub fn deploy(&self, application: Router) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = application;
    }

    /// The origin under which the server is `host`.
    pub fn origin(&self, host: &str) -> String {
        format!("{}://{host}:{}", self.scheme, self.port)
    }

    /// The port of 127.0.0.1 on which the server listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Passes each request to the current application.
fn dispatch(current: &Arc<Mutex<Router>>) -> Router {
    let current = current.clone();
    Router::new().fallback(move |request: Request| {
        let application = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        application.oneshot(request)
    })
}

/// Starts to serve in the background, and returns the port.
async fn serve(scheme: &str, application: Router) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
    let address = listener.local_addr().expect("the listener is bound");
    if scheme == "https" {
        let listener = TlsListener::new(listener, address);
        tokio::spawn(async move { axum::serve(listener, application).await });
    } else {
        tokio::spawn(async move { axum::serve(listener, application).await });
    }
    address.port()
}

/// Connections whose handshake is complete. A client that does not finish its handshake delays no other.
struct TlsListener {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    fn new(listener: TcpListener, address: SocketAddr) -> Self {
        let (sender, connections) = mpsc::channel(16);
        tokio::spawn(accept_all(listener, certificate::acceptor(), sender));
        Self { connections, address }
    }
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    while let Ok((stream, client)) = listener.accept().await {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                // It fails only when the server has ended.
                let _ = sender.send((stream, client)).await;
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
