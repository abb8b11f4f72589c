//! The reference student of a new competition, where its publisher has none: distilled from the teacher by the template's
//! default recipe. It measures nothing and publishes nothing.

use super::predict::UNLIMITED;
use crate::progress::Phases;
use crate::table::count;
use anyhow::{Context, Result, ensure};
use datasets::Logits;
use datasets::published::Part as Answered;
use datasets::source::{Items, Part, Table, Wanted};
use datasets::split::training_part;
use miner_template::augment::Augmentation;
use miner_template::checkpoint::Checkpoint;
use miner_template::distil::{self, Options, distil};
use miner_template::files::PackageFiles;
use miner_template::pack;
use miner_template::progress::Display;
use miner_template::recipe::{Changes, Recipe};
use miner_template::source::{Assets, Teacher};
use miner_template::students::{STUDENTS, student};
use miner_template::teacher;
use models::DeviceKind;
use protocol::CompetitionId;
use protocol::competition::{InputSpec, Limits, RowSpec};
use protocol::package::PackageConfig;
use protocol::score::ScoreRules;
use protocol::transforms::Family;
use std::path::Path;

/// Of so many rows one is kept from training, to say how good the student is.
const HELD_BACK: usize = 10;
/// Images are held in memory while the student learns.
const IMAGES_BYTES_MAX: u64 = 4 << 30;

/// What a reference student is distilled from.
pub(super) struct Lesson<'a> {
    pub(super) id: &'a CompetitionId,
    pub(super) input: &'a InputSpec,
    pub(super) labels: &'a [String],
    /// The teacher's package with its configuration; without it the rows have its answers.
    pub(super) teacher: Option<(&'a Path, &'a PackageConfig)>,
    /// The teacher's parameters and multiply-accumulates, where half of them may not be passed.
    pub(super) teacher_costs: Option<(u64, u64)>,
    pub(super) table: &'a Table,
    pub(super) training: &'a Part,
    /// How many rows of it will be public and hidden items, which the student mustn't have seen; 0 where those come from another part.
    pub(super) items: u32,
    pub(super) rows: &'a RowSpec,
}

/// Distils the student that the template calls `name` into the package `out`. An interrupted run goes on.
pub(super) fn distil_reference(lesson: &Lesson<'_>, name: &str, out: &Path) -> Result<()> {
    distil::check_out_folder(out)?;
    let architecture = student(name).map_err(anyhow::Error::msg)?;
    let [learnt, kept] = items(lesson)?;
    let teacher = lesson.teacher.map(|(folder, config)| {
        Ok::<_, anyhow::Error>(Teacher { config: config.clone(), weights: PackageFiles::read(folder)?.weights })
    });
    let assets = Assets {
        id: lesson.id.clone(),
        input: lesson.input.clone(),
        labels: lesson.labels.to_vec(),
        limits: Limits { submissions_per_day: 1, ..UNLIMITED },
        rules: ScoreRules::default(),
        // Nobody can ask for answers to changed images where there is no model.
        family: if teacher.is_some() { Family::default() } else { Family::identity() },
        teacher: teacher.transpose()?,
        training: learnt.images,
        training_logits: learnt.answers,
        evaluation: kept.images,
    };
    let plan = pack::config(&assets, architecture.clone()).plan();
    let plan = plan.with_context(|| format!("{name} can't take these pictures; choose another --student"))?;
    let costs = plan.costs()?;
    if let Some((parameters, macs)) = lesson.teacher_costs {
        ensure!(
            costs.parameters <= parameters / 2 && costs.macs <= macs / 2,
            "{name} has {} parameters and {} multiply-accumulates; at most half of the teacher's {parameters} and {macs} are \
             allowed; {}",
            costs.parameters,
            costs.macs,
            fitting(&assets, (parameters, macs))
        );
    }
    let options = Options {
        architecture,
        recipe: Recipe {
            changes: Changes::Rounds { family: assets.family },
            ..Recipe::for_images(assets.training.count)
        },
        views: 1,
        images_max: None,
        start_from: None,
        seed: Checkpoint::in_folder(out).history()?.map_or_else(rand::random, |history| history.seed),
        device: DeviceKind::fastest_for_training(),
        out: out.to_owned(),
        cache: out.with_extension("cache"),
        command: format!("retort validator new --student {name}"),
    };
    println!(
        "distilling {name}, {} parameters, from {} in {} by batches of {}; interrupted, the same command goes on",
        costs.parameters,
        count(assets.training.count, "image"),
        if options.recipe.epochs == 1 { "1 pass".to_owned() } else { format!("{} passes", options.recipe.epochs) },
        options.recipe.batch
    );
    let teacher_right = teacher_right(&assets, kept.answers.as_ref(), options.device)?;
    let mut display = Display::new(name);
    let made = distil(&assets, &options, |event| display.event(event))?;
    // The teacher's answers are of no more use.
    let _ = std::fs::remove_dir_all(&options.cache);
    println!(
        "{}: {:.2} % of {} images that it didn't learn from ({} s)",
        out.display(),
        100.0 * made.right as f64 / made.items as f64,
        made.items,
        made.seconds
    );
    if let Some(warning) = bad_yardstick(made.right, teacher_right, made.items) {
        eprintln!("{warning}");
    }
    Ok(())
}

