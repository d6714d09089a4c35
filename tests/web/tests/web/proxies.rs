//! Behind common proxies, with their default settings.

use sessile::{SessionLayer, testing, web::Transport};
use sessile_web_tests::{Browser, Front, Proxy, Server, application};

#[test]
fn a_visitor_signs_in_and_out_and_is_listed_behind_haproxy() {
    signs_in_and_out_and_is_listed(|front, server| front.haproxy(server.port()));
}

#[test]
fn a_visitor_signs_in_and_out_and_is_listed_behind_nginx() {
    signs_in_and_out_and_is_listed(|front, server| front.nginx(server.port(), ""));
}

#[track_caller]
fn signs_in_and_out_and_is_listed(start: fn(Front, &Server) -> Proxy) {
    let store = testing::store();
    let server = Server::http(application(&store, SessionLayer::new(store.clone()), ""));
    let proxy = start(Front::bind(), &server);
    let (browser, at) = (Browser::start(), |path: &str| proxy.origin("app.example.test") + path);
    let (laptop, phone) = (browser.page(), browser.somebody_else());
    for page in [&laptop, &phone] {
        page.go(&at("/visit"));
        assert_eq!(page.user(), "nobody");
        page.sign_in("ada");
        assert_eq!((page.user(), page.text("#visits")), ("ada".to_owned(), "1".to_owned()));
    }
    laptop.go(&at("/devices"));
    assert_eq!(laptop.text("body"), "2");
    phone.sign_out();
    assert_eq!(phone.user(), "nobody");
    laptop.reload();
    assert_eq!(laptop.text("body"), "1");
}

#[test]
fn a_token_in_a_header_passes_haproxy_both_ways() {
    a_token_in_a_header_passes_both_ways(|front, server| front.haproxy(server.port()));
}

#[test]
fn a_token_in_a_header_passes_nginx_both_ways() {
    a_token_in_a_header_passes_both_ways(|front, server| front.nginx(server.port(), ""));
}

#[track_caller]
fn a_token_in_a_header_passes_both_ways(start: fn(Front, &Server) -> Proxy) {
    let own = Transport::Header("x-session".parse().unwrap());
    for (transport, asks, scheme, answers) in
        [(Transport::Bearer, "authorization", "Bearer ", "session-token"), (own, "x-session", "", "x-session")]
    {
        let store = testing::store();
        let sessions = SessionLayer::new(store.clone()).transport(transport).unwrap();
        let server = Server::http(application(&store, sessions, ""));
        let proxy = start(Front::bind(), &server);
        let browser = Browser::start();
        let client = browser.page();
        client.go(&(proxy.origin("app.example.test") + "/account"));
        client.eval(&format!(
            r#"let token = "";
            async function ask(method, path, body) {{
                const answer = await fetch(path, {{ method, body, headers: token && {{ "{asks}": "{scheme}" + token }} || {{}} }});
                token = answer.headers.get("{answers}") ?? token;
                return (await answer.text()).match(/id="user">(\w*)/)?.[1];
            }}"#
        ));
        let ask = |script: &str| client.eval(&format!("ask({script})"));
        assert_eq!(ask("'GET', 'visit'"), "nobody");
        let first = client.eval("token");
        // A redirect's own headers are not shown to scripts, so the answer is one without.
        ask("'POST', 'token', 'ada'");
        assert_ne!(client.eval("token"), first, "a sign-in gives a new token");
        assert_eq!(ask("'GET', 'account'"), "ada");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 1);
        ask("'DELETE', 'token'");
        assert_eq!(client.eval("token"), "", "a sign-out takes it away");
        assert_eq!(ask("'GET', 'account'"), "nobody");
        assert_eq!(store.sessions_of("ada").unwrap().len(), 0);
    }
}
