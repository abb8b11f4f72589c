//! The rows of what the machine is asked for: asked, taken, ended, given back, and counted. It decides nothing.

use super::{Asked, Piece, Told, WorkUsed};
use crate::db::attempts::Begun;
use crate::db::{Db, DbError, Tx, int, to_json};
use protocol::CompetitionId;
use protocol::latency::LatencyVerdict;

/// Asks, once: a question that waits or is being answered stays as it is, and one that was answered is asked again.
///
/// # Errors
/// When the database fails.
pub async fn ask(
    tx: &mut Tx,
    competition: &CompetitionId,
    asked: &Asked,
    wanted_until: Option<u64>,
    now: u64,
) -> Result<(), DbError> {
    let query = "INSERT INTO work (key, kind, competition_id, round, submission_id, asked, state, changed_at, wanted_until)
                 VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8)
                 ON CONFLICT (key) DO UPDATE SET asked = $6, state = 'queued', attempt = attempt + 1, answer = NULL, changed_at = $7,
                 retry_at = 0, wanted_until = $8 WHERE state = 'done'";
    sqlx::query(query)
        .bind(asked.key(competition))
        .bind(asked.kind())
        .bind(competition.as_ref())
        .bind(asked.round().map(int))
        .bind(asked.submission().map(ToString::to_string))
        .bind(to_json(asked))
        .bind(int(now))
        .bind(wanted_until.map(int))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes a piece out of the queue, if it waits for this attempt.
