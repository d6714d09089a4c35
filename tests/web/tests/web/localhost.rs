//! Development: applications over plain http, on ports of this computer. Cookies ignore ports.

use sessile::{SessionLayer, testing};
use sessile_web_tests::{Browser, Server, application};

#[test]
fn two_applications_on_localhost_do_not_sign_a_visitor_out_of_each_other() {
    let stores = [testing::store(), testing::store()];
    let servers = stores.each_ref().map(|store| {
        let development = SessionLayer::new(store.clone()).plain_http_on_loopback();
        Server::http(application(store, development, ""))
    });
    let browser = Browser::start();
    let visitor = browser.page();
    for (server, user) in servers.iter().zip(["ada", "bob"]) {
        visitor.go(&(server.origin("localhost") + "/visit"));
        assert_eq!(visitor.user(), "nobody");
        visitor.sign_in(user);
        assert_eq!(visitor.user(), user);
    }
    for (server, user) in servers.iter().zip(["ada", "bob"]) {
        visitor.go(&(server.origin("localhost") + "/visit"));
        assert_eq!((visitor.user(), visitor.text("#visits")), (user.to_owned(), "2".to_owned()));
    }
}
