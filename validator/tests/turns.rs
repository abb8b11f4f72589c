//! Whose turn it is: a flood of free keys waits for itself, and nobody fails for having waited.

use super::lifecycle::after_publishing;
use super::support::{Miner, Package, Setup, TestApp, competition_toml};
use futures::FutureExt;
use protocol::submission::State;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use validator::scripted::scripted_evaluation;

/// Addresses that the flood comes from.
const ADDRESSES: u8 = 4;

/// Hotkeys of the flood, and models of each. `FLOOD=100x20 cargo test -p validator --test all turns::a_flood` is the figure of
/// docs/SECURITY.md.
fn flood() -> (u8, u32) {
    let asked = std::env::var("FLOOD").unwrap_or_else(|_| "12x3".to_owned());
    let (keys, models) = asked.split_once('x').unwrap();
    (keys.parse().unwrap(), models.parse().unwrap())
}

/// A miner who comes from an address of his own, as a proxy tells.
fn from(app: &TestApp, key: u8, address: &str) -> Miner {
    let headers = [(http::HeaderName::from_static("x-forwarded-for"), address.parse().unwrap())];
    let client = reqwest::Client::builder().default_headers(headers.into_iter().collect());
    let mut miner = app.miner(key);
    miner.http = client.build().unwrap();
    miner
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_keys_from_four_addresses_keeps_nobody_waiting_but_itself() {
    let (gate, order) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (passed, seen) = (Arc::clone(&gate), Arc::clone(&order));
    let evaluator = after_publishing(move |request| {
        seen.lock().unwrap().push(request.order.package_sha256());
        let passed = Arc::clone(&passed);
        async move {
            let _passed = passed.acquire().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            scripted_evaluation(&request, 900_000)
        }
        .boxed()
    });
    let (keys, models) = flood();
    let mut setup = Setup { evaluator, ..Setup::default() };
    setup.config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    // Each hotkey has one place, with however many models; half of the places are anybody's.
    setup.config.limits.pending_max = 2 * (u64::from(keys) + 2);
    setup.config.limits.hotkey_pending_max = u64::from(models).max(4);
    // How fast a flood may come is tested elsewhere.
    let limits = &mut setup.config.limits;
    for limit in [
        &mut limits.address_requests_burst_max,
        &mut limits.address_writes_burst_max,
        &mut limits.hotkey_requests_burst_max,
    ] {
        *limit = 100_000;
    }
    let app = TestApp::start(setup).await;
    let quota = format!("submissions_per_day = {models}");
    app.publish(&competition_toml("digits", "").replace("submissions_per_day = 4", &quota)).await;
    for key in 0..keys {
        let mallory = from(&app, key, &format!("192.0.2.{}", key % ADDRESSES));
        for model in 0..models {
            mallory.submit(&Package::mlp(&[8], 100 * u32::from(key) + model)).await.unwrap();
        }
    }
    let (mut honest, mut registered) = (Package::mlp(&[8], 900_001), Package::mlp(&[8], 900_002));
    let (alice, bob) = (from(&app, 200, "198.51.100.1"), from(&app, 201, "192.0.2.1"));
    app.app.ledger.register(chain::Registration::own(bob.hotkey(), 0)).unwrap();
    let alices = alice.submit(&honest).await.unwrap();
    let bobs = bob.submit(&registered).await.unwrap();
    app.wait_for(&bobs, State::Queued).await;
    app.wait_for(&alices, State::Queued).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let ahead = [alice.status(&alices).await.queue_position, bob.status(&bobs).await.queue_position];
    assert!(ahead[0].is_some_and(|ahead| ahead <= 6) && ahead[1] == Some(1), "{ahead:?}");

    gate.add_permits(10_000);
    for id in [&alices, &bobs] {
        app.wait_for(id, State::Scored).await;
    }
    let all = u64::from(keys) * u64::from(models) + 2;
    let competition = "digits".parse().unwrap();
    let scored = async {
        while app.app.db.count_scored(&competition).await.unwrap() < all {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90 + all), scored).await.expect("nothing is forgotten");
    let order = order.lock().unwrap();
    let turn = |package: &mut Package| {
        let digest = package.sha256();
        order.iter().position(|measured| *measured == digest).unwrap()
    };
    let (honest, registered) = (turn(&mut honest), turn(&mut registered));
    assert!(registered <= 2 && honest <= 6, "registered after {registered}, honest after {honest}");
}
