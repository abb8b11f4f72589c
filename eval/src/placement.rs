//! Where timed workers run: both processes of a pair on one core, so that they are alike, and this one on the others.
//!
//! Measured by A/A of an MLP on two cores at a load of 15 to 19 (11 launches of 0.2 s): without pinning and priority the
//! intervals were +-46 and +-63 %, with a nice value alone +-10 and +-11 %, pinned apart +-2.4 to 3.7 %, but with the
//! parent's clock 24 to 117 % above the workers'; pinned apart with the group raised +-1.4 to 3.7 %, the parent's clock
//! 3 % above. What is left is chance in where pages lie, which only more launches average out. All on one core was worse
//! (+-1.5 and +-16 %).
//!
//! The workers' core is theirs alone as far as this process goes: while they are timed, every other thread of it (whatever
//! answers strangers, at the time) keeps to the other cores, and those that begin meanwhile follow whoever began them.
//!
//! It asks the system and says what it was given; it doesn't know what is timed. A system that refuses is no error:
//! then the scheduler places the workers, and the report says so.

use rustix::io::Errno;
use rustix::process::{Pid, getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a measurement's processes are laid out over cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    /// As the scheduler likes.
    Off,
    /// The workers on one core, the measuring thread wherever it likes.
    Workers,
    /// The workers on one core, all of this process on the others.
    #[default]
    Apart,
    /// All of them on one core.
    Together,
}

/// The highest priority that the scheduler's ordinary class has, as a nice value.
const NICE: i32 = -20;

/// The group of this process, such as `/autogroup-81 nice 0`.
const AUTOGROUP: &str = "/proc/self/autogroup";

/// One layout at a time, since each moves all threads of this process. Whoever measures has the machine's lease anyway.
static ONE: Mutex<()> = Mutex::new(());

/// The layout while a measurement lasts. Dropping it puts the calling thread, and whatever kept apart, back where it was.
#[derive(Debug)]
pub(crate) struct Placement {
    /// All other threads, and what keeps to itself meanwhile.
    others: Option<Others>,
    /// The cores that the calling thread had before; `None` where nothing was changed.
    cores_before: Option<CpuSet>,
    /// Its nice value before; `None` where nothing was changed.
    nice_before: Option<i32>,
    /// Its group's; `None` where nothing was changed.
    group_before: Option<String>,
    /// How workers are placed.
    pub(crate) workers: WorkerPlacement,
    _one: MutexGuard<'static, ()>,
}

/// The threads of this process while they keep off a core.
#[derive(Debug)]
struct Others {
    core: usize,
    /// What they had before: those that had something else are left alone.
    before: CpuSet,
}

impl Others {
    /// Keeps every thread that may run wherever the calling one may off `core`.
    fn keep_off(core: usize, before: CpuSet) -> Option<Self> {
        (before.count() > 1).then(|| {
            move_all(before, without(before, core));
            Self { core, before }
        })
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        move_all(without(self.before, self.core), self.before);
    }
}

/// Gives every thread of this process that has exactly the cores `from` the cores `to`. Twice, because one that begins
/// while this goes on has its parent's.
fn move_all(from: CpuSet, to: CpuSet) {
    for _ in 0..2 {
        let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        for thread in threads.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)) {
            if sched_getaffinity(Some(thread)).is_ok_and(|cores| cores == from) {
                // One that has just ended needs none.
                let _ = sched_setaffinity(Some(thread), &to);
            }
        }
    }
}

/// How each worker of a measurement is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkerPlacement {
    /// The core that it is kept to.
    pub(crate) core: Option<u32>,
    /// Whether it runs before ordinary processes.
    pub(crate) prior: bool,
}

impl Placement {
    /// Lays out the calling thread and says where workers go. On a single core nothing is raised: whatever else this
    /// machine serves would wait until the measurement is over.
    pub(crate) fn take(pinning: Pinning, prior: bool) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cores = sched_getaffinity(None).map_or(1, |cores| cores.count());
        let nice_before = (prior && cores > 1).then(raise_priority).flatten();
        let group_before = nice_before.and_then(|_| raise_group());
        let (cores_before, core) = lay_out(pinning).unzip();
        let apart = cores_before.zip(core).filter(|_| pinning == Pinning::Apart);
        let others = apart.and_then(|(before, core)| Others::keep_off(core, before));
        let workers = WorkerPlacement { core: core.map(|core| core as u32), prior: nice_before.is_some() };
        Self { others, cores_before, nice_before, group_before, workers, _one: one }
    }
}

impl Drop for Placement {
    fn drop(&mut self) {
        drop(self.others.take());
        // All were in force a moment ago. A thread that stays as it is computes on fewer cores, or before others.
        if let Some(cores) = &self.cores_before {
            let _ = sched_setaffinity(None, cores);
        }
        if let Some(nice) = self.nice_before {
            let _ = setpriority_process(None, nice);
        }
        if let Some(nice) = &self.group_before {
            let _ = std::fs::write(AUTOGROUP, nice);
        }
    }
}

/// Lets the calling thread run before ordinary processes. The nice value from before, or `None` where the system refuses,
/// as it does to most users.
fn raise_priority() -> Option<i32> {
    let before = getpriority_process(None).ok()?;
    setpriority_process(None, NICE).ok().map(|()| before)
}

