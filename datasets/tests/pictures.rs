//! Pictures become inputs as Pillow and torchvision make them, whatever the format; what is none says so.

use datasets::picture::{Picture, PictureError};
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, PictureSpec};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 24, width: 32 };

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn planes(name: &str) -> Vec<u8> {
    Picture::decode(&fixture(name)).unwrap().fitted(SHAPE, PictureSpec::default()).unwrap()
}

#[test]
fn a_picture_is_resized_as_pillow_does() {
    let picture = Picture::decode(&fixture("picture.png")).unwrap();
    assert_eq!((picture.size(), picture.grey, picture.transparent), ((97, 61), false, false));
    let ways = [
        ("stretch", Fit::Stretch, None),
        ("pad", Fit::Pad, None),
        ("crop", Fit::Crop, None),
        ("crop40", Fit::Crop, Some(40)),
    ];
    for (name, fit, shorter_side) in ways {
        let spec = PictureSpec { fit: Some(fit), shorter_side };
        let ours = picture.fitted(SHAPE, spec).unwrap();
        let pillows = planes(&format!("picture-{name}.png"));
        let furthest = ours.iter().zip(&pillows).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(ours.len() == pillows.len() && furthest <= Some(1), "{name}: {furthest:?} levels");
    }
}

#[test]
fn the_same_picture_in_other_formats_is_the_same() {
    let png = Picture::decode(&fixture("picture.png")).unwrap();
    let webp = Picture::decode(&fixture("picture.webp")).unwrap();
    assert_eq!((png.digest(), webp.transparent), (webp.digest(), false));
    let spec = PictureSpec { fit: Some(Fit::Crop), shorter_side: None };
    let [png, jpg] = [png, Picture::decode(&fixture("picture.jpg")).unwrap()].map(|p| p.fitted(SHAPE, spec).unwrap());
    let mean = png.iter().zip(&jpg).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>() / png.len() as u32;
    assert!(mean <= 3, "{mean} levels");
}

#[test]
fn another_size_is_refused_unless_the_manifest_says_what_becomes_of_it() {
    let picture = Picture::decode(&fixture("picture.png")).unwrap();
    let refused = picture.fitted(SHAPE, PictureSpec::default()).unwrap_err();
    assert!(matches!(refused, PictureError::Size { found: (97, 61), expected: (32, 24) }), "{refused}");
    let shape = ImageShape { channels: 2, ..SHAPE };
    let refused = picture.fitted(shape, PictureSpec { fit: Some(Fit::Pad), shorter_side: None }).unwrap_err();
    assert!(matches!(refused, PictureError::Channels(2)), "{refused}");
}

#[test]
fn what_is_no_picture_says_so() {
    assert!(matches!(Picture::decode(b"").unwrap_err(), PictureError::Format));
    assert!(matches!(Picture::decode(b"label,path\n0,a.png\n").unwrap_err(), PictureError::Format));
    let cut = &fixture("picture.png")[..2_000];
    assert!(matches!(Picture::decode(cut).unwrap_err(), PictureError::Decode(_)));
    // A BMP's header that says 60,000 x 60,000 pixels.
    let mut bmp = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([60_000_u32.to_le_bytes(), 60_000_u32.to_le_bytes()].concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(200, 0);
    let refused = Picture::decode(&bmp).unwrap_err();
    assert!(refused.to_string().contains("shrink it"), "{refused:?}");
    // A PNG's header that says as many: its decoder minds before we can.
    let mut png = fixture("picture.png");
    png[16..24].copy_from_slice(&[60_000_u32.to_be_bytes(), 60_000_u32.to_be_bytes()].concat());
    let mut crc = !0_u32;
    for byte in &png[12..29] {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()));
    }
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    let refused = Picture::decode(&png).unwrap_err();
    assert!(refused.to_string().contains("shrink it"), "{refused:?}");
    // A format that others know.
    let refused = Picture::decode(b"II*\0\x08\0\0\0\0\0\0\0").unwrap_err();
    assert!(matches!(refused, PictureError::Format) && refused.to_string().contains("PNG, JPEG"), "{refused:?}");
}
