//! The server from its start to its end: opens the files, listens, and stops at a signal.
//!
//! Invariant: at Ctrl-C, requests that have begun may end, for [`GRACE`], and the store is closed. Knows nothing of pages.

use std::{
    error::Error as _,
    fmt, fs, io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use axum::Router;
use sessile::Store;
use tokio::{signal, time};

use crate::{
    App,
    args::Options,
    router,
    users::{self, Users},
};

/// How long requests that have begun may take to end after a signal.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn run(options: &Options) -> Result<(), StartError> {
    let in_data = |source| StartError::Data { path: options.data.clone(), source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
        .map_err(|source| StartError::Port { port: options.port, source })?;
    fs::create_dir_all(&options.data).map_err(in_data)?;
    let data = std::path::absolute(&options.data).map_err(in_data)?;
    let store = Store::open(data.join("sessions.redb"))?;
    let users = Users::open(&data.join("users.redb"))?;

    let address = listener.local_addr()?;
    println!("Listening on http://{address}");
    println!("Data in {}", data.display());
    println!("Stop with Ctrl-C");
    serve(listener, router(App { store: store.clone(), users }, address))?;

    // Not needed to keep what was acknowledged, which is on disk already; it makes the next start a little quicker.
    store.close()?;
    println!("Stopped");
    Ok(())
}

/// Serves until Ctrl-C, then lets requests end that have begun.
#[tokio::main]
async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let grace_over = async {
        stop().await;
        time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = axum::serve(listener, router).with_graceful_shutdown(stop()) => ended,
        // A client that never finishes its request must not keep the program from stopping.
        () = grace_over => Ok(()),
    }
}

async fn stop() {
    if signal::ctrl_c().await.is_err() {
        // Without the signal, only a kill is left; to stop at once would be worse.
        std::future::pending::<()>().await;
    }
}

/// Why the program could not run.
pub(crate) enum StartError {
    Port { port: u16, source: io::Error },
    Data { path: PathBuf, source: io::Error },
    Store(sessile::Error),
    Users(users::Error),
    Serve(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { port, source } if source.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "port {port} is in use by another program; choose another with `--port N`, or any free one with `--port 0`"
            ),
            Self::Port { port, source } => {
                write!(f, "cannot listen on port {port}: {source}; choose another with `--port N`")
            }
            Self::Data { path, source } => {
                write!(f, "cannot use {}: {source}; choose another directory with `--data DIR`", path.display())
            }
            Self::Store(error) => match error.source() {
                Some(cause) => write!(f, "{error}: {cause}"),
                None => error.fmt(f),
            },
            Self::Users(error) => error.fmt(f),
            Self::Serve(source) => write!(f, "the server stopped: {source}"),
        }
    }
}

impl From<sessile::Error> for StartError {
    fn from(source: sessile::Error) -> Self {
        Self::Store(source)
    }
}

impl From<users::Error> for StartError {
    fn from(source: users::Error) -> Self {
        Self::Users(source)
    }
}

impl From<io::Error> for StartError {
    fn from(source: io::Error) -> Self {
        Self::Serve(source)
    }
}
