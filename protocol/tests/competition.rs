//! Manifests: numbers that make no sense are named before anything is computed with them.

use protocol::Manifest;
use protocol::architecture::Costs;
use protocol::competition::{TeacherDistance, keeps_teacher_distance};
use protocol::package::PackageConfig;

const REAL: &str = include_str!("../../competitions/fashion-mnist/competition.toml");

#[test]
fn the_competition_that_we_publish_is_read() {
    assert_eq!(Manifest::from_toml(REAL).unwrap().labels.len(), 10);
}

#[test]
fn images_without_pixels_or_with_more_than_64_bits_count_are_refused() {
    for (from, to) in [
        ("height = 28", "height = 0"),
        ("height = 28", "height = 8193"),
        ("width = 28", "width = 4294967295"),
        ("channels = 1", "channels = 4294967295"),
    ] {
        let error = Manifest::from_toml(&REAL.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains("1 to 8192 channels, rows and columns"), "{to}: {error}");
    }
    let all = REAL.replace("channels = 1", "channels = 2").replace("[286040]", "[1, 1]").replace("[353020]", "[1, 1]");
    let vast = all.replace("height = 28", "height = 4294967295").replace("width = 28", "width = 4294967295");
    assert!(Manifest::from_toml(&all).is_ok(), "two planes are fine");
    assert!(Manifest::from_toml(&vast).is_err(), "2 x (2^32 - 1)^2 is more than 2^64");
}

#[test]
fn labels_that_no_description_could_hold_are_refused_before_anybody_trains() {
    let labelled = |count: usize, bytes: usize| {
        let labels: Vec<String> = (0..count).map(|index| format!("{index:0bytes$}")).collect();
        let mut manifest: toml::Table = REAL.parse().unwrap();
        manifest.insert("labels".into(), labels.into());
        Manifest::from_toml(&manifest.to_string()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(labelled(1_000, 30), Ok(()), "ImageNet's, with all synonyms");
    assert_eq!(labelled(4_096, 8), Ok(()));
    let error = labelled(4_096, 9).unwrap_err();
    assert!(error.contains("49153 bytes as JSON, at most 49152"), "{error}");
}

#[test]
fn limits_keep_half_the_distance_from_the_teacher_unless_the_manifest_says_otherwise() {
    let text = include_str!("../../competitions/fashion-mnist/competition.toml");
    let teacher = PackageConfig::from_json(include_bytes!("../../models/teacher/config.json")).unwrap();
    let teacher = teacher.plan().unwrap().costs().unwrap();
    assert_eq!((teacher.parameters, teacher.macs), (939_634, 31_009_440));
    let manifest = Manifest::from_toml(text).unwrap();
    assert_eq!(manifest.teacher_distance, TeacherDistance::Half);
    manifest.check_teacher_distance(&teacher).unwrap();
    for (from, to, named) in [
        ("parameters_max = 469000", "parameters_max = 469818", "limits.parameters_max"),
        ("macs_max = 15500000", "macs_max = 15504721", "limits.macs_max"),
    ] {
        let looser = text.replace(from, to);
        let problem = Manifest::from_toml(&looser).unwrap().check_teacher_distance(&teacher).unwrap_err().to_string();
        assert!(problem.contains(named) && problem.contains("teacher_distance = \"none\""), "{problem}");
        let waived = looser.replace("title =", "teacher_distance = \"none\"\ntitle =");
        Manifest::from_toml(&waived).unwrap().check_teacher_distance(&teacher).unwrap();
    }
    let half = Costs { parameters: teacher.parameters / 2, macs: teacher.macs / 2, ..teacher };
    assert!(keeps_teacher_distance(&half, &teacher));
    assert!(!keeps_teacher_distance(&Costs { macs: half.macs + 1, ..half }, &teacher));
    assert!(!keeps_teacher_distance(&Costs { parameters: half.parameters + 1, ..half }, &teacher));
}

#[test]
fn a_close_is_a_moment_however_it_is_written() {
    let closing = |at: &str| {
        let text = REAL.replacen("title = ", &format!("closes_at = {at}\ntitle = "), 1);
        Manifest::from_toml(&text).map(|manifest| manifest.closes_at).map_err(|error| error.to_string())
    };
    let at = Ok(Some(1_798_783_200));
    assert_eq!(closing("1798783200"), at);
    assert_eq!(closing("2027-01-01T03:00:00-03:00"), at);
    assert_eq!(closing("2027-01-01T06:00:00Z"), at);
    for (written, told) in [
        ("1798783200000", "not milliseconds"),
        ("2027-01-01", "a date, a time and a zone"),
        ("2027-01-01T03:00:00", "a date, a time and a zone, such as 2027-01-01T00:00:00Z"),
        ("\"2027-01-01T03:00:00Z\"", "neither Unix seconds nor a date"),
        ("-5", "neither Unix seconds nor a date"),
    ] {
        let error = closing(written).unwrap_err();
        assert!(error.contains(told), "{written}: {error}");
    }
}

#[test]
fn limits_that_nobody_means_are_named() {
    for (field, values) in [
        ("size_bytes_max", &["0"][..]),
        ("parameters_max", &["0"]),
        ("macs_max", &["0"]),
        ("activation_bytes_max", &["0"]),
        ("submissions_per_day", &["0"]),
        ("evaluation_seconds_max", &["0", "300000000"]),
    ] {
        let line = REAL.lines().find(|line| line.starts_with(&format!("{field} = "))).unwrap();
        for value in values {
            let error =
                Manifest::from_toml(&REAL.replace(line, &format!("{field} = {value}"))).unwrap_err().to_string();
            assert!(error.starts_with(&format!("manifest field `limits.{field}`")), "{error}");
        }
    }
}

#[test]
fn a_contact_is_a_mail_address_or_a_page_and_plain() {
    let with = |contact: &str| {
        let line = format!("contact = {}\ntask = ", serde_json::Value::from(contact));
        Manifest::from_toml(&REAL.replacen("task = ", &line, 1)).map(|manifest| manifest.contact)
    };
    for good in ["arena@example.com", "a.b+c@mail.example.co.uk", "https://example.com", "https://e.org:8443/x?y=%20#z"]
    {
        assert_eq!(with(good).unwrap().as_deref(), Some(good));
    }
    let long = format!("https://example.com/{}", "x".repeat(200));
    for bad in [
        "",
        "arena",
        "@example.com",
        "a@b",
        "a@b@example.com",
        "a b@example.com",
        "http://example.com",
        "javascript:alert(1)",
        "https://",
        "https://localhost",
        "https://bank.example@evil.example/",
        "https://example.com/<script>",
        "https://example.com/\"x",
        "https://ex\u{e4}mple.com",
        "a@example.com\nb",
        &long,
    ] {
        let error = with(bad).unwrap_err().to_string();
        assert!(error.starts_with("manifest field `contact`"), "{bad:?}: {error}");
    }
}
