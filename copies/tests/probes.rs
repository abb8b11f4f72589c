//! Probes against values of a second implementation (copies/tests/probes.py, standard library only).

use copies::probes;
use protocol::Digest;
use protocol::architecture::ImageShape;
use std::collections::BTreeSet;

const GREY: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

#[test]
fn pixels_are_those_of_the_second_implementation() {
    let digest = |seed: [u8; 32], shape, count| Digest::of(&probes(&seed, shape, count)).to_string();
    let colour = ImageShape { channels: 3, height: 9, width: 14 };
    assert_eq!(digest([7; 32], GREY, 64), "ea1c513a098cf105604af8fdc7182d1f1ef09d821c9dc7c4a02dce964a3cbf19");
    assert_eq!(digest([0; 32], colour, 16), "f9cfc5268c7325167be05df2e6e5769d531cadf32bbb328aa203779c768e7074");
}

#[test]
fn probes_differ_from_each_other_and_from_another_seed_s() {
    let pixels = probes(&[1; 32], GREY, 64);
    assert_eq!(pixels.len(), 64 * 28 * 28);
    assert_eq!(pixels.chunks(28 * 28).collect::<BTreeSet<_>>().len(), 64);
    assert_ne!(pixels, probes(&[2; 32], GREY, 64));
    assert_eq!(pixels[..28 * 28 * 8], probes(&[1; 32], GREY, 8)[..]);
}

#[test]
fn a_single_pixel_has_probes_too() {
    assert_eq!(probes(&[1; 32], ImageShape { channels: 1, height: 1, width: 1 }, 8).len(), 8);
}
