//! What a browser presents: several cookies of one name, none although it has one, and requests that the application makes
//! itself.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    routing::get,
};
use sessile::{Cookie, Error, Keys, Named, Session, SessionLayer, SessionName, Store, testing::ManualClock, web::SameSite};
use tower::ServiceExt;

use crate::support::{Answer, OnDisk, ask, ask_with, n_of, saved};

async fn act(Path(what): Path<String>, session: Session) -> Result<String, Error> {
    match what.as_str() {
        "in" => {
            session.sign_in("ada")?;
            session.insert("n", 7_u64)?;
        }
        "out" => session.sign_out(),
        "set" => session.insert("n", 1_u64)?,
        "save" => {
            session.insert("n", 1_u64)?;
            session.save().await?;
        }
        _ => {}
    }
    Ok(session.get::<u64>("n")?.map_or_else(|| "none".to_owned(), |n| n.to_string()))
}

fn app(layer: SessionLayer) -> Router {
    Router::new().route("/{what}", get(act).post(act)).layer(layer)
}

fn value(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().1
}

/// Both orders of two cookies of one name.
fn both(one: &str, other: &str) -> [String; 2] {
    [format!("__Host-id={one}; __Host-id={other}"), format!("__Host-id={other}; __Host-id={one}")]
}

#[tokio::test]
async fn of_two_cookies_only_one_that_leads_to_a_live_session_counts() {
    let disk = OnDisk::new();
    let app = app(SessionLayer::new(disk.store.clone()));
    let (dead, dead_token) = saved(&disk.store, 5);
    dead.destroy();
    dead.save().wait().unwrap();
    let live = ask(&app, "/in", &[]).await.cookie();
    let cookies = both(&dead_token.expose(), value(&live));
    for cookies in &cookies {
        assert_eq!(ask_with(&app, "/read", cookies).await.body, "7", "the sign-in is known");
    }
    let answer = ask_with(&app, "/in", &cookies[0]).await;
    assert_ne!(answer.cookie(), live);
    let again = both(&dead_token.expose(), value(&answer.cookie()));
    for cookies in &again {
        assert_eq!(ask_with(&app, "/read", cookies).await.body, "7");
    }
    disk.store.destroy_sessions_of("ada").wait().unwrap();
    assert_eq!(ask_with(&app, "/read", &again[0]).await.body, "none");
    assert_eq!(disk.store.stats().ambiguous, 0);
}

#[tokio::test]
async fn of_two_live_sessions_none_counts_and_a_sign_in_or_a_sign_out_ends_what_was_presented() {
    for what in ["/out", "/in"] {
        for order in 0..2 {
            let disk = OnDisk::new();
            let app = app(SessionLayer::new(disk.store.clone()));
            let victim = ask(&app, "/in", &[]).await.cookie();
            let (_, planted) = saved(&disk.store, 5);
            let cookies = &both(&planted.expose(), value(&victim))[order];
            assert_eq!(ask_with(&app, "/read", cookies).await.body, "none", "an attacker planted one of them");
            assert_eq!(disk.store.stats().ambiguous, 1);
            assert_eq!(ask_with(&app, "/read", &victim).await.body, "7", "and ends neither by that");
            let answer = ask_with(&app, what, cookies).await;
            let (_dir, crashed) = disk.after_crash();
            for store in [&disk.store, &crashed] {
                assert_eq!(n_of(store, &planted), None, "{what}");
                assert_eq!(store.sessions_of("ada").unwrap().len(), usize::from(what == "/in"), "{what}");
            }
            if what == "/in" {
                // The browser still has the planted one, whose session is over.
                for cookies in both(&planted.expose(), value(&answer.cookie())) {
                    assert_eq!(ask_with(&app, "/read", &cookies).await.body, "7");
                }
            } else {
                assert_eq!(answer.cookie(), "__Host-id=");
                assert_eq!(ask_with(&app, "/read", cookies).await.body, "none");
            }
        }
    }
}

#[tokio::test]
async fn two_tokens_of_one_session_are_one_session() {
    let disk = OnDisk::new();
    let app = app(SessionLayer::new(disk.store.clone()));
    let (session, old) = saved(&disk.store, 5);
    session.rotate_with_grace();
    session.save().wait().unwrap();
    for (cookies, before) in both(&old.expose(), &session.token().unwrap().expose()).iter().zip(["5", "1"]) {
        assert_eq!(ask_with(&app, "/read", cookies).await.body, before);
        assert_eq!(ask_with(&app, "/set", cookies).await.body, "1");
    }
    assert_eq!(disk.store.stats().ambiguous, 0);
}

