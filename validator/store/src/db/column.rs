//! How a column becomes one of our types: what has a form as text is text, a key is bytes, and everything else is a number or
//! JSON, which sqlx reads. A row is read by `FromRow` alone.
//!
//! It knows no table.

use super::competitions::Role;
use super::copies::EntryZero;
use super::unconfirmed::Said;
use super::work::AskedKind;
use datasets::hidden::Secret;
use protocol::fleet::{Standing, Trust, WorkerName};
use protocol::report::Clock;
use protocol::round::{EntryRole, Step};
use protocol::submission::State;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Type};
use std::{fmt::Display, str::FromStr};
use transparency::EntryKind;

/// A column of text, and what it says.
pub struct Text<T>(pub T);

/// The same where there may be nothing.
pub struct Maybe<T>(pub Option<T>);

/// A column of 32 bytes that nobody may see.
pub struct Key(pub [u8; 32]);

impl<DB: Database, T> Type<DB> for Text<T>
where
    str: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        str::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        str::compatible(found)
    }
}

impl<'r, DB: Database, T: FromStr<Err: Display>> Decode<'r, DB> for Text<T>
where
    &'r str: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str>::decode(value)?;
        Ok(Self(text.parse().map_err(|error: T::Err| error.to_string())?))
    }
}

impl<DB: Database, T> Type<DB> for Maybe<T>
where
    str: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        str::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        str::compatible(found)
    }
}

impl<'r, DB: Database, T: FromStr<Err: Display>> Decode<'r, DB> for Maybe<T>
where
    &'r str: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(Option::<Text<T>>::decode(value)?.map(|Text(value)| value)))
    }
}

impl<DB: Database> Type<DB> for Key
where
    [u8]: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <[u8]>::type_info()
    }

    fn compatible(found: &DB::TypeInfo) -> bool {
        <[u8]>::compatible(found)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Key
where
    &'r [u8]: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8]>::decode(value)?;
        Ok(Self(bytes.try_into().map_err(|_| format!("{} bytes", bytes.len()))?))
    }
}

macro_rules! texts {
    ($($type:ty),*) => {
        $(impl From<Text<$type>> for $type {
            fn from(Text(value): Text<$type>) -> Self {
                value
            }
        })*
    };
}

texts!(
    AskedKind,
    Clock,
    CompetitionId,
    Digest,
    EntryZero,
    EntryKind,
    EntryRole,
    Hotkey,
    Role,
    Said,
    Standing,
    State,
    Step,
    SubmissionId,
    Trust,
    WorkerName
);

impl<T> From<Maybe<T>> for Option<T> {
    fn from(Maybe(value): Maybe<T>) -> Self {
        value
    }
}

impl From<Key> for Secret {
    fn from(Key(bytes): Key) -> Self {
        Self::new(bytes)
    }
}
