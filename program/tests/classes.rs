//! One file at several lengths.

use crate::{LIMITS, fixture, text};
use program::{Code, Op, onnx};

#[test]
fn a_text_encoder_is_lowered_for_each_length() {
    let file = fixture("text-script");
    let lengths = [16, 32, 64, 128];
    let read = onnx::read(&file, &text(&lengths), &LIMITS).unwrap();
    assert_eq!(read.len(), 4);
    for (length, lowered) in lengths.iter().zip(&read) {
        assert_eq!(lowered.graph.inputs[0].1.shape.dims(), [1, u64::from(*length)]);
        // Four projections of 16 x 16 a token, two products of all tokens with all, the head.
        let length = u64::from(*length);
        let expected = (3 * 16 * 16 * length) + 2 * length * length * 16 + 16 * 4;
        assert_eq!(lowered.costs.macs, expected, "{length}");
        let written = onnx::write(&lowered.graph);
        let again = onnx::read(&written, &text(&[u32::try_from(length).unwrap()]), &LIMITS).unwrap();
        assert_eq!(again[0], *lowered, "{length}");
        assert!(!lowered.graph.nodes.iter().any(|node| matches!(node.op, Op::Shape | Op::Range | Op::Slice)));
    }
    let peaks: Vec<u64> = read.iter().map(|lowered| lowered.costs.activation_bytes_peak).collect();
    assert!(peaks.is_sorted() && peaks[0] < peaks[3], "{peaks:?}");
}

#[test]
fn a_length_that_positions_end_before_is_refused() {
    let file = fixture("text-script");
    let refusal = onnx::read(&file, &text(&[16, 129]), &LIMITS).unwrap_err();
    assert_eq!(refusal.code, Code::Shape, "{refusal}");
}

#[test]
fn a_file_of_one_length_fits_no_list_of_lengths() {
    let file = fixture("text-script");
    let one = onnx::write(&onnx::read(&file, &text(&[32]), &LIMITS).unwrap()[0].graph);
    assert!(onnx::read(&one, &text(&[32]), &LIMITS).is_ok());
    let refusal = onnx::read(&one, &text(&[16, 32]), &LIMITS).unwrap_err();
    assert_eq!(refusal.code, Code::DynamicShape, "{refusal}");
    assert!(refusal.detail.contains("always 32"), "{refusal}");
}
