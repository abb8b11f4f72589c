//! What a validator has on disk: copied, put back, and freed of what nobody needs.

use crate::commands::{print_json, round};
use crate::table::count;
use crate::typed;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;
use validator::Home;
use validator::backup::{BACKUP_FILE, Options, backup};
use validator::objects::Objects;
use validator::sweep::{self, Really};

pub(super) async fn back_up(dir: &Path, to: &Path, options: Options) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let taken = backup(&home, &config, to, options).await.with_context(|| format!("back up {}", dir.display()))?;
    let how = if taken.objects_copied { "copied" } else { "listed" };
    let objects = count(taken.objects.len(), "object");
    println!("{}: {objects} {how}, a public log of {} entries", to.display(), taken.log_size);
    match options.keys {
        true => println!("the keys are in it: whoever has it is the validator"),
        false => {
            let (hotkey, log_key) = (home.hotkey(), home.log_key());
            println!("the keys are not in it: keep {} and {} elsewhere", hotkey.display(), log_key.display());
        }
    }
    Ok(())
}

/// Frees space, or says what could be freed.
pub(super) async fn prune(dir: &Path, yes: bool, json: bool) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let db = round::database(dir).await?;
    let objects = Objects::open_or_begin(&config.object_store_url(&home)?, home.tmp(), db.is_new().await?)?;
    let age_min = Duration::from_secs(config.limits.orphan_seconds_min);
    let really = if yes { Really::Remove } else { Really::Count };
    let swept = sweep::prune(&db, &objects, age_min, really).await?;
    db.close().await;
    if json {
        return print_json(&serde_json::json!({
            "removed": yes, "bytes": swept.bytes, "rejected": swept.rejected, "nameless": swept.objects,
            "abandoned": swept.abandoned, "staged": swept.staged,
        }));
    }
    let what = if yes { "freed" } else { "could be freed" };
    println!("{} bytes {what}:", swept.bytes);
    println!("  {} objects of rejected submissions", swept.rejected);
    println!("  {} objects that nothing names, older than {} h", swept.objects, age_min.as_secs() / 3_600);
    println!("  {} uploads that nobody completed, {} files that were being written", swept.abandoned, swept.staged);
    if !yes {
        println!("next: retort validator prune --yes{}", typed::dir(dir));
    }
    Ok(())
}

pub(super) async fn restore(from: &Path, dir: &Path) -> Result<()> {
    ensure!(from.is_dir(), "{} is no folder: name the one that `retort validator backup` wrote to", from.display());
    ensure!(
        from.join(BACKUP_FILE).is_file(),
        "{} is no backup, since it has no {BACKUP_FILE}: name the folder that `retort validator backup` wrote to",
        from.display()
    );
    let home = Home::new(dir);
    let put_back = validator::backup::restore(from, &home).await;
    let put_back = put_back.with_context(|| format!("put {} back into {}", from.display(), dir.display()))?;
    println!("{} of {} in {}", put_back.hotkey, from.display(), dir.display());
    println!("public log in the backup: {} entries", put_back.log_size);
    let keys = [home.hotkey(), home.log_key()];
    let missing: Vec<String> = keys.iter().filter(|key| !key.exists()).map(|key| key.display().to_string()).collect();
    let first = match missing.is_empty() {
        true => String::new(),
        false => {
            println!("missing: {}; not in the backup", missing.join(" and "));
            "put them there, readable by you alone; then ".to_owned()
        }
    };
    println!(
        "next: {first}retort validator doctor{0}, which states nothing; then retort validator serve{0}",
        typed::dir(dir)
    );
    println!(
        "      only once nothing serves with this log.key any more, nor ever will: two that do, on whatever port, sign two \
         histories, which anybody can prove"
    );
    Ok(())
}
