//! Bounds on everything that comes from outside, on what may be lost in between, and their defaults.
//!
//! Every number has a name, a unit and a reason here; who keeps to it is elsewhere.

use crate::objects::Pace;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds on everything that comes from outside, and on what may be lost in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceLimits {
    /// Bytes of a JSON body.
    pub body_bytes_max: u64,
    /// Seconds that a JSON body may take to arrive.
    pub body_read_seconds_max: u64,
    /// Connections at once; others wait.
    pub connections_max: u64,
    /// Connections at once from one address, or from one /64 of IPv6, and four times as many from a /56 and a /48; more are
    /// closed at once. Trusted proxies stand for many and have no such limit.
    pub connections_per_address_max: u64,
    /// Seconds that a client may take for the head of a request, from the moment that it is its turn: a new connection
    /// that says nothing and one that is kept alive and idle are closed after that time too.
    pub header_read_seconds_max: u64,
    /// Seconds until a request that is no upload must be answered.
    pub request_seconds_max: u64,
    /// Seconds of a window in which a client must take some of its answer, see `response_bytes_per_second_min`.
    pub response_idle_seconds_max: u64,
    /// Bytes a second that a client must take of an answer that waits for it, in each such window.
    pub response_bytes_per_second_min: u64,
    /// Seconds from a submission's announcement until the first byte of its files, where they come through us.
    pub upload_first_byte_seconds_max: u64,
    /// Seconds an upload may be silent.
    pub upload_idle_seconds_max: u64,
    /// Bytes a second that an upload must bring on average, once that long has passed.
    pub upload_bytes_per_second_min: u64,
    /// Uploads at once; others are told to come back. Once more than half of them are under way, an address may have a
    /// sixteenth of them; hotkeys that are registered have as many as they like. So it is with the other places.
    pub uploads_max: u64,
    /// Other requests that only read, at once; more are told to come back. Health checks have places of their own.
    pub reads_max: u64,
    /// Streams of events at once; more are told to come back. Each holds one of the connections.
    pub streams_max: u64,
    /// Requests that change something, at once, from the moment that they came whole and it is known who signed them; more
    /// are told to come back.
    pub writes_max: u64,
    /// Requests a second from one address (or one /64 of IPv6) in the long run, uploads included; four times as many from a
    /// /56 and a /48.
    pub address_requests_per_second_max: u64,
    /// How many of them may come at once after a rest.
    pub address_requests_burst_max: u64,
    /// Requests that change something a second from one address, before any signature is looked at.
    pub address_writes_per_second_max: u64,
    /// How many of them may come at once after a rest.
    pub address_writes_burst_max: u64,
    /// Signed requests a minute of one hotkey.
    pub hotkey_requests_per_minute_max: u64,
    /// How many of them may come at once after a rest.
    pub hotkey_requests_burst_max: u64,
    /// Signed requests a second of all hotkeys together that aren't registered, and four times as many at once after a rest:
    /// what bounds the table of nonces.
    pub signed_requests_per_second_max: u64,
    /// Submissions of one hotkey that aren't done, over all competitions.
    pub hotkey_pending_max: u64,
    /// Bytes announced in them. A hotkey that has none pending may announce whatever its competition takes.
    pub hotkey_pending_bytes_max: u64,
    /// Submissions of one hotkey in 24 hours over all competitions, those included whose files never came; only failures
    /// of ours don't count. (What a competition takes a day stands in its manifest.)
    pub hotkey_announcements_per_day_max: u64,
    /// Submissions whose files are all there and that aren't done; more are told to come back. As many may be announced
    /// whose files are still to come, in places of their own.
    pub pending_max: u64,
    /// Bytes of the disk that uploads may not fill.
    pub disk_reserve_bytes: u64,
    /// Seconds that an admission check may take once it has begun.
    pub check_seconds_max: u64,
    /// Evaluations of one submission before we give up on ourselves.
    pub evaluation_attempts_max: u64,
    /// Seconds between such attempts.
    pub evaluation_retry_seconds: u64,
    /// Measurements of one submission that an unstable host may spoil before it is scored with a provisional latency.
    pub evaluation_unstable_max: u64,
    /// Seconds beyond its own limit after which an evaluation is taken from its worker and repeated.
    pub evaluation_grace_seconds: u64,
    /// Milliseconds between looks of an idle worker for a task.
    pub worker_poll_ms: u64,
    /// Seconds for which a worker on another machine needn't be heard of before what it measures is taken back.
    pub worker_lease_seconds: u64,
    /// Milliseconds between looks whether what was broken works again.
    pub breaker_probe_ms: u64,
    /// Seconds that an object may lie in the store without a row that names it.
    pub orphan_seconds_min: u64,
    /// Seconds that the files of a rejected submission are kept.
    pub rejected_seconds_max: u64,
    /// Bytes that an address (or one /64 of IPv6) may announce in 24 hours by hotkeys that the ledger doesn't know, wherever
    /// they are sent to. The first package of a day may be larger.
    pub address_bytes_per_day_max: u64,
    /// Resident bytes at which a worker is killed.
    pub evaluation_memory_bytes_max: u64,
    /// Seconds that measuring a teacher may take.
    pub publish_seconds_max: u64,
    /// Seconds to finish what is in flight at the end.
    pub shutdown_seconds_max: u64,
}

