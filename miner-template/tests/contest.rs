//! A contest between students on a hidden round: training with the template's own loop, accuracy on what everybody
//! knows and on what was drawn. Shared by the test of memorisers and the example that prints their table.
//!
//! It does not know who should win.

use burn::tensor::Device;
use datasets::hidden::{Draw, DrawSpec, draw, relabel, render};
use datasets::split::{PUBLIC_COUNT_DEFAULT, Split};
use datasets::{FashionMnist, Images};
use miner_template::augment::Augmentation;
use miner_template::checkpoint::Checkpoint;
use miner_template::recipe::{Changes, Loss, Plain, Recipe};
use miner_template::source::Assets;
use miner_template::students::student;
use miner_template::teacher;
use miner_template::train::Training;
use models::{DeviceKind, Network};
use protocol::architecture::Plan;
use std::path::Path;

const SPLIT_KEY: [u8; 32] = [1; 32];
const SEEDS: ([u8; 32], [u8; 32]) = ([2; 32], [3; 32]);

/// Data and teacher of the repository's competition, and one drawn round.
pub(crate) struct Contest {
    pub(crate) assets: Assets,
    /// Clean items that everybody knows.
    pub(crate) public: Images,
    /// All test images: public ones and the pool, whose pixels and labels are known to the world too.
    pub(crate) test: Images,
    pub(crate) draw: Draw,
    /// The round's items, mixtures labelled by the teacher.
    pub(crate) hidden: Images,
    pub(crate) teacher: Figures,
    device: Device,
}

/// Shares of right answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// On clean public items.
    pub(crate) clean: f64,
    /// On the round's items, mixtures included.
    pub(crate) hidden: f64,
    /// On the round's items but for mixtures, whose labels are the teacher's own.
    pub(crate) transformed: f64,
}

impl Figures {
    /// What the transforms cost.
    pub(crate) fn gap(&self) -> f64 {
        self.clean - self.transformed
    }
}

impl Contest {
    /// Draws a round of `items` and measures the teacher on it.
    pub(crate) fn open(items: u32, public_max: u32) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../competitions/fashion-mnist/competition.toml");
        let assets = Assets::offline(&manifest).unwrap();
        let test = FashionMnist::load_test().unwrap();
        let split = Split::new(&SPLIT_KEY, test.count, PUBLIC_COUNT_DEFAULT).unwrap();
        let (public, pool) = (test.select(&split.public[..public_max as usize]), test.select(&split.hidden));
        let draw = draw(&SEEDS.0, &SEEDS.1, pool.count, &DrawSpec::of_items(items)).unwrap();
        let hidden = render(&pool, &draw).unwrap();
        let none = Figures { clean: 0.0, hidden: 0.0, transformed: 0.0 };
        let device = DeviceKind::Flex.open().unwrap();
        let mut contest = Self { assets, public, test, draw, hidden, teacher: none, device };
        let package = contest.assets.teacher.as_ref().unwrap();
        let network = teacher::load(&package.config.plan().unwrap(), &package.weights, &contest.device).unwrap();
        let logits = contest.logits(&network, &contest.hidden);
        relabel(&mut contest.hidden.labels, &contest.draw, &logits, contest.assets.labels.len() as u32).unwrap();
        contest.teacher = contest.measure(&network);
        contest
    }

    /// Trains `name` (or an architecture's JSON file) on labels alone and measures it.
    pub(crate) fn student(&self, name: &str, images: &Images, shift: u8, flip: bool, epochs: u32) -> Figures {
        let plan: Plan =
            student(name).unwrap().plan(self.assets.input.shape(), self.assets.labels.len() as u32).unwrap();
        let changes = Changes::Plain(Plain { shift, flip, erase: 0 });
        let recipe = Recipe { loss: Loss::CrossEntropy, epochs, changes, weight_decay: 0.0, ..Recipe::default() };
        let training = Training {
            plan: &plan,
            images,
            teacher: None,
            recipe,
            start: None,
            seed: 1,
            device: &self.device,
            scale: self.assets.input.normalisation(),
            in_parts: true,
        };
        let trained = training.run(&Checkpoint::default(), |_| {}).unwrap();
        let weights = trained.weights.to_safetensors().unwrap();
        self.measure(&teacher::load(&plan, &weights, &self.device).unwrap())
    }

    fn measure(&self, network: &Network) -> Figures {
        let public = self.logits(network, &self.public);
        let hidden = self.logits(network, &self.hidden);
        let unmixed: Vec<u32> =
            (0..self.hidden.count).filter(|item| self.draw.items[*item as usize].partner().is_none()).collect();
        let transformed = self.hidden.select(&unmixed);
        Figures {
            clean: share(&public, &self.public),
            hidden: share(&hidden, &self.hidden),
            transformed: share(&self.logits(network, &transformed), &transformed),
        }
    }

    fn logits(&self, network: &Network, images: &Images) -> Vec<f32> {
        let scale = self.assets.input.normalisation();
        teacher::logits(network, images, Augmentation::default(), &scale, &self.device, |_| {})
    }
}

fn share(logits: &[f32], images: &Images) -> f64 {
    teacher::count_right(logits, &images.labels) as f64 / images.len() as f64
}
