//! Witnesses: cosignatures of the public network, the protocol's statuses, a memory that only grows, and by when an entry was
//! seen.

use crate::support::{ORIGIN, delete, entries, entry, log_of, open, signer, verify};
use object_store::memory::InMemory;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use transparency::note::{KeyError, Note, NoteError};
use transparency::witness_state::WitnessStoreError;
use transparency::{
    AddCheckpoint, Blame, CosignedCheckpoint, Latest, LogKey, LogStore, LogView, Refusal, SignedCheckpoint,
    VerifyError, Witness, WitnessKey, WitnessSigner, WitnessStore, keyfile, verify_beginning, witnessed,
};

const NOW: u64 = 1_800_000_000;

/// A checkpoint of a public log, as four witnesses of the public network cosigned it on 23 May 2026.
const PUBLIC_NOTE: &str = "arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";
const PUBLIC_LOG: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const PUBLIC_WITNESSES: [&str; 4] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
];

fn witness_signer(number: u8) -> WitnessSigner {
    WitnessSigner::from_seed(&format!("witness.test/{number}"), &[number; 32]).unwrap()
}

fn witness(number: u8) -> Witness {
    Witness::new(witness_signer(number), [signer().key()])
}

/// What the log of `view` asks a witness that it believes to have cosigned `old_size` entries.
async fn request(view: &LogView, old_size: u64) -> AddCheckpoint {
    let proof = match old_size < view.checkpoint().size() {
        true => view.prove_consistency(old_size).await.unwrap().hashes,
        false => Vec::new(),
    };
    AddCheckpoint { old_size, proof, note: view.checkpoint().note().to_owned() }
}

/// A log of the numbers up to `size`, in which `changed` is another: the log's second face.
async fn other_face(size: u64, changed: u64) -> (Arc<InMemory>, LogView) {
    let store = Arc::new(InMemory::new());
    let mut log = open(&store).await;
    let mut entries = entries(0..size);
    entries[changed as usize] = entry(1_000_000);
    log.append(&entries).await.unwrap();
    let view = log.view();
    (store, view)
}

#[test]
fn cosignatures_of_the_public_network_are_read_and_each_changed_byte_is_refused() {
    let keys: Vec<WitnessKey> = PUBLIC_WITNESSES.iter().map(|key| key.parse().unwrap()).collect();
    let log: LogKey = PUBLIC_LOG.parse().unwrap();
    let read = CosignedCheckpoint::open(PUBLIC_NOTE.as_bytes(), &log, &keys).unwrap();
    assert_eq!(read.checkpoint.size(), 1_432_088_532);
    assert_eq!(read.times, [Some(1_779_573_024); 4]);
    for (key, text) in keys.iter().zip(PUBLIC_WITNESSES) {
        assert_eq!(key.to_string(), text);
    }
    let line = PUBLIC_NOTE.lines().find(|line| line.starts_with("— remora")).unwrap();
    let encoded = line.rsplit_once(' ').unwrap().1;
    for at in (6..encoded.len() - 2).step_by(5) {
        let mut changed = encoded.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let note = PUBLIC_NOTE.replace(encoded, str::from_utf8(&changed).unwrap());
        let refused = CosignedCheckpoint::open(note.as_bytes(), &log, &keys);
        assert!(refused.is_err(), "character {at}");
    }
}

#[test]
fn neither_kind_of_key_passes_for_the_other() {
    let (log, key) = (signer().key().to_string(), witness_signer(1).key().to_string());
    assert_eq!(log.parse::<WitnessKey>(), Err(KeyError::NotWitness));
    assert_eq!(key.parse::<LogKey>(), Err(KeyError::NotLog));
    let mistyped = key.replace("witness.test/1", "witness.test/2");
    assert_eq!(mistyped.parse::<WitnessKey>(), Err(KeyError::Id));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("witness.key");
    keyfile::create(&path, &witness_signer(1)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keyfile::load::<WitnessSigner>(&path).unwrap().key(), witness_signer(1).key());
    assert!(keyfile::load::<transparency::LogSigner>(&path).is_err(), "a witness's key signs no log");
    assert!(!format!("{:?}", witness_signer(1)).contains("AQEB"), "Debug shows the private key");
}

