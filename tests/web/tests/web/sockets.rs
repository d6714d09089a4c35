//! WebSockets of pages under a `CsrfLayer`. Chromium's handshake has `Origin`, and no `Sec-Fetch-Site`.

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    response::Response,
    routing::get,
};
use serde_json::json;
use sessile::{Cookie, CsrfLayer, Session, SessionLayer, testing, web::SameSite};
use sessile_web_tests::{Browser, Front, Page, Server, application, site, user_of};

const HOST: &str = "app.example.test";
const UPGRADE: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
const PASS_HOST: &str = "proxy_set_header Host $http_host;";

#[test]
fn a_page_opens_its_own_websocket_behind_a_proxy_that_passes_the_host_on() {
    let proxied = Proxied::start(&format!("{UPGRADE} {PASS_HOST}"), |_| CsrfLayer::new());
    assert_eq!(proxied.says_to(&proxied.own_page()), "ada");
}

#[test]
fn a_page_of_another_site_opens_no_websocket_behind_a_proxy_that_passes_the_host_on() {
    let proxied = Proxied::start(&format!("{UPGRADE} {PASS_HOST}"), |_| CsrfLayer::new());
    assert_eq!(proxied.says_to(&proxied.page_of_another_site()), "refused");
}

#[test]
fn a_page_opens_its_own_websocket_behind_nginx_as_it_comes() {
    let proxied = Proxied::start(UPGRADE, |origin| CsrfLayer::new().for_origin(origin).unwrap());
    assert_eq!(proxied.says_to(&proxied.own_page()), "ada");
}

#[test]
fn a_page_of_another_site_opens_no_websocket_behind_nginx_as_it_comes() {
    let proxied = Proxied::start(UPGRADE, |origin| CsrfLayer::new().for_origin(origin).unwrap());
    assert_eq!(proxied.says_to(&proxied.page_of_another_site()), "refused");
}

/// An application behind nginx, where Ada is signed in.
struct Proxied {
    origin: String,
    browser: Browser,
    other: Server,
    _proxy: sessile_web_tests::Proxy,
    _server: Server,
}

impl Proxied {
    #[track_caller]
    fn start(directives: &str, csrf: impl FnOnce(&str) -> CsrfLayer) -> Self {
        let store = testing::store();
        let front = Front::bind();
        let origin = front.origin(HOST);
        // So that the cookie is sent from other sites too, and only the layer refuses them.
        let sessions = SessionLayer::new(store.clone()).cookie(Cookie::new().same_site(SameSite::None)).unwrap();
        let socket = Router::new().route("/socket", get(socket)).layer(sessions.clone());
        let pages = application(&store, sessions, "").merge(socket).layer(csrf(&origin));
        let server = Server::http(pages);
        let proxy = front.nginx(server.port(), directives);
        let browser = Browser::start();
        let visitor = browser.page();
        visitor.go(&format!("{origin}/account"));
        visitor.sign_in("ada");
        assert_eq!(visitor.user(), "ada");
        drop(visitor);
        let other = Server::https(site([("/", "another site".to_owned())]));
        Self { origin, browser, other, _proxy: proxy, _server: server }
    }

    #[track_caller]
    fn own_page(&self) -> Page<'_> {
        let page = self.browser.page();
        page.go(&format!("{}/account", self.origin));
        page
    }

    #[track_caller]
    fn page_of_another_site(&self) -> Page<'_> {
        let page = self.browser.page();
        page.go(&self.other.origin("other.test"));
        page
    }

    /// Returns the first message on a WebSocket that `page` opens, or `refused`.
    #[track_caller]
    fn says_to(&self, page: &Page<'_>) -> String {
        let address = self.origin.replacen("https", "wss", 1) + "/socket";
        let message = page.eval(&format!(
            "new Promise(done => {{
                const socket = new WebSocket({});
                socket.onmessage = message => done(message.data);
                socket.onerror = () => done('refused');
            }})",
            json!(address)
        ));
        message.as_str().unwrap().to_owned()
    }
}

async fn socket(session: Session, handshake: WebSocketUpgrade) -> Response {
    let user = user_of(&session);
    handshake.on_upgrade(async move |mut socket| {
        // It fails only if the page has gone.
        let _ = socket.send(Message::text(user)).await;
    })
}
