//! `retort worker`: evaluates the jobs of a validator's directory without serving anything.

use super::validator::{open_app, runtime, until_interrupted};
use crate::cli::WorkerArgs;
use anyhow::Result;

pub(crate) fn run(args: &WorkerArgs) -> Result<()> {
    runtime()?.block_on(async {
        let app = open_app(&args.home.dir, None).await?;
        Ok(validator::work(app, until_interrupted()).await?)
    })
}