#[tokio::test]
async fn a_cosignature_is_of_its_key_its_text_and_its_time() {
    let (_, checkpoints) = log_of(&[5]).await;
    let line = witness_signer(1).cosign(checkpoints[0].text(), NOW);
    let note = checkpoints[0].cosigned([line.as_str()]);
    let time = |note: &str, key: &WitnessKey| key.cosigned(&Note::parse(note.as_bytes()).unwrap());
    assert_eq!(time(&note, &witness_signer(1).key()), Ok(Some(NOW)));
    assert_eq!(time(&note, &witness_signer(2).key()), Ok(None));
    // Whoever reads notes and knows no witness reads this one, too.
    assert_eq!(SignedCheckpoint::open(note.as_bytes(), &signer().key()).unwrap().root(), checkpoints[0].root());
    // A witness that cosigned twice has seen it since the first time.
    let earlier = witness_signer(1).cosign(checkpoints[0].text(), NOW - 60);
    assert_eq!(time(&(note.clone() + &earlier), &witness_signer(1).key()), Ok(Some(NOW - 60)));
    // A key of the same name is another.
    let impostor = WitnessSigner::from_seed("witness.test/1", &[9; 32]).unwrap();
    let foreign = checkpoints[0].cosigned([impostor.cosign(checkpoints[0].text(), NOW).as_str()]);
    assert_eq!(time(&foreign, &witness_signer(1).key()), Ok(None));
    // A cosignature of another checkpoint, pasted under this one, spoils the note.
    let (_, other) = log_of(&[6]).await;
    let pasted = other[0].cosigned([line.as_str()]);
    assert!(matches!(time(&pasted, &witness_signer(1).key()), Err(NoteError::BadSignature { .. })));
}