///
/// # Errors
/// When the database fails.
pub async fn claim(tx: &mut Tx, piece: &Piece, now: u64) -> Result<bool, DbError> {
    let query = "UPDATE work SET state = 'running', changed_at = $1, measurement = NULL, seed = NULL
                 WHERE id = $2 AND state = 'queued' AND attempt = $3";
    let query = sqlx::query(query).bind(int(now)).bind(int(piece.id)).bind(int(piece.attempt));
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// Remembers which measurement its attempt is.
///
/// # Errors
/// When the database fails.
pub async fn set_begun(tx: &mut Tx, piece: &Piece, begun: Begun) -> Result<(), DbError> {
    let query = "UPDATE work SET measurement = $1, seed = $2 WHERE id = $3";
    let query = sqlx::query(query).bind(int(begun.number)).bind(begun.seed.cast_signed()).bind(int(piece.id));
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Ends a piece, if the hold on it is still its own; whether it was.
///
/// # Errors
/// When the database fails.
pub async fn finish(tx: &mut Tx, held: &Piece, answer: Option<&Told>, now: u64) -> Result<bool, DbError> {
    let query = "UPDATE work SET state = 'done', answer = $1, changed_at = $2 WHERE id = $3 AND attempt = $4 AND state = 'running'";
    let query = sqlx::query(query).bind(answer.map(to_json)).bind(int(now)).bind(int(held.id)).bind(int(held.attempt));
    Ok(query.execute(&mut **tx).await?.rows_affected() == 1)
}

/// Lets a piece wait for its next attempt, if the hold on it is still its own; whether it was.
///
/// # Errors
/// When the database fails.
pub async fn give_back(
    tx: &mut Tx,
    held: &Piece,
    failed: bool,
    verdict: Option<LatencyVerdict>,
    (now, retry_at): (u64, u64),
) -> Result<bool, DbError> {
    let verdicts: Vec<LatencyVerdict> = held.verdicts.iter().copied().chain(verdict).collect();
    let query = "UPDATE work SET state = 'queued', attempt = attempt + 1, failures = failures + $1, verdicts = $2, changed_at = $3,
                 retry_at = $4 WHERE id = $5 AND attempt = $6 AND state = 'running'";
    let query = sqlx::query(query).bind(i64::from(failed)).bind(to_json(&verdicts)).bind(int(now)).bind(int(retry_at));
    Ok(query.bind(int(held.id)).bind(int(held.attempt)).execute(&mut **tx).await?.rows_affected() == 1)
}

/// Writes down that the machine worked for a piece.
///
/// # Errors
/// When the database fails.
pub async fn charge(tx: &mut Tx, piece: &Piece, used_ms: u64, now: u64) -> Result<(), DbError> {
    sqlx::query("INSERT INTO work_time (kind, competition_id, ended_at, used_ms) VALUES ($1, $2, $3, $4)")
        .bind(piece.asked.kind())
        .bind(piece.competition.as_ref())
        .bind(int(now))
        .bind(int(used_ms))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Db {
    /// Of each competition the first piece that its rounds wait for and whose next attempt may begin at `now`, and the first that
    /// its publication waits for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pieces_due(&self, now: u64) -> Result<Vec<Piece>, DbError> {
        let query = "SELECT *, state = 'running' AS is_running FROM work WHERE id IN (SELECT min(id) FROM work WHERE state = 'queued' AND retry_at <= $1
                     GROUP BY kind = 'publication', competition_id) ORDER BY id";
        Ok(sqlx::query_as(query).bind(int(now)).fetch_all(self.pool()).await?)
    }

    /// How many pieces wait whose next attempt may begin, and since when the first of them does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn work_due(&self, now: u64) -> Result<(u64, Option<u64>), DbError> {
        let query =
            "SELECT count(*) AS count, min(changed_at) AS since FROM work WHERE state = 'queued' AND retry_at <= $1";
        Ok(sqlx::query_as(query).bind(int(now)).fetch_one(self.pool()).await?)
    }

    /// Pieces that workers have, and then those that wait, in the order in which they were asked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pieces(&self, count_max: u32) -> Result<Vec<Piece>, DbError> {
        let query = "SELECT *, state = 'running' AS is_running FROM work WHERE state != 'done' ORDER BY state = 'queued', id LIMIT $1";
        Ok(sqlx::query_as(query).bind(count_max).fetch_all(self.pool()).await?)
    }

    /// How many pieces aren't done, by kind.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_work(&self) -> Result<Vec<(String, u64)>, DbError> {
        let query = "SELECT kind, count(*) AS count FROM work WHERE state != 'done' GROUP BY kind";
        Ok(sqlx::query_as(query).fetch_all(self.pool()).await?)
    }

    /// Pieces that workers have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pieces_running(&self) -> Result<Vec<Piece>, DbError> {
        Ok(sqlx::query_as("SELECT *, state = 'running' AS is_running FROM work WHERE state = 'running' ORDER BY id")
            .fetch_all(self.pool())
            .await?)
    }

    /// Whether a worker still has this attempt of a piece, and somebody wants it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_at_work(&self, held: &Piece, now: u64) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM work WHERE id = $1 AND attempt = $2 AND state = 'running'
                     AND (wanted_until IS NULL OR wanted_until > $3))";
        let query = sqlx::query_scalar(query).bind(int(held.id)).bind(int(held.attempt)).bind(int(now));
        Ok(query.fetch_one(self.pool()).await?)
    }

    /// What became of a question.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn piece(&self, competition: &CompetitionId, asked: &Asked) -> Result<Option<Piece>, DbError> {
        let query = sqlx::query_as("SELECT *, state = 'running' AS is_running FROM work WHERE key = $1")
            .bind(asked.key(competition));
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// How many answers a round still waits for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unanswered(&self, competition: &CompetitionId, round: u64) -> Result<u64, DbError> {
        let query = "SELECT count(*) FROM work WHERE competition_id = $1 AND round = $2 AND state != 'done'";
        Ok(sqlx::query_scalar(query).bind(competition.as_ref()).bind(int(round)).fetch_one(self.pool()).await?)
    }

    /// For whom the machine worked since `since`; what is under way counts until `now`, and as a second at least.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn work_time(&self, since: u64, now: u64) -> Result<Vec<WorkUsed>, DbError> {
        let query = "SELECT kind, competition_id, sum(used_ms) AS used_ms FROM (
                         SELECT kind, competition_id, used_ms FROM work_time WHERE ended_at > $1
                         UNION ALL
                         SELECT kind, competition_id, 1000 * max(1, $2 - changed_at) FROM work WHERE state = 'running'
                     ) GROUP BY kind, competition_id";
        Ok(sqlx::query_as(query).bind(int(since)).bind(int(now)).fetch_all(self.pool()).await?)
    }

    /// Says that somebody waits for a piece until then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want_until(&self, held: &Piece, until: u64) -> Result<(), DbError> {
        let query = "UPDATE work SET wanted_until = $1 WHERE id = $2";
        sqlx::query(query).bind(int(until)).bind(int(held.id)).execute(self.pool()).await?;
        Ok(())
    }

    /// Forgets a piece, whatever became of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_piece(&self, held: &Piece) -> Result<(), DbError> {
        sqlx::query("DELETE FROM work WHERE id = $1").bind(int(held.id)).execute(self.pool()).await?;
        Ok(())
    }

    /// Forgets what rounds asked that were over before `horizon`, what nobody waited for any more then, and what was done.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_work(&self, horizon: u64) -> Result<(), DbError> {
        for query in [
            "DELETE FROM work WHERE state != 'running' AND changed_at <= $1 AND (wanted_until <= $1 OR EXISTS (
                 SELECT 1 FROM rounds r WHERE r.competition_id = work.competition_id AND r.round = work.round
                 AND r.step IN ('revealed', 'abandoned') AND r.changed_at <= $1))",
            "DELETE FROM work_time WHERE ended_at <= $1",
        ] {
            sqlx::query(query).bind(int(horizon)).execute(self.pool()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::work::{Files, Question};
    use protocol::Digest;
    use protocol::competition::InputSpec;

    fn asked() -> Asked {
        let files = Files { config_json: Digest::of(b"1"), weights: Digest::of(b"2") };
        let input = InputSpec { channels: 1, height: 8, width: 8, mean_ppm: vec![0], deviation_ppm: vec![1] };
        let question = Question {
            candidate: files,
            reference: files,
            input,
            engine: Default::default(),
            items: Digest::of(b"3"),
            public: 0,
            teacher_logits: None,
            probes: None,
            is_timed: false,
            seed: 7,
        };
        Asked::Publication { role: "teacher".into(), question, number: 1 }
    }

    #[tokio::test]
    async fn a_question_is_asked_once_and_ended_by_who_holds_its_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("db")).await.unwrap();
        let (digits, asked, failed) = ("digits".parse().unwrap(), asked(), Told::Failed { problem: "away".into() });
        let mut tx = db.write().await.unwrap();
        for _ in 0..2 {
            ask(&mut tx, &digits, &asked, Some(20), 10).await.unwrap();
        }
        tx.commit().await.unwrap();
        let [held] = &db.pieces_due(10).await.unwrap()[..] else { panic!("asked twice, it waits once") };
        assert_eq!((&held.asked, held.is_wanted(19), held.is_wanted(20)), (&asked, true, false));

        let mut tx = db.write().await.unwrap();
        assert!(claim(&mut tx, held, 11).await.unwrap() && !claim(&mut tx, held, 11).await.unwrap());
        assert!(give_back(&mut tx, held, true, None, (12, 15)).await.unwrap());
        assert!(!finish(&mut tx, held, Some(&failed), 12).await.unwrap(), "its attempt is over");
        charge(&mut tx, held, 500, 12).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((db.pieces_due(14).await.unwrap().len(), db.work_due(15).await.unwrap()), (0, (1, Some(12))));

        let [next] = &db.pieces_due(15).await.unwrap()[..] else { panic!("it waits for its next attempt") };
        assert_eq!((next.attempt, next.failures), (held.attempt + 1, 1));
        let mut tx = db.write().await.unwrap();
        assert!(claim(&mut tx, next, 16).await.unwrap() && finish(&mut tx, next, Some(&failed), 17).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(db.piece(&digits, &asked).await.unwrap().unwrap().answer, Some(failed));
        assert_eq!((db.pieces(9).await.unwrap().len(), db.work_time(0, 20).await.unwrap()[0].used_ms), (0, 500));

        // Whoever asks again wants another answer.
        let mut tx = db.write().await.unwrap();
        ask(&mut tx, &digits, &asked, None, 18).await.unwrap();
        tx.commit().await.unwrap();
        let again = db.piece(&digits, &asked).await.unwrap().unwrap();
        assert_eq!((again.answer, again.attempt), (None, next.attempt + 1));
        db.forget_work(100).await.unwrap();
        assert_eq!(db.count_work().await.unwrap(), [("publication".to_owned(), 1)], "somebody waits for it");
    }
}
