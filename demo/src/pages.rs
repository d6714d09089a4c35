//! The pages, as HTML, and the words that people read on them.
//!
//! Invariants: text from outside is written through [`Escaped`], and within `<bdi>`, so that its direction is its own. There is no
//! script, and the only style is [`STYLE`].
//! Knows nothing of requests: it gets what it shows, and changes nothing.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use axum::{http::StatusCode, response::Html};
use sessile::{Flash, Session, SessionInfo, Stats, Store, Tier, device::Device};

use crate::users::Refusal;

/// What the server shows about itself below the pages.
pub(crate) struct Figures {
    tier: &'static str,
    record_bytes: usize,
    stats: Stats,
}

impl Figures {
    pub(crate) fn new(store: &Store, session: Option<&Session>) -> Self {
        let tier = match session.map(Session::tier) {
            None => "not looked up",
            Some(None) => "new",
            Some(Some(Tier::Memory)) => "memory",
            Some(Some(Tier::Disk)) => "disk",
            // A later version may have more tiers than this page knows.
            Some(Some(_)) => "elsewhere",
        };
        Self { tier, record_bytes: session.map_or(0, Session::record_bytes), stats: store.stats() }
    }
}

/// What somebody who is signed in sees.
pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) views: u64,
    pub(crate) views_since_login: u64,
    /// All sessions of the user, and which one asks.
    pub(crate) devices: Vec<SessionInfo>,
    pub(crate) here: Option<sessile::Handle>,
    pub(crate) device: Device,
    pub(crate) flashes: Vec<Flash>,
}

/// The forms of the front page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialsForm {
    SignIn,
    SignUp,
}

// Levels of messages whose text is a user's name.
const WELCOME: &str = "welcome";
const WELCOME_BACK: &str = "welcome back";

impl CredentialsForm {
    /// The level of the message that is shown, with the user's name as its text, when the form was accepted.
    pub(crate) fn welcome(self) -> &'static str {
        match self {
            Self::SignIn => WELCOME_BACK,
            Self::SignUp => WELCOME,
        }
    }
}

/// A form that was refused, to be filled in again.
pub(crate) struct Refused<'a> {
    pub(crate) form: CredentialsForm,
    /// The name as it was typed.
    pub(crate) name: &'a str,
    pub(crate) refusal: Refusal,
}

/// The page of somebody who is signed in.
pub(crate) fn home(page: &Home, figures: &Figures) -> Html<String> {
    let main = format!(
        r#"<section class="card who">
<h1>Hello, <bdi>{name}</bdi></h1>
<form method="post" action="/sign-out"><button>Sign out</button></form>
</section>
<section class="card counts">
<p><strong id="views">{views}</strong> {pages} viewed in this session</p>
<p><strong id="views-since-login">{since}</strong> of them since you signed in</p>
<p><a href="/">View one more</a></p>
</section>
{devices}
{bound}
{TRY}"#,
        name = Escaped(&page.name),
        views = page.views,
        pages = if page.views == 1 { "page" } else { "pages" },
        since = page.views_since_login,
        devices = devices(page),
        bound = bound(page.device),
    );
    layout("Your account", &page.flashes, &main, &footer(figures))
}

/// The page of everybody else: both forms, one of them with what was wrong with it.
pub(crate) fn front(views: u64, flashes: &[Flash], refused: Option<&Refused<'_>>, figures: &Figures) -> Html<String> {
    let seen = if views <= 1 { "your first page here".to_owned() } else { format!("page {views} that you view here") };
    let main = format!(
        r#"<section class="card">
<h1>Sign in, stay signed in</h1>
<p>A small application on the session store <em>sessile</em>. Your session lives inside this program and in one file: stop the
program in any way you like, start it again, and you are still signed in. This is <span id="views">{seen}</span>; that is kept in a
session too, before anybody signs in.</p>
</section>
<div class="columns">
{sign_in}
{sign_up}
</div>
{TRY}"#,
        sign_in = credentials(CredentialsForm::SignIn, refused),
        sign_up = credentials(CredentialsForm::SignUp, refused),
    );
    let title = match refused.map(|refused| refused.form) {
        None => "Sign in",
        Some(CredentialsForm::SignIn) => "Error: Sign in",
        Some(CredentialsForm::SignUp) => "Error: Sign up",
    };
    layout(title, flashes, &main, &footer(figures))
}

/// What follows a sign-out.
pub(crate) fn signed_out(figures: &Figures) -> Html<String> {
    let main = r#"<section class="card">
<h1>You are signed out</h1>
<p>The session is gone, from memory and from the file, and your browser was told to forget its cookie. This page has no session, so
it sets none.</p>
<p><a href="/">Sign in again</a></p>
</section>"#;
    layout("Signed out", &[], main, &footer(figures))
}