#[tokio::test]
async fn a_sealed_session_and_a_stored_one_are_two_sessions_if_both_are_alive() {
    let sealing = |store: &Store| SessionLayer::new(store.clone()).sealed_cookies(&Keys::from([1; 32]), 1024).unwrap();
    let disk = OnDisk::new();
    let app = app(sealing(&disk.store));
    let sealed = ask(&app, "/in", &[]).await.cookie();
    assert!(value(&sealed).starts_with('~'));
    let (stored, token) = saved(&disk.store, 5);
    let cookies = both(&token.expose(), value(&sealed));
    for cookies in &cookies {
        assert_eq!(ask_with(&app, "/read", cookies).await.body, "none");
    }
    stored.destroy();
    stored.save().wait().unwrap();
    for cookies in &cookies {
        assert_eq!(ask_with(&app, "/read", cookies).await.body, "7", "the stored one is over");
    }
    // Two sealed ones; a sign-out ends both.
    let other = ask(&app, "/in", &[]).await.cookie();
    let cookies = both(value(&other), value(&sealed));
    assert_eq!(ask_with(&app, "/read", &cookies[0]).await.body, "none");
    ask_with(&app, "/out", &cookies[0]).await;
    for cookie in [&sealed, &other] {
        assert_eq!(ask_with(&app, "/read", cookie).await.body, "none");
    }
}

/// A request of another site's page that the browser sends without the cookie.
async fn cross_site(app: &Router, path: &str, method: &str, extra: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("sec-fetch-site", "cross-site"), ("origin", "https://other.test"), ("host", "app.test")];
    headers.extend(extra);
    let mut request = Request::builder().uri(path).method(method);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

const VISIT: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

#[tokio::test]
async fn a_request_of_another_site_does_not_replace_a_cookie_that_the_browser_withheld() {
    let store = sessile::testing::store();
    let with = |same_site| app(SessionLayer::new(store.clone()).cookie(Cookie::new().same_site(same_site)).unwrap());
    let (strict, lax, none) = (with(SameSite::Strict), with(SameSite::Lax), with(SameSite::None));
    for (app, method, is_kept) in [
        (&strict, "GET", true),
        (&strict, "POST", true),
        (&lax, "GET", false),
        (&lax, "POST", true),
        (&none, "GET", false),
        (&none, "POST", false),
    ] {
        let sessions = store.stats().sessions;
        let answer = cross_site(app, "/set", method, &VISIT).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1"), "the page goes out");
        assert_eq!(answer.set_cookies().is_empty(), is_kept, "{method}");
        assert_eq!(store.stats().sessions - sessions, u64::from(!is_kept), "{method}");
        // A visitor who signs in gets a token: that is what they requested.
        let signed_in = cross_site(app, "/in", method, &VISIT).await;
        assert_eq!(ask_with(app, "/read", &signed_in.cookie()).await.body, "7");
    }
    let refused = cross_site(&lax, "/save", "POST", &VISIT).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "a handler that wants to know is told");
    // A cookie that the browser did send is used as usual.
    let cookie = ask(&lax, "/in", &[]).await.cookie();
    let visit = cross_site(&strict, "/set", "POST", &[("cookie", &cookie)]).await;
    assert_eq!((visit.body.as_str(), visit.set_cookies().len()), ("1", 0));
}

struct Callback;

impl SessionName for Callback {
    const NAME: &str = "callback";
}

#[tokio::test]
async fn a_named_session_with_same_site_none_carries_what_a_callback_needs() {
    // An identity provider posts its answer from its own page (`response_mode=form_post`).
    let store = sessile::testing::store();
    let begin = async |callback: Named<Callback>| callback.insert("state", "xyz");
    let finish = async |callback: Named<Callback>, session: Session| {
        let is_ours = callback.get::<String>("state")? == Some("xyz".to_owned());
        callback.destroy();
        if is_ours {
            session.sign_in("ada")?;
        }
        Ok::<_, Error>(is_ours.to_string())
    };
    let app = Router::new()
        .route("/begin", get(begin))
        .route("/finish", axum::routing::post(finish))
        .layer(SessionLayer::new(store.clone()).named::<Callback>().cookie(Cookie::new().same_site(SameSite::None)).unwrap())
        .layer(SessionLayer::new(store.clone()));
    let state = ask(&app, "/begin", &[]).await.cookie();
    let finished = cross_site(&app, "/finish", "POST", &[("cookie", &state)]).await;
    assert_eq!(finished.body, "true");
    assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
    assert!(finished.set_cookies().iter().any(|cookie| cookie.starts_with("__Host-id=") && !cookie.contains("Max-Age=0")));
}

