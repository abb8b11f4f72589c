//! `retort worker`: evaluates what a serving validator on the same directory hands out.

use super::validator::{open_worker, runtime, until_interrupted};
use crate::cli::WorkerArgs;
use anyhow::Result;

pub(crate) fn run(args: &WorkerArgs) -> Result<()> {
    runtime()?.block_on(async {
        let app = open_worker(&args.home.dir).await?;
        Ok(validator::work(app, until_interrupted()).await?)
    })
}
