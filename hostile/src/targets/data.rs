//! Data files: what is downloaded from mirrors, validators and beacons. The first byte picks the format.

use datasets::hidden::{Beacon, BeaconRule, DrandRound, DrawSpec, Leaves, Reveal, Secret, Terms};
use datasets::idx::{IdxLimits, decode_images};
use datasets::published::{read, table};
use datasets::{Images, Logits};
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::outcomes::{OutcomeValues, Outcomes};

/// What inputs of the parts here are.
const PICTURE: ImageShape = ImageShape { channels: 1, height: 2, width: 3 };

/// Does what catches panics of its own: a fuzzer ends at the first, caught or not.
fn quietly<T>(read: impl FnOnce() -> T) -> T {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let answer = read();
    std::panic::set_hook(hook);
    answer
}

pub(super) fn data(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 7 {
        0 => {
            if let Ok(images) = Images::from_bytes(bytes) {
                assert_eq!(images.to_bytes().as_deref(), Ok(bytes), "images with two forms");
            }
        }
        1 => {
            if let Ok(logits) = Logits::from_bytes(bytes) {
                assert!(logits.values.iter().all(|value| value.is_finite()));
                assert_eq!(logits.to_bytes().as_deref(), Ok(bytes), "logits with two forms");
            }
        }
        2 => {
            if let Ok(outcomes) = Outcomes::from_bytes(bytes) {
                assert_eq!(outcomes.to_bytes(), bytes, "outcomes with two forms");
            }
        }
        3 => {
            if let Ok(reveal) = Reveal::from_bytes(bytes) {
                assert_eq!(reveal.to_bytes().ok().as_deref(), Some(bytes), "a reveal with two forms");
            }
        }
        5 => {
            if let Ok(part) = quietly(|| read(bytes.to_vec(), PICTURE, 10)) {
                assert_eq!(part.images.validate(), Ok(()), "a part that doesn't agree with itself");
                assert!(part.images.labels.iter().all(|label| *label < 10));
                assert!(part.answers.is_none_or(|answers| answers.count == part.images.count && answers.classes == 10));
            }
        }
        4 => {
            let _ = DrandRound::from_json(bytes);
        }
        _ => {
            // Both files in one input: the first has the length that its first two bytes say.
            let Some((length, rest)) = bytes.split_first_chunk() else { return };
            let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
            let (images, labels) = rest.split_at(length);
            let limits = IdxLimits { items_max: 100, side_max: 64, classes: 10 };
            if let Ok(images) = decode_images(images, labels, limits) {
                assert_eq!(images.validate(), Ok(()), "images that don't agree with themselves");
                assert!(images.labels.iter().all(|label| *label < 10));
            }
        }
    }
}

fn reveal() -> Reveal {
    let terms = Terms {
        competition: "fashion-mnist".into(),
        round: 3,
        pool_root: Digest::of(b"pool").to_string(),
        pool_count: 10,
        spec: DrawSpec::of_items(4),
        beacon: BeaconRule::Ledger { height: 7 },
    };
    Reveal {
        terms,
        beacon: Beacon::Ledger { height: 7, hash: [1; 32] },
        secret: Secret::new([2; 32]),
        fixed_seed: [3; 32],
        labels: vec![0, 1, 2, 3],
        items_sha256: [4; 32],
        leaves: Leaves::of(&[const { [5; 20] }; 4].map(Vec::from)).expect("leaves of one length"),
        proof: vec![[6; 32]; 2],
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let images = Images { count: 2, channels: 1, height: 2, width: 3, pixels: vec![7; 12], labels: vec![1, 2] };
    let logits = Logits { count: 2, classes: 2, values: vec![0.5, -1.0, 2.0, 0.0] };
    let mut all: Vec<Vec<u8>> = (0..7).map(|kind| vec![kind]).collect();
    let good = [(0, images.to_bytes().unwrap_or_default()), (1, logits.to_bytes().unwrap_or_default())];
    all.extend(good.into_iter().map(|(kind, bytes)| [&[kind][..], &bytes].concat()));
    let names: Vec<String> = (0..10).map(|class| class.to_string()).collect();
    let answers = Logits { count: 2, classes: 10, values: vec![0.5; 20] };
    for answers in [Some(&answers), None] {
        let part = table(&images, &names, answers).expect("a part, because all lengths agree");
        all.push([&[5][..], &part].concat());
    }
    let outcomes = Outcomes::new(OutcomeValues {
        images_sha256: Digest::of(b"images"),
        size_bytes: 1_000,
        public_items: 2,
        right: vec![true, false, true],
        js_micronats: vec![1, 2, 3],
        log_ratio_nanos: vec![-5, 5],
    });
    all.push([&[2][..], &outcomes.expect("outcomes, because they are in range").to_bytes()].concat());
    all.push([&[3][..], &reveal().to_bytes().expect("bytes, because the leaves are alike")].concat());
    all.push([&[4][..], br#"{"round":1,"randomness":"00","signature":"00"}"#].concat());
    // A gzip file of an IDX of one image of one pixel, stored without compression.
    let gz = |content: &[u8]| {
        let mut crc = u32::MAX;
        for byte in content {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        let length = content.len() as u16;
        let stored = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), content].concat();
        let trailer = [(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
        [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &stored, &trailer].concat()
    };
    let pixels = gz(&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 200]);
    let labels = gz(&[0, 0, 8, 1, 0, 0, 0, 1, 7]);
    all.push([&[6][..], &(pixels.len() as u16).to_le_bytes(), &pixels, &labels].concat());
    all
}