#[tokio::test]
async fn a_request_that_the_application_makes_itself_leaves_the_visitors_session_alone() {
    let disk = OnDisk::new();
    let (_, token) = saved(&disk.store, 5);
    let cookie = format!("__Host-id={}", token.expose());
    // The routes without the layer, as a handler reaches them within it.
    let inside = Router::new().route("/{what}", get(act));
    let routes = inside.clone();
    let outside = get(async move |session_later: Request| {
        // It comes first, and has no cookie.
        let inner = ask(&routes, "/set", &[]).await;
        assert_eq!(ask(&routes, "/save", &[]).await.status, StatusCode::CONFLICT, "it stores nothing, and reports it");
        let session = Session::of_request(session_later.headers()).unwrap();
        format!("{} {}", inner.body, session.get::<u64>("n").unwrap().unwrap_or(0))
    });
    let app = Router::new().route("/", outside).layer(SessionLayer::new(disk.store.clone()));
    let answer = ask_with(&app, "/", &cookie).await;
    assert_eq!((answer.body.as_str(), answer.set_cookies().len()), ("1 5", 0), "the visitor keeps session and cookie");
    assert_eq!((n_of(&disk.store, &token), disk.store.stats().sessions), (Some(5), 1));
    // Through the layer it is a separate request.
    let whole = self::app(SessionLayer::new(disk.store.clone()));
    let inner = whole.clone();
    let app = Router::new()
        .route(
            "/",
            get(async move |session: Session| {
                session.insert("m", 1).unwrap();
                ask(&inner, "/set", &[]).await.set_cookies().len().to_string()
            }),
        )
        .layer(SessionLayer::new(disk.store.clone()));
    let answer = ask_with(&app, "/", &cookie).await;
    assert_eq!((answer.body.as_str(), answer.set_cookies().len()), ("1", 0));
}

#[tokio::test]
async fn a_layer_within_a_layer_of_the_same_store_and_name_joins_it() {
    let clock = ManualClock::default();
    let store = Store::builder().clock(clock).open_in_memory().unwrap();
    let between = from_fn(async |session: Session, request: Request, next: Next| {
        session.insert("m", 1_u64).unwrap();
        let mut response = next.run(request).await;
        response.headers_mut().insert("x-n", HeaderValue::from(session.get::<u64>("n").unwrap().unwrap_or(0)));
        response
    });
    let twice = app(SessionLayer::new(store.clone())).layer(between).layer(SessionLayer::new(store.clone()));
    let first = ask(&twice, "/set", &[]).await;
    assert_eq!((first.set_cookies().len(), &first.headers["x-n"]), (1, &HeaderValue::from(1_u64)), "one session");
    assert_eq!((store.stats().sessions, store.stats().commits), (1, 1), "one commit");
    let again = ask_with(&twice, "/read", &first.cookie()).await;
    assert_eq!((again.body.as_str(), again.set_cookies().len()), ("1", 0));
    assert_eq!(again.headers.get_all(header::VARY).iter().count(), 1);

    // Even if the middleware changes the method, as for forms that can only post.
    let as_get = from_fn(async |session: Session, mut request: Request, next: Next| {
        session.insert("m", 1_u64).unwrap();
        *request.method_mut() = Method::GET;
        next.run(request).await
    });
    let twice = app(SessionLayer::new(store.clone())).layer(as_get).layer(SessionLayer::new(store.clone()));
    let posted = Request::post("/set").body(Body::empty()).unwrap();
    assert_eq!(twice.oneshot(posted).await.unwrap().headers().get_all(header::SET_COOKIE).iter().count(), 1);

    // Another store, another name or another cookie is another session.
    let others = [
        SessionLayer::new(sessile::testing::store()),
        SessionLayer::new(store.clone()).cookie(Cookie::new().name("other")).unwrap(),
    ];
    for other in others {
        let app = app(other).layer(from_fn(async |session: Session, request: Request, next: Next| {
            session.insert("m", 1_u64).unwrap();
            next.run(request).await
        }));
        let app = app.layer(SessionLayer::new(store.clone()));
        assert_eq!(ask(&app, "/set", &[]).await.set_cookies().len(), 2);
    }
}
