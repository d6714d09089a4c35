//! Somebody with several devices, who remembers what was in each of their sessions.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    Result,
    app::{CART, Content},
    http::Client,
    rng::Rng,
};

const DEVICES: usize = 3;

pub(crate) struct Person {
    owner: String,
    devices: [Option<Device>; DEVICES],
    abandoned: u64,
}

/// A device with a session.
struct Device {
    cookie: String,
    content: Content,
}

impl Person {
    pub(crate) fn new(nth: u64) -> Self {
        Self { owner: format!("person-{nth}"), devices: Default::default(), abandoned: 0 }
    }

    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> u64 {
        self.devices.iter().flatten().count() as u64
    }

    /// How many of them are signed in.
    pub(crate) fn signed_in(&self) -> usize {
        self.devices.iter().flatten().filter(|device| device.content.owner.is_some()).count()
    }

    /// How many sessions there are whose cookie is gone.
    pub(crate) fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Goes on until `stop`. Also gives the number of requests.
    pub(crate) async fn live(mut self, address: SocketAddr, mut rng: Rng, stop: &AtomicBool) -> Result<(Self, u64)> {
        let mut client = Client::new(address);
        while !stop.load(Ordering::Relaxed) {
            let at = rng.below(DEVICES);
            self.step(at, &mut client, &mut rng).await.map_err(|failure| format!("{}, device {at}: {failure}", self.owner))?;
        }
        let made = client.made;
        Ok((self, made))
    }

    pub(crate) async fn look_at_all(&self, client: &mut Client) -> Result<()> {
        for device in self.devices.iter().flatten() {
            look(client, &device.cookie, &device.content).await?;
        }
        Ok(())
    }

    async fn step(&mut self, at: usize, client: &mut Client, rng: &mut Rng) -> Result<()> {
        let Some(device) = &mut self.devices[at] else {
            let answer = client.get("/visit", None).await?;
            let cookie = answer.cookie.ok_or("a first visit without a cookie")?;
            let content = Content { visits: 1, ..Content::default() };
            // The cookie comes back, so the session is one that lasts.
            look(client, &cookie, &content).await?;
            self.devices[at] = Some(Device { cookie, content });
            return Ok(());
        };
        match rng.below(100) {
            0..40 => look(client, &device.cookie, &device.content).await,
            40..55 => device.visit_in_tabs(1 + rng.below(4), client).await,
            55..67 => device.fill_cart(1 + rng.below(3), client, rng).await,
            67..79 => device.note(client, rng).await,
            79..86 => device.renew(client).await,
            86..91 => device.sign_in(&self.owner, client).await,
            91..95 => {
                let answer = client.get("/sign-out", Some(&device.cookie)).await?;
                check(answer.cookie.as_deref() == Some(""), "signing out leaves the cookie")?;
                let gone = self.devices[at].take().map(|device| device.cookie);
                stranger(client, &gone.unwrap_or_default()).await
            }
            95..98 if device.content.owner.is_some() => self.everywhere(at, client).await,
            98 if device.content.owner.is_none() && rng.one_in(5) => {
                self.devices[at] = None;
                self.abandoned += 1;
                Ok(())
            }
            _ => device.look_in_tabs(client).await,
        }
    }

    /// Signs out on every device.
    async fn everywhere(&mut self, at: usize, client: &mut Client) -> Result<()> {
        let (signed_in, cookie) = (self.signed_in(), self.devices[at].as_ref().map(|device| device.cookie.clone()));
        let answer = client.get("/everywhere", cookie.as_deref()).await?;
        check(answer.body == signed_in.to_string(), &format!("{} of {signed_in} sessions were ended", answer.body))?;
        for device in &mut self.devices {
            if let Some(gone) = device.take_if(|device| device.content.owner.is_some()) {
                stranger(client, &gone.cookie).await?;
            }
        }
        Ok(())
    }
}

impl Device {
    async fn visit_in_tabs(&mut self, tabs: usize, client: &mut Client) -> Result<()> {
        let paths = vec!["/visit".to_owned(); tabs];
        let mut counts = Vec::new();
        for answer in client.get_all(&paths, &self.cookie).await? {
            counts.push(answer.body.parse::<u32>()?);
            self.take(answer.cookie);
        }
        let last = self.content.visits + u32::try_from(tabs)?;
        // A request may count before another has, and its count be made again on top of it; the sum is what holds.
        check(
            counts.iter().all(|count| (self.content.visits + 1..=last).contains(count)),
            &format!("{counts:?} before {last}"),
        )?;
        self.content.visits = last;
        look(client, &self.cookie, &self.content).await
    }

    async fn fill_cart(&mut self, items: usize, client: &mut Client, rng: &mut Rng) -> Result<()> {
        for _ in 0..items {
            let item = u32::try_from(rng.below(1000))?;
            let answer = client.get(&format!("/put/{item}"), Some(&self.cookie)).await?;
            self.take(answer.cookie);
            self.content.cart.push(item);
            let too_many = self.content.cart.len().saturating_sub(CART);
            self.content.cart.drain(..too_many);
        }
        Ok(())
    }

    async fn note(&mut self, client: &mut Client, rng: &mut Rng) -> Result<()> {
        let n = u32::try_from(rng.below(1000))?;
        client.get(&format!("/quick/{n}"), Some(&self.cookie)).await?;
        self.content.quick = Some(n);
        Ok(())
    }

    async fn renew(&mut self, client: &mut Client) -> Result<()> {
        let old = self.cookie.clone();
        let answer = client.get("/renew", Some(&old)).await?;
        self.take(answer.cookie);
        check(self.cookie != old, "renewing gives no new cookie")?;
        // A request that was under way.
        look(client, &old, &self.content).await.map_err(|failure| format!("by the old cookie: {failure}").into())
    }

    async fn sign_in(&mut self, owner: &str, client: &mut Client) -> Result<()> {
        let old = self.cookie.clone();
        let answer = client.get(&format!("/sign-in/{owner}"), Some(&old)).await?;
        self.take(answer.cookie);
        self.content.owner = Some(owner.to_owned());
        check(self.cookie != old, "signing in gives no new cookie")?;
        stranger(client, &old).await?;
        look(client, &self.cookie, &self.content).await
    }

    async fn look_in_tabs(&mut self, client: &mut Client) -> Result<()> {
        for answer in client.get_all(&vec!["/look".to_owned(); 4], &self.cookie).await? {
            check(answer.body == self.content.line(), &format!("found {}, expected {}", answer.body, self.content.line()))?;
        }
        Ok(())
    }

    fn take(&mut self, cookie: Option<String>) {
        if let Some(cookie) = cookie {
            self.cookie = cookie;
        }
    }
}

async fn look(client: &mut Client, cookie: &str, expected: &Content) -> Result<()> {
    let answer = client.get("/look", Some(cookie)).await?;
    check(answer.body == expected.line(), &format!("found {}, expected {}", answer.body, expected.line()))
}

/// What comes with `cookie` is nobody's session.
pub(crate) async fn stranger(client: &mut Client, cookie: &str) -> Result<()> {
    look(client, cookie, &Content::default()).await
}

fn check(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
