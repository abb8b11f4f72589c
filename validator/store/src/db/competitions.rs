//! Competitions, the models published with them, and the index of public objects.

use super::column::{Key, Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use protocol::amendment::{Amendment, EngineInForce};
use protocol::competition::Manifest;
use protocol::score::Score;
use protocol::{Competition, CompetitionId, Digest, Report};
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};

/// A competition as it is stored, with what only the validator knows. Printing shows no secret.
#[derive(Clone)]
pub struct StoredCompetition {
    /// Digest of manifest and packages: what was published.
    pub source_sha256: Digest,
    /// Digest of the competition's canonical JSON.
    pub sha256: Digest,
    /// What everybody sees; its manifest as amendments leave it, but for quotas and the engine, which
    /// change with a round.
    pub competition: Competition,
    /// The manifest as it was published.
    pub published: Manifest,
    /// What was changed since, in order.
    pub amendments: Vec<Amendment>,
    /// Decides which items are hidden.
    pub split_key: [u8; 32],
    /// Salts the commitment to them.
    pub salt: [u8; 32],
    /// The hidden images that rounds draw from, with labels: a private object.
    pub pool_sha256: Digest,
    /// What the probes that copies are recognised by follow from: secret while any competition that shares it runs.
    pub probe_seed: Digest,
}

impl std::fmt::Debug for StoredCompetition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, sha256) = (&self.competition.manifest.id, &self.sha256);
        f.debug_struct("StoredCompetition").field("id", id).field("sha256", sha256).finish_non_exhaustive()
    }
}

/// Which published model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// The model to distil.
    Teacher,
    /// The model that latencies are compared with.
    Reference,
}

/// What was measured on a published model.
#[derive(Clone, Debug, FromRow)]
pub struct StoredModel {
    /// Which.
    #[sqlx(try_from = "Text<Role>")]
    pub role: Role,
    /// Its package.
    #[sqlx(try_from = "Text<Digest>")]
    pub package_sha256: Digest,
    /// The report.
    #[sqlx(json)]
    pub report: Report,
    /// Its score under the competition's rules.
    #[sqlx(json)]
    pub score: Score,
}

/// An object that anybody may download.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PublicObject {
    /// Its digest.
    #[sqlx(try_from = "Text<Digest>")]
    pub sha256: Digest,
    /// Its bytes.
    pub size_bytes: u64,
    /// What to call it on disk.
    pub filename: String,
}

impl Role {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl StoredCompetition {
    /// What measures in a round; 0 before the first.
    pub fn engine_in(&self, round: u64) -> EngineInForce {
        EngineInForce::of(self.published.engine, &self.amendments, round)
    }
}

impl Db {
    /// The competition of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn competition(&self, id: &CompetitionId) -> Result<Option<StoredCompetition>, DbError> {
        let query = sqlx::query_as("SELECT * FROM competitions WHERE id = $1").bind(id.as_ref());
        match query.fetch_optional(self.pool()).await? {
            Some(stored) => Ok(Some(self.amended(stored).await?)),
            None => Ok(None),
        }
    }

    async fn amended(&self, mut stored: StoredCompetition) -> Result<StoredCompetition, DbError> {
        stored.amendments = self.amendments(&stored.published.id).await?;
        stored.competition.manifest = stored.published.clone().amended(&stored.amendments, 0);
        Ok(stored)
    }

    /// All competitions, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn competitions(&self) -> Result<Vec<StoredCompetition>, DbError> {
        let query = "SELECT * FROM competitions ORDER BY published_at DESC, id";
        let mut all = Vec::new();
        for stored in sqlx::query_as(query).fetch_all(self.pool()).await? {
            all.push(self.amended(stored).await?);
        }
        Ok(all)
    }

    /// Whether anything was ever published, so that there must be objects.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_new(&self) -> Result<bool, DbError> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM competitions)";
        Ok(sqlx::query_scalar(query).fetch_one(self.pool()).await?)
    }

    /// The models published with a competition, teacher first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn models(&self, id: &CompetitionId) -> Result<Vec<StoredModel>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM models WHERE competition_id = $1 ORDER BY role DESC")
            .bind(id.as_ref())
            .fetch_all(self.pool())
            .await?)
    }

    /// The object, if anybody may download it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn public_object(&self, sha256: &Digest) -> Result<Option<PublicObject>, DbError> {
        let query = sqlx::query_as("SELECT * FROM public_objects WHERE sha256 = $1").bind(sha256.to_string());
        Ok(query.fetch_optional(self.pool()).await?)
    }
}

/// Writes a competition.
///
/// # Errors
/// When the database fails, or has one of this name.
pub async fn insert_competition(tx: &mut Tx, stored: &StoredCompetition) -> Result<(), DbError> {
    let competition = &stored.competition;
    sqlx::query(
        "INSERT INTO competitions (id, source_sha256, sha256, competition, published_at, split_key, salt, pool_sha256,
                                   probe_seed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(competition.manifest.id.as_ref())
    .bind(stored.source_sha256.to_string())
    .bind(stored.sha256.to_string())
    .bind(to_json(competition))
    .bind(int(competition.published_at))
    .bind(stored.split_key.as_slice())
    .bind(stored.salt.as_slice())
    .bind(stored.pool_sha256.to_string())
    .bind(stored.probe_seed.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what was measured on a published model.
///
/// # Errors
/// When the database fails.
pub async fn insert_model(tx: &mut Tx, id: &CompetitionId, model: &StoredModel) -> Result<(), DbError> {
    sqlx::query("INSERT INTO models (competition_id, role, package_sha256, report, score) VALUES ($1, $2, $3, $4, $5)")
        .bind(id.as_ref())
        .bind(model.role.as_str())
        .bind(model.package_sha256.to_string())
        .bind(to_json(&model.report))
        .bind(to_json(&model.score))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets anybody download an object.
///
/// # Errors
/// When the database fails.
pub async fn publish_object(tx: &mut Tx, object: &PublicObject) -> Result<(), DbError> {
    sqlx::query("INSERT INTO public_objects (sha256, size_bytes, filename) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(object.sha256.to_string())
        .bind(int(object.size_bytes))
        .bind(&object.filename)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl FromRow<'_, SqliteRow> for StoredCompetition {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let (Text(source_sha256), Text(sha256)) = (row.try_get("source_sha256")?, row.try_get("sha256")?);
        let (Key(split_key), Key(salt)) = (row.try_get("split_key")?, row.try_get("salt")?);
        let (Text(pool_sha256), Maybe(probe_seed)) = (row.try_get("pool_sha256")?, row.try_get("probe_seed")?);
        let Json(competition): Json<Competition> = row.try_get("competition")?;
        Ok(Self {
            source_sha256,
            sha256,
            published: competition.manifest.clone(),
            amendments: Vec::new(),
            competition,
            probe_seed: probe_seed.unwrap_or_else(|| copies::own_probe_seed(&split_key)),
            split_key,
            salt,
            pool_sha256,
        })
    }
}
