//! SIGKILL at every named point and at random moments, again and again on the same directory.
//!
//! ```text
//! cargo test -p validator --test all crash::campaign::in_full -- --ignored --nocapture
//! ```
//!
//! kills at every point of `validator::failpoints` and at as many random moments as make 250 (`CRASH_POINTS=1000` for
//! more), and prints what it found as JSON.

use super::audit::{self, Audit};
use super::miners::{Failed, Miner};
use super::service::{Arena, Process};
use super::{acts, beside};
use crate::support::Package;
use protocol::round::Step;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use transparency::SignedCheckpoint;
use validator::failpoints::{Change, Moment, Point};

/// How long a process may take to come to a point where it is to be killed.
const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// Miners at once.
const MINERS: u64 = 3;
/// Kills after which miners turn to a new competition.
const KILLS_OF_A_COMPETITION: u64 = 40;
/// The widths of packages: mostly good ones, and one each that fails first, is unstable first, and is invalid.
const WIDTHS: [u32; 9] = [8, 5, 9, 10, 6, 11, 7, 12, 13];

/// Where a process is killed.
#[derive(Clone, Copy, Debug)]
enum Kill {
    At(Point),
    /// After so long.
    After(Duration),
}

/// A directory with the people around it, over many processes.
struct Campaign {
    arena: Arena,
    miners: Vec<Miner>,
    seen: Option<SignedCheckpoint>,
    kills: u64,
    /// From the start of a process to its first answer.
    recoveries: Vec<Duration>,
    competition: String,
    /// How many things were done that need a name of their own.
    names: u64,
}

impl Campaign {
    fn new() -> Self {
        let arena = Arena::new("");
        let miners = (1..=MINERS).map(|number| Miner::new(number, &arena)).collect();
        let (seen, recoveries) = (None, Vec::new());
        let mut campaign = Self { arena, miners, seen, kills: 0, recoveries, competition: String::new(), names: 0 };
        campaign.next_competition();
        campaign
    }

    /// A competition that the next process publishes, for miners to turn to.
    fn next_competition(&mut self) {
        self.names += 1;
        self.competition = format!("digits-{}", self.names);
        self.arena.add(&self.competition, |toml| {
            let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
            toml.replace("[limits]", "rounds.seconds = 1\nrounds.items = 20\nrounds.challengers_max = 1\n\n[limits]")
        });
    }

    /// A competition whose uploads have a second.
    fn hasty_competition(&mut self) -> String {
        self.names += 1;
        let id = format!("hasty-{}", self.names);
        self.arena.add(&id, |toml| {
            let toml = toml.replace("upload_seconds_max = 600", "upload_seconds_max = 1");
            toml.replace("[limits]", "rounds.seconds = 0\n\n[limits]")
        });
        id
    }

    /// A competition for large packages.
    fn large_competition(&mut self) -> String {
        self.names += 1;
        let id = format!("large-{}", self.names);
        self.arena.add(&id, |toml| {
            let toml = toml.replace("size_bytes_max = 20000", "size_bytes_max = 8000000");
            // What is cut off here is never taken up again.
            let toml = toml.replace("upload_seconds_max = 600", "upload_seconds_max = 20");
            toml.replace("[limits]", "rounds.seconds = 0\n\n[limits]")
        });
        id
    }

    /// Starts a process, lets miners mine, and sees that it is dead in the end; then looks at what it left.
    async fn kill(&mut self, kill: Kill) {
        if self.kills % KILLS_OF_A_COMPETITION == KILLS_OF_A_COMPETITION - 1 {
            self.next_competition();
        }
        let failpoints = match kill {
            Kill::At(point) => format!("{point}=return(kill)"),
            Kill::After(_) => String::new(),
        };
        let extra = self.prepare(kill).await;
        let limit = match kill {
            Kill::At(_) => REACHED_WITHIN,
            Kill::After(delay) => delay,
        };
        let (mut process, base) = self.arena.serve_within(limit, &failpoints).await;
        if let Some(base) = base {
            let left = limit.saturating_sub(process.spawned.elapsed());
            self.until_dead(&mut process, &base, left, extra).await;
        }
        match (kill, process.ended(Duration::ZERO).await) {
            (Kill::At(point), None) => {
                let queue = self.arena.queue().await;
                panic!("{point} was not reached in {limit:?}, with {queue}: {}", process.stderr())
            }
            (Kill::At(point), Some(status)) => {
                use std::os::unix::process::ExitStatusExt;
                assert_eq!(status.signal(), Some(9), "{point}: {status}: {}", process.stderr());
            }
            (Kill::After(_), Some(status)) => panic!("it died by itself: {status}: {}", process.stderr()),
            (Kill::After(_), None) => process.kill().await,
        }
        self.look(&process).await;
    }

