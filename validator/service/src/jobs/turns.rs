//! Whose turn it is: the order in which submissions are checked and evaluated (docs/RULES.md tells it to miners).
//!
//! Whoever has a registered owner comes before others. Then it is the owner's turn for whom the machine worked least in the
//! last day, among its hotkeys' addresses the one for which it worked least, there the hotkey, and at last whoever came
//! first. Without a registration keys cost nothing, so all of them together are nobody's, and what counts is where they come
//! from. Of each hotkey one submission at a time is in this order; its others wait behind it. So a flood waits for its own
//! end, and not those beside it. It knows no state of a submission and hands nothing out.

use crate::app::App;
use crate::state::line::Foreseen;
use protocol::submission::State;
use protocol::{Hotkey, SubmissionId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::causes::Chain;
use store::db::DbError;
use store::db::submissions::Submission;
use store::db::turns::{Used, Waiting};

/// The window in which the machine's work counts.
pub const WINDOW_SECONDS: u64 = 24 * 3_600;
/// Places that are foreseen one by one; whoever is further behind is told that so many are before it.
const FORESEEN_MAX: usize = 200;
/// What an evaluation is guessed to take while none has been done.
const PACE_GUESS_MS: u64 = 60_000;
/// How long a look at the line is good for.
const KEPT: Duration = Duration::from_millis(500);

/// Who owns each registered hotkey.
type Owners = HashMap<Hotkey, Hotkey>;

/// For whom a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taker {
    /// A machine of ours, which may measure all.
    Ours,
    /// One that leaves to workers what they may measure.
    OursForTheRest,
    /// A machine of others, whose word on what it or another said before isn't asked for.
    Others,
}

impl Taker {
    fn takes(self, waiting: &Waiting) -> bool {
        match self {
            Self::Ours => true,
            Self::OursForTheRest => waiting.is_unconfirmed,
            Self::Others => !waiting.is_unconfirmed,
        }
    }
}

/// The submission whose turn it is, and the attempt that it waits for; `None` if nobody's next attempt may begin yet.
pub async fn next(app: &App, state: State, taker: Taker) -> Result<Option<(SubmissionId, u64)>, DbError> {
    let line = line(app, state, |waiting| waiting.due && taker.takes(waiting)).await?;
    Ok(line.first().map(|waiting| (waiting.id.clone(), waiting.attempt)))
}

