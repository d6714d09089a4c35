//! T3 of sessions that are bound to the device of their browser, and of others in a layer that binds.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, header},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use sessile::{
    SessionLayer,
    device::{DeviceBound, RequireDevice},
    web::SessionService,
};
use sessile_benches::{
    Target, Work, around, bare_app, block_on, call, calling, compare, report, row, sessile_around, sessile_store, sized,
};
use tower::Layer as _;

const SESSIONS: u64 = 1_000;
const CALLS: usize = 50;
const REGISTER: &str = "/.well-known/sessile/device/register";

fn main() {
    let (store, tokens) = sessile_store(SESSIONS);
    let layer = SessionLayer::new(store.clone()).device_bound(DeviceBound::new());
    let (others, bound) = tokens.split_at(tokens.len() / 2);
    let cookies = |tokens: &[sessile::Token]| -> Vec<HeaderValue> {
        tokens.iter().map(|token| value(&format!("theme=dark; __Host-id={}", token.expose()))).collect()
    };
    // With another cookie that is as long as the short one, so that the bench itself spends as much on either request.
    let others: Vec<_> =
        cookies(others).iter().map(|cookie| value(&format!("{}; __Host-other-one=0123456789abcdef", text(cookie)))).collect();
    let mut asking = layer.layer(Router::new().route("/", get(async || "asked")).layer(RequireDevice::new()));
    let bound: Vec<_> = cookies(bound).iter().map(|cookie| bind(&mut asking, cookie)).collect();
    check(&layer, &bound);

    let [bare, plain, unbound, bound] = compare(
        sized(10_000, 100),
        CALLS,
        [
            &mut calling(bare_app(), &others),
            &mut calling(sessile_around(&store, Work::Read), &others),
            &mut calling(around(layer.clone(), Work::Read), &others),
            &mut calling(around(layer, Work::Read), &bound),
        ],
    );
    let what = "request that reads one key, of a bound session, more than of another";
    report("T3", what, bound - plain, "ns", Target::AtMost(40.0));
    let what = "request that reads one key, of an unbound session in a layer that binds, more than in another layer";
    // The bench does not measure a difference of less than 10 ns.
    report("T3", what, unbound - plain, "ns", Target::AtMost(10.0));
    for (name, time) in [("a layer that does not bind", plain), ("an unbound session", unbound), ("a bound session", bound)] {
        row(name, &[(time, "ns"), (time - bare, "ns added")]);
    }
}

/// Binds the session of `cookie` to a key, as a browser does. Returns its two cookies.
fn bind(app: &mut SessionService<Router>, cookie: &HeaderValue) -> HeaderValue {
    let asked = call(app, cookie);
    let asked = asked.headers()["secure-session-registration"].to_str().expect("it is ASCII");
    let (_, challenge) = asked.split_once("challenge=\"").expect("it has a challenge");
    let challenge = challenge.trim_end_matches('"');

    let key = SigningKey::from_slice(&[7; 32]).expect("it is a key");
    let point = key.verifying_key().to_sec1_point(false);
    let [x, y] = [1..33, 33..65].map(|half| URL_SAFE_NO_PAD.encode(&point.as_bytes()[half]));
    let header = format!(r#"{{"alg":"ES256","typ":"dbsc+jwt","jwk":{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}}}"#);
    let payload = format!(r#"{{"jti":"{challenge}"}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature: Signature = key.sign(signed.as_bytes());
    let proof = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));

    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = REGISTER.parse().expect("it is a path");
    request.headers_mut().insert(header::COOKIE, cookie.clone());
    request.headers_mut().insert("secure-session-response", value(&proof));
    let Ok(answer) = block_on(tower::Service::call(app, request));
    let set = answer.headers()[header::SET_COOKIE].to_str().expect("it is ASCII");
    let short = set.split(';').next().expect("it has a value");
    value(&format!("{}; {short}", text(cookie)))
}

/// The sessions are bound.
fn check(layer: &SessionLayer, cookies: &[HeaderValue]) {
    let mut app = layer.layer(Router::new().route("/", get(async || "bound")).layer(RequireDevice::new()));
    assert!(cookies.iter().all(|cookie| call(&mut app, cookie).status().is_success()));
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().expect("it is ASCII")
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("it is ASCII")
}
