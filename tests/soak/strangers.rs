//! Those who are no visitors.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{Result, app::BOT_LIFE, http::Client, person::stranger, rng::Rng};

/// Begins one session after the other and keeps no cookie; of some it looks whether they are over in time. Gives the number of requests.
pub(crate) async fn crawl(address: SocketAddr, mut rng: Rng, stop: &AtomicBool) -> Result<u64> {
    let mut client = Client::new(address);
    while !stop.load(Ordering::Relaxed) {
        let cookie = client.get("/crawl", None).await?.cookie.ok_or("a new session without a cookie")?;
        if rng.one_in(100) {
            tokio::time::sleep(BOT_LIFE + Duration::from_millis(1)).await;
            stranger(&mut client, &cookie).await?;
        }
    }
    Ok(client.made)
}

/// Comes with cookies that nobody was given. Gives the number of requests.
pub(crate) async fn lie(address: SocketAddr, mut rng: Rng, stop: &AtomicBool) -> Result<u64> {
    let mut client = Client::new(address);
    let real = client.get("/crawl", None).await?.cookie.ok_or("a new session without a cookie")?;
    let (name, token) = real.split_once('=').ok_or("a cookie without a value")?;
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    while !stop.load(Ordering::Relaxed) {
        let made_up: String = (0..32).map(|_| char::from(rng.pick(alphabet))).collect();
        let cookie = match rng.below(5) {
            0 => format!("{name}={made_up}"),
            // Another secret under a tag that was right for its own.
            1 => format!("{name}={}{}", &made_up[..22], &token[22..]),
            2 => format!("{name}={}", "x".repeat(rng.below(4000))),
            3 => format!("{name}; {name}=; ={made_up}; {name}=\"{made_up}\"; {name}={made_up};;"),
            _ => format!("{name}={made_up}; ").repeat(20),
        };
        stranger(&mut client, &cookie).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(client.made)
}
