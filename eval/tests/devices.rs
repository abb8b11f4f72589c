//! Models on devices other than the processor, whose drivers read libraries and compile: the sandbox's other profile.
//!
//! With `--features wgpu` a graphics driver, such as Mesa's software Vulkan (`VK_DRIVER_FILES` names its description);
//! with `--features tch` LibTorch.

use crate::support::{ITEMS, RESNET, engine, order, package};
use eval::Engine;
use models::DeviceKind;
use protocol::evaluation::{Answer, EvaluationFailure, Order, Scope, arg_max};
use std::time::{Duration, Instant};

const DEVICES: [DeviceKind; 2] = [DeviceKind::Wgpu, DeviceKind::Tch];

/// An engine for each device of this build.
fn engines() -> impl Iterator<Item = Engine> {
    let built = DEVICES.into_iter().filter(|device| device.open().is_ok());
    built.map(|device| Engine { device, ..engine() })
}

fn outputs_of(architecture: &str) -> Order {
    Order { scope: Scope::OutputsOnly, ..order(package(architecture, 2)) }
}

#[test]
fn a_driver_works_in_the_sandbox_and_its_outputs_are_those_of_the_processor() {
    let order = outputs_of(RESNET);
    let expected = engine().evaluate(&order, &|_| {}).unwrap().outputs;
    for engine in engines() {
        let Answer { measured, outputs, .. } = engine.evaluate(&order, &|_| {}).unwrap();
        assert_eq!(measured.device, engine.device.to_string());
        assert!(measured.host.sandbox.starts_with("device ns="), "{}", measured.host.sandbox);
        let differences = outputs.iter().zip(&expected).map(|(one, other)| (one - other).abs());
        let largest = differences.fold(0.0, f32::max);
        assert!(largest < 1e-3 && outputs.len() == expected.len(), "{}: {largest}", engine.device);
        let rows = outputs.chunks(10).zip(expected.chunks(10));
        let differ = rows.filter(|(one, other)| arg_max(one) != arg_max(other)).count();
        assert!(differ <= ITEMS as usize / 100, "{differ} differ");
    }
}

#[test]
fn a_device_that_does_not_come_back_is_killed_at_the_deadline() {
    // 200 items of it take a software driver minutes, LibTorch half a minute.
    let large = r#"{"kind":"resnet","width":96,"blocks":[6,6,6]}"#;
    let order = Order { wall_seconds_max: 2, ..outputs_of(large) };
    for engine in engines() {
        let start = Instant::now();
        let failure = engine.evaluate(&order, &|_| {}).unwrap_err();
        let is_late = matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("time limit"));
        assert!(is_late, "an architecture that is too slow here, which its twin is too: {}: {failure}", engine.device);
        assert!(start.elapsed() < Duration::from_secs(20), "{}: {:?}", engine.device, start.elapsed());
    }
}
