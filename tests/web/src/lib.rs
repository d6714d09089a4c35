//! What the cases in `tests/web` share: a browser, proxies, servers and a small application.
//!
//! Invariants: traffic uses loopback only. The kernel chooses every port. Each program ends when its value is dropped, and when
//! the test process is killed.
#![cfg(unix)]

mod application;
mod certificate;
mod chromium;
mod page;
mod programs;
mod proxy;
mod server;

pub use self::{
    application::{application, site, user_of},
    chromium::Browser,
    page::Page,
    proxy::{Front, Proxy},
    server::Server,
};
