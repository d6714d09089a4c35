//! Reads, sets and changes a session's models.

use sessile_codec::{Entry, Error as Codec, Model, View};

use super::{Session, check_key};
use crate::{Error, log};

impl Session {
    /// Sets the value under `key`, as a [`Model`], which is read in place and survives changes of its type.
    ///
    /// # Examples
    /// ```
    /// use sessile::Model;
    ///
    /// #[derive(Model)]
    /// struct Profile {
    ///     name: String,
    /// }
    ///
    /// # let session = sessile::testing::session();
    /// session.insert_model("profile", &Profile { name: "Ada".to_owned() })?;
    /// let profile = session.view::<Profile>("profile")?.unwrap();
    /// assert_eq!(profile.name, "Ada");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`insert`](Self::insert).
    pub fn insert_model<M: Model>(&self, key: &str, model: &M) -> Result<(), Error> {
        check_key(key)?;
        let entry = Entry::model(model, self.store().limits())?;
        self.state().set(key, entry, self.store().limits())
    }

    /// Returns a view of the model under `key`, read in place; `None` if there is none.
    ///
    /// A model of an older version is [migrated](Model::migrate), and stored in the new version with the session's next change.
    /// One that this build cannot read, because its version is newer or cannot be migrated, reads as absent and is counted in
    /// [`Stats::unreadable`](crate::Stats). Its bytes stay until the key is set or removed, and [`keys`](Self::keys) lists it.
    ///
    /// The view of a model of this build's version shares the session's record and copies nothing. It can be sent to another
    /// thread, kept after the session has changed, and put into a template; while it is kept, the whole record stays in memory.
    ///
    /// # Errors
    /// [`Error::Codec`]: with `ShapeChanged` if the model's fields changed without a new version, counted in
    /// [`Stats::shape_changed`](crate::Stats); with `WrongModel` or `WrongLane` if the stored value is another model or a serde
    /// value. The value stays as it is.
    ///
    /// # Examples
    /// ```
    /// use sessile::Model;
    ///
    /// #[derive(Model)]
    /// struct Cart {
    ///     items: Vec<u64>,
    /// }
    ///
    /// # let session = sessile::testing::session();
    /// assert!(session.view::<Cart>("cart")?.is_none());
    /// session.insert_model("cart", &Cart { items: vec![7, 9] })?;
    /// assert_eq!(session.view::<Cart>("cart")?.unwrap().items.len(), 2);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn view<M: Model>(&self, key: &str) -> Result<Option<View<M>>, Error> {
        check_key(key)?;
        // Without the session's lock: a check or a migration may be the application's code.
        let unchanged = self.state().unchanged(key);
        if let Some(view) = unchanged.and_then(|record| record.into_current_view(key)) {
            return Ok(Some(view));
        }
        let Some(entry) = self.state().get(key) else { return Ok(None) };
        if entry.is_older::<M>()
            && let Some(Ok(view)) = self.state().migrated(key).map(Entry::into_view)
        {
            return Ok(Some(view));
        }
        let viewed = match entry.upgraded::<M>() {
            Ok(None) => entry.into_view(),
            Ok(Some(upgraded)) => {
                let viewed = upgraded.view();
                self.state().note_migrated(key, &entry, upgraded);
                viewed
            }
            Err(error) => Err(error),
        };
        match viewed {
            Ok(view) => Ok(Some(view)),
            // The caller asks for another type than was stored. Another release does not fix this.
            Err(error @ (Codec::WrongLane { .. } | Codec::WrongModel { .. })) => Err(error.into()),
            // If it counted as absent, the next request would overwrite it.
            Err(error @ Codec::ShapeChanged { .. }) => {
                self.note_shape_changed(&error);
                Err(error.into())
            }
            Err(error) => {
                self.store().note_unreadable();
                if let Some(handle) = self.handle() {
                    log::unreadable_value(handle, &error);
                }
                Ok(None)
            }
        }
    }

    /// Returns the model under `key` as an owned value; `None` if there is none.
    ///
    /// This copies the whole model out of the session. [`view`](Self::view) reads it in place.
    ///
    /// # Errors
    /// See [`view`](Self::view); and [`Error::Codec`] with `Unsupported` if a time in it is one that this machine cannot represent.
    ///
    /// # Examples
    /// ```
    /// use sessile::Model;
    ///
    /// #[derive(Model, Debug, PartialEq)]
    /// struct Cart {
    ///     items: Vec<u64>,
    /// }
    ///
    /// # let session = sessile::testing::session();
    /// session.insert_model("cart", &Cart { items: vec![7, 9] })?;
    /// assert_eq!(session.model("cart")?, Some(Cart { items: vec![7, 9] }));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn model<M: Model>(&self, key: &str) -> Result<Option<M>, Error> {
        let view = self.view::<M>(key)?;
        Ok(view.map(|view| view.to_model()).transpose()?)
    }

    /// Changes the model under `key`, correctly even when other requests change it too, and returns what `change` made now.
    ///
    /// `change` gets the current model, or `M::default()` if there is none. It runs now, and again at commit if another request
    /// wrote `key` meanwhile, so keep it free of side effects. It may use the store and this session, except that a
    /// [`save`](Self::save) within a commit returns [`Error::NestedSave`].
    ///
    /// # Errors
    /// Those of [`insert_model`](Self::insert_model), and [`Error::Codec`] if the stored value is not an `M` that this build can
    /// read; the session is then unchanged.
    ///
    /// # Examples
    /// ```
    /// use sessile::Model;
    ///
    /// #[derive(Model, Default)]
    /// struct Cart {
    ///     items: Vec<u64>,
    /// }
    ///
    /// # let session = sessile::testing::session();
    /// session.update_model("cart", |cart: &mut Cart| cart.items.push(7))?;
    /// let cart = session.update_model("cart", |cart: &mut Cart| cart.items.push(9))?;
    /// assert_eq!(cart.items, [7, 9]);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn update_model<M>(&self, key: &str, mut change: impl FnMut(&mut M) + Send + 'static) -> Result<M, Error>
    where
        M: Model + Default,
    {
        let limits = *self.store().limits();
        let updated = self.update_entry(key, move |old| {
            let mut model = old.map_or_else(|| Ok(M::default()), |entry| entry.view::<M>()?.to_model())?;
            change(&mut model);
            let entry = Entry::model(&model, &limits)?;
            Ok((model, entry))
        });
        if let Err(Error::Codec(error @ Codec::ShapeChanged { .. })) = &updated {
            self.note_shape_changed(error);
        }
        updated
    }

    fn note_shape_changed(&self, error: &Codec) {
        self.store().note_shape_changed();
        if let Some(handle) = self.handle() {
            log::changed_shape(handle, error);
        }
    }
}
