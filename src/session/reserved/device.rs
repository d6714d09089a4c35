//! The public key of the device that a session is bound to, in the session's record.
//!
//! Invariants: the flag of a bound session is set in a record if and only if the record has a key. A new token keeps the key. A sign-in removes it, because an attacker who planted the session in a browser must not
//! be able to give proofs for it afterwards.

use std::time::Duration;

use sessile_codec::{Entry, Meta, Model, ModelPart, Patch, Shape, Tag, rkyv, shape};

#[cfg(feature = "device-bound-rs256")]
use crate::proof::RsaKey;
use crate::{
    Error, Handle, Session, Store,
    proof::{self, DeviceKey, Possession, Refusal},
    session::state::State,
};

pub(in crate::session) const KEY: &str = "sessile.device";

/// How long after its registration a session is used without a proof. A browser sends other requests while it registers, without
/// the short cookie. Ten seconds are enough for them on a slow connection.
const REGISTRATION_GRACE_MS: u64 = 10_000;

/// Whether a request's session is bound to the device of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The session is not bound: nobody signed in, the browser does not support it, or has not answered yet.
    Unbound,
    /// The session is bound, and the client proved lately that it has the device's key.
    Bound,
    /// The request presents a bound session without a fresh proof, and sees a session without values and without an owner in its
    /// place. A browser proves, and repeats the request. A client with a copied cookie cannot.
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

fn registered_ms(entry: &Entry) -> Option<u64> {
    if let Ok(bound) = entry.view::<BoundDevice>() {
        return Some(bound.registered_ms.to_native());
    }
    #[cfg(feature = "device-bound-rs256")]
    if let Ok(bound) = entry.view::<BoundRsaDevice>() {
        return Some(bound.registered_ms.to_native());
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

    /// Returns the session's key, with its handle.
    pub(crate) fn device_key(&self) -> Option<(Handle, DeviceKey)> {
        let state = self.state();
        Some((state.handle()?, key_of(&state.get(KEY)?)?))
    }

    /// Returns how old the proof of the request is.
    pub(crate) fn proof_age(&self) -> Option<Duration> {
        self.state().proof_age_s.map(|age_s| Duration::from_secs(age_s.into()))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.store().now_ms()
    }

    /// Returns the value of the short cookie, for a client that has proved in this request that it has the key.
    pub(crate) fn possession(&self) -> Option<String> {
        let (state, store) = (self.state(), self.store());
        Some(Possession::now(state.used_ms(store)).sign(store.ring(), &state.record()?.meta()))
    }

    /// Counts a proof.
    pub(crate) fn note_refreshed(&self) {
        self.store().note_refreshed();
    }

    /// Counts and logs what was refused, and sends the event to subscribers.
    pub(crate) fn note_refused(&self, refusal: Refusal) {
        self.store().note_refused(self.handle(), refusal);
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
    /// Checks what was just loaded against the values of the short cookie. A bound session is used only with a proof of its own that
    /// is not older than `lifetime_s`; without one, the request has a session without values in its place, and stores none, so that
    /// the session's own cookie stays. A key that cannot be read binds the session, too. Returns the handle of the session that
    /// needs a proof.
    #[inline]
    pub(crate) fn admit<'a>(
        &mut self,
        store: &Store,
        proofs: impl Iterator<Item = &'a [u8]>,
        lifetime_s: u32,
    ) -> Option<Handle> {
        if !self.record().is_some_and(|record| proof::is_bound(&record.meta())) {
            return None;
        }
        self.proof_age_s = self.fresh_proof(store, proofs, lifetime_s).or_else(|| self.registered_lately(store));
        if self.proof_age_s.is_some() {
            return None;
        }
        let unproved = self.handle();
        *self = Self { unproved, ..Self::without(self.kind, true) };
        unproved
    }

    /// Returns the age of the first proof that is good.
    #[inline]
    fn fresh_proof<'a>(&self, store: &Store, mut proofs: impl Iterator<Item = &'a [u8]>, lifetime_s: u32) -> Option<u32> {
        let (meta, used_ms) = (self.record()?.meta(), self.used_ms(store));
        proofs.find_map(|value| {
            let possession = Possession::read(value, store.ring(), &meta)?;
            Some(possession.age_s(used_ms)).filter(|age_s| *age_s < lifetime_s)
        })
    }

    /// Returns how long ago the session was bound, if that is so short that the request may have been sent before.
    #[cold]
    fn registered_lately(&self, store: &Store) -> Option<u32> {
        let since_ms = self.used_ms(store).checked_sub(registered_ms(&self.get(KEY)?)?)?;
        (since_ms < REGISTRATION_GRACE_MS).then(|| u32::try_from(since_ms / 1000).unwrap_or(u32::MAX))
    }

    /// Whether the next commit binds the session to a device.
    pub(in crate::session) fn binds(&self) -> bool {
        let was_bound = self.record().is_some_and(|record| proof::is_bound(&record.meta()));
        !was_bound && matches!(self.changes.patch.get(KEY), Some(Some(_)))
    }

    /// Returns when the session is used by this request, as it was noted when the session was loaded.
    fn used_ms(&self, store: &Store) -> u64 {
        self.stored().map_or_else(|| store.now_ms(), |stored| stored.seen_ms)
    }

    /// Whether the session is bound to a device, changes of this request included.
    fn is_bound(&self) -> bool {
        match self.changes.patch.get(KEY) {
            Some(change) => change.is_some(),
            None => self.record().is_some_and(|record| proof::is_bound(&record.meta())),
        }
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
