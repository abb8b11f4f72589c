//! The validator of a demo: made in a folder, opened, and served in the background of this process.

use super::super::built_in::{FILES, MANIFEST};
use super::super::validator::{bind, open_app, publish, tell_caveats, time_to_end, until_interrupted, who_has_it};
use super::write;
use crate::cli::DemoArgs;
use anyhow::{Context, Result};
use eval::{Library, ONNXRUNTIME_VARIABLE};
use protocol::CompetitionId;
use protocol::competition::EngineName;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use validator::Publisher;
use validator::{App, Home};

/// The settings of the demo's validator. RETORT_LATENCY=full measures as a competition does, four times as long.
const SETTINGS: &str = "latency = \"quick\"\nregistration = \"open\"\n";
/// The demo's students learn for seconds and miss the manifest's gate. This one stops who has the public items by heart.
const DEMO_GATE_PPM: u32 = 750_000;

/// A validator that runs in the background of this process.
pub(super) struct Service {
    pub(super) app: App,
    pub(super) base: String,
    pub(super) competition: CompetitionId,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<Result<(), validator::ServeError>>,
}

impl Service {
    pub(super) fn start(runtime: &Runtime, dir: &Path, args: &DemoArgs, say: &impl Fn(&str)) -> Result<Self> {
        let (home, manifest) = made(dir, say)?;
        runtime.block_on(async {
            let listener = bind(args.listen).await?;
            let base = format!("http://{}", listener.local_addr()?);
            let app = open_app(&home, Some(args.listen)).await.map_err(|error| who_has_it(&home, error))?;
            say("it is open; teacher and reference are measured, and the competition is published");
            let manifest = publish(&Publisher::of(&app), &manifest).await?.competition.manifest;
            tell_caveats(&manifest);
            let competition = manifest.id;
            let (stop, stopped) = oneshot::channel();
            let running = tokio::spawn(validator::run(listener, app.clone(), async {
                let _ = stopped.await;
            }));
            Ok(Self { app, base, competition, stop, running })
        })
    }

    /// Stops the service, after an interrupt if it is to go on serving.
    pub(super) fn end(self, runtime: &Runtime, serve: bool) -> Result<()> {
        runtime.block_on(async {
            if serve {
                let token = self.app.config.operator_token.expose();
                eprintln!(
                    "serving at {0}/ until you press Ctrl-C; the operator's page: {0}/operator#token={token}",
                    self.base
                );
                until_interrupted(time_to_end(&self.app)).await;
            }
            let _ = self.stop.send(());
            Ok(self.running.await.context("the service's task")??)
        })
    }
}

/// Makes a validator's directory, and a manifest with its models; where both are.
fn made(dir: &Path, say: &impl Fn(&str)) -> Result<(PathBuf, PathBuf)> {
    for (name, bytes) in FILES {
        write(&dir.join(name), bytes)?;
    }
    let path = dir.join("validator");
    let home = Home::new(&path);
    let fresh = !home.config().exists();
    home.init()?;
    if fresh {
        write(&home.config(), SETTINGS.as_bytes())?;
    }
    let manifest = dir.join("competitions/fashion-mnist/competition.toml");
    let engine = official(&Library::named(), say);
    write(&manifest, changed(MANIFEST, DEMO_GATE_PPM, engine).as_bytes())?;
    Ok((path, manifest))
}

/// What models are measured on: onnxruntime where its library is found, else what is built in.
fn official(library: &Library, say: &impl Fn(&str)) -> EngineName {
    match library.runtime() {
        Ok(_) => {
            say("models are measured on onnxruntime, whose library is here");
            EngineName::Onnxruntime
        }
        Err(_) if std::env::var_os(ONNXRUNTIME_VARIABLE).is_none() => {
            say(&format!(
                "models are measured on burn, which is built in; on onnxruntime where {ONNXRUNTIME_VARIABLE} names its library"
            ));
            EngineName::Burn
        }
        Err(problem) => {
            say(&format!("models are measured on burn, which is built in: {problem}"));
            EngineName::Burn
        }
    }
}

/// A manifest with another gate and this engine.
fn changed(manifest: &str, gate_ppm: u32, engine: EngineName) -> String {
    let line = |line: &str| match line {
        _ if line.starts_with("gate_ppm") => format!("gate_ppm = {gate_ppm}\n"),
        _ if line.starts_with("# engine = ") => format!("engine = \"{engine}\"\n"),
        _ => format!("{line}\n"),
    };
    manifest.lines().map(line).collect()
}
