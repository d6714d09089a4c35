//! The server from its start to its end: opens the files, listens, and stops at a signal.
//!
//! Invariants: signals are caught before the address is printed; after one, requests that have begun may end, for [`GRACE`], and the store
//! is closed. Knows nothing of pages.

use std::{
    error::Error as _,
    fmt, fs, io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use axum::Router;
use sessile::{Store, web::CsrfError};
use tokio::time;

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
    let router = router(App { store: store.clone(), users }, address, options.origin.as_deref()).map_err(StartError::Origin)?;
    let banner = format!("Listening on http://{address}\nData in {}\nStop with Ctrl-C", data.display());
    let served = serve(listener, router, &banner);

    // What was acknowledged is on disk already: this writes what may be lost, such as the latest uses of sessions, and empties the journal.
    store.close()?;
    served?;
    println!("Stopped");
    Ok(())
}

/// Serves until a signal, then lets requests end that have begun.
#[tokio::main]
async fn serve(listener: TcpListener, router: Router, banner: &str) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (stop, stop_for_good) = (signal()?, signal()?);
    println!("{banner}");
    let stopping = async {
        stop.await;
        println!("Stopping");
    };
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stopping) => served,
        // A client that never finishes its request must not keep the program from stopping.
        () = async { stop_for_good.await; time::sleep(GRACE).await } => {
            eprintln!("some requests took longer than {} s and were cut off", GRACE.as_secs());
            Ok(())
        }
    }
}

/// Completes at Ctrl-C (SIGINT) or SIGTERM, which no longer end the process by themselves once this has returned.
#[cfg(unix)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Completes at Ctrl-C, which no longer ends the process by itself once this has returned.
#[cfg(windows)]
fn signal() -> io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}

/// Why the program could not run.
pub(crate) enum StartError {
    Port { port: u16, source: io::Error },
    Data { path: PathBuf, source: io::Error },
    Store(sessile::Error),
    Users(users::Error),
    Origin(CsrfError),
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
            Self::Origin(error) => write!(f, "--origin: {error}"),
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