/// Where Linux groups processes by session and shares the processor between groups first, a nice value counts inside of
/// a group only: the group's own must be raised too. `None` where there are no groups or the system refuses.
fn raise_group() -> Option<String> {
    let shown = std::fs::read_to_string(AUTOGROUP).ok()?;
    let before = shown.trim().rsplit_once("nice ")?.1.to_owned();
    std::fs::write(AUTOGROUP, NICE.to_string()).ok().map(|()| before)
}

/// Moves the calling thread out of the workers' way. The cores that it had before, and the core for workers: the last
/// one that this process may use, since systems put interrupts and services on the first ones.
fn lay_out(pinning: Pinning) -> Option<(CpuSet, usize)> {
    let before = sched_getaffinity(None).ok()?;
    let core = (0..CpuSet::MAX_CPU).rev().find(|core| before.is_set(*core))?;
    let own = match pinning {
        Pinning::Off => return None,
        Pinning::Workers => before,
        Pinning::Together => only(core),
        Pinning::Apart => without(before, core),
    };
    // Tried on this thread first: a system that refuses the core would refuse it to all workers.
    sched_setaffinity(None, &only(core)).ok()?;
    let _ = sched_setaffinity(None, &own);
    Some((before, core))
}

impl WorkerPlacement {
    /// Places a process that has just been started, before it makes threads of its own.
    ///
    /// # Errors
    /// When the system refuses what it granted a moment ago.
    pub(crate) fn apply(self, pid: u32) -> io::Result<()> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
        let kept = self.core.map_or(Ok(()), |core| sched_setaffinity(Some(pid), &only(core as usize)));
        let raised = if self.prior { setpriority_process(Some(pid), NICE) } else { Ok(()) };
        match kept.and(raised) {
            // A process that has ended already says why when it is asked something.
            Err(Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

/// All of `cores` but one, unless it is the only one.
fn without(cores: CpuSet, core: usize) -> CpuSet {
    let mut rest = cores;
    rest.unset(core);
    if rest.count() == 0 { cores } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    /// Whether it comes to hold soon: other tests lay out the threads of this process, too.
    fn soon(holds: impl Fn() -> bool) -> bool {
        (0..500).any(|_| {
            holds() || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }
        })
    }

    #[test]
    fn a_thread_keeps_apart_while_it_measures_and_gets_its_cores_back() {
        let placement = Placement::take(Pinning::Apart, true);
        let before: Option<Vec<usize>> =
            placement.cores_before.map(|set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect());
        if let (Some(core), Some(before)) = (placement.workers.core, &before) {
            assert_eq!(before.last(), Some(&(core as usize)));
            assert!(before.len() == 1 || !cores().contains(&(core as usize)), "{:?}", cores());
        }
        assert_eq!(placement.workers.prior, getpriority_process(None).unwrap() == NICE);
        let nice = placement.nice_before.unwrap_or_else(|| getpriority_process(None).unwrap());
        drop(placement);
        assert!(before.is_none_or(|before| soon(|| cores() == before)), "{:?}", cores());
        assert_eq!(getpriority_process(None).unwrap(), nice);
    }

    #[test]
    fn no_other_thread_of_this_process_runs_where_workers_are_timed() {
        let (tell, told) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<Vec<usize>>>();
        let other = std::thread::spawn(move || told.into_iter().for_each(|asked| asked.send(cores()).unwrap()));
        let others = || {
            let (ask, answer) = std::sync::mpsc::channel();
            tell.send(ask).unwrap();
            answer.recv().unwrap()
        };
        let placement = Placement::take(Pinning::Apart, false);
        let begun_meanwhile = std::thread::spawn(cores).join().unwrap();
        if let Some(core) = placement.workers.core.filter(|_| placement.others.is_some()) {
            assert!(!others().contains(&(core as usize)), "{:?}", others());
            assert!(!begun_meanwhile.contains(&(core as usize)), "{begun_meanwhile:?}");
            drop(placement);
            assert!(soon(|| others().contains(&(core as usize))), "it is given back: {:?}", others());
        }
        drop(tell);
        other.join().unwrap();
    }

    #[test]
    fn without_pinning_nothing_moves() {
        let placement = Placement::take(Pinning::Off, false);
        assert_eq!(placement.workers, WorkerPlacement::default());
        assert!(placement.cores_before.is_none() && placement.nice_before.is_none());
    }

    #[test]
    fn a_worker_runs_where_and_as_soon_as_its_measurement_was_granted() {
        let placement = Placement::take(Pinning::Apart, true);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        placement.workers.apply(child.id()).unwrap();
        let pid = Pid::from_child(&child);
        let core = placement.workers.core.map(|core| core as usize);
        assert!(core.is_none_or(|core| sched_getaffinity(Some(pid)).unwrap() == only(core)));
        assert_eq!(placement.workers.prior, getpriority_process(Some(pid)).unwrap() == NICE);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_no_error_to_place() {
        let placement = Placement::take(Pinning::Together, false);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        placement.workers.apply(pid).unwrap();
    }
}
