//! Manifests: numbers that make no sense are named before anything is computed with them.

use protocol::Manifest;
use protocol::architecture::Costs;
use protocol::backend::Backend;
use protocol::competition::{Taken, TeacherDistance, keeps_teacher_distance};
use protocol::digest::canonical_json;
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
    assert_eq!(labelled(65_535, 12), Ok(()), "as many as labels can name");
    let error = labelled(65_536, 5).unwrap_err();
    assert!(error.contains("needs 2 to 65535 names"), "{error}");
    let error = labelled(65_535, 14).unwrap_err();
    assert!(error.contains("1114096 bytes as JSON, at most 1048576"), "{error}");
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
        ("\"2027-01-01T03:00:00Z\"", "because of its quotes: write 2027-01-01T03:00:00Z without them"),
        ("'2027-01-01T03:00:00-03:00'", "because of its quotes"),
        ("\"1798783200\"", "because of its quotes: write 1798783200 without them"),
        ("\"next year\"", "\"next year\" is neither Unix seconds nor a date"),
        ("true", "neither Unix seconds nor a date"),
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
fn all_that_is_wrong_is_said_at_once_a_line_each() {
    let line = |field: &str| REAL.lines().find(|line| line.starts_with(&format!("{field} = "))).unwrap().to_owned();
    let mut text = REAL.to_owned();
    for (field, value) in [
        ("labels", "[\"a\", \"a\"]"),
        ("height", "0"),
        ("hidden_items", "0"),
        ("submissions_per_day", "0"),
        ("evaluation_seconds_max", "0"),
        ("gate_ppm", "1000000"),
        ("accuracy_floor_ppm", "1000000"),
    ] {
        text = text.replace(&line(field), &format!("{field} = {value}"));
    }
    text = text.replacen("[limits]", "[limits]\nupload_seconds_max = 0", 1);
    let error = Manifest::from_toml(&text).unwrap_err().to_string();
    for told in [
        "`labels`: number 2, \"a\", is there before",
        "`input`: needs 1 to 8192",
        "`data.hidden_items`: must be above 0",
        "`limits.submissions_per_day`: is 0",
        "`limits.upload_seconds_max`: is 0",
        "`limits.evaluation_seconds_max`: is 0",
        "`score`: gate_ppm is 1000000, not below 1000000: nobody could be shown to pass it",
        "`score`: accuracy_floor_ppm must be below 1000000",
    ] {
        assert!(error.lines().any(|line| line.starts_with(&format!("manifest field {told}"))), "{told}: {error}");
    }
}

#[test]
fn labels_are_names_and_each_is_one_class_s() {
    let labelled = |labels: &[&str]| {
        let mut manifest: toml::Table = REAL.parse().unwrap();
        manifest.insert("labels".into(), labels.to_vec().into());
        Manifest::from_toml(&manifest.to_string()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(labelled(&["T-shirt/top", "t-shirt/top", "a b", "\u{e4}"]), Ok(()));
    for (labels, told) in [
        (&["cat", "dog", "cat"][..], "`labels`: number 3, \"cat\", is there before"),
        (&["cat", ""], "`labels`: number 2 is empty"),
        (&["cat", " "], "number 2, \" \", begins or ends with white space"),
        (&["cat", "dog "], "number 2, \"dog \", begins or ends with white space"),
        (&["\u{a0}cat", "dog"], "number 1, \"\\u{a0}cat\", begins or ends with white space"),
        (&["c\tat", "dog"], "number 1, \"c\\tat\", has a control character"),
        (&["a"; 10], "and 4 others of the kind"),
    ] {
        let error = labelled(labels).unwrap_err();
        assert!(error.contains(told), "{labels:?}: {error}");
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

#[test]
fn kinds_of_models_are_written_where_they_are_more_than_the_catalogue_and_each_stands_once() {
    let catalogue = REAL.replace("models = [\"catalogue\", \"onnx\"]", "");
    let with = |line: &str| Manifest::from_toml(&catalogue.replacen("title = ", &format!("{line}\ntitle = "), 1));
    let (plain, said) = (with("").unwrap(), with("models = [\"catalogue\"]").unwrap());
    let json = |manifest: &Manifest| String::from_utf8(canonical_json(manifest).unwrap()).unwrap();
    assert!(json(&plain) == json(&said) && !json(&plain).contains("\"models\""), "what was published keeps its digest");
    assert!(plain.takes(Taken::Catalogue) && !plain.takes(Taken::Onnx));
    assert!(with("models = [\"onnx\"]").unwrap().takes(Taken::Onnx), "any engine runs graphs");
    assert!(!json(&plain).contains("\"engine\""), "burn without a version isn't written");
    let unknown = with("engine = \"tract\"").unwrap_err().to_string();
    assert!(unknown.contains("write burn, rten or onnxruntime"), "{unknown}");
    let both = with("models = [\"catalogue\", \"onnx\"]\nengine = \"rten\"").unwrap();
    assert!(both.takes(Taken::Onnx) && json(&both).contains("\"models\":[\"catalogue\",\"onnx\"]"));
    assert_eq!(serde_json::from_str::<Manifest>(&json(&both)).unwrap(), both);
    for wrong in ["[]", "[\"onnx\", \"onnx\"]", "[\"onnx\", \"catalogue\", \"onnx\"]"] {
        let error = with(&format!("models = {wrong}")).unwrap_err().to_string();
        assert!(error.contains("needs catalogue, onnx or both"), "{error}");
    }
    assert!(with("models = [\"keras\"]").is_err());
}

#[test]
fn a_manifest_allows_backends_by_their_names_each_once() {
    let with = |allowed: &str| Manifest::from_toml(&format!("{REAL}\n[backends]\naccuracy = {allowed}\n"));
    let json = |manifest: &Manifest| String::from_utf8(canonical_json(manifest).unwrap()).unwrap();
    assert!(
        !json(&Manifest::from_toml(REAL).unwrap()).contains("\"backends\""),
        "nothing is allowed, and nothing written"
    );
    let manifest = with("[\"wgpu\", \"tch\"]").unwrap();
    assert_eq!(manifest.backends.accuracy, [Backend::Wgpu, Backend::Tch]);
    assert_eq!(serde_json::from_str::<Manifest>(&json(&manifest)).unwrap(), manifest);
    for (wrong, word) in [("[\"cuda\"]", "wgpu"), ("[\"wgpu\", \"wgpu\"]", "backends.accuracy")] {
        let error = with(wrong).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