impl ServiceLimits {
    /// How slow an upload may be.
    pub fn upload_pace(&self) -> Pace {
        Pace {
            idle_max: Duration::from_secs(self.upload_idle_seconds_max),
            bytes_per_second_min: self.upload_bytes_per_second_min,
        }
    }

    /// How slowly an answer may be taken.
    pub fn response_pace(&self) -> Pace {
        Pace {
            idle_max: Duration::from_secs(self.response_idle_seconds_max),
            bytes_per_second_min: self.response_bytes_per_second_min,
        }
    }

    /// Says which number makes no sense, if one doesn't.
    pub(super) fn check(&self) -> Result<(), String> {
        for (field, value) in [
            ("body_bytes_max", self.body_bytes_max),
            ("body_read_seconds_max", self.body_read_seconds_max),
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("header_read_seconds_max", self.header_read_seconds_max),
            ("request_seconds_max", self.request_seconds_max),
            ("response_idle_seconds_max", self.response_idle_seconds_max),
            ("upload_first_byte_seconds_max", self.upload_first_byte_seconds_max),
            ("upload_idle_seconds_max", self.upload_idle_seconds_max),
            ("uploads_max", self.uploads_max),
            ("reads_max", self.reads_max),
            ("streams_max", self.streams_max),
            ("writes_max", self.writes_max),
            ("address_requests_per_second_max", self.address_requests_per_second_max),
            ("address_requests_burst_max", self.address_requests_burst_max),
            ("address_writes_per_second_max", self.address_writes_per_second_max),
            ("address_writes_burst_max", self.address_writes_burst_max),
            ("hotkey_requests_per_minute_max", self.hotkey_requests_per_minute_max),
            ("hotkey_requests_burst_max", self.hotkey_requests_burst_max),
            ("signed_requests_per_second_max", self.signed_requests_per_second_max),
            ("hotkey_pending_max", self.hotkey_pending_max),
            ("hotkey_announcements_per_day_max", self.hotkey_announcements_per_day_max),
            ("pending_max", self.pending_max),
            ("check_seconds_max", self.check_seconds_max),
            ("breaker_probe_ms", self.breaker_probe_ms),
            ("worker_poll_ms", self.worker_poll_ms),
            ("worker_lease_seconds", self.worker_lease_seconds),
            ("evaluation_attempts_max", self.evaluation_attempts_max),
            ("publish_seconds_max", self.publish_seconds_max),
        ] {
            if value == 0 || value > u64::from(u32::MAX) {
                return Err(format!("limits.{field} is {value}; it must be between 1 and {}", u32::MAX));
            }
        }
        Ok(())
    }
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 << 10,
            body_read_seconds_max: 10,
            connections_max: 2_048,
            connections_per_address_max: 64,
            header_read_seconds_max: 5,
            request_seconds_max: 30,
            response_idle_seconds_max: 10,
            response_bytes_per_second_min: 4 << 10,
            upload_first_byte_seconds_max: 600,
            upload_idle_seconds_max: 10,
            upload_bytes_per_second_min: 16 << 10,
            uploads_max: 128,
            reads_max: 256,
            streams_max: 1_024,
            writes_max: 64,
            address_requests_per_second_max: 100,
            address_requests_burst_max: 500,
            address_writes_per_second_max: 10,
            address_writes_burst_max: 100,
            hotkey_requests_per_minute_max: 60,
            hotkey_requests_burst_max: 30,
            signed_requests_per_second_max: 200,
            hotkey_pending_max: 4,
            hotkey_pending_bytes_max: 256 << 20,
            hotkey_announcements_per_day_max: 100,
            pending_max: 10_000,
            disk_reserve_bytes: 256 << 20,
            check_seconds_max: 300,
            evaluation_attempts_max: 3,
            evaluation_retry_seconds: 5,
            evaluation_unstable_max: 3,
            evaluation_grace_seconds: 60,
            worker_poll_ms: 250,
            worker_lease_seconds: 60,
            breaker_probe_ms: 5_000,
            orphan_seconds_min: 24 * 3_600,
            rejected_seconds_max: 6 * 3_600,
            address_bytes_per_day_max: 4 << 30,
            evaluation_memory_bytes_max: 2 << 30,
            publish_seconds_max: 3_600,
            shutdown_seconds_max: 20,
        }
    }
}
