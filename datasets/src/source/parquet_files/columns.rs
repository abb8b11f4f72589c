//! Which columns of a Parquet file are meant, by its schema and by what `datasets` wrote about it. It reads no rows.

use super::super::SourceError;
use super::RowsFile;
use parquet::basic::{ConvertedType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescriptor;
use protocol::competition::RowSpec;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Names that label columns usually have.
const USUAL_LABELS: [&str; 2] = ["label", "labels"];

/// A column of values, as Parquet counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) index: usize,
    /// The column that a user sees.
    pub(super) name: String,
    pub(super) kind: Type,
    /// What a value's definition level is, if it isn't null.
    pub(super) defined: i16,
}

/// Which columns of a file are meant, and all its columns for people.
pub(super) fn described(
    path: PathBuf,
    origin: String,
    metadata: &ParquetMetaData,
    spec: &RowSpec,
) -> Result<(RowsFile, Vec<(String, String)>), SourceError> {
    let schema = metadata.file_metadata().schema_descr();
    let features = features(metadata);
    let leaves: Vec<Arc<ColumnDescriptor>> = schema.columns().to_vec();
    let columns: Vec<(String, String)> = schema
        .root_schema()
        .get_fields()
        .iter()
        .map(|field| (field.name().to_owned(), kind(&features, field)))
        .collect();
    let listed = columns.iter().map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>().join(", ");
    let column = |what: &str, found: Vec<Leaf>, named: &Option<String>, usual: &dyn Fn(&Leaf) -> bool| {
        one(found, named.as_deref(), usual).map_err(|problem| SourceError::Column {
            path: path.clone(),
            problem: format!("{problem} column of {what}; `data.rows` can name it"),
            columns: listed.clone(),
        })
    };
    let is_class = |leaf: &Leaf| features[&leaf.name]["_type"] == "ClassLabel";
    let pictures = leaves.iter().enumerate().filter(|(_, leaf)| is_picture(leaf)).map(leaf).collect();
    let picture = column("pictures", pictures, &spec.image, &|leaf| features[&leaf.name]["_type"] == "Image")?;
    let labels: Vec<Leaf> = leaves.iter().enumerate().filter(|(_, leaf)| is_label(leaf)).map(leaf).collect();
    let usual = |leaf: &Leaf| is_class(leaf) || USUAL_LABELS.contains(&leaf.name.as_str());
    let label = column("labels", labels, &spec.label, &usual)?;
    let names = features[&label.name]["names"].as_array();
    let classes = names.map(|names| Arc::new(names.iter().map(text).collect()));
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0);
    Ok((RowsFile { path, origin, rows, picture, label, answers: None, classes }, columns))
}

/// What `datasets` wrote about the columns, by their names; null where it wrote nothing.
fn features(metadata: &ParquetMetaData) -> Value {
    let written = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let text = written.filter(|pair| pair.key == "huggingface").find_map(|pair| pair.value.as_deref());
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
    parsed["info"]["features"].clone()
}

fn text(name: &Value) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}

/// A column's type in the words of `datasets`, else in Parquet's.
fn kind(features: &Value, field: &parquet::schema::types::Type) -> String {
    match features[field.name()]["_type"].as_str() {
        Some("ClassLabel") => {
            let classes = features[field.name()]["names"].as_array().map_or(0, Vec::len);
            format!("ClassLabel of {classes}")
        }
        Some(kind) => kind.to_owned(),
        None if field.is_group() => "group".to_owned(),
        None => format!("{:?}", field.get_physical_type()).to_lowercase(),
    }
}

pub(super) fn leaf((index, column): (usize, &Arc<ColumnDescriptor>)) -> Leaf {
    Leaf {
        index,
        name: column.path().parts().first().cloned().unwrap_or_default(),
        kind: column.physical_type(),
        defined: column.max_def_level(),
    }
}

fn is_text(column: &ColumnDescriptor) -> bool {
    column.physical_type() == Type::BYTE_ARRAY && column.converted_type() == ConvertedType::UTF8
}

/// Bytes in a column of their own, or called `bytes` in a group.
fn is_picture(column: &ColumnDescriptor) -> bool {
    let in_place = match column.path().parts() {
        [_] => true,
        [_, name] => name == "bytes",
        _ => false,
    };
    in_place && column.max_rep_level() == 0 && column.physical_type() == Type::BYTE_ARRAY && !is_text(column)
}

fn is_label(column: &ColumnDescriptor) -> bool {
    let is_number = matches!(column.physical_type(), Type::INT32 | Type::INT64);
    column.path().parts().len() == 1 && column.max_rep_level() == 0 && (is_number || is_text(column))
}

/// The column that is named, else the only usual one, else the only one.
fn one(found: Vec<Leaf>, named: Option<&str>, usual: &dyn Fn(&Leaf) -> bool) -> Result<Leaf, &'static str> {
    let chosen: Vec<Leaf> = match named {
        Some(name) => found.into_iter().filter(|leaf| leaf.name == name).collect(),
        None if found.iter().any(usual) => found.into_iter().filter(usual).collect(),
        None => found,
    };
    match <[Leaf; 1]>::try_from(chosen) {
        Ok([leaf]) => Ok(leaf),
        Err(none) if none.is_empty() => Err("there is no such"),
        Err(_) => Err("there is more than one"),
    }
}