    /// What must have happened before for a point to be reached.
    async fn prepare(&mut self, kill: Kill) -> Extra {
        let Kill::At(point) = kill else { return Extra::None };
        match point {
            Point::Written(Change::Recovery) | Point::Committed(Change::Recovery) => {
                Box::pin(self.kill(Kill::At(Point::Committed(Change::Claim)))).await;
            }
            Point::Written(Change::LeafCatchUp) | Point::Committed(Change::LeafCatchUp) => {
                Box::pin(self.kill(Kill::At(Point::At(Moment::LogCheckpointAfter)))).await;
            }
            Point::Written(Change::Publication)
            | Point::Committed(Change::Publication)
            | Point::At(Moment::PublicationStored) => self.next_competition(),
            Point::Written(Change::Expiry) | Point::Committed(Change::Expiry) => {
                return Extra::Ghost(self.hasty_competition());
            }
            Point::At(Moment::ObjectPart) => return Extra::Large(self.large_competition()),
            _ => {}
        }
        Extra::None
    }

    /// Mines until the process is dead or `limit` is over.
    async fn until_dead(&mut self, process: &mut Process, base: &str, limit: Duration, extra: Extra) {
        let began = Instant::now();
        let competition = self.competition.clone();
        let busy = async {
            let mining = self.miners.iter_mut().map(|miner| miner.mine(base, &competition, &WIDTHS));
            tokio::join!(futures::future::join_all(mining), extra.go(base, &self.arena));
            std::future::pending::<()>().await;
        };
        let recovered = async {
            let recovered = process.healthy(base).await;
            process.ended(limit.saturating_sub(began.elapsed())).await;
            recovered
        };
        let recovered = tokio::select! {
            () = busy => None,
            recovered = recovered => recovered,
            () = tokio::time::sleep(limit) => None,
        };
        self.recoveries.extend(recovered);
    }

    async fn look(&mut self, process: &Process) {
        self.kills += 1;
        let orphans = self.arena.orphans().await;
        assert!(orphans.is_empty(), "processes that outlive the service: {orphans:?}");
        audit::after_a_kill(&self.arena, &self.miners).await;
        self.seen = audit::log_goes_on(&self.arena, self.seen.take()).await;
        let stderr = process.stderr();
        assert!(!stderr.contains("panicked at"), "{stderr}");
    }

    /// `LogBegun` happens once in the life of a directory, and rewards are announced by another process.
    async fn kill_elsewhere(&mut self, point: Point) {
        let failpoints = format!("{point}=return(kill)");
        let (mut process, arena) =
            if matches!(point, Point::Written(Change::LogBegun) | Point::Committed(Change::LogBegun)) {
                let arena = Arena::new("");
                (arena.spawn(&["serve"], &failpoints), Some(arena))
            } else {
                self.names += 1;
                let round = format!("{}", 1_000_000 + self.names);
                (self.arena.spawn(&["reward", "digits-1", &round], &failpoints), None)
            };
        let status = process.ended(REACHED_WITHIN).await;
        assert!(status.is_some_and(|status| !status.success()), "{point}: {status:?} {}", process.stderr());
        assert!(!process.stderr().contains("scripted-validator:"), "{}", process.stderr());
        match arena {
            None => self.look(&process).await,
            Some(arena) => {
                self.kills += 1;
                let (mut process, base) = arena.serve().await;
                self.recoveries.extend(process.healthy(&base).await);
                process.kill().await;
            }
        }
    }

    async fn kill_at(&mut self, point: Point) {
        match point {
            Point::Written(Change::LogBegun | Change::RewardChange)
            | Point::Committed(Change::LogBegun | Change::RewardChange) => self.kill_elsewhere(point).await,
            _ => self.kill(Kill::At(point)).await,
        }
    }

    /// Lets everything come to an end, sweeps, and looks at what is left.
    async fn rest(&mut self) -> Audit {
        let (process, base) = self.arena.serve().await;
        for miner in &mut self.miners {
            if miner.entries.last().is_some_and(|entry| !entry.completed) {
                while let Err(failed) = miner.go_on(&base).await {
                    assert!(matches!(failed, Failed::Refused { status: 404, .. }), "{failed:?}");
                }
            }
        }
        self.arena.until_done(&self.miners[0], &base).await;
        assert!(process.stop().await.success());
        self.arena.sweep().await;
        self.seen = audit::log_goes_on(&self.arena, self.seen.take()).await;
        audit::at_rest(&self.arena, &self.miners).await
    }

