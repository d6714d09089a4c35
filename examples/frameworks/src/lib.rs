//! What the examples share: the two arguments that each of them takes.

use std::{env, net::SocketAddr, path::PathBuf};

/// The address to listen on, from the port that is the first argument (3000 if there is none; 0 for any that is free), and the store's
/// file, the second one (`sessions.redb` if there is none).
///
/// # Panics
/// If the first argument is no port.
#[must_use]
pub fn arguments() -> (SocketAddr, PathBuf) {
    let mut arguments = env::args().skip(1);
    let port = arguments.next().map_or(3000, |port| port.parse().expect("the first argument is a port"));
    (([127, 0, 0, 1], port).into(), arguments.next().unwrap_or_else(|| "sessions.redb".to_owned()).into())
}
