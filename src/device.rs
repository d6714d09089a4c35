//! Sessions that are bound to the device of their browser: Device Bound Session Credentials (W3C).
//!
//! [`SessionLayer::device_bound`](crate::SessionLayer::device_bound) turns it on. [`Session::device`](crate::Session::device) returns
//! whether the session of a request is bound, and [`RequireDevice`] refuses requests to a route whose session is not.

pub use crate::{
    proof::Refusal,
    session::Device,
    web::{DeviceBound, DeviceBoundError, RequireDevice, RequireDeviceFuture, RequireDeviceService},
};
