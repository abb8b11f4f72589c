//! Values that `scripts/golden_hidden.py`, a second implementation, prints.

use datasets::Images;
use datasets::hidden::{
    BeaconRule, Change, DrawSpec, DrawnItem, Family, Secret, Spent, Terms, Transform, draw, draw_unspent, fixed_seed,
    render, seed,
};
use protocol::competition::HiddenPool;
use sha2::{Digest, Sha256};

const SEED: &str = "beca14fd3d1de482d0c4527ac3e61ee02d8b28d7dd7a333425dd85f9f1fb2c29";
const FIXED_SEED: &str = "6430444ea1c2925c164da644764c94e516c70be6905140ae053b137b54699144";
const SOURCES: [u32; 40] = [
    49, 98, 80, 34, 89, 88, 10, 83, 23, 77, 68, 18, 30, 17, 71, 22, 69, 20, 32, 86, 96, 7, 75, 76, 85, 28, 46, 61, 66,
    4, 90, 94, 44, 74, 51, 52, 40, 73, 48, 93,
];
const PIXELS_SHA256: &str = "a4eedda7ed5797104cf5af57669730c2a23997730dc8192970ea21e85508353a";
const COMMITMENT: &str = "0ccee511e3570a4495a5b2605ac0f053c74a2aba477490c6bcc3dc066b285d35";

/// `first, first + 1, ...`
fn ascending(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + at as u8)
}

fn seeds() -> ([u8; 32], [u8; 32]) {
    let (beacon, secret) = (ascending(0), Secret::new(ascending(32)));
    (seed(&beacon, &secret, "clothes", 7), fixed_seed(&beacon, &secret, "clothes", 7))
}

fn spec() -> DrawSpec {
    let family = Family {
        shift_px_max: 2,
        rotation_millidegrees_max: 8_000,
        scale_ppm_min: 900_000,
        scale_ppm_max: 1_050_000,
        brightness_ppm_min: 800_000,
        brightness_ppm_max: 1_200_000,
        noise_levels_max: 8,
        cutout_px_max: 5,
        mixture_ppm: 250_000,
        mixture_share_ppm_min: 600_000,
        mixture_share_ppm_max: 800_000,
    };
    DrawSpec { items: 40, fixed_ppm: 300_000, family, hidden_pool: HiddenPool::Public }
}

#[test]
fn seeds_are_those_of_the_second_implementation() {
    let (seed, fixed) = seeds();
    assert_eq!((hex::encode(seed), hex::encode(fixed)), (SEED.into(), FIXED_SEED.into()));
}

#[test]
fn draw_is_that_of_the_second_implementation() {
    let (seed, fixed) = seeds();
    let drawn = draw(&seed, &fixed, 100, &spec()).unwrap();
    assert_eq!(drawn.fixed, 12);
    assert_eq!(drawn.items.iter().map(|item| item.source).collect::<Vec<_>>(), SOURCES);
    let first = Transform {
        dx: 1,
        dy: 1,
        rotation_millidegrees: -1_308,
        scale_ppm: 1_045_485,
        brightness_ppm: 951_438,
        noise_levels: 2,
        noise_seed: 98_247_040_211_524_569,
        cutout_px: 1,
        cutout_x_ppm: 550_975,
        cutout_y_ppm: 660_176,
    };
    assert_eq!(drawn.items[0], DrawnItem { source: 49, change: Change::Transformed(first) });
    let mixture = Transform {
        dx: -2,
        dy: -1,
        rotation_millidegrees: 1_362,
        scale_ppm: 1_045_490,
        brightness_ppm: 1_005_549,
        noise_levels: 1,
        noise_seed: 2_313_933_949_084_155_359,
        cutout_px: 1,
        cutout_x_ppm: 102_927,
        cutout_y_ppm: 630_737,
    };
    let first_mixture = drawn.items.iter().position(|item| item.partner().is_some());
    assert_eq!(first_mixture, Some(7));
    assert_eq!(drawn.items[7].change, Change::Mixture { with: 46, share_ppm: 600_755, then: mixture });
}

#[test]
fn pixels_are_those_of_the_second_implementation() {
    let (height, width) = (13u32, 17u32);
    let pixel = |index: u32, place: u32| ((index * 31 + place * place * 7 + place * 13) % 256) as u8;
    let pixels = (0..100).flat_map(|index| (0..height * width).map(move |place| pixel(index, place))).collect();
    let pool = Images { count: 100, channels: 1, height, width, pixels, labels: vec![] };
    let (seed, fixed) = seeds();
    let images = render(&pool, &draw(&seed, &fixed, 100, &spec()).unwrap()).unwrap();
    assert_eq!(hex::encode(Sha256::digest(images.pixels)), PIXELS_SHA256);
}

#[test]
fn commitment_is_that_of_the_second_implementation() {
    let terms = Terms {
        competition: "clothes".into(),
        round: 7,
        pool_root: "ab".repeat(32),
        pool_count: 100,
        spec: spec(),
        beacon: BeaconRule::Ledger { height: 123 },
    };
    let commitment = terms.commit(&Secret::new(ascending(32))).unwrap();
    assert_eq!(hex::encode(commitment.root), COMMITMENT);
}

#[test]
fn private_draw_is_that_of_the_second_implementation() {
    const SOURCES: [u32; 40] = [
        49, 98, 80, 34, 89, 88, 10, 83, 23, 77, 68, 18, 79, 19, 47, 16, 45, 14, 2, 70, 41, 78, 65, 97, 39, 15, 1, 53,
        26, 5, 72, 37, 60, 84, 24, 87, 67, 33, 42, 56,
    ];
    const PARTNERS: [u32; 10] = [80, 49, 19, 60, 87, 72, 15, 60, 15, 19];
    let (first, fixed) = seeds();
    let spec = DrawSpec { hidden_pool: HiddenPool::Private, ..spec() };
    let mut spent = Spent::default();
    spent.add(&draw(&first, &fixed, 100, &spec).unwrap());
    let later = draw_unspent(&Sha256::digest(first).into(), &fixed, 100, &spec, &spent).unwrap();
    assert_eq!(later.items.iter().map(|item| item.source).collect::<Vec<_>>(), SOURCES);
    assert_eq!(later.items.iter().filter_map(DrawnItem::partner).collect::<Vec<_>>(), PARTNERS);
}
