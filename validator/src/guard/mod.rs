//! The guard at the door: how many connections, how often and how much at once, before anything is looked at closely.
//!
//! In the order in which a request meets them: [`blocks`] knows whom the operator shut out; [`connections`] counts sockets of one address; [`client`] finds out whose
//! address it is; [`rates`] says how often an address and a hotkey may come; [`budget`] how much is done at once;
//! [`refusals`] tells the log who was turned away, [`holders`] the operator who is here. All of them take a fixed amount of memory, whoever comes. They know addresses and hotkeys, no routes and no database.

pub(crate) mod blocks;
pub(crate) mod budget;
mod client;
pub(crate) mod connections;
pub(crate) mod holders;
mod rates;
mod refusals;

pub(crate) use client::AddressBlock;

use crate::config::{Config, ServiceLimits};
use crate::error::ApiError;
use blocks::{Blocks, blocked};
use budget::{Budgets, Class};
use connections::Connections;
use holders::{Holder, Holders};
use http::HeaderMap;
use ipnet::IpNet;
use protocol::Hotkey;
use rates::{Buckets, Rate};
use refusals::Refusals;
use std::net::IpAddr;

/// All limits on who comes how often.
pub(crate) struct Guard {
    proxies: Vec<IpNet>,
    /// Sockets of each address.
    pub(crate) connections: Connections,
    /// Whom the operator blocked.
    pub(crate) blocks: Blocks,
    /// Who has requests under way.
    pub(crate) holders: Holders,
    /// Who was turned away, for the log.
    pub(crate) refusals: Refusals,
    /// What is done at once.
    pub(crate) budgets: Budgets,
    watched: Buckets,
    requests: Buckets,
    writes: Buckets,
    hotkeys: Buckets,
    /// One bucket for everybody.
    signed: Buckets,
}

impl Guard {
    /// As the settings have it.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = &config.limits;
        let requests = Rate::per_second(limits.address_requests_per_second_max, limits.address_requests_burst_max);
        let writes = Rate::per_second(limits.address_writes_per_second_max, limits.address_writes_burst_max);
        let hotkeys = Rate::per_minute(limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max);
        let signed = Rate::per_second(limits.signed_requests_per_second_max, limits.signed_requests_per_second_max);
        Self {
            proxies: config.trusted_proxies.clone(),
            connections: Connections::new(limits.connections_per_address_max),
            blocks: Blocks::default(),
            holders: Holders::default(),
            refusals: Refusals::default(),
            budgets: Budgets::new(limits),
            watched: Buckets::new(requests),
            requests: Buckets::new(requests),
            writes: Buckets::new(writes),
            hotkeys: Buckets::new(hotkeys),
            signed: Buckets::new(signed),
        }
    }

    /// Whether a connection from here is a trusted proxy's.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        client::is_among(address, &self.proxies)
    }

    /// Who sent a request that came on a connection from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> AddressBlock {
        AddressBlock::of(client::sender(peer, headers, &self.proxies))
    }

    /// The addresses that have most under way now, at most `count_max` of them.
    pub(crate) fn most(&self, count_max: usize) -> Vec<Holder> {
        self.holders.most(self.connections.open(), count_max)
    }

    /// Places that are taken now: what for, how many, of how many.
    pub(crate) fn taken(&self, limits: &ServiceLimits) -> [(&'static str, u64, u64); 3] {
        self.budgets.taken(limits)
    }

    /// Whether this address may come again already.
    pub(crate) fn admit(&self, client: AddressBlock, class: Class) -> Result<(), ApiError> {
        if self.blocks.has_address(client) {
            return Err(blocked("your network"));
        }
        let admitted = match class {
            Class::Watch => self.watched.take(&client),
            Class::Read | Class::Upload | Class::Stream => self.requests.take(&client),
            Class::Write => self.requests.take(&client).and_then(|()| self.writes.take(&client)),
        };
        admitted.map_err(|seconds| too_often("address_rate", "too many requests from your address", seconds))
    }

    /// Whether another signed request may be remembered, whoever sent it.
    pub(crate) fn admit_signed(&self) -> Result<(), ApiError> {
        let taken = self.signed.take(&());
        taken.map_err(|seconds| ApiError::busy("too many signed requests at once").retry_after(seconds))
    }

    /// Whether this hotkey may come again already. Only what it proved to have sent counts.
    pub(crate) fn admit_hotkey(&self, hotkey: &Hotkey) -> Result<(), ApiError> {
        self.blocks.admit(hotkey)?;
        let taken = self.hotkeys.take(hotkey);
        taken.map_err(|seconds| too_often("hotkey_rate", "too many signed requests of this hotkey", seconds))
    }
}

fn too_often(code: &'static str, detail: &str, seconds: u64) -> ApiError {
    ApiError::too_many(code, detail, "Wait as long as Retry-After says; then go on more slowly.", seconds)
}