    fn report(&mut self, audit: &Audit, kinds: &BTreeMap<&str, u64>, began: Instant) -> serde_json::Value {
        self.recoveries.sort_unstable();
        let at = |share: f64| {
            let index = (self.recoveries.len() as f64 * share) as usize;
            self.recoveries.get(index.min(self.recoveries.len() - 1)).map_or(0, |took| took.as_millis() as u64)
        };
        let acknowledged: usize = self.miners.iter().flat_map(|miner| &miner.entries).filter(|e| e.completed).count();
        serde_json::json!({
            "kills": self.kills, "by_kind": kinds, "seconds": began.elapsed().as_secs(),
            "acknowledged": acknowledged, "submissions": audit.submissions, "scored": audit.scored,
            "lost": 0, "twice": 0, "orphan_processes": 0, "orphan_objects": 0,
            "log_entries": audit.log_entries, "objects": audit.objects,
            "serving_again_ms": {"p50": at(0.5), "p99": at(0.99), "max": at(1.0)},
        })
    }
}

/// What happens beside mining.
enum Extra {
    None,
    /// Somebody announces and sends nothing.
    Ghost(String),
    /// Somebody sends much.
    Large(String),
}

impl Extra {
    async fn go(&self, base: &str, arena: &Arena) {
        let (competition, package) = match self {
            Self::None => return,
            Self::Ghost(competition) => (competition, Package::random(&[8], 1)),
            // Not admissible, but that is found out when it is stored.
            Self::Large(competition) => {
                (competition, Package::random(&[8], 2).with_weights(|bytes| bytes.resize(6 << 20, 1)))
            }
        };
        let miner = Miner::new(99, arena);
        loop {
            match miner.announce(base, competition, &package).await {
                Ok(created) if matches!(self, Self::Large(_)) => {
                    for upload in &created.uploads {
                        let (_, bytes) = package.files.iter().find(|(path, _)| *path == upload.path).unwrap();
                        let _ = miner.put(base, upload, bytes.clone()).await;
                    }
                    return;
                }
                Ok(_) | Err(Failed::Gone) => return,
                Err(Failed::Refused { status: 404, .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(refused) => panic!("{refused:?}"),
            }
        }
    }
}

/// Kills at these points and at so many random moments.
async fn run(points: &[Point], random: u64, seed: u64) -> (Campaign, serde_json::Value) {
    let (mut campaign, began) = (Campaign::new(), Instant::now());
    let (mut random_state, mut kinds) = (ChaCha8Rng::seed_from_u64(seed), BTreeMap::new());
    for point in points {
        campaign.kill_at(*point).await;
        *kinds.entry("named points").or_insert(0) += 1;
    }
    for _ in 0..random {
        // A start takes some of it, so that processes are killed while they start, too.
        let delay = Duration::from_micros(random_state.random_range(0..1_200_000));
        campaign.kill(Kill::After(delay)).await;
        *kinds.entry("random moments").or_insert(0) += 1;
    }
    let audit = campaign.rest().await;
    let report = campaign.report(&audit, &kinds, began);
    (campaign, report)
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn in_full() {
    let wanted = std::env::var("CRASH_POINTS").ok().and_then(|count| count.parse().ok()).unwrap_or(250);
    let seed = std::env::var("CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut points = Point::all();
    // On no submission's way: others come to them.
    points.retain(|point| !acts::POINTS.contains(point) && !beside::POINTS.contains(point));
    let random = u64::saturating_sub(wanted, points.len() as u64);
    let (campaign, report) = run(&points, random, seed).await;
    println!("{report}");
    let slowest = campaign.recoveries.last().unwrap();
    assert!(*slowest <= Duration::from_secs(2), "serving again took {slowest:?}");
}

/// The points through which every submission goes, each once; the others are [`in_full`]'s.
#[tokio::test]
async fn a_service_killed_at_any_step_of_a_submission_loses_nothing_and_does_nothing_twice() {
    use Change::{Admission, Announcement, Claim, Completion, Publication, Recovery, Result};
    use Moment::{AnnouncementAnswer, CompletionAnswer, FileMarked, LogCheckpointBefore, ObjectBefore, ReceiptSigned};
    let points = [
        Point::Committed(Publication),
        Point::Written(Announcement),
        Point::At(AnnouncementAnswer),
        Point::At(ObjectBefore),
        Point::At(FileMarked),
        Point::Written(Completion),
        Point::At(CompletionAnswer),
        Point::Committed(Admission),
        Point::Written(Claim),
        Point::Committed(Recovery),
        Point::At(ReceiptSigned),
        Point::Written(Result),
        Point::Committed(Result),
        Point::At(LogCheckpointBefore),
        Point::Committed(Change::LeafCatchUp),
        Point::Committed(Change::Round(Step::Closed)),
    ];
    let (_, report) = run(&points, 4, 1).await;
    println!("{report}");
}
