//! The values that this crate itself keeps in a session, under reserved keys: messages and the label, the secret of forms, and the
//! client and the device that the session is bound to. An application cannot read or write these keys.

pub(super) mod binding;
pub(super) mod csrf;
#[cfg(feature = "device-bound")]
pub(super) mod device;
pub(super) mod flash;