/// How many of the images that are kept back the teacher knows.
fn teacher_right(assets: &Assets, answers: Option<&Logits>, device: DeviceKind) -> Result<usize> {
    let images = &assets.evaluation;
    if let Some(answers) = answers {
        return Ok(teacher::count_right(&answers.values, &images.labels));
    }
    let device = device.open()?;
    let teacher = assets.teacher.as_ref().context("a lesson has a teacher; this is a bug")?;
    let network = teacher::load(&teacher.config.plan()?, &teacher.weights, &device)?;
    let (as_they_are, scale) = (Augmentation::default(), assets.input.normalisation());
    let logits = teacher::logits(&network, images, as_they_are, &scale, &device, |_| {});
    Ok(teacher::count_right(&logits, &images.labels))
}

/// What to say of a reference that wouldn't pass the gate itself.
fn bad_yardstick(right: usize, teacher_right: usize, items: usize) -> Option<String> {
    let share_ppm = ScoreRules::default().gate_ppm as usize;
    (right * 1_000_000 < teacher_right * share_ppm).then(|| {
        format!(
            "it makes a bad yardstick: the teacher knows {:.2} % of them, and the gate asks everybody for {} % of that. From \
             more images it learns more; or name a model of your own with --reference, or another --student",
            100.0 * teacher_right as f64 / items.max(1) as f64,
            share_ppm / 10_000
        )
    })
}

/// The part to train on, and what is kept back of it.
fn items(lesson: &Lesson<'_>) -> Result<[Answered; 2]> {
    let Lesson { input, labels, rows, .. } = *lesson;
    let wanted = Wanted { input, labels, rows, bytes_max: IMAGES_BYTES_MAX };
    let phases = Phases::new("new");
    let read = lesson.table.items(lesson.training, &wanted, &|done, total| phases.at("reading rows", done, total));
    phases.finish();
    let Items { images, answers, .. } = read?;
    let (training, _) = training_part(images.count, lesson.items)?;
    let all = Answered { images, answers }.select(&training);
    let (kept, learnt): (Vec<u32>, Vec<u32>) =
        (0..all.images.count).partition(|row| (*row as usize).is_multiple_of(HELD_BACK));
    ensure!(!learnt.is_empty(), "part `{}` has too few rows to train on", lesson.training.name);
    Ok([all.select(&learnt), all.select(&kept)])
}

/// What may be chosen instead: students of the template that cost at most half of what the teacher does.
fn fitting(assets: &Assets, (parameters, macs): (u64, u64)) -> String {
    let costs = |json: &str| {
        let architecture = serde_json::from_str(json).ok()?;
        pack::config(assets, architecture).plan().ok()?.costs().ok()
    };
    let fits =
        |json: &str| costs(json).is_some_and(|costs| costs.parameters <= parameters / 2 && costs.macs <= macs / 2);
    let names: Vec<&str> = STUDENTS.iter().filter(|(_, _, json)| fits(json)).map(|(name, ..)| *name).collect();
    let (_, _, json) = STUDENTS[0];
    let own =
        format!("write a smaller architecture of the README's catalogue into a JSON file for --student, as {json}");
    match names.is_empty() {
        true => format!("no student of the template is that small: {own}"),
        false => format!("choose --student {}, or {own}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_below_the_gate_is_called_so() {
        assert_eq!([bad_yardstick(18, 20, 20), bad_yardstick(20, 20, 20), bad_yardstick(0, 0, 20)], [None, None, None]);
        let warning = bad_yardstick(7, 20, 20).unwrap();
        assert!(warning.contains("100.00 %") && warning.contains("90 % of that"), "{warning}");
    }
}
