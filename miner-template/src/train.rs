//! The training loop: augmented batches, AdamW on a one-cycle schedule, a checkpoint after each epoch.
//!
//! It knows images, a network and a recipe; it does not know competitions, packages or where data came from.

use crate::augment::{self, Augmentation};
use crate::checkpoint::{Checkpoint, History};
use crate::recipe::{Changes, Plain, Recipe, one_cycle};
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use datasets::Images;
use datasets::hidden::{Draw, DrawError, DrawSpec, DrawnItem, RenderError, draw, render};
use models::{Network, Weights};
use protocol::architecture::Plan;
use protocol::transforms::Family;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha20Rng;
use std::time::{Duration, Instant};

/// Into how many parts a batch is divided for threads, and how many images each has at least: batch normalisation sees one part.
const PARTS: usize = 4;
const PART_IMAGES_MIN: usize = 16;
/// Unoptimised, a graph's way back takes more than a thread usually has.
const PART_STACK_BYTES: usize = 8 << 20;

/// A teacher's logits for fixed views of the training images.
pub struct TeacherOutputs {
    /// Logits `[views][images * classes]`. Under [`Changes::Rounds`] there is one view, the images as they are: a small
    /// change moves neither the label nor, much, the teacher.
    pub views: Vec<Vec<f32>>,
    /// Mixtures of training images, if hidden rounds show any.
    pub mixtures: Option<Mixtures>,
}

/// Mixtures as hidden rounds show them. What one shows is the teacher's word alone, so they are made once.
pub struct Mixtures {
    /// The items, with the teacher's answers as labels.
    pub images: Images,
    /// The teacher's logits on them, `[images * classes]`.
    pub logits: Vec<f32>,
}

/// Everything that a training run needs.
pub struct Training<'a> {
    /// The student's architecture.
    pub plan: &'a Plan,
    /// Training images with labels.
    pub images: &'a Images,
    /// Cached outputs, if the recipe's loss needs a teacher.
    pub teacher: Option<&'a TeacherOutputs>,
    /// Losses and schedule.
    pub recipe: Recipe,
    /// Weights to begin with; random ones if there are none.
    pub start: Option<&'a Weights>,
    /// Decides initial weights, order and augmentation.
    pub seed: u64,
    /// A plain (not autodiff) device.
    pub device: &'a Device,
    /// Pixel values as network inputs, for each plane.
    pub scale: Vec<[f32; 256]>,
    /// Whether the device has one thread only, as flex has here: then parts of a batch are learnt at once, each in a thread.
    pub in_parts: bool,
}

/// What a progress display wants to know after each step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// From 0.
    pub epoch: u32,
    /// Steps done, over all epochs.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss of the epoch so far.
    pub loss: f32,
    /// Share of training images classified rightly in the epoch so far.
    pub accuracy: f32,
    /// Speed since the run started or resumed.
    pub images_per_second: f64,
    /// Time until the last step at this speed.
    pub remaining: Duration,
}

/// What a run ends with.
pub struct Trained {
    /// The weights.
    pub weights: Weights,
    /// Mean loss and training accuracy of each epoch.
    pub curve: Vec<(f32, f32)>,
}

