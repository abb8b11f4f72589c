//! A champion's model in other forms, where it can't be had in them.

use super::rounds::{by_size, play, submit};
use super::support::{Setup, TestApp};
use protocol::api::ModelForm;
use protocol::competition::ObjectRef;
use std::time::Duration;
use validator::db::competitions::{PublicObject, publish_object};

#[tokio::test]
async fn a_champion_that_is_no_graph_has_no_forms_and_is_not_tried_again() {
    let app = TestApp::with_competition(Setup { evaluator: by_size(), ..Setup::default() }).await;
    let champion = submit(&app, &app.miner(1), 25).await;
    play(&app, 1).await;
    let all = async |problem: Option<&str>| {
        let made = async {
            loop {
                let forms = app.app.db.forms(&champion).await.unwrap();
                if forms.len() == ModelForm::ALL.len() {
                    return forms;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let forms = tokio::time::timeout(Duration::from_secs(60), made).await.expect("forms end");
        if let Some(problem) = problem {
            assert!(
                forms.iter().all(|form| form.problem.as_ref().is_some_and(|why| why.contains(problem))),
                "{forms:?}"
            );
        }
    };
    all(None).await;

    // Nobody admits such a file; a version to come might know of a model what this one doesn't.
    let other = app.app.objects.put("no safetensors".into()).await.unwrap();
    let mut tx = app.app.db.write().await.unwrap();
    let ObjectRef { sha256, size_bytes } = other;
    publish_object(&mut tx, &PublicObject { sha256, size_bytes, filename: "other".into() }).await.unwrap();
    let update = "UPDATE submission_files SET sha256 = $1 WHERE submission_id = $2 AND path = 'model.safetensors'";
    let update = sqlx::query(update).bind(sha256.to_string()).bind(champion.to_string());
    update.execute(&mut *tx).await.unwrap();
    sqlx::query("DELETE FROM forms").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    all(Some("its weights")).await;
}
