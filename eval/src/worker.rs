//! The child: one process, one model. It answers frames on standard input with frames on standard output and ends
//! when its input does.
//!
//! It gets a package in a sealed file and inputs, which the parent has normalised, with the frames that ask about them; it locks
//! itself before it reads any of it. It never sees a label, the teacher's outputs, a key, a path or the network, and does not know what its answers are
//! used for.
//!
//! Inputs stay bytes until they become a tensor: burn's buffers are little-endian on every platform that it runs on.

use crate::frames::{self, Kind, Span, VERSION};
use crate::runner::{self, Loaded, Runner};
use crate::runtime;
use burn::tensor::Device;
use engine::burn::Burn;
use engine::{Mode, Runtime};
use models::DeviceKind;
use protocol::package::Format;
use protocol::submission::{Code, Rejection};
use sandbox::{Profile, flushes_to_zero, without_denormals};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::Instant;

/// How a worker is told its profile.
pub(crate) const PROFILE_VARIABLE: &str = "RETORT_PROFILE";

/// The profile of a worker that isn't to be locked.
pub(crate) const UNCONFINED: &str = "none";

/// Runs a worker until its parent closes the pipe. A binary calls this first thing, for its hidden subcommand.
pub fn worker_main() -> ExitCode {
    keep_freed_memory();
    begin_on_large_pages();
    match locked().and_then(served) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells glibc to keep what is freed. Otherwise each batch's activations are fresh pages from the system, whose faults
/// cost a small network a third of its throughput.
///
/// Freeing a block of its own mapping raises the size from which blocks get such mappings, up to 32 MiB, and the size
/// to which the heap may stay allocated to twice that. The block is never touched, so it is never resident.
fn keep_freed_memory() {
    drop(std::hint::black_box(vec![0u8; (32 << 20) - (64 << 10)]));
}

/// Skips the heap up to its first large page, so that the model lies on large pages wholly. What is skipped is never
/// touched, so it is never resident.
fn begin_on_large_pages() {
    std::mem::forget(std::hint::black_box(vec![0u8; 2 << 20]));
}

/// All that a worker has.
struct Given {
    input: File,
    output: File,
    package: File,
    /// What runs graphs, where it isn't burn that runs modules.
    runtime: Option<(Box<dyn Runtime>, Mode)>,
}

/// Takes what the parent gave and gives up everything else, before a byte of it is read. A parent that doesn't say how far
/// gets a worker that is locked as far as can be.
fn locked() -> io::Result<Given> {
    // Duplicates without the buffers of `std::io`, which look for line ends.
    let (input, output) = (io::stdin().as_fd().try_clone_to_owned()?, io::stdout().as_fd().try_clone_to_owned()?);
    let package = sandbox::package()?;
    let profile = match std::env::var(PROFILE_VARIABLE).as_deref() {
        Ok(UNCONFINED) => None,
        Ok(name) if name == Profile::Device.as_str() => Some(Profile::Device),
        _ => Some(Profile::Strict),
    };
    let runtime = runtime::told()?;
    match &runtime {
        None => Burn::on(Device::flex()).prepare()?,
        Some((runtime, _)) => prepare(&**runtime, profile)?,
    }
    profile.map(sandbox::lock).transpose().map_err(io::Error::other)?;
    Ok(Given { input: input.into(), output: output.into(), package, runtime })
}

/// Lets an engine do what it can't do later, and locks the thread on which it computes, if that is another one. There must be
/// no third, since it would stay free.
fn prepare(runtime: &dyn Runtime, profile: Option<Profile>) -> io::Result<()> {
    runtime.prepare()?;
    let Some(profile) = profile else { return Ok(()) };
    let here = std::thread::current().id();
    let (mut threads, mut locked) = (1, Ok(()));
    runtime.within(&mut || {
        if std::thread::current().id() != here {
            (threads, locked) = (2, sandbox::lock_thread(profile));
        }
    });
    locked.map_err(io::Error::other)?;
    match std::fs::read_dir("/proc/self/task")?.count() {
        found if found == threads => Ok(()),
        found => Err(io::Error::other(format!("{found} threads after the engine was prepared, not {threads}"))),
    }
}

/// Serves on the thread on which models are computed, so that none is changed for an inference.
fn served(mut given: Given) -> io::Result<()> {
    let Some((runtime, mode)) = given.runtime.take() else {
        return without_denormals(|| serve(&mut given, &|bytes, config, model| loaded(bytes, config, model)));
    };
    let mut done = Ok(());
    runtime.within(&mut || {
        done = without_denormals(|| {
            serve(&mut given, &|_, config, model| runner::session(config, model, &*runtime, mode))
        });
    });
    done
}

/// What makes a package ready: the load frame's device, `config.json` and the model.
type Load<'a> = dyn Fn(u32, &[u8], &[u8]) -> Result<Loaded, Rejection> + 'a;

fn serve(Given { input, output, package, .. }: &mut Given, load: &Load<'_>) -> io::Result<()> {
    frames::send(output, Kind::Hello, &[&VERSION.to_le_bytes(), &u32::from(flushes_to_zero()).to_le_bytes()])?;
    let mut model = match frames::read_frame(input)? {
        None => return Ok(()),
        Some((Kind::Load, payload)) => match Model::load(&payload, package, load) {
            Ok(model) => model,
            Err(rejection) => return refuse(output, &rejection),
        },
        Some((kind, _)) => return Err(frames::bad(format!("{kind:?} before Load"))),
    };
    frames::send(output, Kind::Loaded, &[&model.parameters.to_le_bytes()])?;
    while let Some((kind, payload)) = frames::read_frame(input)? {
        match kind {
            Kind::Items => model.store(payload)?,
            Kind::Ping => frames::send(output, Kind::Pong, &[])?,
            Kind::Run => model.run(Span::from_bytes(&payload)?, output)?,
            Kind::Time => model.time(Span::from_bytes(&payload)?, output)?,
            _ => return Err(frames::bad(format!("unexpected {kind:?}"))),
        }
    }
    Ok(())
}

fn refuse(output: &mut impl Write, rejection: &Rejection) -> io::Result<()> {
    let mut short = rejection.clone();
    short.detail.truncate(short.detail.floor_char_boundary(1024));
    frames::send(output, Kind::Refused, &[&serde_json::to_vec(&short)?])
}

/// What burn makes of a package, on a device by its number: a module, or a session of a graph.
fn loaded(device: u32, config_json: &[u8], model: &[u8]) -> Result<Loaded, Rejection> {
    let device = device_of(device)
        .ok_or_else(|| Code::Infrastructure.because("load frame: no such device".into()))?
        .open()
        .map_err(|error| Code::Infrastructure.because(error.to_string()))?;
    match Format::of_config(config_json) {
        Format::Catalogue => runner::module(config_json, model, device),
        Format::Onnx => runner::session(config_json, model, &Burn::on(device), Mode::Exact),
    }
}

/// A runner with the inputs that requests refer to.
struct Model {
    runner: Runner,
    parameters: u64,
    item_bytes: usize,
    /// By how much each timed block is drawn out, in parts per million: 0 but in measurements of the measurement.
    slow_down_ppm: u32,
    /// Whole items, f32 little-endian.
    items: Vec<u8>,
}

impl Model {
    /// Payload: device u32, slow-down u32, bytes of `config.json` u64, bytes of the model u64.
    fn load(payload: &[u8], package: &File, load: &Load<'_>) -> Result<Self, Rejection> {
        let broken = |what: &str| Code::Infrastructure.because(format!("load frame: {what}"));
        let head: &[u8; 24] = payload.try_into().map_err(|_| broken("cut off"))?;
        let (config_bytes, model_bytes) = (frames::u64_at(head, 8), frames::u64_at(head, 16));
        let read = |offset, bytes| read_at(package, offset, bytes).map_err(|error| broken(&error.to_string()));
        let (config_json, model) = (read(0, config_bytes)?, read(config_bytes, model_bytes)?);
        let Loaded { runner, parameters, item_values } = load(frames::u32_at(head, 0), &config_json, &model)?;
        let slow_down_ppm = frames::u32_at(head, 4);
        Ok(Self { runner, parameters, item_bytes: 4 * item_values, slow_down_ppm, items: Vec::new() })
    }

    /// Payload: whole items, f32.
    fn store(&mut self, items: Vec<u8>) -> io::Result<()> {
        if items.is_empty() || !items.len().is_multiple_of(self.item_bytes) {
            return Err(frames::bad(format!("{} bytes are no whole items", items.len())));
        }
        self.items = items;
        Ok(())
    }

    fn run(&mut self, span: Span, output: &mut impl Write) -> io::Result<()> {
        let (first, count) = (span.first as usize, span.count as usize);
        let bytes = first
            .checked_mul(self.item_bytes)
            .zip(count.checked_mul(self.item_bytes))
            .and_then(|(start, length)| self.items.get(start..)?.get(..length))
            .ok_or_else(|| frames::bad(format!("{span:?} is outside the stored items")))?;
        let logits = self.runner.forward(bytes, count)?;
        frames::send(output, Kind::Out, &[&span.to_bytes(), logits.as_bytes()])
    }

    /// Single inferences on distinct items. The clock stands around exactly what the parent's clock is asked about.
    fn time(&mut self, span: Span, output: &mut impl Write) -> io::Result<()> {
        let stored = self.items.len() / self.item_bytes;
        if stored == 0 || span.count == 0 {
            return Err(frames::bad(format!("{span:?} of {stored} stored items")));
        }
        let (items, item_bytes) = (&self.items, self.item_bytes);
        let item = |offset: u32| {
            let index = (span.first as usize + offset as usize) % stored;
            &items[index * item_bytes..][..item_bytes]
        };
        let start = Instant::now();
        for offset in 0..span.count - 1 {
            self.runner.forward(item(offset), 1)?;
        }
        let logits = self.runner.forward(item(span.count - 1), 1)?;
        self.draw_out(start);
        let elapsed_ns = start.elapsed().as_nanos() as u64;
        frames::send(output, Kind::Timed, &[&span.to_bytes(), &elapsed_ns.to_le_bytes(), logits.as_bytes()])
    }

    /// Draws a block out by the known share, if there is one. Once a block and not once an inference, because reading
    /// the clock is a percent of a small one.
    fn draw_out(&self, start: Instant) {
        if self.slow_down_ppm > 0 {
            let until = start.elapsed().mul_f64(1.0 + f64::from(self.slow_down_ppm) / 1e6);
            while start.elapsed() < until {
                std::hint::spin_loop();
            }
        }
    }
}

/// Exactly so many bytes of a sealed file.
fn read_at(file: &File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut read = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut read, offset)?;
    Ok(read)
}

/// Devices by number, in frames.
const DEVICES: [DeviceKind; 3] = [DeviceKind::Flex, DeviceKind::Wgpu, DeviceKind::Tch];

fn device_of(number: u32) -> Option<DeviceKind> {
    DEVICES.get(number as usize).copied()
}

/// The number of `device` in a load frame.
pub(crate) fn device_number(device: DeviceKind) -> u32 {
    match device {
        DeviceKind::Flex => 0,
        DeviceKind::Wgpu => 1,
        DeviceKind::Tch => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_survives_its_number() {
        for device in DEVICES {
            assert_eq!(device_of(device_number(device)), Some(device));
        }
        assert_eq!(device_of(3), None);
    }
}