/// Why a training run stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The weights don't fit the plan.
    #[error(transparent)]
    Weights(#[from] models::WeightsError),
    /// The checkpoint can't be read or written.
    #[error(transparent)]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    /// The changes of a hidden round can't be drawn.
    #[error("draw the changes: {0}")]
    Draw(#[from] DrawError),
    /// The changes of a hidden round can't be made.
    #[error("change the images: {0}")]
    Render(#[from] RenderError),
    /// The loss is no longer a number.
    #[error("the loss is {loss} in epoch {epoch}; lower the learning rate")]
    Diverged {
        /// The epoch, from 0.
        epoch: u32,
        /// The loss.
        loss: f32,
    },
}

impl Training<'_> {
    /// Trains from `checkpoint`, from `start`, or from random weights, and saves there after each epoch.
    ///
    /// # Errors
    /// When the loss diverges or the checkpoint can't be kept. Nothing is lost up to the last epoch.
    pub fn run(&self, checkpoint: &Checkpoint, mut report: impl FnMut(Progress)) -> Result<Trained, TrainError> {
        let device = self.device.clone().autodiff();
        let mut optimizer = AdamWConfig::new().with_weight_decay(self.recipe.weight_decay as f32).init();
        let (mut history, weights) = match checkpoint.load(self.plan)? {
            Some(saved) => {
                optimizer = saved.restore(optimizer)?;
                (saved.history, saved.weights)
            }
            None => {
                let random = || Weights::random(self.plan, &mut ChaCha20Rng::seed_from_u64(self.seed));
                let weights = self.start.cloned().unwrap_or_else(random);
                (History { seed: self.seed, curve: Vec::new() }, weights)
            }
        };
        let first_epoch = history.curve.len() as u32;
        let pace = Pace { started: Instant::now(), first_step: u64::from(first_epoch) * self.steps_per_epoch() };
        let mut network = Network::new(self.plan, &weights, &device)?;
        for epoch in first_epoch..self.recipe.epochs {
            let mut last = (0.0, 0.0);
            network = self.epoch(epoch, network, &mut optimizer, &pace, &device, &mut |progress: Progress| {
                last = (progress.loss, progress.accuracy);
                report(progress);
            })?;
            history.curve.push(last);
            checkpoint.save(&history, &network.weights(self.plan), &optimizer)?;
        }
        Ok(Trained { weights: network.weights(self.plan), curve: history.curve })
    }

    fn epoch(
        &self,
        epoch: u32,
        mut network: Network,
        optimizer: &mut ModuleOptimizer,
        pace: &Pace,
        device: &Device,
        report: &mut impl FnMut(Progress),
    ) -> Result<Network, TrainError> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(epoch) + 1);
        let order = self.order(&mut rng)?;

        let (mut loss_sum, mut right, mut seen) = (0.0, 0u64, 0u64);
        let steps = self.steps_per_epoch() * u64::from(self.recipe.epochs);
        for (index, items) in order.batches(self.recipe.batch).enumerate() {
            let step = u64::from(epoch) * self.steps_per_epoch() + index as u64;
            let batch = match items {
                Part::Plain(items, changes) => self.plain(items, changes, &mut rng, device),
                Part::Rounds(items) => self.as_in_a_round(items, &mut rng, device)?,
            };
            let seen_here = batch.images.dims()[0];
            let Learnt { gradients, loss: value, right: right_here } = self.learnt(&mut network, batch);
            let rate = one_cycle(self.recipe.learning_rate_peak, step as f64 / steps as f64);
            network = optimizer.step(rate, network, gradients);

            if !value.is_finite() {
                return Err(TrainError::Diverged { epoch, loss: value });
            }
            loss_sum += value * seen_here as f32;
            right += right_here;
            seen += seen_here as u64;
            let (loss, accuracy) = (loss_sum / seen as f32, right as f32 / seen as f32);
            let (images_per_second, remaining) = pace.at(step + 1, steps, self.recipe.batch);
            report(Progress { epoch, step: step + 1, steps, loss, accuracy, images_per_second, remaining });
        }
        Ok(network)
    }

    /// What a batch teaches: where this device has one thread only, its parts at once, each in a thread. Parts are always the
    /// same, so what is learnt doesn't depend on how many cores there are.
    fn learnt(&self, network: &mut Network, batch: Batch) -> Learnt {
        let parts = if self.in_parts { (batch.images.dims()[0] / PART_IMAGES_MIN).clamp(1, PARTS) } else { 1 };
        if parts == 1 {
            return self.part_learnt(network, batch, 1.0);
        }
        let all = batch.images.dims()[0] as f32;
        let replicas: Vec<Network> = (0..parts).map(|_| network.replica()).collect();
        let learnt: Vec<Learnt> = std::thread::scope(|scope| {
            let begun: Vec<_> = replicas
                .iter()
                .zip(batch.split(parts))
                .map(|(replica, part)| {
                    let share = part.images.dims()[0] as f32 / all;
                    let thread = std::thread::Builder::new().stack_size(PART_STACK_BYTES);
                    let begun = thread.spawn_scoped(scope, move || self.part_learnt(replica, part, share));
                    begun.expect("a thread, of which there are few; without one nothing could be trained")
                })
                .collect();
            begun.into_iter().map(|part| part.join().expect("training doesn't panic; this is a bug")).collect()
        });
        network.take_statistics(&replicas);
        let mut sum = GradientsAccumulator::new();
        let (mut loss, mut right) = (0.0, 0);
        for part in learnt {
            sum.accumulate(network, part.gradients);
            loss += part.loss;
            right += part.right;
        }
        Learnt { gradients: sum.grads(), loss, right }
    }

    /// What a part of a batch teaches, of which it is this share.
    fn part_learnt(&self, network: &Network, part: Batch, share: f32) -> Learnt {
        let logits = network.forward(part.images);
        let loss = self.recipe.loss.value(logits.clone(), &part.labels, part.teacher).mul_scalar(share);
        let gradients = GradientsParams::from_grads(loss.backward(), network);
        Learnt { gradients, loss: loss.into_scalar(), right: count_right(logits, part.labels) }
    }

    /// Steps in one pass over the images.
    pub fn steps_per_epoch(&self) -> u64 {
        self.images.len().div_ceil(self.recipe.batch) as u64
    }

    /// What a pass shows in which order.
    fn order(&self, rng: &mut ChaCha20Rng) -> Result<Order, TrainError> {
        match self.recipe.changes {
            Changes::Rounds { family } => {
                // Without a teacher nobody can say what a mixture shows.
                let mixtures = self.teacher.is_some_and(|teacher| teacher.mixtures.is_some());
                let family = if mixtures { family } else { Family { mixture_ppm: 0, ..family } };
                let spec = DrawSpec::of_family(self.images.count, family);
                let seed: [u8; 32] = rng.random();
                Ok(Order::Rounds(draw(&seed, &seed, self.images.count, &spec)?))
            }
            Changes::Plain(changes) => {
                let mut order: Vec<u32> = (0..self.images.count).collect();
                order.shuffle(rng);
                Ok(Order::Plain(order, changes))
            }
        }
    }

    /// Images changed as a hidden round changes its items, by the validator's own code; mixtures come from those whose
    /// answers are known.
    fn as_in_a_round(&self, items: &[DrawnItem], rng: &mut ChaCha20Rng, device: &Device) -> Result<Batch, TrainError> {
        let (mixed, single): (Vec<_>, Vec<_>) = items.iter().cloned().partition(|item| item.partner().is_some());
        let classes = self.plan.classes() as usize;
        let sources: Vec<u32> = single.iter().map(|item| item.source).collect();
        let mut shown = if single.is_empty() {
            self.images.select(&[])
        } else {
            render(self.images, &Draw { items: single, fixed: 0 })?
        };
        let mut teacher = self.teacher.map(|teacher| rows(&teacher.views[0], &sources, classes));
        if let (Some(mixtures), Some(logits)) = (self.teacher.and_then(|t| t.mixtures.as_ref()), teacher.as_mut()) {
            let chosen: Vec<u32> = mixed.iter().map(|_| rng.random_range(0..mixtures.images.count)).collect();
            let images = mixtures.images.select(&chosen);
            shown.count += images.count;
            shown.pixels.extend(images.pixels);
            shown.labels.extend(images.labels);
            logits.extend(rows(&mixtures.logits, &chosen, classes));
        }
        let all: Vec<(u32, Augmentation)> = (0..shown.count).map(|item| (item, Augmentation::default())).collect();
        Ok(self.tensors(&shown, &all, teacher, device))
    }

    fn plain(&self, items: &[u32], changes: Plain, rng: &mut ChaCha20Rng, device: &Device) -> Batch {
        let Plain { shift, flip, erase } = changes;
        let size = (self.images.height, self.images.width);
        let views: Vec<usize> =
            items.iter().map(|_| self.teacher.map_or(0, |teacher| rng.random_range(0..teacher.views.len()))).collect();
        let changed: Vec<(u32, Augmentation)> = items
            .iter()
            .zip(&views)
            .map(|(item, view)| match self.teacher {
                Some(_) => (*item, Augmentation::view(*view, shift, flip)),
                None => (*item, Augmentation::random(shift, flip, erase, size, rng)),
            })
            .collect();
        let classes = self.plan.classes() as usize;
        let teacher = self.teacher.map(|teacher| {
            let row = |(item, view): (&u32, &usize)| rows(&teacher.views[*view], &[*item], classes);
            items.iter().zip(&views).flat_map(row).collect()
        });
        self.tensors(self.images, &changed, teacher, device)
    }

    fn tensors(
        &self,
        images: &Images,
        items: &[(u32, Augmentation)],
        teacher: Option<Vec<f32>>,
        device: &Device,
    ) -> Batch {
        let shape = [items.len(), self.plan.classes() as usize];
        let mut labels = vec![0f32; shape[0] * shape[1]];
        for (row, (item, _)) in items.iter().enumerate() {
            labels[row * shape[1] + usize::from(images.labels[*item as usize])] = 1.0;
        }
        let tensor = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        Batch {
            images: augment::batch(images, items, &self.scale, device),
            labels: tensor(labels),
            teacher: teacher.map(tensor),
        }
    }
}

