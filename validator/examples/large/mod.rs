//! What measurements with models of 50 MB share: the competition, and a process of their own that serves it.
//!
//! It doesn't know what is measured.

#[path = "../../tests/support/package.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
pub(crate) mod package;

use package::{Package, competition_toml};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use validator::evaluator::silent;
use validator::publishing::Publisher;
use validator::{App, Home, ScriptedEvaluator};

/// A perceptron of 12.5 million parameters: 50 MB.
pub(crate) const HIDDEN: [u32; 2] = [3_600, 3_400];

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A competition that takes packages of 50 MB; `teacher` are the widths of its teacher.
pub(crate) async fn publish(folder: &Path, home: &Home, teacher: &[u32]) {
    home.init().unwrap();
    Package::mlp(teacher, 1).write(&folder.join("teacher"));
    Package::mlp(&[4], 2).write(&folder.join("reference"));
    let toml = competition_toml("digits", "")
        .replace("size_bytes_max = 20000", "size_bytes_max = 60000000")
        .replace("parameters_max = 2000", "parameters_max = 20000000")
        .replace("macs_max = 2000", "macs_max = 20000000")
        .replace("activation_bytes_max = 2000", "activation_bytes_max = 1000000");
    let manifest = folder.join("competition.toml");
    std::fs::write(&manifest, toml).unwrap();
    let config = home.load(std::iter::empty()).unwrap();
    let publisher = Publisher::open(home, config, Arc::new(ScriptedEvaluator::default())).await.unwrap();
    publisher.publish(&manifest, silent()).await.unwrap();
}

/// The process that is measured: what [`start`] runs.
pub(crate) async fn serve(home: &Home) {
    let config = home.load(std::env::vars()).unwrap();
    let app = App::open(home, config, Arc::new(ScriptedEvaluator::default())).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    std::fs::write(home.path().join("address"), listener.local_addr().unwrap().to_string()).unwrap();
    validator::run(listener, app, std::future::pending()).await.unwrap();
}

/// Runs this program again as `serve HOME`, and waits until it listens.
pub(crate) fn start(home: &Home) -> (Child, SocketAddr) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.arg("serve").arg(home.path()).stdin(Stdio::null()).spawn().unwrap();
    let file = home.path().join("address");
    loop {
        match std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()) {
            Some(address) => return (child, address),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The machine's load averages.
pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap().split(' ').take(3).collect::<Vec<_>>().join(" ")
}
