//! What any session store must do: `sessile::testing::contract`, for stores that break it on purpose.

mod broken;
