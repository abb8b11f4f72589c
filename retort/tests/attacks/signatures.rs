//! Signatures (rows 24 to 28 and 35, incidents E6 to E8 and E11): used twice, too old, made for somebody else, changed a
//! little; and whoever wants to be taken for another.

use super::hall::{Hall, OPERATOR_TOKEN, hall};
use super::package::Package;
use super::stranger::{Answer, COMPETITION, Header, SUBMISSIONS, Stranger, send};
use protocol::api::{SubmissionCreated, SubmissionRequest};
use protocol::auth::{OutgoingRequest, sign_request};
use protocol::submission::State;
use serde_json::json;

const SECOND_NS: u64 = 1_000_000_000;
/// The order of the group, 2^252 + 27742317777372353535851937790883648493, from its lowest byte on.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// The bit of a signature that says that it is one of schnorrkel.
const MARK: u8 = 0x80;

/// A signed announcement that would be new.
struct Announcement<'a> {
    sender: &'a Stranger<'a>,
    body: Vec<u8>,
}

impl Announcement<'_> {
    fn outgoing(&self) -> OutgoingRequest<'static> {
        self.sender.outgoing("POST", SUBMISSIONS, &self.body)
    }

    fn signed(&self, request: &OutgoingRequest<'_>) -> Vec<Header> {
        sign_request(&self.sender.key, request)
    }

    fn post(&self, headers: &[Header]) -> Answer {
        send(self.sender.hall.address(), "POST", SUBMISSIONS, headers, &self.body)
    }
}

fn announcement<'a>(sender: &'a Stranger<'a>, package: &Package) -> Announcement<'a> {
    let request = SubmissionRequest {
        competition: COMPETITION.parse().unwrap(),
        files: package.declarations(),
        invite: None,
        name: None,
    };
    Announcement { sender, body: serde_json::to_vec(&request).unwrap() }
}

/// Headers with another signature.
fn with_signature(headers: &[Header], change: impl FnOnce(&mut [u8])) -> Vec<Header> {
    let mut headers = headers.to_vec();
    let (_, text) = headers.iter_mut().find(|(name, _)| *name == "X-Bittensor-Signature").unwrap();
    let digits = text.strip_prefix("0x").unwrap();
    let mut bytes: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    change(&mut bytes);
    *text = bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    headers
}

/// Adds the group's order to the scalar of a signature: the same point, in another spelling.
fn add_order(signature: &mut [u8]) {
    let scalar = &mut signature[32..];
    scalar[31] &= !MARK;
    let mut carry = 0;
    for (byte, order) in scalar.iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    scalar[31] |= MARK;
}

#[test]
fn a_signature_is_good_once_here_now_and_for_what_it_says_in_one_spelling_only() {
    let (mallory, other) = (Stranger::new(hall()), Stranger::new(hall()));
    let new = announcement(&mallory, &Package::fixture("vit"));
    let request = new.outgoing();
    let wrong = |change: fn(&mut OutgoingRequest<'_>)| {
        let mut request = new.outgoing();
        change(&mut request);
        new.signed(&request)
    };
    let foreign = OutgoingRequest { receiver: Some(other.key.hotkey()), ..new.outgoing() };
    let mut as_another = new.signed(&new.outgoing());
    as_another.iter_mut().find(|(name, _)| *name == "X-Bittensor-Hotkey").unwrap().1 = other.key.hotkey().to_string();
    for (what, headers, code) in [
        ("expired", wrong(|request| request.nonce_ns -= 30 * SECOND_NS), "stale_request"),
        ("from the future", wrong(|request| request.nonce_ns += 60 * SECOND_NS), "stale_request"),
        ("for another validator", new.signed(&foreign), "wrong_receiver"),
        ("for no validator", wrong(|request| request.receiver = None), "wrong_receiver"),
        ("another method", wrong(|request| request.method = "DELETE"), "bad_signature"),
        ("another address", wrong(|request| request.target = "/api/v1/tokens"), "bad_signature"),
        ("under another's name", as_another, "bad_signature"),
        ("nothing", Vec::new(), "malformed_auth"),
    ] {
        assert_eq!(new.post(&headers).refusal(), (401, code.into()), "{what}");
    }

    // The very request that would be accepted, its signature in other spellings first.
    let genuine = new.signed(&request);
    let flips: [fn(&mut [u8]); 7] = [
        add_order,
        |bytes| (0..7).for_each(|_| add_order(bytes)),
        |bytes| bytes[63] &= !MARK,
        |bytes| bytes[63] ^= 0x40,
        |bytes| bytes[31] ^= 0x80,
        |bytes| bytes[0] ^= 1,
        |bytes| bytes[32..].fill(0),
    ];
    for (index, flip) in flips.into_iter().enumerate() {
        let answer = new.post(&with_signature(&genuine, flip));
        assert_eq!(answer.refusal(), (401, "bad_signature".into()), "spelling {index}");
    }
    let mut twice = genuine.clone();
    twice.extend(with_signature(&genuine, add_order));
    assert_eq!(new.post(&twice).refusal(), (401, "malformed_auth".into()));
    assert!(mallory.entered().is_empty() && other.entered().is_empty(), "nothing came of any of it");

    // None of that used the nonce up, and then it is used up, in every spelling.
    assert_eq!(new.post(&genuine).status, 201);
    assert_eq!(new.post(&genuine).refusal(), (401, "replayed_request".into()));
    assert_eq!(new.post(&with_signature(&genuine, add_order)).refusal(), (401, "bad_signature".into()));
    assert_eq!(mallory.entered().len(), 1);
    assert_eq!(mallory.get("/metrics").refusal(), (403, "operator_only".into()));
    let operator = [("Authorization", format!("Bearer {OPERATOR_TOKEN}"))];
    let metrics = send(hall().address(), "GET", "/metrics", &operator, b"").text();
    let refused = metrics.lines().find(|line| line.starts_with("retort_http_responses_total") && line.contains("4"));
    assert!(refused.is_some(), "the operator sees how many were turned away: {metrics}");
}

