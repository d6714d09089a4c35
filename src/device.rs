//! Sessions that are bound to the device of their browser: Device Bound Session Credentials (W3C).
//!
//! [`SessionLayer::device_bound`](crate::SessionLayer::device_bound) turns it on. [`Session::device`](crate::Session::device) says how a
//! request stands, and [`RequireDevice`] demands a device for a route.

pub use crate::{
    proof::Refusal,
    session::Device,
    web::{DeviceBound, DeviceBoundError, RequireDevice, RequireDeviceFuture, RequireDeviceService},
};
