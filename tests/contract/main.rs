//! What any session store must do: `sessile::testing::contract` for each adapter, and for stores that break it on purpose.

// By the name that it has in the list of shapes.
extern crate uuid_1 as uuid;

/// Makes a test of each generic function, for each adapter.
macro_rules! for_each_adapter {
    ($($test:ident)*) => {
        for_each_adapter! { @ tower_sessions_0_14 crate::tower::Tower<14>, $($test)* }
        for_each_adapter! { @ tower_sessions_0_15 crate::tower::Tower<15>, $($test)* }
        for_each_adapter! { @ actix_session crate::actix::Actix, $($test)* }
        for_each_adapter! { @ axum_session crate::axum_session::Axum, $($test)* }
        for_each_adapter! { @ poem crate::poem::Poem, $($test)* }
    };
    (@ $name:ident $adapter:ty, $($test:ident)*) => {
        mod $name {
            type Adapter = $adapter;

            $(#[test]
            fn $test() {
                super::$test::<Adapter>();
            })*
        }
    };
}

#[cfg(feature = "actix-session-0_11")]
mod actix;
#[cfg(feature = "tower-sessions-0_14")]
mod axum_login;
#[cfg(feature = "axum_session-0_22")]
mod axum_session;
#[cfg(all(feature = "axum_session-0_22", feature = "test-util"))]
mod axum_session_app;
mod broken;
#[cfg(all(
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
    feature = "actix-session-0_11",
    feature = "axum_session-0_22",
    feature = "poem-3"
))]
mod owners;
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
#[cfg(all(
    feature = "tower-sessions-0_14",
    feature = "tower-sessions-0_15",
    feature = "actix-session-0_11",
    feature = "axum_session-0_22",
    feature = "poem-3"
))]
mod shapes;
#[cfg(feature = "adapters")]
mod support;
#[cfg(any(feature = "tower-sessions-0_14", feature = "tower-sessions-0_15"))]
mod tower;
