//! The guard at the door: how many connections, how often and how much at once, before anything is looked at closely.
//!
//! In the order in which a request meets them: [`blocks`] knows whom the operator shut out; [`connections`] counts sockets
//! of one address; `client` says which addresses are one's; `rates` says how often an address and a hotkey may come;
//! [`budget`] how much is done at once, in [`places`] that are taken last, when it is known whose request it is;
//! [`space`] is how much of the disk uploads may need; `refusals` tells the log who was turned away, [`holders`] the operator who is here. All of them take a fixed amount of
//! memory, whoever comes. They know addresses and hotkeys, no routes and no database; `registered` asks the ledger whom it
//! knows.

pub mod blocks;
pub mod budget;
mod client;
pub mod connections;
pub mod holders;
pub mod places;
mod rates;
mod refusals;
mod registered;
pub mod space;
mod tally;

pub use client::AddressBlock;

use crate::refusal::Refusal;
use blocks::{Blocks, blocked};
use budget::{Budgets, Class};
use chain::Ledger;
use connections::Connections;
use holders::{Holder, Holders};
use ipnet::IpNet;
use places::{NoPlace, Place, Places};
use protocol::Hotkey;
use rates::{AddressBuckets, Buckets, Rate};
use refusals::Refusals;
use registered::Registered;
use space::{NoSpace, Reservations, Space};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use store::config::Config;

/// Webhooks that a hotkey may register an hour in the long run: its address is knocked at for each.
const CHALLENGES_PER_HOUR_MAX: u64 = 4;
/// How many of them it may register at once after a rest.
const CHALLENGES_BURST_MAX: u64 = 8;
/// When whoever found no place for a stream may ask again.
const STREAM_RETRY_SECONDS: u64 = 10;
/// When whoever found no space for an upload may ask again.
const SPACE_RETRY_SECONDS: u64 = 5;
/// A longer word of a proxy is cut off in the log.
const UNREAD_CHARS_MAX: usize = 64;

/// Requests that may be remembered at once after a rest, as seconds of what may be in the long run: more than a few addresses
/// can send at once, so that they don't empty everybody's bucket.
const SIGNED_BURST_SECONDS: u64 = 4;

/// All limits on who comes how often.
pub struct Guard {
    proxies: Vec<IpNet>,
    /// Sockets of each address.
    pub connections: Connections,
    /// Whom the operator blocked.
    pub blocks: Blocks,
    /// Who has requests under way.
    pub holders: Holders,
    /// Who was turned away, for the log.
    pub refusals: Refusals,
    /// What is done at once.
    pub budgets: Budgets,
    /// Space that uploads under way may still need.
    space: Reservations,
    watched: AddressBuckets,
    requests: AddressBuckets,
    writes: AddressBuckets,
    hotkeys: Buckets,
    challenges: Buckets,
    /// One bucket for everybody.
    signed: Buckets,
    registered: Registered,
    /// Requests refused since their address or hotkey came too often.
    pub too_often: AtomicU64,
    /// Requests refused since there was no place for them.
    pub without_place: AtomicU64,
    /// Whether it was said that a proxy writes what we can't read.
    told_unread: AtomicBool,
}

impl Guard {
    /// As the settings have it.
    pub fn new(config: &Config, ledger: Arc<dyn Ledger>) -> Self {
        let limits = &config.limits;
        let requests = Rate::per_second(limits.address_requests_per_second_max, limits.address_requests_burst_max);
        let writes = Rate::per_second(limits.address_writes_per_second_max, limits.address_writes_burst_max);
        let hotkeys = Rate::per_minute(limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max);
        let signed = limits.signed_requests_per_second_max;
        let signed = Rate::per_second(signed, signed.saturating_mul(SIGNED_BURST_SECONDS));
        Self {
            proxies: config.trusted_proxies.clone(),
            connections: Connections::new(limits.connections_per_address_max),
            blocks: Blocks::default(),
            holders: Holders::default(),
            refusals: Refusals::default(),
            budgets: Budgets::new(limits),
            space: Reservations::default(),
            watched: AddressBuckets::new(requests),
            requests: AddressBuckets::new(requests),
            writes: AddressBuckets::new(writes),
            hotkeys: Buckets::new(hotkeys),
            challenges: Buckets::new(Rate::per_hour(CHALLENGES_PER_HOUR_MAX, CHALLENGES_BURST_MAX)),
            signed: Buckets::new(signed),
            registered: Registered::new(ledger),
            too_often: AtomicU64::new(0),
            without_place: AtomicU64::new(0),
            told_unread: AtomicBool::new(false),
        }
    }

