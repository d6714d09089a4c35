//! Detects that a session's token is used by a client that differs from the one that got it.
//!
//! Why it is off by default: addresses change on the way to work, and user agents with every update. So it signs out far more
//! visitors than thieves; and a thief of a token can often copy the user agent too. It is a signal, not a lock.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, header::USER_AGENT};
use sha2::{Digest, Sha256};

use crate::{Handle, Session, log, session::Bound};

type ReadAddress = dyn Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync;
type Observe = dyn Fn(&BindingChange) + Send + Sync;

/// What sessions are bound to, and what happens when it changes; for [`SessionLayer::binding`](crate::SessionLayer::binding).
///
/// A session is bound when it is stored for the first time and at every [`rotate`](Session::rotate); an older one with its next
/// change. Only hashes are stored, no clear text. Default: bound to nothing.
///
/// # Examples
/// ```
/// # use sessile::{SessionLayer, web::{Binding, OnChange}};
/// # let store = sessile::testing::store();
/// let binding = Binding::new()
///     .user_agent()
///     .observe(|change| println!("{} is used by another browser", change.handle))
///     .on_change(OnChange::Refuse);
/// let layer = SessionLayer::new(store).binding(binding);
/// ```
#[derive(Clone)]
#[must_use = "a binding does nothing until it is passed to a layer"]
pub struct Binding {
    user_agent: bool,
    address: Option<Arc<ReadAddress>>,
    observe: Option<Arc<Observe>>,
    on_change: OnChange,
}

/// What happens to a request whose client has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnChange {
    /// It gets its session, which is bound to the new client: each change is reported once.
    #[default]
    Report,
    /// It gets no session, as if it had come without a token. The session stays for the client that it is bound to.
    Refuse,
    /// The session ends at once, for both clients, whatever the response.
    End,
}

/// A session is used by a client that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindingChange {
    /// Identifies the session, as in [`Store::sessions_of`](crate::Store::sessions_of).
    pub handle: Handle,
    /// Whether the user agent has changed.
    pub user_agent: bool,
    /// Whether the address has changed.
    pub address: bool,
}

impl Binding {
    /// Returns a binding to nothing.
    pub fn new() -> Self {
        Self { user_agent: false, address: None, observe: None, on_change: OnChange::Report }
    }

    /// Binds to the `User-Agent` header. A missing one counts as a value.
    pub fn user_agent(self) -> Self {
        Self { user_agent: true, ..self }
    }

    /// Binds to the address that `read` finds in the request; `None` from it counts as no change.
    ///
    /// The application must know which header holds the client's address, and may trust only its own proxy. To bind to a part
    /// of the address, such as its /24 or /64, set the other bits to zero. The extensions are the request's when it reaches the
    /// layer, for example axum's `ConnectInfo`.
    pub fn address(self, read: impl Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { address: Some(Arc::new(read)), ..self }
    }

    /// Calls `observe` at each change, in the request's own task: it must not block. There is always a `tracing` event as well.
    pub fn observe(self, observe: impl Fn(&BindingChange) + Send + Sync + 'static) -> Self {
        Self { observe: Some(Arc::new(observe)), ..self }
    }

    /// Sets what happens to a request whose client has changed. Default: [`OnChange::Report`].
    pub fn on_change(self, on_change: OnChange) -> Self {
        Self { on_change, ..self }
    }

    /// Reads the client's properties from the request.
    pub(super) fn read(&self, headers: &HeaderMap, extensions: &Extensions) -> Bound {
        let user_agent = || hash(headers.get(USER_AGENT).map_or(&[][..], |value| value.as_bytes()));
        let address = self.address.as_ref().and_then(|read| read(headers, extensions)).map(|address| address.to_canonical());
        Bound {
            user_agent: if self.user_agent { user_agent() } else { 0 },
            address: address.map_or(0, |address| match address {
                IpAddr::V4(address) => hash(&address.octets()),
                IpAddr::V6(address) => hash(&address.octets()),
            }),
        }
    }

    /// Checks whether the session's client has changed. Returns false if the request must not get the session.
    pub(super) fn check(&self, session: &Session) -> bool {
        let Some((bound, now)) = session.bound() else { return true };
        let differs = |bound: u64, now: u64| bound != 0 && now != 0 && bound != now;
        let (user_agent, address) = (differs(bound.user_agent, now.user_agent), differs(bound.address, now.address));
        let Some(handle) = session.handle().filter(|_| user_agent || address) else { return true };
        log::changed_client(handle, user_agent, address);
        if let Some(observe) = &self.observe {
            observe(&BindingChange { handle, user_agent, address });
        }
        match self.on_change {
            OnChange::Report => session.rebind(),
            OnChange::Refuse => return false,
            OnChange::End => {
                session.destroy();
                // At once, not with the response: a handler that fails must not keep the session alive. The end is durable soon
                // after, and the response removes the cookie.
                drop(session.save());
            }
        }
        true
    }
}

/// The hash of one known property.
fn hash(value: &[u8]) -> u64 {
    let hash = Sha256::new_with_prefix(b"sessile binding").chain_update(value).finalize();
    u64::from_le_bytes(*hash.first_chunk().expect("a SHA-256 has 32 bytes")).max(1)
}

impl Default for Binding {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("user_agent", &self.user_agent)
            .field("address", &self.address.is_some())
            .field("on_change", &self.on_change)
            .finish_non_exhaustive()
    }
}
