//! The thread that starts all workers of a jail.
//!
//! A process that moves to another control group waits until every processor has passed a quiet moment of the kernel: of
//! a thousand starts the longest took 18 to 32 ms, and takes 10 now that nobody moves. This thread enters the group once,
//! and its children begin there. It is also the parent whose end the kernel tells workers of (`PR_SET_PDEATHSIG` looks at the thread, not
//! at the process), so that they end with the jail, however short-lived the thread is that asks for them.
//!
//! It doesn't know what it starts.

use crate::cgroup::Cgroup;
use crate::child::{self, Plan, Refusal};
use crate::worker::Worker;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Starts workers in a thread of its own. Dropping it ends the thread and what is left of the workers.
#[derive(Debug)]
pub(crate) struct Usher {
    /// `None` only while it is dropped.
    orders: Option<Sender<Order>>,
    /// The same.
    thread: Option<JoinHandle<()>>,
}

/// A worker that somebody waits for.
#[derive(Debug)]
struct Order {
    plan: Plan,
    answer: Sender<Result<Worker, Refusal>>,
}

impl Usher {
    /// Starts the thread and waits until it is a member of `group`.
    ///
    /// # Errors
    /// When there can't be a thread, or the group doesn't take it.
    pub(crate) fn new(group: Option<&Arc<Cgroup>>) -> Result<Self, Refusal> {
        let ((orders, taken), (admitted, admission)) = (channel(), channel());
        let group = group.cloned();
        let work = move || {
            let home = group.as_ref().map(|group| group.admit_this_thread()).transpose();
            // The directory must be free to go when the jail does.
            drop(group);
            let (home, answer) = match home {
                Ok(home) => (home.flatten(), Ok(())),
                Err(error) => (None, Err(("join the control group", error))),
            };
            // Whoever is told that it failed gives no orders.
            let _ = admitted.send(answer);
            serve(&taken, home.as_ref());
        };
        let thread = std::thread::Builder::new().name("usher".into()).spawn(work);
        let thread = thread.map_err(|error| ("start a thread", error))?;
        admission.recv().unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has a process started by `plan`.
    ///
    /// # Errors
    /// The system's answer and what was being done.
    pub(crate) fn start(&self, plan: Plan) -> Result<Worker, Refusal> {
        let (answer, answered) = channel();
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send(Order { plan, answer }).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

fn serve(orders: &Receiver<Order>, home: Option<&OwnedFd>) {
    for Order { plan, answer } in orders {
        // Nobody waits any more: the worker is dropped, and so it ends.
        let _ = answer.send(child::start(&plan, home));
    }
}

fn gone() -> Refusal {
    ("start a process", io::Error::other("the thread that starts workers is gone"))
}

impl Drop for Usher {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // It has no panic to tell of: it only makes system calls.
            let _ = thread.join();
        }
    }
}
