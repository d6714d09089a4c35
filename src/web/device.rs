//! Binds sessions to the device of their browser: the settings, and what each request and response has to do with it.
//!
//! A bound session has two cookies: the long one with its token, and a short one that says that the client proved lately that it
//! has the device's key. A browser that supports this proves by itself; a copy of the cookies is worth as long as the short one.
//!
//! Invariants: a bound session is used only with a proof. A request without one does not change the long cookie, and deletes a short
//! one that is not good. To check a proof costs no I/O and no lock.

mod endpoint;
mod require;

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub use self::require::{RequireDevice, RequireDeviceFuture, RequireDeviceService};
use super::{
    arrived::Carried,
    cookie::{self, CookieTemplate},
    request_scope::Demand,
};
use crate::{
    Handle, Session, Store, log,
    proof::{ALGORITHMS, Challenges, Purpose},
    session::{Device, State},
};

const REGISTRATION: HeaderName = HeaderName::from_static("secure-session-registration");
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

/// How sessions are bound to the device of their browser: see [`SessionLayer::device_bound`](crate::SessionLayer::device_bound).
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use sessile::{SessionLayer, device::DeviceBound};
///
/// # let store = sessile::testing::store();
/// let sessions = SessionLayer::new(store).device_bound(DeviceBound::new().lifetime(Duration::from_mins(5))?);
/// assert!(DeviceBound::new().lifetime(Duration::from_secs(5)).is_err());
/// # Ok::<(), sessile::device::DeviceBoundError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "the settings do nothing until they are passed to a layer"]
pub struct DeviceBound {
    lifetime: Duration,
    path: String,
}

impl DeviceBound {
    /// Returns the defaults: a proof every 10 minutes, and paths under `/.well-known/sessile/`.
    pub fn new() -> Self {
        Self { lifetime: Duration::from_mins(10), path: "/.well-known/sessile/".to_owned() }
    }

    /// Sets how long a proof is enough: from 1 to 60 minutes. A copied cookie can be used for that time. Default: 10 minutes.
    ///
    /// Chromium proves again up to two minutes before the end, and signs at most six times in nine minutes for a site. If the lifetime
    /// is less than four minutes and a visitor sends many requests, it stops proving: the visitor is signed out until the nine
    /// minutes are over.
    ///
    /// # Errors
    /// [`DeviceBoundError::Lifetime`].
    pub fn lifetime(self, lifetime: Duration) -> Result<Self, DeviceBoundError> {
        if (Duration::from_mins(1)..=Duration::from_hours(1)).contains(&lifetime) {
            Ok(Self { lifetime, ..self })
        } else {
            Err(DeviceBoundError::Lifetime { found: lifetime })
        }
    }

    /// Sets the path under which the layer answers the browser's own requests. It begins and ends with `/`. Requests to
    /// `device/register` and `device/refresh` under it do not reach the application. Default: `/.well-known/sessile/`.
    ///
    /// # Errors
    /// [`DeviceBoundError::Path`].
    pub fn path(self, path: &str) -> Result<Self, DeviceBoundError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if path.starts_with('/') && path.ends_with('/') && path.bytes().all(is_plain) {
            Ok(Self { path: path.to_owned(), ..self })
        } else {
            Err(DeviceBoundError::Path { found: path.to_owned() })
        }
    }
}

impl Default for DeviceBound {
    fn default() -> Self {
        Self::new()
    }
}

/// Why settings of [`DeviceBound`] are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceBoundError {
    /// The lifetime of a proof is out of its range.
    Lifetime {
        /// The lifetime that was set.
        found: Duration,
    },
    /// The path is none that can be in a header as it is.
    Path {
        /// The path that was set.
        found: String,
    },
}

impl fmt::Display for DeviceBoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lifetime { found } => {
                write!(f, "a proof lasts {found:?}, from 1 to 60 minutes are allowed; choose one of them")
            }
            Self::Path { found } => write!(
                f,
                "the path is {found:?}, expected one that begins and ends with `/` and has only letters, digits and `-._~` between"
            ),
        }
    }
}

impl std::error::Error for DeviceBoundError {}

/// The settings in use, with the challenges of one layer.
pub(super) struct Devices {
    lifetime_s: u32,
    register: String,
    refresh: String,
    challenges: Challenges,
}

impl Devices {
    pub(super) fn new(settings: DeviceBound) -> Self {
        let DeviceBound { lifetime, path } = settings;
        Self {
            lifetime_s: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
            register: format!("{path}device/register"),
            refresh: format!("{path}device/refresh"),
            challenges: Challenges::default(),
        }
    }

    /// Replaces the session that was just loaded by one without values, if it is bound to a device and the request has no proof.
    /// Returns what the response asks of the browser then.
    #[inline]
    pub(super) fn admit(&self, store: &Store, state: &mut State, carried: &Carried<'_>, template: &CookieTemplate) -> Demand {
        let proofs = || cookie::candidates(carried.values(), template.name().as_bytes());
        match state.admit(store, proofs(), self.lifetime_s) {
            None => Demand::Nothing,
            Some(session) => Demand::Ask { session, has_bad_proof: proofs().next().is_some() },
        }
    }

    /// Asks the browser for a proof of `session`.
    pub(super) fn ask(&self, session: Handle, now_ms: u64, headers: &mut HeaderMap) {
        // Without randomness there is no challenge, and the browser asks for one.
        let Ok(challenge) = self.challenges.issue(Purpose::Refresh, session, now_ms) else { return };
        headers.insert(CHALLENGE, visible(format!("\"{challenge}\";id=\"{session}\"")));
    }

    /// Asks the browser to register a key, if the session has an owner and is not bound.
    pub(super) fn offer(&self, session: &Session, now_ms: u64, headers: &mut HeaderMap) {
        let Some(handle) = session.handle().filter(|_| session.owner().is_some() && session.device() == Device::Unbound) else {
            return;
        };
        let Ok(challenge) = self.challenges.issue(Purpose::Register, handle, now_ms) else { return };
        let register = &self.register;
        headers.insert(REGISTRATION, visible(format!("{ALGORITHMS};path=\"{register}\";challenge=\"{challenge}\"")));
    }

    /// Sets the short cookie: the client has just proved that it has the session's key.
    fn prove(&self, session: &Session, handle: Handle, template: &CookieTemplate, headers: &mut HeaderMap) {
        let Some(value) = session.possession() else { return };
        let max_age = Duration::from_secs(self.lifetime_s.into());
        headers.append(header::SET_COOKIE, template.set(&value, Some(max_age)));
        log::proved_device(handle);
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Devices").field("lifetime_s", &self.lifetime_s).field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("paths were checked, and challenges and handles are plain")
}