/// The rows of a table `[items * classes]`, one after the other.
fn rows(table: &[f32], items: &[u32], classes: usize) -> Vec<f32> {
    items.iter().flat_map(|item| &table[*item as usize * classes..][..classes]).copied().collect()
}

/// What a pass shows in which order.
enum Order {
    Plain(Vec<u32>, Plain),
    Rounds(Draw),
}

/// A batch of it.
enum Part<'a> {
    Plain(&'a [u32], Plain),
    Rounds(&'a [DrawnItem]),
}

impl Order {
    fn batches(&self, batch: usize) -> Box<dyn Iterator<Item = Part<'_>> + '_> {
        match self {
            Self::Plain(items, changes) => Box::new(items.chunks(batch).map(move |items| Part::Plain(items, *changes))),
            Self::Rounds(drawn) => Box::new(drawn.items.chunks(batch).map(Part::Rounds)),
        }
    }
}

struct Batch {
    images: Tensor<4>,
    labels: Tensor<2>,
    teacher: Option<Tensor<2>>,
}

impl Batch {
    /// So many parts, as equal as can be, in order.
    fn split(self, parts: usize) -> Vec<Self> {
        let Self { images, labels, teacher } = self;
        let mut teacher = teacher.map(|teacher| teacher.chunk(parts, 0).into_iter());
        let both = images.chunk(parts, 0).into_iter().zip(labels.chunk(parts, 0));
        both.map(|(images, labels)| Self { images, labels, teacher: teacher.as_mut().and_then(Iterator::next) })
            .collect()
    }
}

/// What a batch taught, or a part of one.
struct Learnt {
    gradients: GradientsParams,
    loss: f32,
    right: u64,
}

/// The clock of a run, which may have resumed in the middle.
struct Pace {
    started: Instant,
    first_step: u64,
}

impl Pace {
    fn at(&self, step: u64, steps: u64, batch: usize) -> (f64, Duration) {
        let elapsed = self.started.elapsed().as_secs_f64();
        let per_second = (step - self.first_step) as f64 / elapsed.max(1e-9);
        let remaining = (steps - step) as f64 / per_second.max(1e-9);
        (per_second * batch as f64, Duration::from_secs_f64(remaining.min(1e9)))
    }
}

fn count_right(logits: Tensor<2>, labels: Tensor<2>) -> u64 {
    let right = logits.inner().argmax(1).equal(labels.inner().argmax(1)).int().sum();
    right.into_scalar::<i64>().unsigned_abs()
}
