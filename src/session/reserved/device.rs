//! The public key of the device that a session is bound to, in the session's record.
//!
//! Invariants: a record has the flag of a bound session exactly if it has a key. A new token keeps the key. A sign-in removes it, because an attacker who planted the session in a browser must not
//! be able to give proofs for it afterwards.

use std::time::Duration;

use sessile_codec::{Entry, Meta, Model, ModelPart, Patch, Shape, Tag, rkyv, shape};

#[cfg(feature = "device-bound-rs256")]
use crate::proof::RsaKey;
use crate::{
    Error, Handle, Session, Store,
    keys::KeyRing,
    proof::{self, DeviceKey, Possession, Refusal},
    session::{SessionKind, state::State},
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

/// A key of RSA, under the same name in the record.
#[cfg(feature = "device-bound-rs256")]
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[rkyv(crate = sessile_codec::rkyv)]
struct BoundRsaDevice {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    registered_ms: u64,
}

#[cfg(feature = "device-bound-rs256")]
impl ModelPart for BoundRsaDevice {
    const SHAPE: &'static Shape = shape!(modulus: Vec<u8>, exponent: Vec<u8>, registered_ms: u64);
}

#[cfg(feature = "device-bound-rs256")]
impl Model for BoundRsaDevice {
    const TAG: Tag = Tag::new("device.r");
}

/// Returns the key of an entry; `None` if this build cannot read it.
fn key_of(entry: &Entry) -> Option<DeviceKey> {
    if let Ok(bound) = entry.view::<BoundDevice>() {
        return DeviceKey::of_point(bound.point).ok();
    }
    #[cfg(feature = "device-bound-rs256")]
    if let Ok(bound) = entry.view::<BoundRsaDevice>() {
        return RsaKey::new(bound.modulus.to_vec(), bound.exponent.to_vec()).ok().map(DeviceKey::Rsa);
    }
    None
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
            None if state.is_bound() => Device::Bound,
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
        Some((state.handle()?, key_of(&state.get(KEY)?)?))
    }

    /// Whether a client with this proof, if any, may use the session: it is not bound, or the proof is its own and not older than
    /// `lifetime_s`. A key that cannot be read binds the session, too.
    pub(crate) fn is_proved<'a>(&self, mut proofs: impl Iterator<Item = &'a [u8]>, lifetime_s: u32) -> bool {
        let mut state = self.state();
        if !state.is_bound() {
            return true;
        }
        let Some((handle, mark)) = state.handle().zip(state.key_mark()) else { return false };
        let (store, now_ms) = (self.store(), self.store().now_ms());
        let age_s = proofs.find_map(|value| {
            let possession = Possession::read(value, store.ring(), handle, mark)?;
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

    /// Counts a proof.
    pub(crate) fn note_refreshed(&self) {
        self.store().note_refreshed();
    }

    /// Counts what was refused, logs it, and tells subscribers.
    pub(crate) fn note_refused(&self, refusal: Refusal) {
        self.store().note_refused(self.handle(), refusal);
    }

    /// Returns the session in place of this one, which is bound to a device, for a request without a proof: it has no values and
    /// stores none, so that the session's own cookie stays.
    pub(crate) fn without_proof(&self, kind: SessionKind) -> Self {
        let unproved = self.state().handle();
        Self::of_state(self.store(), State { unproved, ..State::without(kind, true) })
    }

    /// Binds the session to the device with this key.
    pub(crate) fn bind_device(&self, key: &DeviceKey) -> Result<(), Error> {
        let (limits, registered_ms) = (self.store().limits(), self.now_ms());
        let entry = match key {
            DeviceKey::P256(point) => Entry::model(&BoundDevice { point: *point, registered_ms }, limits),
            #[cfg(feature = "device-bound-rs256")]
            DeviceKey::Rsa(key) => {
                let (modulus, exponent) = (key.modulus().to_vec(), key.exponent().to_vec());
                Entry::model(&BoundRsaDevice { modulus, exponent, registered_ms }, limits)
            }
        };
        self.state().set(KEY, entry?, limits)
    }
}

impl State {
    /// Whether the session is bound to a device, changes of this request included.
    fn is_bound(&self) -> bool {
        match self.changes.patch.get(KEY) {
            Some(change) => change.is_some(),
            None => self.record().is_some_and(|record| proof::is_bound(&record.meta())),
        }
    }

    /// Returns what the short cookie's MAC has of the key.
    fn key_mark(&self) -> Option<[u8; 8]> {
        let entry = self.get_ref(KEY)?;
        if let Some(bound) = entry.archived::<BoundDevice>() {
            return Some(proof::mark(&bound.point));
        }
        #[cfg(feature = "device-bound-rs256")]
        if let Some(bound) = entry.archived::<BoundRsaDevice>() {
            return Some(proof::mark(&bound.modulus));
        }
        None
    }
}

/// Takes the binding away, for a sign-in: also one that another request may be about to make.
pub(in crate::session) fn forget(state: &mut State) {
    state.remove(KEY);
}

/// Returns the metadata of the record that `patch` makes from one with `meta`.
pub(in crate::session) fn marked(meta: Meta, patch: &Patch) -> Meta {
    match patch.get(KEY) {
        Some(change) => Meta { flags: proof::marked(meta.flags, change.is_some()), ..meta },
        None => meta,
    }
}

/// Returns the metadata of a record with just these values.
#[cfg(feature = "foreign")]
pub(crate) fn with_device(meta: Meta, values: &Patch) -> Meta {
    let is_bound = values.get(KEY).flatten().is_some();
    Meta { flags: proof::marked(meta.flags, is_bound), ..meta }
}

/// Tells of a session that `patch`, which was committed, binds to a device.
pub(in crate::session) fn note_bound(store: &Store, handle: Option<Handle>, patch: &Patch) {
    if let (Some(handle), Some(Some(_))) = (handle, patch.get(KEY)) {
        store.note_bound(handle);
    }
}
