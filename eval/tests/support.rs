//! Orders on real images, small enough for a test, and what their answers come to beside the truth. It asserts nothing.

use datasets::{FashionMnist, Images, fashion_mnist};
use eval::{Confinement, Effort, Engine, WorkerCommand};
use models::Weights;
use protocol::competition::InputSpec;
use protocol::evaluation::{
    Evaluation, EvaluationFailure, EvaluationRequest, Inputs, Order, PackageBytes, Scope, Truth,
};
use protocol::package::PackageConfig;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use sandbox::Executable;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// ResNet with four channels and one block: 28x28 grey images in well under a millisecond.
pub(crate) const RESNET: &str = r#"{"kind":"resnet","width":4,"blocks":[1]}"#;
/// A hidden layer of 16.
pub(crate) const MLP: &str = r#"{"kind":"mlp","hidden":[16]}"#;

pub(crate) const ITEMS: u32 = 200;
pub(crate) const PUBLIC: u32 = 120;

pub(crate) fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let test = FashionMnist::load_test().unwrap();
        test.select(&(0..ITEMS).collect::<Vec<u32>>())
    })
}

pub(crate) fn input() -> InputSpec {
    InputSpec {
        channels: 1,
        height: 28,
        width: 28,
        mean_ppm: vec![fashion_mnist::INPUT_MEAN_PPM],
        deviation_ppm: vec![fashion_mnist::INPUT_STD_PPM],
    }
}

pub(crate) fn config(architecture: &str) -> PackageConfig {
    PackageConfig {
        format: "retort/1".into(),
        architecture: serde_json::from_str(architecture).unwrap(),
        input: input(),
        labels: fashion_mnist::CLASS_NAMES.map(String::from).to_vec(),
    }
}

/// An untrained model with weights of `seed`.
pub(crate) fn package(architecture: &str, seed: u64) -> PackageBytes {
    changed_package(architecture, seed, |_| {})
}

/// The same after `change`.
pub(crate) fn changed_package(architecture: &str, seed: u64, change: impl FnOnce(&mut Weights)) -> PackageBytes {
    let config = config(architecture);
    let mut weights = Weights::random(&config.plan().unwrap(), &mut ChaCha20Rng::seed_from_u64(seed));
    change(&mut weights);
    PackageBytes {
        config_json: serde_json::to_vec(&config).unwrap().into(),
        weights: weights.to_safetensors().unwrap().into(),
    }
}

/// To measure `candidate` beside an untrained reference.
pub(crate) fn order(candidate: PackageBytes) -> Order {
    Order {
        candidate,
        reference: package(MLP, 1),
        inputs: Inputs { spec: input(), pixels: images().pixels.clone().into() },
        probes: Arc::from([]),
        expected: None,
        engine: Default::default(),
        backends: Vec::new(),
        scope: Scope::Full,
        seed: 7,
        wall_seconds_max: 120,
        memory_bytes_max: 4 << 30,
    }
}

/// The same beside labels and this teacher.
pub(crate) fn request(candidate: PackageBytes, teacher_logits: Option<Vec<f32>>) -> EvaluationRequest {
    let (labels, teacher_logits) = (images().labels.clone().into(), teacher_logits.map(Arc::from));
    EvaluationRequest::new(order(candidate), Truth { labels, public: PUBLIC, teacher_logits })
}

/// An engine whose workers are this crate's own binary, with the least effort.
pub(crate) fn engine() -> Engine {
    Engine { confinement: Confinement::Sandbox, ..engine_with(env!("CARGO_BIN_EXE_eval-worker"), &[]) }
}

/// An engine whose workers are `program`, outside the sandbox: nothing that isn't a worker locks itself.
pub(crate) fn engine_with(program: &str, args: &[&str]) -> Engine {
    let args = args.iter().map(Into::into).collect();
    let worker = WorkerCommand { program: Executable::open(program).expect("a program"), args };
    let confinement = Confinement::Process;
    Engine { effort: effort(2), accuracy_threads: 1, confinement, ..Engine::new(worker) }
}

/// So many launches of next to no time, and one of each check.
pub(crate) fn effort(launches: u32) -> Effort {
    let next_to_none = Duration::from_millis(10);
    Effort { looks: vec![launches], launch: next_to_none, warm_up: next_to_none, checks: 1 }
}

pub(crate) fn evaluate(engine: &Engine, request: &EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
    Ok(task::evaluation(request, engine.evaluate(&request.order, &|_| {})?)?)
}
