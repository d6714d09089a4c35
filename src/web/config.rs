//! The settings of a layer: finds the session for a request, and sends its cookie.
//!
//! Invariant: only [`Config::tell`] updates the client's cookie or header.

#[cfg(feature = "device-bound")]
use std::sync::Arc;

use http::HeaderMap;

#[cfg(feature = "sealed")]
use super::sealed::Sealer;
use super::{
    Binding, Cookie, CookieError,
    arrived::{Arrived, Carried},
    cookie::{CookieTemplate, development_name},
    marker::Marker,
    transport::Carrier,
};
#[cfg(feature = "device-bound")]
use super::{device::Devices, request_scope::Demand};
use crate::{
    Error, Session, Store,
    session::{CookieUpdate, SessionKind, State},
    token::NameHash,
};

/// The settings that all requests of a layer share.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) store: Store,
    pub(super) carrier: Carrier,
    pub(super) marker: Option<Marker>,
    #[cfg(feature = "sealed")]
    pub(super) sealer: Option<Sealer>,
    #[cfg(feature = "sealed")]
    pub(super) sealed_limit_bytes: usize,
    pub(super) name: NameHash,
    pub(super) binding: Option<Binding>,
    #[cfg(feature = "device-bound")]
    pub(super) devices: Option<Arc<Devices>>,
    /// The cookie for proofs of the device.
    #[cfg(feature = "device-bound")]
    pub(super) device_cookie: Option<CookieTemplate>,
    pub(super) blueprint: Cookie,
    pub(super) loopback_only: bool,
    pub(super) commit_on_server_error: bool,
    pub(super) allow_dropped_values: bool,
}

/// A session that was loaded for a request.
pub(super) struct Loaded {
    pub(super) session: Session,
    /// Whether it is the session of the request that arrived.
    pub(super) is_own: bool,
    #[cfg(feature = "device-bound")]
    pub(super) demand: Demand,
}

impl Config {
    /// Returns the session for a handler's request with `headers`.
    pub(super) fn load(&self, arrived: &Arrived, headers: &HeaderMap) -> Result<Loaded, Error> {
        let carried = Carried::of(headers, self.carrier.asks());
        let kind = self.kind(arrived, &carried);
        let mut is_own = true;
        // Only called if no session was found, which is rare.
        let is_withheld = || {
            let is_presented = self.carrier.is_presented(&carried);
            is_own = is_presented || arrived.has(&carried);
            !is_own || !is_presented && self.may_withhold(arrived, headers)
        };
        #[cfg(feature = "device-bound")]
        let mut demand = Demand::Nothing;
        #[cfg(feature = "device-bound")]
        let admit = |store: &Store, state: &mut State| {
            if let Some((devices, template)) = self.devices() {
                demand = devices.admit(store, state, &carried, template);
            }
        };
        #[cfg(not(feature = "device-bound"))]
        let admit = |_: &Store, _: &mut State| ();
        let session = self.load_presented(kind, &carried, is_withheld, admit)?;
        let session = match &self.binding {
            Some(binding) if !binding.check(&session) => Session::new(&self.store, kind),
            _ => session,
        };
        Ok(Loaded {
            session,
            is_own,
            #[cfg(feature = "device-bound")]
            demand,
        })
    }

    /// Returns the session that a request presents, whether or not its client has proved that it has the device's key.
    #[cfg(feature = "device-bound")]
    pub(super) fn load_unproved(&self, arrived: &Arrived, carried: &Carried<'_>) -> Result<Session, Error> {
        self.load_presented(self.kind(arrived, carried), carried, || true, |_, _| ())
    }

    /// Returns what binds sessions to devices, with the cookie for proofs. A header has no cookie, and no browser behind it.
    #[cfg(feature = "device-bound")]
    pub(super) fn devices(&self) -> Option<(&Devices, &CookieTemplate)> {
        let is_cookie = matches!(self.carrier, Carrier::Cookie(_));
        Some((self.devices.as_deref()?, self.device_cookie.as_ref()?)).filter(|_| is_cookie)
    }

    fn load_presented(
        &self,
        kind: SessionKind,
        carried: &Carried<'_>,
        is_withheld: impl FnOnce() -> bool,
        admit: impl FnOnce(&Store, &mut State),
    ) -> Result<Session, Error> {
        #[cfg(feature = "sealed")]
        if self.sealer.is_some() {
            let sealed = self.sealed_sessions(carried);
            return self
                .carrier
                .tokens(carried, |tokens| Session::load_among(&self.store, kind, sealed, tokens, is_withheld, admit));
        }
        self.carrier.tokens(carried, |tokens| Session::load(&self.store, kind, tokens, is_withheld, admit))
    }

    /// Whether the browser may have withheld the cookie.
    fn may_withhold(&self, arrived: &Arrived, headers: &HeaderMap) -> bool {
        matches!(self.carrier, Carrier::Cookie(_)) && arrived.may_withhold(self.blueprint.wanted_same_site(), headers)
    }

    #[cfg_attr(not(feature = "sealed"), expect(unused_variables, reason = "only parts of sealed sessions are looked for"))]
    pub(super) fn kind(&self, arrived: &Arrived, carried: &Carried<'_>) -> SessionKind {
        let (name, ends_with_browser) = (self.name, self.carrier.ends_with_browser());
        #[cfg(feature = "sealed")]
        let (parts, seal_bytes) = self.sealing(carried);
        #[cfg(not(feature = "sealed"))]
        let parts = 0;
        SessionKind {
            name,
            ends_with_browser,
            client: arrived.client(),
            #[cfg(feature = "sealed")]
            seal_bytes,
            parts,
        }
    }

    /// Whether both layers provide the same session for a request.
    pub(super) fn serves_same(&self, other: &Self) -> bool {
        self.store.is_same(&other.store)
            && Marker::same(self.marker.as_ref(), other.marker.as_ref())
            && self.carrier.reads_same(&other.carrier)
    }

    /// Writes the update of the client's cookie or header; `parts` are the additional cookies that the client has.
    #[cfg_attr(not(feature = "sealed"), expect(clippy::unnecessary_wraps, reason = "to seal can fail"))]
    pub(super) fn tell(&self, update: &CookieUpdate, parts: u8, headers: &mut HeaderMap) -> Result<(), Error> {
        #[cfg(feature = "sealed")]
        if let (Some(sealer), Carrier::Cookie(_)) = (&self.sealer, &self.carrier) {
            return sealer.tell(&self.carrier, update, parts, self.store.now_ms(), headers);
        }
        let _ = parts;
        self.carrier.tell(update, self.store.now_ms(), headers);
        Ok(())
    }

    /// Returns the checked cookie, under its final name.
    pub(super) fn template(&self) -> Result<CookieTemplate, CookieError> {
        let name = self.marker.map(|marker| marker.name);
        match (name, self.loopback_only) {
            (None, false) => self.blueprint.build(),
            (Some(name), false) => self.blueprint.clone().or_named(name).build(),
            (name, true) => self.blueprint.clone().or_named(&development_name(name, self.store.id())).build(),
        }
    }

    /// Checks the cookie again after a change, even if another carrier is in use now.
    pub(super) fn rebuild_cookie(&mut self) -> Result<(), CookieError> {
        let template = self.template()?;
        #[cfg(feature = "sealed")]
        if let Some(sealer) = &mut self.sealer {
            sealer.adapt(&template, self.name);
        }
        #[cfg(feature = "device-bound")]
        {
            self.device_cookie = Some(template.of_device());
        }
        if let Carrier::Cookie(current) = &mut self.carrier {
            *current = template;
        }
        Ok(())
    }
}
