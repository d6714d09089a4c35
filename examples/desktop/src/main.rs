//! A desktop app whose page keeps its session over restarts: no server, no port, no async runtime, no cookies. The page sends its token
//! in a header to a scheme of the app's own, and keeps it as a web page keeps things.
//!
//! Run it from this directory, on Linux with the packages that `test.sh` installs: cargo run -- DIRECTORY

use std::{borrow::Cow, env, path::PathBuf};

use sessile::{Error, Model, Session, Store, Token};
#[cfg(target_os = "linux")]
use tao::platform::unix::WindowExtUnix;
use tao::{
    event::{Event, WindowEvent},
    event_loop::{ControlFlow, EventLoop},
    window::WindowBuilder,
};
#[cfg(target_os = "linux")]
use wry::WebViewBuilderExtUnix;
use wry::{
    WebContext, WebViewBuilder,
    http::{Request, Response, StatusCode},
};

/// How often the page was shown.
#[derive(Default, Model)]
struct Visits {
    count: u32,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(env::args_os().nth(1).ok_or("say where the app's data lies: cargo run -- DIRECTORY")?);
    std::fs::create_dir_all(&data)?;
    let store = Store::open(data.join("sessions.redb"))?;
    let events = EventLoop::new();
    let window = WindowBuilder::new().with_title("sessile").build(&events)?;
    let mut context = WebContext::new(Some(data.join("web")));
    let page_store = store.clone();
    let page = WebViewBuilder::new_with_web_context(&mut context)
        .with_custom_protocol("app".into(), move |_, request| match request.uri().path() {
            "/" => response(StatusCode::OK, include_str!("page.html"), None),
            "/visit" => visit(&page_store, &request).unwrap_or_else(|error| {
                eprintln!("{error}");
                response(StatusCode::INTERNAL_SERVER_ERROR, "the session cannot be stored", None)
            }),
            _ => response(StatusCode::NOT_FOUND, "", None),
        })
        .with_url("app://localhost/");
    #[cfg(target_os = "linux")]
    let page = page.build_gtk(window.default_vbox().ok_or("a window without a box")?)?;
    #[cfg(not(target_os = "linux"))]
    let page = page.build(&window)?;
    events.run(move |event, _, flow| {
        *flow = ControlFlow::Wait;
        // The page lives as long as the loop that draws it.
        let _page = &page;
        if let Event::WindowEvent { event: WindowEvent::CloseRequested, .. } = event {
            *flow = ControlFlow::Exit;
        } else if event == Event::LoopDestroyed {
            // `run` never returns, so this is where the app ends.
            store.close().unwrap_or_else(|error| eprintln!("{error}"));
        }
    })
}

fn visit(store: &Store, request: &Request<Vec<u8>>) -> Result<Response<Cow<'static, [u8]>>, Error> {
    let token = request.headers().get("x-session").and_then(|value| Token::parse(value.as_bytes()));
    let session = store.session(token.as_ref())?;
    let Visits { count } = session.update_model("visits", |visits: &mut Visits| visits.count += 1)?;
    session.save().wait()?;
    println!("visit {count}");
    Ok(response(StatusCode::OK, &count.to_string(), Some(&session)))
}

fn response(status: StatusCode, body: &str, session: Option<&Session>) -> Response<Cow<'static, [u8]>> {
    let mut response = Response::new(body.as_bytes().to_vec().into());
    *response.status_mut() = status;
    let token = session.and_then(Session::token).map(|token| token.expose());
    let headers =
        [("content-type", Some("text/html".to_owned())), ("cache-control", Some("no-store".to_owned())), ("x-session", token)];
    for (name, value) in headers {
        if let Some(Ok(value)) = value.map(|value| value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
