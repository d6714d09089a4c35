//! The public key of the device that a session is bound to, in the session's record.
//!
//! Invariants: a new token keeps the key. A sign-in removes it, because an attacker who planted the session in a browser must not
//! be able to give proofs for it afterwards.

use std::time::Duration;

use sessile_codec::{Entry, Model, ModelPart, Shape, Tag, rkyv, shape};

use crate::{
    Error, Handle, Session,
    keys::KeyRing,
    log,
    proof::{DeviceKey, Possession, Refusal},
    session::{SessionKind, state::State},
    store::Noted,
};

pub(in crate::session) const KEY: &str = "sessile.device";

/// Whether a request's session is bound to the device of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The session is not bound: nobody signed in, the browser does not support it, or has not answered yet.
    Unbound,
    /// The session is bound, and the client proved lately that it has the device's key.
    Bound,
    /// The request presents a bound session without a fresh proof, and sees a session without values and without an owner in its
    /// place. A browser proves, and repeats the request; a copied cookie stays here.
    Unproved,
}

/// A key on P-256.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct BoundDevice {
    point: [u8; 64],
    registered_ms: u64,
}

impl ModelPart for BoundDevice {
    const SHAPE: &'static Shape = shape!(point: [u8; 64], registered_ms: u64);
}

impl Model for BoundDevice {
    const TAG: Tag = Tag::new("device");
}

impl Session {
    /// Returns whether the session is bound to the device of its client: see [`DeviceBound`](crate::device::DeviceBound).
    ///
    /// # Examples
    /// ```
    /// use sessile::device::Device;
    ///
    /// # let store = sessile::testing::store();
    /// let session = store.session(None)?;
    /// assert_eq!(session.device(), Device::Unbound);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn device(&self) -> Device {
        let state = self.state();
        match state.unproved {
            Some(_) => Device::Unproved,
            None if state.get_ref(KEY).is_some() => Device::Bound,
            None => Device::Unbound,
        }
    }

    /// Returns the handle of the bound session that the request presents without a proof.
    pub(crate) fn unproved(&self) -> Option<Handle> {
        self.state().unproved
    }

    /// Returns the session's key, with its handle.
    pub(crate) fn device_key(&self) -> Option<(Handle, DeviceKey)> {
        let state = self.state();
        let entry = state.get(KEY)?;
        let view = entry.view::<BoundDevice>().ok()?;
        Some((state.handle()?, DeviceKey::from_bytes(view.point).ok()?))
    }

    /// Whether a client with this proof, if any, may use the session: it is not bound, or the proof is its own and not older than
    /// `lifetime_s`. A key that cannot be read binds the session, too.
    pub(crate) fn is_proved<'a>(&self, mut proofs: impl Iterator<Item = &'a [u8]>, lifetime_s: u32) -> bool {
        let mut state = self.state();
        let Some(entry) = state.get_ref(KEY) else { return true };
        let bound = entry.archived::<BoundDevice>();
        let Some((handle, bound)) = state.handle().zip(bound) else { return false };
        let (store, now_ms) = (self.store(), self.store().now_ms());
        let age_s = proofs.find_map(|value| {
            let possession = Possession::read(value, store.ring(), handle, &bound.point)?;
            Some(possession.age_s(now_ms)).filter(|age_s| *age_s < lifetime_s)
        });
        state.proof_age_s = age_s;
        age_s.is_some()
    }

    /// Returns how old the proof of the request is.
    pub(crate) fn proof_age(&self) -> Option<Duration> {
        self.state().proof_age_s.map(|age_s| Duration::from_secs(age_s.into()))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.store().now_ms()
    }

    pub(crate) fn ring(&self) -> &KeyRing {
        self.store().ring()
    }

    /// Counts a registration.
    pub(crate) fn note_registered(&self) {
        self.store().note_device(Noted::Registered);
    }

    /// Counts a proof.
    pub(crate) fn note_refreshed(&self) {
        self.store().note_device(Noted::Refreshed);
    }

    /// Counts what was refused, and logs it.
    pub(crate) fn note_refused(&self, refusal: Refusal) {
        self.store().note_device(Noted::Refused);
        log::refused_proof(self.handle(), refusal);
    }

    /// Returns the session in place of this one, which is bound to a device, for a request without a proof: it has no values and
    /// stores none, so that the session's own cookie stays.
    pub(crate) fn without_proof(&self, kind: SessionKind) -> Self {
        let unproved = self.state().handle();
        Self::of_state(self.store(), State { unproved, ..State::without(kind, true) })
    }

    /// Binds the session to the device with this key.
    pub(crate) fn bind_device(&self, key: &DeviceKey) -> Result<(), Error> {
        let bound = BoundDevice { point: key.to_bytes(), registered_ms: self.store().now_ms() };
        let limits = self.store().limits();
        self.state().set(KEY, Entry::model(&bound, limits)?, limits)
    }
}

/// Takes the binding away, for a sign-in.
pub(in crate::session) fn forget(state: &mut State) {
    if state.get_ref(KEY).is_some() {
        state.remove(KEY);
    }
}