/// Writes down what the machine did for a submission.
pub async fn charge(app: &App, submission: &Submission, used: Duration) -> Result<(), DbError> {
    let mut tx = app.db.write().await?;
    store::db::turns::charge(&mut tx, submission, millis(used), app.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// A duration as rows hold it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many turns come before a queued submission's, as it looked a moment ago.
pub async fn ahead_of(app: &App, id: &SubmissionId) -> Result<u32, DbError> {
    let foreseen = foreseen(app).await?;
    let before = foreseen.order.iter().position(|it| it == id).unwrap_or(foreseen.waiting.saturating_sub(1));
    Ok(u32::try_from(foreseen.evaluating + before).unwrap_or(u32::MAX))
}

/// The line as it looked a moment ago.
pub async fn foreseen(app: &App) -> Result<Arc<Foreseen>, DbError> {
    // Whoever comes while somebody looks waits for what he finds.
    let mut kept = app.line.0.lock().await;
    if let Some((at, foreseen)) = &*kept
        && at.elapsed() < KEPT
    {
        return Ok(Arc::clone(foreseen));
    }
    let (_, pace_ms) = app.db.evaluation_pace().await?;
    let line = line(app, State::Queued, |_| true).await?;
    let (waiting, evaluating) = (line.waiting(), app.db.in_state(State::Evaluating, u32::MAX).await?.len());
    let order = line.foresee(pace_ms.unwrap_or(PACE_GUESS_MS).max(1), FORESEEN_MAX);
    let foreseen = Arc::new(Foreseen { order, waiting, evaluating });
    *kept = Some((Instant::now(), Arc::clone(&foreseen)));
    Ok(foreseen)
}

async fn line(app: &App, state: State, is_in: impl Fn(&Waiting) -> bool) -> Result<Line, DbError> {
    let now = app.clock.now();
    let mut waiting = app.db.waiting(state, now).await?;
    waiting.retain(is_in);
    if waiting.is_empty() {
        return Ok(Line::default());
    }
    let used = app.db.machine_time(now.saturating_sub(WINDOW_SECONDS), now).await?;
    Ok(Line::new(waiting, &used, owners(app).await))
}

/// Who is registered. A ledger that can't be read has nobody: then all are equal.
async fn owners(app: &App) -> Owners {
    let ledger = Arc::clone(&app.ledger);
    let read = tokio::task::spawn_blocking(move || ledger.registrations()).await;
    match read {
        Ok(Ok(registrations)) => registrations.into_iter().map(|it| (it.hotkey, it.owner())).collect(),
        Ok(Err(error)) => {
            tracing::error!(error = %Chain(&error), "can't see who is registered");
            Owners::default()
        }
        Err(error) => {
            tracing::error!(%error, "can't see who is registered");
            Owners::default()
        }
    }
}

/// For whom the machine worked how long, in milliseconds.
#[derive(Debug, Default)]
struct Work {
    /// Under `None`: whoever has no registered owner.
    owners: HashMap<Option<Hotkey>, u64>,
    networks: HashMap<(Option<Hotkey>, String), u64>,
    addresses: HashMap<(Option<Hotkey>, String), u64>,
    hotkeys: HashMap<Hotkey, u64>,
}

/// Who comes first has the smallest.
type Place = (bool, u64, u64, u64, u64, u64);

impl Work {
    fn add(&mut self, owner: Option<Hotkey>, (address, network): (&str, &str), hotkey: Hotkey, used_ms: u64) {
        let add = |sum: &mut u64| *sum = sum.saturating_add(used_ms);
        add(self.owners.entry(owner).or_default());
        add(self.networks.entry((owner, network.to_owned())).or_default());
        add(self.addresses.entry((owner, address.to_owned())).or_default());
        add(self.hotkeys.entry(hotkey).or_default());
    }

    fn place(&self, owner: Option<Hotkey>, waiting: &Waiting) -> Place {
        let of = |sum: Option<&u64>| sum.copied().unwrap_or_default();
        (
            owner.is_none(),
            of(self.owners.get(&owner)),
            of(self.networks.get(&(owner, waiting.network.clone()))),
            of(self.addresses.get(&(owner, waiting.address.clone()))),
            of(self.hotkeys.get(&waiting.hotkey)),
            waiting.arrival,
        )
    }
}

/// Everybody who waits, with what decides.
#[derive(Debug, Default)]
struct Line {
    /// Of each hotkey its submissions, in order.
    waiting: BTreeMap<Hotkey, VecDeque<Waiting>>,
    work: Work,
    owners: Owners,
}

impl Line {
    fn new(waiting: Vec<Waiting>, used: &[Used], owners: Owners) -> Self {
        let mut line = Self { owners, ..Self::default() };
        for one in waiting {
            line.waiting.entry(one.hotkey).or_default().push_back(one);
        }
        for Used { hotkey, address, network, used_ms } in used {
            let owner = line.owners.get(hotkey).copied();
            line.work.add(owner, (address, network), *hotkey, *used_ms);
        }
        line
    }

    fn waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Whose turn it is.
    fn first(&self) -> Option<&Waiting> {
        let place = |waiting: &&Waiting| self.work.place(self.owners.get(&waiting.hotkey).copied(), waiting);
        self.waiting.values().filter_map(VecDeque::front).min_by_key(place)
    }

    /// The order in which turns come if nobody else comes and each takes `each_ms`.
    fn foresee(mut self, each_ms: u64, count_max: usize) -> Vec<SubmissionId> {
        let mut order = Vec::new();
        while order.len() < count_max
            && let Some(Waiting { id, hotkey, address, network, .. }) = self.first().cloned()
        {
            let owner = self.owners.get(&hotkey).copied();
            self.work.add(owner, (&address, &network), hotkey, each_ms);
            if let Some(own) = self.waiting.get_mut(&hotkey) {
                own.pop_front();
                if own.is_empty() {
                    self.waiting.remove(&hotkey);
                }
            }
            order.push(id);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::auth::Keypair;

    fn hotkey(number: u16) -> Hotkey {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        Keypair::from_seed(&seed).hotkey()
    }

    fn waiting(arrival: u64, key: u16, address: &str) -> Waiting {
        let id = SubmissionId::new(arrival, arrival.into());
        let network = network(address);
        let (due, is_unconfirmed) = (true, false);
        Waiting { id, attempt: 0, hotkey: hotkey(key), address: address.into(), network, arrival, due, is_unconfirmed }
    }

    /// What is before a dot, as addresses of one network begin here.
    fn network(address: &str) -> String {
        address.split('.').next().unwrap_or_default().to_owned()
    }

    fn order(waiting: Vec<Waiting>, used: &[Used], owners: Owners) -> Vec<u64> {
        let arrivals: HashMap<SubmissionId, u64> = waiting.iter().map(|it| (it.id.clone(), it.arrival)).collect();
        let order = Line::new(waiting, used, owners).foresee(10_000, usize::MAX);
        order.iter().map(|id| arrivals[id]).collect()
    }

    #[test]
    fn a_flood_of_free_keys_waits_for_itself() {
        // 100 keys with 20 models each from 4 addresses, then one honest miner and one who is registered.
        let mut all = Vec::new();
        for model in 0..20 {
            for key in 0..100 {
                let arrival = model * 100 + u64::from(key);
                all.push(waiting(arrival, key, ["a", "b", "c", "d"][usize::from(key) % 4]));
            }
        }
        all.push(waiting(5_000, 1_000, "e"));
        all.push(waiting(5_001, 1_001, "a"));
        let owners = Owners::from([(hotkey(1_001), hotkey(2_000))]);
        let order = order(all, &[], owners);
        assert_eq!(order.len(), 2_002, "nobody is forgotten");
        assert_eq!(order[0], 5_001, "the registered one comes first, from wherever");
        let honest = order.iter().position(|arrival| *arrival == 5_000).unwrap();
        assert!(honest <= 5, "{honest}");
    }

    #[test]
    fn whoever_used_least_comes_first_at_each_level_and_then_whoever_came_first() {
        let used = |key, address: &str, seconds: u64| Used {
            hotkey: hotkey(key),
            address: address.into(),
            network: network(address),
            used_ms: seconds * 1_000,
        };
        // Two owners, one with two hotkeys: what one hotkey used counts for its sister.
        let owners = Owners::from([(hotkey(1), hotkey(9)), (hotkey(2), hotkey(9)), (hotkey(3), hotkey(3))]);
        let all = vec![waiting(1, 1, "a"), waiting(2, 2, "b"), waiting(3, 3, "a")];
        assert_eq!(order(all.clone(), &[used(1, "a", 60)], owners.clone()), [3, 2, 1]);
        assert_eq!(order(all.clone(), &[], owners), [1, 3, 2]);
        // Without owners: where they come from, then the key.
        assert_eq!(order(all.clone(), &[], Owners::default()), [1, 2, 3]);
        assert_eq!(order(all, &[used(7, "a", 60)], Owners::default()), [2, 1, 3]);
        // Addresses of one network share what each of them used.
        let all = vec![waiting(1, 1, "n.a"), waiting(2, 2, "n.b"), waiting(3, 3, "m.a")];
        assert_eq!(order(all, &[used(7, "n.c", 60)], Owners::default()), [3, 1, 2]);
    }

    #[test]
    fn of_a_hotkey_one_is_in_the_line_and_the_others_wait_behind_it_in_order() {
        let all = vec![waiting(1, 1, "a"), waiting(2, 1, "a"), waiting(3, 1, "b"), waiting(4, 2, "c")];
        assert_eq!(order(all, &[], Owners::default()), [1, 4, 2, 3]);
    }
}
