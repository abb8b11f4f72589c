//! How much measuring costs: the accuracy pass beside the same forward passes in this process, and a model's latency
//! against itself. Not part of any evaluation.
//!
//! ```text
//! cargo run --release -p eval --bin eval-bench -- [ITEMS] [PACKAGE-DIR]
//! ```
//!
//! Without a folder it takes untrained ResNets and an MLP on Fashion-MNIST's test images.

use burn::tensor::{Device, Tensor, TensorData};
use datasets::{FashionMnist, Images, fashion_mnist};
use eval::{Clock, Engine, Pair, Samples, WorkerCommand, statistics::median};
use models::{Network, Weights, fold_batch_norm};
use protocol::competition::InputSpec;
use protocol::evaluation::{EvaluationRequest, Items, PackageBytes};
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

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
    let images = FashionMnist::load_test(&FashionMnist::embedded_dir())?.select(&(0..count).collect::<Vec<u32>>());
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

/// One package against itself, and its accuracy pass against bare forward passes in turns.
fn measure(name: &str, package: &PackageBytes, images: &Images) -> Outcome<()> {
    let engine = Engine { accuracy_threads: 1, ..Engine::new(WorkerCommand::this_program(&[WORKER])?) };
    let quick = Engine { launches: 1, seconds_per_launch: 0.0, ..engine.clone() };
    let request = self_request(package, images)?;
    let (mut through_worker, mut whole_pass, mut bare) = (0.0f64, 0.0f64, 0.0f64);
    for _ in 0..TURNS {
        let report = quick.evaluate(&request, &|_| {})?.report;
        through_worker = through_worker.max(report.cost.throughput_milli as f64 / 1e3);
        whole_pass = whole_pass.max(1e3 * f64::from(images.count) / report.phases_ms.accuracy.max(1) as f64);
        bare = bare.max(bare_forward(package, images, engine.batch as usize)?);
    }
    println!("{name}: {} items, batch {}, one thread, best of {TURNS}", images.count, engine.batch);
    println!("  bare burn forward   {bare:10.0} items/s");
    println!("  through the worker  {through_worker:10.0} items/s  {:6.1} % of bare", 100.0 * through_worker / bare);
    println!("  with hand-over      {whole_pass:10.0} items/s  {:6.1} % of bare", 100.0 * whole_pass / bare);

    let start = Instant::now();
    let evaluation = engine.evaluate(&request, &|_| {})?;
    let (report, samples) = (&evaluation.report, serde_json::from_slice::<Samples>(&evaluation.latency_samples)?);
    let ratio = report.latency.ratio;
    println!(
        "  A/A ratio           {:10.4} [{:.4}, {:.4}]  {} launches, {} pairs, whole evaluation {:.1} s",
        ratio.value_ppm as f64 / 1e6,
        ratio.low_ppm as f64 / 1e6,
        ratio.high_ppm as f64 / 1e6,
        report.latency.launches,
        report.latency.pairs,
        start.elapsed().as_secs_f64(),
    );
    println!("  {}", both_clocks(&samples));
    print_side(report.latency.p50_ns, report.latency.p90_ns, &samples);
    Ok(())
}

/// The same estimate by either clock alone. They differ by the system's delay in waking the ends of the pipe.
fn both_clocks(samples: &Samples) -> String {
    let by = |clock| {
        let mut forced = samples.clone();
        for pair in forced.launches.iter_mut().flat_map(|launch| &mut launch.pairs) {
            let (candidate_ns, reference_ns) = pair.blocks_ns(clock);
            *pair = Pair {
                candidate_ns,
                reference_ns,
                candidate_worker_ns: candidate_ns,
                reference_worker_ns: reference_ns,
                ..*pair
            };
        }
        let ratio = forced.summary().ratio;
        let [value, low, high] = [ratio.value_ppm, ratio.low_ppm, ratio.high_ppm].map(|ppm| ppm as f64 / 1e6);
        format!("{value:.4} [{low:.4}, {high:.4}]")
    };
    let (parent, worker) = (by(Clock::Parent), by(Clock::Worker));
    let overhead = samples.overhead_ppm() as f64 / 1e4;
    format!("parent's clock {parent}, workers' {worker}; overhead {overhead:.1} %, so {:?} counts", samples.clock())
}

fn print_side(p50_ns: u64, p90_ns: Option<u64>, samples: &Samples) {
    let sides: Vec<_> = samples.launches.iter().flat_map(|launch| [launch.candidate, launch.reference]).collect();
    let middle = |values: Vec<f64>| median(&values).unwrap_or(f64::NAN);
    let round_trip_us = middle(sides.iter().map(|side| side.round_trip_ns as f64 / 1e3).collect());
    let cold_load_ms = middle(sides.iter().map(|side| side.cold_load_ns as f64 / 1e6).collect());
    let block = middle(sides.iter().map(|side| f64::from(side.inferences_per_block)).collect());
    let pairs = samples.launches.iter().flat_map(|launch| &launch.pairs);
    let outside_us =
        middle(pairs.map(|pair| (pair.candidate_ns.saturating_sub(pair.candidate_worker_ns)) as f64 / 1e3).collect());
    let (p50_us, p90_us) = (p50_ns as f64 / 1e3, p90_ns.map(|ns| ns as f64 / 1e3));
    println!(
        "  p50 {p50_us:.1} us, p90 {p90_us:.1?} us, {block:.0} inferences a block, cold load {cold_load_ms:.1} ms"
    );
    println!("  empty round trip {round_trip_us:.1} us, parent's clock beyond the worker's {outside_us:.1} us a block");
}

/// Items per second of the same network in this process: folded, batched and copied as a worker does.
fn bare_forward(package: &PackageBytes, images: &Images, batch: usize) -> Outcome<f64> {
    let config = PackageConfig::from_json(&package.config_json)?;
    let plan = config.plan()?;
    let (plan, weights) = fold_batch_norm(&plan, &Weights::from_safetensors(&package.weights, &plan)?)?;
    let device = Device::flex();
    let network = Network::new(&plan, &weights, &device)?;
    let table = config.input.normalisation(0);
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

fn self_request(package: &PackageBytes, images: &Images) -> Outcome<EvaluationRequest> {
    Ok(EvaluationRequest {
        candidate: package.clone(),
        reference: package.clone(),
        items: Items {
            input: PackageConfig::from_json(&package.config_json)?.input,
            pixels: images.pixels.clone().into(),
            labels: images.labels.clone().into(),
            public: images.count,
            teacher_logits: None,
        },
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
