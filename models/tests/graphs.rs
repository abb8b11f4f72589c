//! Every committed package as a graph: engines answer as its module does and, where PyTorch's answers are there, as PyTorch does;
//! it costs what the catalogue says.

use crate::fixture::{Fixture, classes, distance};
use burn::tensor::{Device, Tensor, TensorData};
use datasets::FashionMnist;
use engine::burn::Burn;
use engine::rten::Rten;
use engine::{Mode, Runtime, Tensor as Values};
use models::{Network, Weights};
use program::package::{LOGITS, classifier};
use program::{Graph, catalogue};
use protocol::architecture::Plan;
use protocol::package::PackageConfig;
use std::path::{Path, PathBuf};

/// How far logits may be apart: of one, or of the largest where that is more.
const TOLERANCE: f32 = 1e-4;
/// Images of each package.
const IMAGES: usize = 8;

/// A package that is part of this repository.
pub(crate) struct Package {
    name: String,
    config: PackageConfig,
    pub(crate) plan: Plan,
    weights: Weights,
}

impl Package {
    fn read(folder: &Path) -> Self {
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let (config_json, weights) = (read("config.json"), read("model.safetensors"));
        let config = PackageConfig::of_package(&config_json, &weights).unwrap();
        let plan = config.plan().unwrap();
        let weights = Weights::from_safetensors(&weights, &plan).unwrap();
        Self { name: folder.file_name().unwrap().to_string_lossy().into_owned(), config, plan, weights }
    }

    /// A trained one.
    pub(crate) fn named(name: &str) -> Self {
        Self::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scale").join(name))
    }

    fn all() -> Vec<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let below = |name: &str| std::fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path());
        let folders = below("scale").chain(below("fixtures")).chain([root.join("reference"), root.join("teacher")]);
        let mut folders: Vec<PathBuf> = folders.filter(|path| path.join("config.json").exists()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::read(folder)).collect()
    }

    pub(crate) fn graph(&self) -> Graph<'static> {
        catalogue::lower(&self.plan, self.weights.clone()).unwrap_or_else(|refusal| panic!("{}: {refusal}", self.name))
    }

    /// Pixels as the model takes them.
    pub(crate) fn inputs(&self, pixels: &[u8]) -> Vec<f32> {
        let tables = self.config.input.normalisation();
        let plane = (self.config.input.height * self.config.input.width) as usize;
        let value = |(at, pixel): (usize, &u8)| tables[at / plane % tables.len()][usize::from(*pixel)];
        pixels.iter().enumerate().map(value).collect()
    }

    fn module(&self, inputs: &[f32]) -> Vec<f32> {
        let device = Device::flex();
        let network = Network::new(&self.plan, &self.weights, &device).unwrap();
        let image = self.plan.input();
        let count = inputs.len() / image.values() as usize;
        let shape = [count, image.channels as usize, image.height as usize, image.width as usize];
        let images = Tensor::<4>::from_data(TensorData::new(inputs.to_vec(), shape), &device);
        network.forward(images).into_data().try_into_vec::<f32>().unwrap()
    }
}

/// The engines that are part of the program.
fn engines() -> [Box<dyn Runtime>; 2] {
    [Box::new(Rten), Box::new(Burn::on(Device::flex()))]
}

/// What an engine says to items one by one.
pub(crate) fn answers(engine: &dyn Runtime, graph: &Graph<'_>, inputs: &[f32]) -> Vec<f32> {
    let mut session = engine.load(graph, Mode::Exact).unwrap();
    let (_, ty) = &graph.inputs[0];
    let (mut logits, mut outputs) = (Vec::new(), Vec::new());
    for item in inputs.chunks(ty.shape.elements() as usize) {
        let item = Values::new(ty.shape.clone(), engine::Values::F32(item.to_vec())).unwrap();
        session.run(&[item], &mut outputs).unwrap();
        logits.extend_from_slice(outputs[0].floats().unwrap());
    }
    logits
}

pub(crate) fn assert_near(name: &str, found: &[f32], expected: &[f32]) {
    let most = expected.iter().fold(1f32, |most, value| most.max(value.abs()));
    let apart = distance(found, expected);
    assert!(apart <= TOLERANCE * most, "{name}: {apart:e} apart, the largest logit is {most}");
    assert_eq!(classes(found), classes(expected), "{name}");
}

#[test]
fn a_package_says_the_same_as_a_graph_on_any_engine_and_as_a_module() {
    let test = FashionMnist::load_test().unwrap();
    let packages = Package::all();
    assert!(packages.len() > 45, "only {} packages", packages.len());
    for package in packages {
        let values = package.plan.input().values() as usize;
        let inputs = package.inputs(&test.pixels[..IMAGES * values]);
        for engine in engines() {
            assert_near(&package.name, &answers(&*engine, &package.graph(), &inputs), &package.module(&inputs));
        }
    }
}

#[test]
fn a_package_of_pytorchs_says_what_pytorch_says() {
    for fixture in Fixture::all() {
        let package = Package::read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture.name));
        for engine in engines() {
            let inputs = package.inputs(&fixture.pixels);
            assert_near(fixture.name, &answers(&*engine, &package.graph(), &inputs), &fixture.logits);
        }
    }
}

#[test]
fn a_package_costs_as_a_graph_what_the_catalogue_says() {
    for package in Package::all() {
        let (costs, expected) = (package.graph().costs().unwrap(), package.plan.costs().unwrap());
        assert_eq!(costs.macs, expected.macs, "{}", package.name);
        // Single numbers within activations and attention count; equal tensors are one, which trained ones never are.
        let (found, said) = (costs.size_bytes, expected.size_bytes);
        assert!(found <= said + 16, "{}: {found} bytes, not {said}", package.name);
        assert!(found >= said || !package.name.contains("-train-"), "{}: {found} bytes, not {said}", package.name);
        assert!(costs.graph_bytes < 32 << 10, "{}: {}", package.name, costs.graph_bytes);
    }
}

#[test]
fn a_package_is_read_again_as_the_graph_that_it_was_written_from() {
    let limits = program::Limits {
        file_bytes_max: 1 << 28,
        parameters_max: 1 << 28,
        macs_max: 1 << 40,
        activation_bytes_max: 1 << 28,
    };
    for package in Package::all() {
        let graph = package.graph();
        let file = program::onnx::write(&graph);
        let signature = classifier(package.plan.input(), package.plan.classes() as usize);
        let read = program::onnx::read(&file, &signature, &limits).unwrap();
        assert_eq!(read[0].graph, graph, "{}", package.name);
        assert_eq!(read[0].graph.outputs[0].0, LOGITS);
    }
}
