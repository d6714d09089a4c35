//! What any session store must do: `sessile::testing::contract` for each adapter, and for stores that break it on purpose.

#[cfg(feature = "actix-session-0_11")]
mod actix;
#[cfg(feature = "tower-sessions-0_14")]
mod axum_login;
#[cfg(feature = "axum_session-0_22")]
mod axum_session;
mod broken;
#[cfg(feature = "poem-3")]
mod poem;
#[cfg(all(
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
    feature = "actix-session-0_11",
    feature = "axum_session-0_22",
    feature = "poem-3"
))]
mod promises;
#[cfg(feature = "adapters")]
mod support;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod tower;