/// What a visitor reads in place of what they asked for. `address` is where the server listens.
pub(crate) fn problem(status: StatusCode, address: SocketAddr) -> Html<String> {
    let (title, text) = match status.as_u16() {
        400 | 415 | 422 => {
            ("This could not be read", "The request is not what a form of this application sends. Nothing was changed.")
        }
        403 => ("Refused", "This request did not come from a page of this server, so nothing was changed."),
        404 => ("There is no such page", "The address is wrong, or old."),
        405 => {
            ("Not this way", "This address does not take this kind of request; the application's own pages send the right one.")
        }
        409 => ("Your session changed", "It ended or got a new id while this request was under way. Please try again."),
        413 => ("That is too long", "No form of this application takes so much text. Nothing was changed."),
        421 => ("Not a name of this server", "It answers only to names of this computer, such as 127.0.0.1 and localhost."),
        503 => ("Not now", "The server cannot store anything at the moment. Please try again in a minute."),
        _ => ("That did not work", "The server could not do what was asked. Please try again."),
    };
    // A visitor who came by another name must leave it behind; everybody else stays with the name that their cookie is for.
    let home = if status == StatusCode::MISDIRECTED_REQUEST { format!("http://{address}/") } else { "/".to_owned() };
    let main = format!(
        r#"<section class="card">
<h1>{title}</h1>
<p>{text}</p>
<p><a href="{home}">To the first page</a></p>
</section>"#
    );
    layout(title, &[], &main, "")
}

/// "Firefox on Linux": what a list of devices needs of a `User-Agent`, which is long, and says "Mozilla" whatever it is.
pub(crate) fn device_of(user_agent: &str) -> String {
    // The order matters: Edge and Opera also say "Chrome", which also says "Safari"; a phone also says "Mac" or "Linux".
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) => name.to_owned(),
        (None, Some(system)) => format!("Unknown browser on {system}"),
        (None, None) => "Unknown browser".to_owned(),
    }
}

