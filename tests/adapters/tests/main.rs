//! The crate `session-store-contract`, for each adapter, and what all adapters have in common.

/// Creates a test of each generic function, for each adapter.
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

mod actix;
mod axum_login;
mod axum_session;
mod axum_session_app;
mod owners;
mod poem;
mod promises;
mod shapes;
mod support;
mod tower;
