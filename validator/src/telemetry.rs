//! Spans for a collector of OpenTelemetry, by OTLP over HTTP, beside the lines that are logged.
//!
//! Built with the feature `otel` only. What is exported are the validator's own spans and what is logged in them at the level
//! of information: no more than stands in the log, so no query, no signature, no token and no upload's address. It does not
//! know what the spans are about.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use store::config::Config;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// Variables of OpenTelemetry's own that say where spans go.
const VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// What collectors take spans at, below their address.
const TRACES: &str = "v1/traces";
/// What we are called there, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "retort-validator";

/// The crates whose spans these are: the validator's rooms and what puts them together.
const CRATES: [&str; 4] = ["validator", "face", "service", "store"];

/// How log lines are written: a layer without a filter.
pub type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
#[error("spans can't be exported to {endpoint}: {source}")]
pub struct TelemetryError {
    endpoint: String,
    source: ExporterBuildError,
}

/// Spans on their way to a collector, if one is named.
#[derive(Debug)]
#[must_use = "what wasn't sent yet is sent by `end`"]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what wasn't sent yet, and waits for it: for a few seconds at most. It blocks, so call it outside of a runtime.
    pub fn end(self) {
        let ended = self.0.map_or(Ok(()), |provider| provider.shutdown());
        if let Err(error) = ended {
            tracing::warn!(%error, "the last spans weren't exported");
        }
    }
}

/// Logs `lines` as `filter` says, and exports spans to where the settings or [`VARIABLES`] say. A process that logs already
/// goes on as it did.
///
/// # Errors
/// When the collector's address can't be used. One that isn't reached is none: spans are lost then, and nothing else.
pub fn start(config: &Config, filter: EnvFilter, lines: Lines) -> Result<Traces, TelemetryError> {
    let provider = provider(&config.traces_endpoint)?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE));
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_targets(CRATES.map(|name| (name, Level::INFO))))
    });
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans);
    let _ = subscriber.try_init();
    Ok(Traces(provider))
}

fn provider(endpoint: &str) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let named = VARIABLES.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let (endpoint, exporter) = match (endpoint, named) {
        ("", None) => return Ok(None),
        // The exporter reads the variables itself, as their specification has it.
        ("", Some(named)) => (named, exporter),
        (endpoint, _) => {
            let traces = format!("{}/{TRACES}", endpoint.trim_end_matches('/'));
            (endpoint.to_owned(), exporter.with_endpoint(traces))
        }
    };
    let exporter = exporter.build().map_err(|source| TelemetryError { endpoint, source })?;
    let resource = match std::env::var("OTEL_SERVICE_NAME") {
        Ok(_) => Resource::builder().build(),
        Err(_) => Resource::builder().with_service_name(SERVICE).build(),
    };
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
}
