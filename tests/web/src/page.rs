//! A tab of a browser: the visitor's actions in it, and what the visitor sees.

use serde_json::{Value, json};

use crate::Browser;

/// A tab.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    /// The context with its cookies, caches and service workers; `None`: the browser's profile.
    context: Option<String>,
    session: String,
}

impl<'a> Page<'a> {
    #[track_caller]
    pub(crate) fn open(browser: &'a Browser, context: Option<String>) -> Self {
        let target = browser.call(None, "Target.createTarget", within(context.as_deref(), json!({ "url": "about:blank" })));
        let attached = browser.call(None, "Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        let session = attached["sessionId"].as_str().expect("a session has an id").to_owned();
        let page = Self { browser, context, session };
        page.call("Page.enable", json!({}));
        page
    }

    /// Enters an address. Returns when its page has loaded.
    #[track_caller]
    pub fn go(&self, address: &str) {
        self.browser.forget_events();
        let answer = self.call("Page.navigate", json!({ "url": address }));
        assert!(answer["errorText"].is_null(), "{address}: {}", answer["errorText"]);
        self.loaded();
    }

    /// Reloads the page.
    #[track_caller]
    pub fn reload(&self) {
        self.browser.forget_events();
        self.call("Page.reload", json!({}));
        self.loaded();
    }

    /// Goes back to the previous page. Returns whether the browser had kept it, without requesting it again.
    #[track_caller]
    pub fn back(&self) -> bool {
        self.leads_on("history.back()")
    }

    /// Follows the link that `selector` finds.
    #[track_caller]
    pub fn follow(&self, selector: &str) {
        self.leads_on(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// Sends the form that `selector` finds, after `fields` were filled in.
    #[track_caller]
    pub fn submit(&self, selector: &str, fields: &[(&str, &str)]) {
        let form = format!("document.querySelector({})", json!(selector));
        for (name, value) in fields {
            self.eval(&format!("{form}.elements[{}].value = {}", json!(name), json!(value)));
        }
        self.leads_on(&format!("{form}.requestSubmit()"));
    }

    /// Signs in with the form on the application's current page.
    #[track_caller]
    pub fn sign_in(&self, user: &str) {
        self.submit("#sign-in", &[("user", user)]);
    }

    /// Signs out with the form on the application's current page.
    #[track_caller]
    pub fn sign_out(&self) {
        self.submit("#sign-out", &[]);
    }

    /// Returns the text of the element that `selector` finds.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({})?.textContent ?? null", json!(selector)));
        let Some(text) = text.as_str() else {
            panic!("nothing is {selector} in {}", self.eval("location.href + ' ' + document.documentElement.outerHTML"))
        };
        text.to_owned()
    }

    /// Returns the signed-in user on the application's current page.
    #[track_caller]
    pub fn user(&self) -> String {
        self.text("#user")
    }

    /// Returns the value of a script, awaited if it is a promise. The script runs as if the visitor had clicked.
    #[track_caller]
    pub fn eval(&self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// Returns the cookies named `name` that the browser keeps, of all hosts, in the order of their last change.
    #[track_caller]
    pub fn cookies(&self, name: &str) -> Vec<Value> {
        let mut answer = self.browser.call(None, "Storage.getCookies", within(self.context.as_deref(), json!({})));
        let Value::Array(cookies) = answer["cookies"].take() else { panic!("no list of cookies: {answer}") };
        cookies.into_iter().filter(|cookie| cookie["name"] == name).collect()
    }

    /// Returns the one cookie named `name` that the browser keeps.
    #[track_caller]
    pub fn cookie(&self, name: &str) -> Value {
        let mut cookies = self.cookies(name);
        assert_eq!(cookies.len(), 1, "one cookie {name}: {cookies:?}");
        cookies.remove(0)
    }

    /// Puts a cookie into the browser, in the form of [`cookies`](Self::cookies).
    #[track_caller]
    pub fn set_cookie(&self, cookie: &Value) {
        let params = within(self.context.as_deref(), json!({ "cookies": [cookie] }));
        self.browser.call(None, "Storage.setCookies", params);
    }

    /// Removes the cookie `name` of the current page's site.
    #[track_caller]
    pub fn delete_cookie(&self, name: &str) {
        let here = self.eval("location.href");
        self.call("Network.deleteCookies", json!({ "name": name, "url": here }));
    }

    /// Removes every cookie.
    #[track_caller]
    pub fn clear_cookies(&self) {
        self.browser.call(None, "Storage.clearCookies", within(self.context.as_deref(), json!({})));
    }

    /// Calls a method of the developer tools' protocol.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Runs a script that leads to another page, and waits for that. Returns whether the browser had kept it.
    #[track_caller]
    fn leads_on(&self, script: &str) -> bool {
        self.browser.forget_events();
        self.eval(&format!("void {script}"));
        self.loaded()
    }

    /// Waits until the next page has loaded. Returns whether the browser had kept it.
    #[track_caller]
    pub fn loaded(&self) -> bool {
        let is_top = |params: &Value| params["frame"]["parentId"].is_null();
        let was_kept = self.browser.event(&self.session, "Page.frameNavigated", is_top)["type"] == "BackForwardCacheRestore";
        if !was_kept {
            self.browser.event(&self.session, "Page.loadEventFired", |_| true);
        }
        was_kept
    }
}

/// Returns the parameters of a call in this context.
fn within(context: Option<&str>, mut params: Value) -> Value {
    if let Some(context) = context {
        params["browserContextId"] = context.into();
    }
    params
}