#[tokio::test]
async fn a_witness_answers_as_the_specification_says() {
    let (store, checkpoints) = log_of(&[3, 300]).await;
    let view = open(&store).await.view();
    let first = AddCheckpoint { old_size: 0, proof: Vec::new(), note: checkpoints[0].note().to_owned() };
    let judge = |request: &AddCheckpoint, latest: Option<&Latest>| {
        let body = request.to_string();
        let read = AddCheckpoint::parse(body.as_bytes())?;
        assert_eq!(read, *request, "what is written is read");
        witness(1).judge(&read, latest, NOW)
    };
    let status = |request: &AddCheckpoint, latest: Option<&Latest>| judge(request, latest).map_err(|why| why.status());
    let seen = judge(&first, None).unwrap();
    assert_eq!((seen.checkpoint.size(), seen.time), (3, NOW));
    let next = request(&view, 3).await;
    let then = judge(&next, Some(&seen)).unwrap();
    let note = then.note();
    let key = witness_signer(1).key();
    assert_eq!(key.cosigned(&Note::parse(note.as_bytes()).unwrap()), Ok(Some(NOW)));

    let conflict = judge(&first, Some(&then)).unwrap_err();
    assert_eq!((conflict.status(), conflict), (409, Refusal::Conflict { size: 300 }));
    assert_eq!(status(&next, None), Err(409));
    assert_eq!(status(&request(&view, 300).await, Some(&then)).map(|again| again.time), Ok(NOW), "it is as it was");
    assert_eq!(status(&AddCheckpoint { old_size: 301, ..next.clone() }, Some(&seen)), Err(400), "old is newer");
    for proof in [Vec::new(), next.proof[1..].to_vec(), vec![[7; 32]; 63]] {
        assert_eq!(status(&AddCheckpoint { proof, ..next.clone() }, Some(&seen)), Err(422));
    }
    let proof = vec![[7; 32]];
    assert_eq!(status(&AddCheckpoint { proof, ..first.clone() }, None), Err(422), "nothing needs no proof");
    let stranger = transparency::LogSigner::from_seed(ORIGIN, &[4; 32]).unwrap();
    let unsigned = AddCheckpoint { note: stranger.sign(checkpoints[0].text()), ..first.clone() };
    assert_eq!(status(&unsigned, None), Err(403));
    let forged = checkpoints[0].note().replace("\n3\n", "\n4\n");
    assert_eq!(status(&AddCheckpoint { note: forged, ..first.clone() }, None), Err(403));
    let other = transparency::LogSigner::from_seed("other.test/log", &[3; 32]).unwrap();
    let unknown = other.sign("other.test/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    assert_eq!(status(&AddCheckpoint { note: unknown, ..first.clone() }, None), Err(404));
    let empty = signer().sign(&format!("{ORIGIN}\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    assert_eq!(status(&AddCheckpoint { note: empty, ..first.clone() }, None), Err(422), "a root of nothing");
    // Another log may add lines of its own; they are cosigned with the rest.
    let extended = signer().sign(&format!("{}more\n", checkpoints[0].text()));
    let cosigned = judge(&AddCheckpoint { note: extended, ..first.clone() }, None).unwrap();
    assert!(cosigned.note().contains("\nmore\n\n"));
    // A clock that stands before the last time can't give an earlier one.
    let back = witness(1).judge(&next, Some(&seen), NOW - 1).unwrap_err();
    assert_eq!((back.status(), back), (503, Refusal::ClockBehind));
}

#[test]
fn what_is_no_request_is_refused() {
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for body in [
        String::new(),
        "old 0\n".into(),
        "old 00\n\nnote".into(),
        "old +1\n\nnote".into(),
        "old 18446744073709551616\n\nnote".into(),
        "0\n\nnote".into(),
        "old 1\nAAAA\n\nnote".into(),
        format!("old 1\n{}\nnote", hash.repeat(64)),
    ] {
        let refused = AddCheckpoint::parse(body.as_bytes()).unwrap_err();
        assert_eq!(refused.status(), 400, "{body}");
    }
    assert_eq!(AddCheckpoint::parse(b"old 1\n\n\xff").unwrap_err().status(), 400);
    let most = AddCheckpoint::parse(format!("old 1\n{}\nnote", hash.repeat(63)).as_bytes()).unwrap();
    assert_eq!(witness(1).judge(&most, None, NOW).unwrap_err().status(), 400, "that is no checkpoint");
}

#[tokio::test]
async fn a_witness_that_saw_one_face_of_a_log_never_cosigns_the_other() {
    let (store, checkpoints) = log_of(&[8, 300]).await;
    let seen = witness(1)
        .judge(&AddCheckpoint { old_size: 0, proof: Vec::new(), note: checkpoints[0].note().into() }, None, NOW)
        .unwrap();
    for size in [8, 9, 300] {
        let (_, other) = other_face(size, 2).await;
        let refused = witness(1).judge(&request(&other, 8).await, Some(&seen), NOW).unwrap_err();
        assert_eq!(refused, Refusal::Inconsistent { size: 8 }, "{size}");
    }
    let (_, shorter) = other_face(5, 2).await;
    assert_eq!(witness(1).judge(&request(&shorter, 0).await, Some(&seen), NOW).unwrap_err().status(), 409);
    witness(1).judge(&request(&open(&store).await.view(), 8).await, Some(&seen), NOW).unwrap();
}

#[tokio::test]
async fn a_witness_remembers_over_restarts_and_refuses_to_begin_without_its_memory() {
    let (store, checkpoints) = log_of(&[8, 300]).await;
    let view = open(&store).await.view();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("witness");
    let first = AddCheckpoint { old_size: 0, proof: Vec::new(), note: checkpoints[0].note().to_owned() };
    let memory = WitnessStore::open(witness(1), &folder).unwrap();
    assert_eq!(memory.monitored(&"0".repeat(64)), None, "another log");
    let kept = memory.add_checkpoint(&first, NOW).unwrap();
    let second = WitnessStore::open(witness(1), &folder);
    assert!(
        matches!(second, Err(WitnessStoreError::InUse { .. })),
        "two that are one witness would sign two histories"
    );
    drop(memory);

    let memory = WitnessStore::open(witness(1), &folder).unwrap();
    let again = memory.add_checkpoint(&first, NOW + 1).unwrap_err();
    assert!(matches!(again, WitnessStoreError::Refused(Refusal::Conflict { size: 8 })), "{again}");
    let (_, other) = other_face(300, 2).await;
    let refused = memory.add_checkpoint(&request(&other, 8).await, NOW + 1).unwrap_err();
    assert!(matches!(refused, WitnessStoreError::Refused(Refusal::Inconsistent { size: 8 })), "{refused}");
    let file = fs::read_dir(&folder).unwrap().flatten().find(|file| file.file_name() != "lock").unwrap().path();
    assert_eq!(fs::read_to_string(&file).unwrap(), kept.note(), "what was refused changed nothing");
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    memory.add_checkpoint(&request(&view, 8).await, NOW + 2).unwrap();
    assert_eq!(memory.monitored(&name), Some(fs::read_to_string(&file).unwrap()));
    drop(memory);

    let whole = fs::read_to_string(&file).unwrap();
    for damaged in [&whole[..whole.len() / 2], "", &whole.replace("\n300\n", "\n30\n"), checkpoints[0].note()] {
        fs::write(&file, damaged).unwrap();
        let error = WitnessStore::open(witness(1), &folder).unwrap_err();
        assert!(matches!(error, WitnessStoreError::Damaged { .. }), "{error}");
    }
    // A memory of another witness is none of ours.
    fs::write(&file, &whole).unwrap();
    assert!(matches!(WitnessStore::open(witness(2), &folder), Err(WitnessStoreError::Damaged { .. })));
    WitnessStore::open(witness(1), &folder).unwrap();
}

/// A checkpoint of `size` entries that these witnesses cosigned at these times.
async fn seen(size: u64, times: &[(u8, u64)], trusted: &[u8]) -> CosignedCheckpoint {
    let (_, checkpoints) = log_of(&[size]).await;
    let lines: Vec<String> =
        times.iter().map(|(number, time)| witness_signer(*number).cosign(checkpoints[0].text(), *time)).collect();
    let note = checkpoints[0].cosigned(lines.iter().map(String::as_str));
    let keys: Vec<WitnessKey> = trusted.iter().map(|number| witness_signer(*number).key()).collect();
    CosignedCheckpoint::open(note.as_bytes(), &signer().key(), &keys).unwrap()
}

#[tokio::test]
async fn an_entry_is_as_old_as_more_than_half_of_the_witnesses_say() {
    let trusted = [1, 2, 3];
    let notes = [
        seen(5, &[(1, NOW), (9, NOW - 500)], &trusted).await,
        seen(7, &[(1, NOW + 10), (2, NOW + 20)], &trusted).await,
        seen(9, &[(3, NOW + 5)], &trusted).await,
    ];
    let by = |index, now| witnessed(index, &notes, now).map(|seen| (seen.by, seen.witnesses));
    let later = NOW + 1_000;
    assert_eq!(by(4, later), Some((NOW + 5, 2)), "the first and the third");
    assert_eq!(by(5, later), Some((NOW + 10, 2)), "what the first saw at 5 entries says nothing of the sixth");
    assert_eq!(by(7, later), None, "one of three");
    assert_eq!(by(9, later), None, "nobody");
    assert_eq!(by(4, NOW + 4), None, "a time that has not come is a broken clock's");
    assert_eq!(witnessed(0, &[], later), None);
    // With one that is trusted its word is enough; with none there is no word.
    let alone = [seen(5, &[(1, NOW)], &[1]).await];
    assert_eq!(witnessed(4, &alone, later).map(|seen| seen.by), Some(NOW));
    assert_eq!(witnessed(4, &[seen(5, &[(1, NOW)], &[]).await], later), None);
    assert_eq!(witnessed(4, &[seen(5, &[(1, NOW)], &[2]).await], later), None, "a stranger's word");
}

#[tokio::test]
async fn what_a_witness_saw_must_be_the_beginning_of_what_is_read() {
    let (store, checkpoints) = log_of(&[8, 300, 515]).await;
    let files = LogStore::new(store, "log").unwrap();
    for (one, other) in [(0, 2), (2, 0), (1, 2), (2, 2)] {
        verify_beginning(&files, &checkpoints[one], &checkpoints[other]).await.unwrap();
    }
    for size in [8, 300, 515] {
        let (_, other) = other_face(size, 2).await;
        let error = verify_beginning(&files, other.checkpoint(), &checkpoints[2]).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Signer, "{size}: {error}");
        let (VerifyError::SplitView { notes, .. } | VerifyError::Rewritten { notes, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!(notes[0], other.checkpoint().note());
    }
    // Files that aren't this log's prove nothing against its key.
    let (elsewhere, _) = other_face(515, 2).await;
    let files = LogStore::new(elsewhere, "log").unwrap();
    let error = verify_beginning(&files, &checkpoints[0], &checkpoints[2]).await.unwrap_err();
    assert_eq!(error.blame(), Blame::Server, "{error}");
}

#[tokio::test]
async fn partial_tiles_that_a_backup_did_not_keep_are_no_hole_and_are_served_out_of_wider_ones() {
    let (store, checkpoints) = log_of(&[3, 5, 260, 270]).await;
    for path in ["tile/0/001.p/4", "tile/entries/001.p/4"] {
        delete(&*store, path).await;
    }
    for remembered in &checkpoints {
        verify(&store, Some(remembered)).await.unwrap();
    }
    // Whoever took the checkpoint of 260 entries before still finds its files.
    let view = LogView::open(store.clone(), "log", &signer().key()).await.unwrap();
    for path in ["tile/0/001.p/4", "tile/entries/001.p/4", "tile/0/000.p/3", "tile/entries/000.p/5"] {
        let resource = transparency::Resource::parse(path).unwrap();
        let (cut, kept) = (view.read(&resource).await.unwrap().unwrap(), log_of(&[3, 5]).await.0);
        if let Some(bytes) = crate::support::files(&*kept).await.get(path) {
            assert_eq!(cut, *bytes, "{path}");
        }
        assert!(!cut.is_empty());
    }
    // A rewritten past is found without them.
    let (_, forged) = other_face(5, 2).await;
    let error = verify(&store, Some(forged.checkpoint())).await.unwrap_err();
    assert!(matches!(error, VerifyError::Rewritten { size: 5, .. }), "{error}");
}
