//! Sessions over HTTP: the cookie, the layer around an application, and the extractor.
//!
//! Put [`SessionLayer`] around an application; its handlers extract a [`Session`](crate::Session). [`Cookie`] and [`Transport`]
//! configure what carries the token, [`CsrfLayer`] refuses requests that other sites make with a visitor's cookie, [`Binding`]
//! detects that a session's client has changed.

// Depends on the session alone; nothing below knows of HTTP.

mod answer;
mod arrived;
mod authority;
mod binding;
mod body;
mod config;
mod cookie;
mod csrf;
#[cfg(feature = "device-bound")]
mod device;
#[cfg(feature = "axum")]
mod extract;
mod layer;
mod loopback;
mod marker;
mod named;
mod request_scope;
#[cfg(feature = "sealed")]
#[path = "sealed/cookie.rs"]
mod sealed;
mod service;
mod transport;

#[cfg(feature = "device-bound")]
pub use self::device::{DeviceBound, DeviceBoundError, RequireDevice, RequireDeviceFuture, RequireDeviceService};
#[cfg(all(fuzzing, feature = "sealed"))]
pub(crate) use self::sealed::check_sealed;
pub use self::{
    answer::ResponseFuture,
    binding::{Binding, BindingChange, OnChange},
    cookie::{Cookie, CookieError, SameSite},
    csrf::{CsrfError, CsrfFuture, CsrfLayer, CsrfService},
    layer::SessionLayer,
    named::{Named, SessionName},
    service::SessionService,
    transport::{Transport, TransportError},
};
#[cfg(fuzzing)]
pub(crate) use self::{cookie::plain::check as check_cookies, transport::check_bearer};
