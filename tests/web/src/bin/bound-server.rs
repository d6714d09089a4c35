//! The application with sessions that are bound to the device, over a store in a file: `bound-server FILE`. It can be
//! killed, and started again with the same port.
//!
//! Standard input is the listening socket. The process ends when its standard output, which is a socket, closes.
#![cfg_attr(not(unix), allow(unused_crate_dependencies))]

#[cfg(unix)]
fn main() {
    use std::{
        env,
        io::{self, Read as _},
        net::TcpListener,
        os::{
            fd::{AsFd as _, OwnedFd},
            unix::net::UnixStream,
        },
        process, thread,
    };

    use sessile::{SessionLayer, Store, device::DeviceBound};
    use sessile_web_tests::application;

    let file = env::args_os().nth(1).expect("the file is the argument");
    let listener: OwnedFd = io::stdin().as_fd().try_clone_to_owned().expect("standard input is open");
    let lifeline: OwnedFd = io::stdout().as_fd().try_clone_to_owned().expect("standard output is open");
    thread::spawn(move || {
        let _ = UnixStream::from(lifeline).read(&mut [0]);
        process::exit(0);
    });
    let store = Store::open(file).expect("the store can be opened");
    let pages = application(&store, SessionLayer::new(store.clone()).device_bound(DeviceBound::new()), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("there are descriptors");
    runtime.block_on(async {
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true).expect("it is a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime has started");
        axum::serve(listener, pages).await.expect("loopback does not fail");
    });
}

#[cfg(not(unix))]
fn main() {}