    /// Whether a connection from here is a trusted proxy's.
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        client::is_among(address, &self.proxies)
    }

    /// Says once that a proxy writes what we can't read.
    pub fn tell_unread(&self, proxy: IpAddr, unread: &str) {
        if !self.told_unread.swap(true, Ordering::Relaxed) {
            let unread: String = unread.chars().take(UNREAD_CHARS_MAX).collect();
            let consequence = "whoever comes by it shares the limits of its address";
            tracing::warn!(%proxy, unread, "a proxy writes X-Forwarded-For so that we can't read it: {consequence}");
        }
    }

    /// The addresses that have most under way now, at most `count_max` of them.
    pub fn most(&self, count_max: usize) -> Vec<Holder> {
        self.holders.most(self.connections.open(), count_max)
    }

    /// Places that are taken now: what for, how many, of how many.
    pub fn taken(&self) -> [(&'static str, u64, u64); 5] {
        self.budgets.taken()
    }

    /// Whether this address may come again already.
    pub fn admit(&self, client: AddressBlock, class: Class) -> Result<(), Refusal> {
        if self.blocks.has_address(client) {
            return Err(blocked("your network"));
        }
        let admitted = match class {
            Class::Watch => self.watched.take(client),
            Class::Read | Class::Upload | Class::Stream => self.requests.take(client),
            Class::Write => self.requests.take(client).and_then(|()| self.writes.take(client)),
        };
        admitted.map_err(|seconds| self.too_often("address_rate", "too many requests from your address", seconds))
    }

    /// A place for what `hotkey` does from `client`. Only strangers keep to their address's share: whom the ledger knows may
    /// sit behind one address with many others.
    pub async fn place(&self, places: &Places, client: AddressBlock, hotkey: &Hotkey) -> Result<Place, Refusal> {
        let entered = match places.enter(client) {
            Err(NoPlace::Share) if self.registered.contains(hotkey).await => places.enter_exempt(),
            entered => entered,
        };
        entered.map_err(|why| self.no_place(why))
    }

    /// A place for a request of this class from `client`, until it is answered. Uploads and writes take theirs once it is
    /// known whose they are, streams when they begin.
    pub fn enter(&self, class: Class, client: AddressBlock) -> Result<Option<Place>, Refusal> {
        let places = match class {
            Class::Watch => &self.budgets.watches,
            Class::Read => &self.budgets.reads,
            Class::Write | Class::Upload | Class::Stream => return Ok(None),
        };
        places.enter(client).map(Some).map_err(|why| self.no_place(why))
    }

    /// A place for a stream, for as long as it lasts.
    pub fn stream(&self, client: AddressBlock) -> Result<Place, Refusal> {
        let entered = self.budgets.streams.enter(client);
        entered.map_err(|why| self.no_place(why).retry_after(STREAM_RETRY_SECONDS))
    }

    /// So many of `free` bytes for what `hotkey` sends from `client`, until it has come.
    pub async fn space(&self, free: u64, bytes: u64, client: AddressBlock, hotkey: &Hotkey) -> Result<Space, Refusal> {
        let stranger = if self.registered.contains(hotkey).await { None } else { Some(client) };
        self.space.reserve(free, bytes, stranger).map_err(|why| match why {
            NoSpace::Full => Refusal::disk_full(),
            NoSpace::Strangers => self.no_place(NoPlace::Full).retry_after(SPACE_RETRY_SECONDS),
            NoSpace::Share => self.no_place(NoPlace::Share).retry_after(SPACE_RETRY_SECONDS),
        })
    }

    /// What whoever finds no place is told.
    pub fn no_place(&self, why: NoPlace) -> Refusal {
        self.without_place.fetch_add(1, Ordering::Relaxed);
        let detail = match why {
            NoPlace::Full => "too many at once",
            NoPlace::Share => "too many at once, and many of them from your address",
        };
        Refusal::busy(detail).retry_after(1)
    }

    /// Whether the ledger knows a hotkey.
    pub async fn is_registered(&self, hotkey: &Hotkey) -> bool {
        self.registered.contains(hotkey).await
    }

    /// Whether this hotkey may have another address challenged already.
    pub fn admit_challenge(&self, hotkey: &Hotkey) -> Result<(), Refusal> {
        let taken = self.challenges.take(hotkey);
        taken
            .map_err(|seconds| self.too_often("challenge_rate", "too many webhooks registered by this hotkey", seconds))
    }

    /// Whether another signed request may be remembered, whoever sent it. Asked last, for what is within the rates of its
    /// address and its hotkey and no replay: nobody empties this bucket alone.
    pub async fn admit_signed(&self, hotkey: &Hotkey) -> Result<(), Refusal> {
        match self.signed.take(&()) {
            // There are few of them, and each has a rate of its own.
            Err(_) if self.registered.contains(hotkey).await => Ok(()),
            taken => taken.map_err(|seconds| Refusal::busy("too many signed requests at once").retry_after(seconds)),
        }
    }

    /// Whether this hotkey may come again already. Only what it proved to have sent counts.
    pub fn admit_hotkey(&self, hotkey: &Hotkey) -> Result<(), Refusal> {
        self.blocks.admit(hotkey)?;
        let taken = self.hotkeys.take(hotkey);
        taken.map_err(|seconds| self.too_often("hotkey_rate", "too many signed requests of this hotkey", seconds))
    }

    fn too_often(&self, code: &'static str, detail: &str, seconds: u64) -> Refusal {
        self.too_often.fetch_add(1, Ordering::Relaxed);
        Refusal::too_many(code, detail, "Wait as long as Retry-After says; then go on more slowly.", seconds)
    }
}
