//! The attack suite: what a stranger does to the whole system, and what becomes of it. One story each: the attack, its end
//! with the code that the stranger is told, and what the defender can see of it.
//!
//! The validator is the real binary with its real engine, sandbox and log; the stranger has the command line, a key that
//! signs, and sockets that send bytes as they are. Run it alone with `cargo test -p retort --test all attacks::`. Rows and
//! incidents are those of docs/SECURITY.md, which says for each where it is tested.
//!
//! Not here, because the real binary has no hostile part to put in:
//! - **A worker that was taken over.** `eval/tests/hostile.rs` is one, and the engine's own confinement drives it in
//!   `eval::whatever_a_worker_that_was_taken_over_does_has_its_verdict` (files, sockets, processes, spinning, sleeping,
//!   memory, endless and false answers, floods of complaints), `eval::a_worker_that_lies_about_its_time_is_timed_all_the_same`
//!   and `eval::a_worker_that_never_answers_is_killed_at_the_deadline` (no signal is asked for that could be ignored).
//! - **Escapes** from the lock itself, 85 and 56: `sandbox::whatever_is_not_computing_ends_a_strict_worker` and
//!   `sandbox::a_drivers_worker_reads_files_and_is_refused_the_rest`, for an ordinary user too. What is here instead is
//!   the real worker seen from outside while it runs ([`workers`]).
//! - **Deferred, cached and recognised work** (rows 37 to 39): a model is data, so it takes a worker or an engine that
//!   cheats: `validator::a_model_that_twice_behaves_differently_when_timed_is_rejected_with_the_check_that_caught_it`.
//! - **Crashes, full disks and lost workers** (rows 51 to 53): campaigns of their own, `validator/tests/crash`.
//! - **Histories** (rows 46 and 47): `retort/tests/verify.rs`, against the real binary as well.

mod copies;
mod floods;
mod hall;
mod injection;
mod package;
mod packages;
mod signatures;
mod stranger;
mod swaps;
mod workers;

pub(crate) use hall::{children, until};
