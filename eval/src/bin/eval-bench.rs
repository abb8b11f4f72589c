//! What the accuracy pass costs beside the same forward passes in this process. Not part of any evaluation; how well
//! latency is measured is `retort bench latency`'s business.
//!
//! ```text
//! cargo run --release -p eval --bin eval-bench -- [ITEMS] [PACKAGE-DIR]
//! ```
//!
//! Without a folder it takes untrained ResNets and an MLP on Fashion-MNIST's test images.

use burn::tensor::{Device, Tensor, TensorData};
use datasets::{FashionMnist, Images, fashion_mnist};
use eval::{Effort, Engine, WorkerCommand};
use models::{Network, Weights, fold_batch_norm};
use protocol::competition::InputSpec;
use protocol::evaluation::{Inputs, Order, PackageBytes, Scope};
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The hidden argument that makes this program its own worker.
const WORKER: &str = "__worker";

/// Engine and bare passes take turns this often; each keeps its best.
const TURNS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == WORKER) {
        return eval::worker_main();
    }
    match bench(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eval-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Outcome<()> {
    let count = arguments.first().map_or(Ok(2_000), |count| count.parse())?;
    let images = FashionMnist::load_test()?.select(&(0..count).collect::<Vec<u32>>());
    let packages = match arguments.get(1) {
        Some(folder) => vec![(folder.clone(), read_package(Path::new(folder))?)],
        None => vec![
            untrained("mlp 256", r#"{"kind":"mlp","hidden":[256]}"#)?,
            untrained("resnet 4 [1]", r#"{"kind":"resnet","width":4,"blocks":[1]}"#)?,
            untrained("resnet 16 [1,1,1]", r#"{"kind":"resnet","width":16,"blocks":[1,1,1]}"#)?,
        ],
    };
    for (name, package) in packages {
        measure(&name, &package, &images)?;
    }
    Ok(())
}

/// The accuracy pass of one package against bare forward passes, in turns.
fn measure(name: &str, package: &PackageBytes, images: &Images) -> Outcome<()> {
    let effort = Effort { looks: vec![1], launch: Duration::ZERO, warm_up: Duration::ZERO, checks: 0 };
    let engine = Engine { accuracy_threads: 1, effort, ..Engine::new(WorkerCommand::this_program(&[WORKER])?) };
    let order = self_order(package, images)?;
    let (mut through_worker, mut whole_pass, mut bare) = (0.0f64, 0.0f64, 0.0f64);
    for _ in 0..TURNS {
        let measured = engine.evaluate(&order, &|_| {})?.measured;
        through_worker = through_worker.max(measured.cost.throughput_milli as f64 / 1e3);
        whole_pass = whole_pass.max(1e3 * f64::from(images.count) / measured.phases_ms.accuracy.max(1) as f64);
        bare = bare.max(bare_forward(package, images, engine.batch as usize)?);
    }
    println!("{name}: {} items, batch {}, one thread, best of {TURNS}", images.count, engine.batch);
    println!("  bare burn forward   {bare:10.0} items/s");
    println!("  through the worker  {through_worker:10.0} items/s  {:6.1} % of bare", 100.0 * through_worker / bare);
    println!("  with hand-over      {whole_pass:10.0} items/s  {:6.1} % of bare", 100.0 * whole_pass / bare);

    Ok(())
}

/// Items per second of the same network in this process: folded, batched and copied as a worker does.
fn bare_forward(package: &PackageBytes, images: &Images, batch: usize) -> Outcome<f64> {
    let config = PackageConfig::from_json(&package.config_json)?;
    let plan = config.plan()?;
    let (plan, weights) = fold_batch_norm(&plan, Weights::from_safetensors(&package.weights, &plan)?)?;
    let device = Device::flex();
    let network = Network::new(&plan, &weights, &device)?;
    let table = config.input.normalisation().into_iter().next().ok_or("no planes")?;
    let values: Vec<f32> = images.pixels.iter().map(|pixel| table[usize::from(*pixel)]).collect();
    let (channels, height, width) = (images.channels as usize, images.height as usize, images.width as usize);
    let start = Instant::now();
    for chunk in values.chunks(batch * images.image_bytes()) {
        let shape = [chunk.len() / images.image_bytes(), channels, height, width];
        let inputs = Tensor::<4>::from_data(TensorData::new(chunk.to_vec(), shape), &device);
        let logits = network.forward(inputs).into_data();
        if logits.as_bytes().is_empty() {
            return Err("no logits".into());
        }
    }
    Ok(images.len() as f64 / start.elapsed().as_secs_f64())
}

fn self_order(package: &PackageBytes, images: &Images) -> Outcome<Order> {
    Ok(Order {
        candidate: package.clone(),
        reference: package.clone(),
        inputs: Inputs {
            spec: PackageConfig::from_json(&package.config_json)?.input,
            pixels: images.pixels.clone().into(),
        },
        probes: Default::default(),
        expected: None,
        engine: Default::default(),
        backends: Vec::new(),
        scope: Scope::Full,
        seed: 1,
        wall_seconds_max: 3_600,
        memory_bytes_max: 8 << 30,
    })
}

fn untrained(name: &str, architecture: &str) -> Outcome<(String, PackageBytes)> {
    let config = PackageConfig {
        format: "retort/1".into(),
        architecture: serde_json::from_str(architecture)?,
        input: InputSpec {
            channels: 1,
            height: 28,
            width: 28,
            mean_ppm: vec![fashion_mnist::INPUT_MEAN_PPM],
            deviation_ppm: vec![fashion_mnist::INPUT_STD_PPM],
        },
        labels: fashion_mnist::CLASS_NAMES.map(String::from).to_vec(),
    };
    let weights = Weights::random(&config.plan()?, &mut ChaCha20Rng::seed_from_u64(1)).to_safetensors()?;
    Ok((name.into(), PackageBytes { config_json: serde_json::to_vec(&config)?.into(), weights: weights.into() }))
}

fn read_package(folder: &Path) -> Outcome<PackageBytes> {
    Ok(PackageBytes {
        config_json: std::fs::read(folder.join(CONFIG_FILE))?.into(),
        weights: std::fs::read(folder.join(WEIGHTS_FILE))?.into(),
    })
}
