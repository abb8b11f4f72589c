//! `retort worker`: evaluates what a serving validator on the same directory hands out.

use super::validator::{open_worker, run_service, time_to_end, until_interrupted};
use crate::cli::WorkerArgs;
use anyhow::Result;

pub(crate) fn run(args: &WorkerArgs) -> Result<()> {
    run_service(async {
        let app = open_worker(&args.home.dir).await?;
        validator::engines::check(&app).await?;
        let interrupted = until_interrupted(time_to_end(&app));
        Ok(validator::work(app, interrupted).await?)
    })?
}
