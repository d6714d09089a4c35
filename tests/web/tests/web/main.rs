//! How real browsers and proxies handle our cookies and headers. A test's name is the sentence that is wrong if it fails.
#![cfg(unix)]

mod ahead;
mod back;
mod caches;
mod deadlines;
mod device;
mod frames;
mod localhost;
mod one_name;
mod other_sites;
mod proxies;
mod sealed;
mod sockets;
mod workers;