/// A signature is fresh for some seconds, which is longer than a service takes to come back.
#[test]
fn what_was_accepted_before_a_kill_is_a_replay_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let hall = Hall::of_ones_own(dir.path());
    let mallory = Stranger::new(&hall);
    let new = announcement(&mallory, &Package::fixture("vit"));
    let headers = new.signed(&new.outgoing());
    assert_eq!(new.post(&headers).status, 201);
    let body = new.body.clone();
    let hall = hall.killed_and_restarted();
    let answer = send(hall.address(), "POST", SUBMISSIONS, &headers, &body);
    let (status, code) = answer.refusal();
    // On a machine so crowded that it took longer, it is too old.
    assert!(status == 401 && ["replayed_request", "stale_request"].contains(&code.as_str()), "{code}");
    let entered: Vec<serde_json::Value> = send(hall.address(), "GET", SUBMISSIONS, &[], b"").json();
    assert_eq!(entered.len(), 1, "what was acknowledged is there, once");
}

/// E6, E7 and E11: to announce what another announced, to finish it for him, and to come later with his bytes.
#[test]
fn whoever_squats_on_anothers_announcement_has_a_later_one_and_nothing_of_his() {
    let (alice, mallory) = (Stranger::new(hall()), Stranger::new(hall()));
    let package = Package::fixture("vit").holding(|weights| *weights.last_mut().unwrap() ^= 1);
    let hers: SubmissionCreated = alice.announce(&package).json();
    let id = hers.id.to_string();
    // Digests are public from here on, so Mallory announces them too. The bytes aren't.
    let seen = mallory.status(&id);
    assert_eq!(seen.files, package.declarations());
    let his: SubmissionCreated = mallory.announce(&package).json();
    assert_ne!(his.id, hers.id);
    assert_eq!(mallory.complete(&id).refusal(), (404, "not_found".into()), "as if there were none");
    let none = mallory.complete("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(none.refusal(), (404, "not_found".into()));
    let own = mallory.complete(&his.id.to_string());
    assert_eq!(own.refusal(), (409, "upload_incomplete".into()));

    // Alice's bytes are stored under a name that Mallory announced too: that doesn't make them his.
    for upload in &hers.uploads {
        assert_eq!(alice.put(&upload.url, package.file(&upload.path)).status, 204);
    }
    let own = mallory.complete(&his.id.to_string());
    assert_eq!(own.refusal(), (409, "upload_incomplete".into()));
    let object = format!("/api/v1/objects/sha256/{}", package.weights_sha256());
    assert_eq!(mallory.get(&object).status, 404, "before its score nobody has it from here");
    assert_eq!(alice.complete(&id).status, 202);
    assert_eq!(alice.end(&id).state, State::Scored);
    assert_eq!(mallory.get(&object).status, 200, "now anybody has, and Mallory is second");
    let arrival = |who: &Stranger<'_>| who.entered()[0]["arrival"].as_u64().unwrap();
    assert!(arrival(&alice) < arrival(&mallory));
    assert_eq!(mallory.status(&his.id.to_string()).state, State::AwaitingUpload);
    // What the log states can be checked by anybody: two commitments, hers first.
    let log = hall().service.run(&["verify", "log"]);
    assert!(log.status.success(), "{}", crate::support::stdout(&log));
    let row = |who: &Stranger<'_>| json!(who.key.hotkey());
    let board: serde_json::Value = alice.get(&format!("/api/v1/competitions/{COMPETITION}/leaderboard")).json();
    let owners: Vec<_> = board["rows"].as_array().unwrap().iter().map(|row| row["hotkey"].clone()).collect();
    assert!(owners.contains(&row(&alice)) && !owners.contains(&row(&mallory)), "{owners:?}");
}
