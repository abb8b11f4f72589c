//! What changes do to pixels: nothing where nothing is asked, exactly what is said elsewhere, never a panic.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

use super::pool;
use datasets::hidden::{Change, Draw, DrawSpec, DrawnItem, Family, RenderError, Transform, draw, relabel, render};
use datasets::{FormatError, Images};
use proptest::prelude::*;

fn grey(height: u32, width: u32, pixels: &[u8]) -> Images {
    Images { count: 1, channels: 1, height, width, pixels: pixels.to_vec(), labels: vec![] }
}

fn change(images: &Images, transform: Transform) -> Vec<u8> {
    let items = (0..images.count).map(|source| DrawnItem { source, change: Change::Transformed(transform) }).collect();
    render(images, &Draw { items, fixed: 0 }).unwrap().pixels
}

fn mixture(with: u32, share_ppm: u32) -> Draw {
    let change = Change::Mixture { with, share_ppm, then: Transform::identity() };
    Draw { items: vec![DrawnItem { source: 0, change }], fixed: 0 }
}

#[test]
fn quarter_turn_is_exact() {
    let image = grey(3, 3, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let turned = |rotation_millidegrees| change(&image, Transform { rotation_millidegrees, ..Transform::identity() });
    assert_eq!(turned(90_000), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
    assert_eq!(turned(-90_000), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    assert_eq!(turned(180_000), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[test]
fn shift_moves_right_and_down_and_zeros_move_in() {
    let image = grey(2, 3, &[1, 2, 3, 4, 5, 6]);
    let shifted = |dx, dy| change(&image, Transform { dx, dy, ..Transform::identity() });
    assert_eq!(shifted(1, 0), [0, 1, 2, 0, 4, 5]);
    assert_eq!(shifted(0, 1), [0, 0, 0, 1, 2, 3]);
    assert_eq!(shifted(-2, -1), [6, 0, 0, 0, 0, 0]);
    assert_eq!(shifted(i32::MIN, i32::MAX), [0; 6]);
}

#[test]
fn twice_the_size_shows_the_middle() {
    let image = grey(1, 4, &[10, 20, 40, 80]);
    // Points -0.25 + 0.5 k about the centre: 0.75, 1.25, 1.75, 2.25 across.
    let magnified = change(&image, Transform { scale_ppm: 2_000_000, ..Transform::identity() });
    assert_eq!(magnified, [18, 25, 35, 50]);
}

#[test]
fn brightness_rounds_and_ends_at_white() {
    let image = grey(1, 4, &[0, 1, 100, 200]);
    let lit = |brightness_ppm| change(&image, Transform { brightness_ppm, ..Transform::identity() });
    assert_eq!(lit(1_500_000), [0, 2, 150, 255]);
    assert_eq!(lit(500_000), [0, 1, 50, 100]);
    assert_eq!(lit(u32::MAX), [0, 255, 255, 255]);
}

#[test]
fn cutout_blanks_a_square_even_over_the_edge() {
    let image = grey(3, 3, &[9; 9]);
    let cut = |cutout_x_ppm, cutout_y_ppm, cutout_px| {
        change(&image, Transform { cutout_x_ppm, cutout_y_ppm, cutout_px, ..Transform::identity() })
    };
    assert_eq!(cut(500_000, 500_000, 1), [9, 9, 9, 9, 0, 9, 9, 9, 9]);
    assert_eq!(cut(999_999, 0, 3), [9, 0, 0, 9, 0, 0, 9, 9, 9]);
    assert_eq!(cut(0, 0, u32::MAX), [0; 9]);
}

#[test]
fn noise_has_the_deviation_that_it_is_said_to_have() {
    let image = grey(100, 100, &[128; 10_000]);
    let noisy = change(&image, Transform { noise_levels: 10, noise_seed: 5, ..Transform::identity() });
    let offsets: Vec<f64> = noisy.iter().map(|pixel| f64::from(*pixel) - 128.0).collect();
    let mean = offsets.iter().sum::<f64>() / 1e4;
    let deviation = (offsets.iter().map(|offset| (offset - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
    assert!(mean.abs() < 0.5 && (deviation - 10.0).abs() < 0.4, "{mean} {deviation}");
    let other = change(&image, Transform { noise_levels: 10, noise_seed: 6, ..Transform::identity() });
    assert_ne!(noisy, other);
}

#[test]
fn mixture_is_the_weighted_mean_of_its_parts() {
    let images = Images { count: 2, pixels: vec![200, 0, 10, 100, 255, 11], ..grey(1, 3, &[]) };
    assert_eq!(render(&images, &mixture(1, 750_000)).unwrap().pixels, [175, 64, 10]);
    assert_eq!(render(&images, &mixture(1, 1_000_000)).unwrap().pixels, [200, 0, 10]);
}

#[test]
fn draw_of_another_pool_is_refused() {
    let images = pool(3);
    assert_eq!(render(&images, &mixture(3, 750_000)), Err(RenderError::Source { index: 3, count: 3 }));
    assert_eq!(render(&images, &Draw { items: vec![], fixed: 0 }), Err(RenderError::Empty));
}

#[test]
fn teacher_labels_mixtures_and_nothing_else() {
    let images = pool(40);
    let spec = DrawSpec { family: Family { mixture_ppm: 500_000, ..Family::default() }, ..DrawSpec::of_items(40) };
    let drawn = draw(&[1; 32], &[2; 32], 40, &spec).unwrap();
    let mut items = render(&images, &drawn).unwrap();
    let before = items.labels.clone();
    // The teacher sees a 4 everywhere, and a 6 that is no likelier.
    let logits: Vec<f32> = (0..40).flat_map(|_| [0., 0., 0., 0., 2.5, 0., 2.5, 0., 0., 0.]).collect();
    relabel(&mut items.labels, &drawn, &logits, 10).unwrap();
    for ((item, before), after) in drawn.items.iter().zip(before).zip(&items.labels) {
        assert_eq!(*after, if item.partner().is_some() { 4 } else { before });
    }
}

#[test]
fn a_mixture_can_be_of_any_class_that_there_may_be() {
    let images = pool(40);
    let spec = DrawSpec { family: Family { mixture_ppm: 500_000, ..Family::default() }, ..DrawSpec::of_items(40) };
    let drawn = draw(&[1; 32], &[2; 32], 40, &spec).unwrap();
    let mixed = drawn.items.iter().position(|item| item.partner().is_some()).unwrap();
    for classes in [257_u32, 65_535] {
        let mut items = render(&images, &drawn).unwrap();
        let mut logits = vec![0.0; 40 * classes as usize];
        logits.chunks_mut(classes as usize).for_each(|row| *row.last_mut().unwrap() = 1.0);
        relabel(&mut items.labels, &drawn, &logits, classes).unwrap();
        assert_eq!(u32::from(items.labels[mixed]), classes - 1);
    }
}

#[test]
fn logits_that_do_not_fit_are_refused_and_change_nothing() {
    let images = pool(4);
    let drawn = draw(&[1; 32], &[2; 32], 4, &DrawSpec::of_items(4)).unwrap();
    let mut items = render(&images, &drawn).unwrap();
    let before = items.clone();
    let logits = RenderError::Logits { found: 39, items: 4, classes: 10 };
    assert_eq!(relabel(&mut items.labels, &drawn, &[0.0; 39], 10), Err(logits));
    assert_eq!(relabel(&mut items.labels, &drawn, &[], 0), Err(RenderError::Logits { found: 0, items: 4, classes: 0 }));
    let mut broken = [0.0; 40];
    broken[17] = f32::INFINITY;
    let error = FormatError::NotFinite { index: 17, found: f32::INFINITY };
    assert_eq!(relabel(&mut items.labels, &drawn, &broken, 10), Err(error.into()));
    assert_eq!(items, before);
    let mut unlabelled = items.without_labels();
    assert_eq!(relabel(&mut unlabelled.labels, &drawn, &[0.0; 40], 10), Err(RenderError::Unlabelled));
}

fn any_transform() -> impl Strategy<Value = Transform> {
    let geometry = (any::<i32>(), any::<i32>(), any::<i32>(), any::<u32>());
    let light = (any::<u32>(), any::<u32>(), any::<u64>());
    let cutout = (any::<u32>(), any::<u32>(), any::<u32>());
    (geometry, light, cutout).prop_map(|(geometry, light, cutout)| Transform {
        dx: geometry.0,
        dy: geometry.1,
        rotation_millidegrees: geometry.2,
        scale_ppm: geometry.3,
        brightness_ppm: light.0,
        noise_levels: light.1,
        noise_seed: light.2,
        cutout_px: cutout.0,
        cutout_x_ppm: cutout.1,
        cutout_y_ppm: cutout.2,
    })
}

fn any_images() -> impl Strategy<Value = Images> {
    (1u32..4, 1u32..4, 1u32..20, 1u32..20).prop_flat_map(|(count, channels, height, width)| {
        let bytes = (count * channels * height * width) as usize;
        prop::collection::vec(any::<u8>(), bytes).prop_map(move |pixels| Images {
            count,
            channels,
            height,
            width,
            pixels,
            labels: vec![],
        })
    })
}

proptest! {
    #[test]
    fn identity_is_the_image(images in any_images()) {
        prop_assert_eq!(change(&images, Transform::identity()), images.pixels);
    }

    #[test]
    fn any_parameters_on_any_size_give_an_image(images in any_images(), transform in any_transform()) {
        prop_assert_eq!(change(&images, transform).len(), images.pixels.len());
    }

    #[test]
    fn valid_families_on_any_size_give_images(images in any_images(), seed: [u8; 32], mixture_ppm in 0u32..=1_000_000) {
        let spec = DrawSpec { family: Family { mixture_ppm, ..Family::default() }, ..DrawSpec::of_items(images.count) };
        let drawn = draw(&seed, &seed, images.count, &spec).unwrap();
        let items = render(&images, &drawn).unwrap();
        prop_assert!(items.validate().is_ok());
        prop_assert_eq!(&items, &render(&images, &drawn).unwrap());
    }
}
