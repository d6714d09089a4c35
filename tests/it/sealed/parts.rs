//! A session in several cookies: each of them is as safe as a single one, and none is left behind.

use sessile::{Cookie, SessionLayer, Store, web::SameSite};

use super::{after, app_of, keys, visit};
use crate::support::{OnDisk, ask, ask_with};

/// Layers whose sessions take up to four cookies, and the text after the age in each of them.
fn layers(store: &Store) -> [(SessionLayer, &'static str, &'static str); 4] {
    let layer = |cookie: Cookie| {
        let layer = SessionLayer::new(store.clone()).cookie(cookie).unwrap();
        layer.sealed_cookies(&keys(), 4096).unwrap().sealed_cookies_limit(usize::MAX)
    };
    // Long names leave little room in each cookie, so that there are more of them.
    let long = "n".repeat(2100);
    let embedded = Cookie::new().same_site(SameSite::None).partitioned();
    [
        (layer(Cookie::new()), "; Path=/", "; Secure; HttpOnly; SameSite=Lax"),
        (
            layer(Cookie::new().name(long.clone()).same_site(SameSite::Strict)),
            "; Path=/",
            "; Secure; HttpOnly; SameSite=Strict",
        ),
        (layer(embedded.name(long.clone())), "; Path=/", "; Secure; HttpOnly; SameSite=None; Partitioned"),
        (
            layer(Cookie::new().name(long).path("/app").domain("example.com").browser_session()),
            "; Path=/app; Domain=example.com",
            "; Secure; HttpOnly; SameSite=Lax",
        ),
    ]
}

#[tokio::test]
async fn every_part_has_the_attributes_of_the_whole() {
    let store = sessile::testing::store();
    for (nth, (layer, scope, flags)) in layers(&store).into_iter().enumerate() {
        let app = app_of(layer);
        let answer = ask(&app, "/grow/3700", &[]).await;
        let set = answer.set_cookies();
        assert_eq!(set.len(), [2, 3, 3, 3][nth], "{nth}");
        // A browser session's cookies have no age. All others have the same age, or a part would end before the rest.
        let age = if nth == 3 { "" } else { "; Max-Age=756000" };
        for (part, cookie) in set.iter().enumerate() {
            let (pair, rest) = cookie.split_once(';').unwrap();
            assert_eq!(format!(";{rest}"), format!("{scope}{age}{flags}"), "{nth}, part {part}");
            let (name, value) = pair.split_once('=').unwrap();
            let whole = set[0].split('=').next().unwrap();
            assert_eq!(name, if part == 0 { whole.to_owned() } else { format!("{whole}.{part}") });
            assert!(!value.is_empty() && value.starts_with('~') == (part == 0), "{nth}, part {part}");
        }
    }
}

#[tokio::test]
async fn a_logout_deletes_every_part_as_it_was_set() {
    let disk = OnDisk::new();
    for (nth, (layer, scope, flags)) in layers(&disk.store).into_iter().enumerate() {
        let app = app_of(layer);
        // Nor is any left behind by a move into the store, after which the first cookie contains the token.
        for (path, kept) in [("/logout", 0), ("/grow/5000", 1)] {
            let jar = visit(&app, "/grow/3700", "").await;
            let answer = ask_with(&app, path, &jar).await;
            let deletions: Vec<_> = answer.set_cookies().into_iter().filter(|cookie| cookie.contains("; Max-Age=0;")).collect();
            let names = jar.split("; ").map(|pair| pair.split('=').next().unwrap()).skip(kept);
            let expected = names.map(|name| format!("{name}={scope}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{flags}"));
            assert_eq!(deletions, expected.collect::<Vec<_>>(), "{nth}, {path}");
            let left = after(&jar, &answer);
            assert_eq!(left.split("; ").filter(|pair| !pair.is_empty()).count(), kept, "{nth}, {path}: {left}");
            assert!(!left.contains('~'), "{nth}, {path}: {left}");
        }
    }
}
