//! No framework and no async runtime: a thread for each connection, and a session from the token that the request brought.
//!
//!     cargo run -p sessile-frameworks --example threads

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use sessile::{Store, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let (address, path) = sessile_frameworks::arguments();
    let store = Store::open(path)?;
    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}", listener.local_addr()?);
    for connection in listener.incoming() {
        let (connection, store) = (connection?, store.clone());
        thread::spawn(move || {
            if let Err(error) = answer(&connection, &store) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn answer(mut connection: &TcpStream, store: &Store) -> Result<(), Box<dyn Error>> {
    let brought = token_of(connection)?;
    // A made-up token, or one whose session is over, gives a new session.
    let session = store.session(brought.as_ref())?;
    let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1)?;
    // Blocks this thread until the change is on disk.
    session.save().wait()?;
    let mut cookie = String::new();
    if session.token() != brought
        && let Some(token) = session.token()
    {
        // `Secure` and the prefix `__Host-` belong here, too, where there is TLS.
        cookie = format!("Set-Cookie: session={}; HttpOnly; SameSite=Lax; Path=/\r\n", token.expose());
    }
    let body = format!("visit {visits}\n");
    let len = body.len();
    write!(connection, "HTTP/1.1 200 OK\r\n{cookie}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}

/// The token in the request's cookie.
fn token_of(connection: &TcpStream) -> Result<Option<Token>, Box<dyn Error>> {
    let mut token = None;
    for line in BufReader::new(connection).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("cookie") {
            let mut cookies = value.split(';').filter_map(|cookie| cookie.trim().strip_prefix("session="));
            token = cookies.find_map(|text| Token::parse(text.as_bytes()));
        }
    }
    Ok(token)
}