/// Whether a copy of the cookies is worth anything.
fn bound(device: Device) -> String {
    let text = match device {
        Device::Bound => {
            "<strong id=\"bound\">This session is bound to this device.</strong> Your browser proves every ten minutes that it has a key \
             that never leaves the device. Copy both cookies into another browser and see: within ten minutes it is signed out, and you \
             stay signed in."
        }
        _ => {
            "<strong id=\"bound\">This session is not bound to this device:</strong> whoever copies its cookie has the session. A browser with \
             Device Bound Session Credentials binds it by itself, over HTTPS: see <code>--origin</code>."
        }
    };
    format!(r#"<section class="card"><h2>If the cookie is stolen</h2><p>{text}</p></section>"#)
}

fn devices(page: &Home) -> String {
    let now = SystemTime::now();
    let list: String = (1..).zip(&page.devices).map(|(number, device)| self::device(number, device, page.here, now)).collect();
    let others = page.devices.iter().any(|device| Some(device.handle) != page.here);
    let all = if others {
        r#"<form method="post" action="/devices/sign-out-others"><button>Sign out all others</button></form>"#
    } else {
        r#"<p class="hint">Sign in from another browser, or from a private window, and it appears here.</p>"#
    };
    // Without bullets a list is none to some screen readers, unless it says so.
    format!(r#"<section class="card"><h2>Your devices</h2><ul class="devices" role="list">{list}</ul>{all}</section>"#)
}

/// An entry of the list. The number makes a button's name its own: two devices may have one label and one time.
fn device(number: usize, device: &SessionInfo, here: Option<sessile::Handle>, now: SystemTime) -> String {
    let label = Escaped(device.label.as_deref().unwrap_or("Unknown browser"));
    let (signed_in, seen) = (device.authenticated_at.unwrap_or(device.created), Ago(since(device.last_seen, now)));
    let signed_in = Ago(since(signed_in, now));
    let bound = if device.is_device_bound { ", bound to the device" } else { "" };
    let end = if Some(device.handle) == here {
        r#"<span class="here">this device</span>"#.to_owned()
    } else {
        format!(
            r#"<form method="post" action="/devices/sign-out"><input type="hidden" name="handle" value="{handle}">
<button aria-label="Sign out {number}. {label}, last seen {seen}">Sign out</button></form>"#,
            handle = device.handle
        )
    };
    format!(
        "<li><div><strong>{number}. <bdi>{label}</bdi></strong><br><small>Signed in {signed_in}, last seen {seen}{bound}</small></div>{end}</li>\n"
    )
}

/// A form for a name and a password. `autocomplete` says to a password manager which of its entries to offer.
fn credentials(form: CredentialsForm, refused: Option<&Refused<'_>>) -> String {
    let (id, title, name_label, password_label, autocomplete, hint) = match form {
        CredentialsForm::SignIn => ("sign-in", "Sign in", "Your name", "Your password", r#""current-password""#, ""),
        CredentialsForm::SignUp => (
            "sign-up",
            "Sign up",
            "Choose a name",
            "Choose a password",
            r#""new-password" minlength="8""#,
            "At least 8 characters.",
        ),
    };
    let refused = refused.filter(|refused| refused.form == form);
    let problem = refused.map_or(String::new(), |refused| {
        format!("<p class=\"flash error\" id=\"{id}-problem\">{}</p>\n", Escaped(&refused.refusal.to_string()))
    });
    let hint = if hint.is_empty() { String::new() } else { format!("<p class=\"hint\" id=\"{id}-hint\">{hint}</p>\n") };
    // What describes a field, and whether it is where to go on typing.
    let state = |is_password: bool| {
        let is_wrong = refused.is_some_and(|refused| refused.refusal.concerns_password() == is_password);
        match (is_wrong, is_password && !hint.is_empty()) {
            (true, true) => format!(r#" aria-describedby="{id}-problem {id}-hint" aria-invalid="true" autofocus"#),
            (true, false) => format!(r#" aria-describedby="{id}-problem" aria-invalid="true" autofocus"#),
            (false, true) => format!(r#" aria-describedby="{id}-hint""#),
            (false, false) => String::new(),
        }
    };
    format!(
        r#"<form class="card" method="post" action="/{id}">
<h2>{title}</h2>
{problem}<label for="{id}-name">{name_label}</label>
<input id="{id}-name" name="name" value="{name}" dir="auto" autocomplete="username" autocapitalize="none" spellcheck="false" required{name_state}>
<label for="{id}-password">{password_label}</label>
<input id="{id}-password" name="password" type="password" autocomplete={autocomplete} required{password_state}>
{hint}<button>{title}</button>
</form>"#,
        name = Escaped(refused.map_or("", |refused| refused.name)),
        name_state = state(false),
        password_state = state(true),
    )
}

fn footer(figures: &Figures) -> String {
    let stats = &figures.stats;
    let rows = [
        ("This page's session came from", figures.tier.to_owned()),
        ("Its record", Bytes(figures.record_bytes as u64).to_string()),
        ("Memory hits", stats.memory_hits.to_string()),
        ("Disk hits", stats.disk_hits.to_string()),
        ("Commits", stats.commits.to_string()),
        ("Syncs", stats.syncs.to_string()),
        ("File size", Bytes(stats.file_bytes).to_string()),
        ("Journal size", Bytes(stats.journal_bytes).to_string()),
    ];
    let rows: String = rows.into_iter().map(figure).collect();
    format!("<footer><h2>The store since the program started</h2><dl>{rows}</dl></footer>")
}

fn figure((name, value): (&str, String)) -> String {
    format!("<div><dt>{name}</dt><dd>{value}</dd></div>")
}

fn layout(title: &str, flashes: &[Flash], main: &str, footer: &str) -> Html<String> {
    let title = Escaped(title);
    let flashes: String = flashes.iter().map(flash).collect();
    Html(format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - sessile demo</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{flashes}{main}
</main>
{footer}
</body>
</html>
"#
    ))
}

fn flash(flash: &Flash) -> String {
    let text = Escaped(&flash.text);
    let (class, role, text) = match &*flash.level {
        WELCOME => ("ok", "status", format!("Welcome, <bdi>{text}</bdi>. Your account is made, and you are signed in.")),
        WELCOME_BACK => ("ok", "status", format!("Welcome back, <bdi>{text}</bdi>.")),
        "error" => ("error", "alert", text.to_string()),
        _ => ("ok", "status", text.to_string()),
    };
    format!(r#"<p class="flash {class}" role="{role}">{text}</p>"#)
}

/// Text as HTML shows it, in an element or in a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let plain = part.trim_end_matches(['&', '<', '>', '"', '\'']);
            f.write_str(plain)?;
            f.write_str(match &part[plain.len()..] {
                "&" => "&amp;",
                "<" => "&lt;",
                ">" => "&gt;",
                "\"" => "&quot;",
                "'" => "&#39;",
                // The last part may end without one of the five.
                _ => "",
            })?;
        }
        Ok(())
    }
}

/// How long ago, in the one unit that says most.
struct Ago(Duration);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0.as_secs() {
            0..5 => return f.write_str("just now"),
            secs @ 5..60 => (secs, "second"),
            secs @ 60..3_600 => (secs / 60, "minute"),
            secs @ 3_600..86_400 => (secs / 3_600, "hour"),
            secs => (secs / 86_400, "day"),
        };
        write!(f, "{count} {unit}{} ago", if count == 1 { "" } else { "s" })
    }
}

fn since(then: SystemTime, now: SystemTime) -> Duration {
    // Of a clock that was set back, "just now" is the best that can be said.
    now.duration_since(then).unwrap_or_default()
}

/// A size in the unit that a person would take.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..10_240 => write!(f, "{bytes} bytes"),
            bytes @ 10_240..10_485_760 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{} MiB", bytes >> 20),
        }
    }
}

const TRY: &str = r#"<details class="card" open><summary>Things to try</summary><ol>
<li>Sign up, then sign in with the same name from another browser or a private window. Each sees the other under "Your devices".</li>
<li>Stop the program, with Ctrl-C or as rudely as you can (<code>kill -9</code>), and start it again. Everybody is still signed in, and
the first page after that says that it came from disk.</li>
<li>Sign one device out from the other. Its next page is the sign-in page.</li>
</ol></details>"#;

const STYLE: &str = include_str!("style.css");
