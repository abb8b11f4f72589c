//! A worker as a program of its own, so that the tests of this crate can start one. The `retort` binary needs none:
//! it starts itself again with a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    eval::worker_main()
}
