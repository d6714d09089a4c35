//! Fails where the cases in `web/` are not compiled, so that they do not seem to pass.

#[cfg(not(unix))]
#[test]
fn browsers_and_proxies_are_tested_on_debian_and_its_like() {
    panic!(
        "these tests drive Debian's packages of Chromium, nginx and HAProxy; leave them out by `-p sessile -p sessile-codec`"
    );
}
