//! Bytes swapped on the way (row 19, incidents E6, E9, E10 and E29): between announcement and upload by the miner, and in
//! the object store, by whoever got at the disk, between admission and evaluation and after the score.

use super::hall::{PATIENCE, hall, until};
use super::package::Package;
use super::stranger::Stranger;
use crate::support::{stderr, stdout};
use protocol::api::SubmissionCreated;
use protocol::submission::{Blame, State};
use std::fs;

/// A small one goes in front of the announced name of a large one, or the other way round: neither is stored.
#[test]
fn bytes_that_were_not_announced_are_stored_under_no_name_and_the_announced_ones_may_follow() {
    let mallory = Stranger::new(hall());
    // Rejected at the door in the end, which shows that the announced bytes were looked at, and takes no worker's time.
    let announced = Package::fixture("mlp").holding(|weights| {
        let end = weights.len();
        weights[end - 8..end - 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let created: SubmissionCreated = mallory.announce(&announced).json();
    let id = created.id.to_string();
    let upload = created.uploads.iter().find(|upload| upload.path == "model.safetensors").unwrap();
    let honest = Package::fixture("mlp").weights;
    let [shorter, longer] = [&honest[..honest.len() - 1], &[&honest[..], b"x"].concat()];
    for (bytes, code) in [(&honest[..], "digest_mismatch"), (shorter, "size_mismatch"), (longer, "size_mismatch")] {
        assert_eq!(mallory.put(&upload.url, bytes).refusal(), (422, code.into()));
        let completed = mallory.complete(&id);
        assert_eq!(completed.refusal(), (409, "upload_incomplete".into()));
        assert!(completed.text().contains("model.safetensors"), "{}", completed.text());
        assert!(!hall().object(&announced.weights_sha256()).exists(), "the name stays free");
    }
    for upload in &created.uploads {
        assert_eq!(mallory.put(&upload.url, announced.file(&upload.path)).status, 204);
    }
    // What is there can't be swapped for something else any more, and sending it again is harmless.
    assert_eq!(mallory.put(&upload.url, &honest).refusal(), (422, "digest_mismatch".into()));
    assert_eq!(mallory.put(&upload.url, &announced.weights).status, 204);
    assert_eq!(fs::read(hall().object(&announced.weights_sha256())).unwrap(), announced.weights);
    assert_eq!(mallory.complete(&id).status, 202);
    assert_eq!(mallory.end(&id).reason.unwrap().code.as_str(), "tensor_not_finite");
    assert_eq!(mallory.put(&upload.url, &honest).refusal(), (409, "upload_closed".into()), "the door is shut");
}

/// Whoever can write to the disk can stop an evaluation, but has nothing measured that wasn't announced, and nobody but
/// the validator is blamed.
#[test]
fn an_object_swapped_before_its_evaluation_is_not_measured_and_one_swapped_after_it_is_noticed_by_everybody() {
    let (first, alice) = (Stranger::new(hall()), Stranger::new(hall()));
    // One evaluation at a time: behind this one there is time for the deed.
    let ahead = first.submit(&Package::fixture("depthwise_cnn"));
    let package = Package::fixture("mobilenet_v2");
    let id = alice.submit(&package);
    let admitted = until(PATIENCE, || Some(alice.status(&id)).filter(|status| status.state != State::Checking));
    let object = hall().object(&package.weights_sha256());
    let other = Package::fixture("mobilenet_v2").holding(|weights| *weights.last_mut().unwrap() ^= 1).weights;
    fs::write(&object, &other).unwrap();
    assert_eq!(admitted.unwrap().state, State::Queued);
    assert_eq!(first.end(&ahead).state, State::Scored);

    let failed = alice.end(&id);
    let reason = failed.reason.unwrap();
    assert_eq!((failed.state, reason.code.as_str(), reason.blame), (State::Failed, "infrastructure", Blame::Validator));
    assert!(failed.report.is_none() && failed.receipt.is_none(), "nothing was measured");
    assert!(!reason.detail.contains("SHA-256"), "what lies inside is the operator's: {}", reason.detail);
    let sha256 = package.weights_sha256().to_string();
    assert!(hall().logs(&[&id, "the bytes have SHA-256", &sha256]), "who reads the log sees which object it was");

    // It cost no quota: the same package again is a new submission, whose upload puts the object right.
    let again = alice.submit(&package);
    assert_ne!(again, id);
    assert_eq!(fs::read(&object).unwrap(), package.weights);
    assert_eq!(alice.end(&again).state, State::Scored);
    let sound = hall().service.run(&["verify", &again, "--outputs-only"]);
    assert!(sound.status.success(), "{}{}", stdout(&sound), stderr(&sound));

    fs::write(&object, &other).unwrap();
    let found = hall().service.run(&["verify", &again, "--outputs-only"]);
    assert_eq!(found.status.code(), Some(1));
    let told = stdout(&found) + &stderr(&found);
    assert!(told.contains("BAD  package") && told.contains("arrived as"), "{told}");
    fs::write(&object, &package.weights).unwrap();
}
