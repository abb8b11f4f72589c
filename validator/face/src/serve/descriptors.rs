//! How many files and sockets this process may have open.
//!
//! Linux gives a process 1,024 unless it asks for more, which is fewer than the connections that we allow. It does not
//! know what they are used for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What we need beside connections: the database, objects, the log, workers.
const OTHERS: u64 = 512;

/// Asks for as many descriptors as `connections_max` connections and everything else need; says so if that is refused.
pub fn ask_for(connections_max: u64) {
    let needed = connections_max.saturating_mul(2).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit at all.
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let wanted = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    if raised.is_err() || wanted < needed {
        tracing::warn!(needed, ?maximum, "few descriptors: raise LimitNOFILE, or connections will have to wait");
    }
}
