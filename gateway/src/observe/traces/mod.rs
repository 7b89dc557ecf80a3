//! Traces: some requests are told to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! A span holds the request's API, virtual cluster, broker, sizes, times and classes of errors. It has no place for a payload,
//! a name that a client chose, or a secret. Whether a request is traced is decided when its answer has gone out: everything
//! that a span says was measured for the metrics anyway, so that requests which are not traced cost nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use contract::secret::Secret;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};
use ureq::tls::{RootCerts, TlsConfig};
use wire::schema::ApiKey;

use super::errors::{ErrorClass, ErrorClasses};
use super::metrics::Metrics;
use super::text::Text;

/// A collector that has not answered by then does not.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Spans wait this long for others to go with.
const DELAY: Duration = Duration::from_secs(1);
/// Spans that wait; more are dropped. A request has up to five.
const QUEUE: usize = 10_240;
const BATCH: usize = 512;
/// No collector says more.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What became of the spans.
#[derive(Debug, Default)]
pub struct SpanCounters {
    requests: AtomicU64,
    exports: AtomicU64,
    failures: AtomicU64,
}

impl SpanCounters {
    pub(super) fn render(&self, text: &mut Text) {
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed);
        text.single("gateway_traced_requests_total", "counter", "Requests that were traced.", count(&self.requests));
        let name = "gateway_trace_exports_total";
        text.family(name, "counter", "Batches of spans sent to the collector, by result.");
        text.sample(name, &[("result", "ok")], count(&self.exports));
        text.sample(name, &[("result", "failed")], count(&self.failures));
    }
}

/// Where traces go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The whole URL at which a collector takes OTLP over HTTP.
    pub endpoint: String,
    /// Sent along.
    pub headers: Vec<(String, Secret)>,
    /// How the gateway calls itself.
    pub service_name: String,
    /// Which of the gateways of this name it is.
    pub node: String,
    /// Of a million requests, this many are traced.
    pub per_million: u32,
}

/// Sends traces. When it is dropped, what is still waiting is sent, for as long as a collector gets at all.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    per_million: u32,
    /// What the choice is drawn from.
    seen: AtomicU64,
    metrics: Arc<Metrics>,
}

/// There is no sender of traces.
#[derive(Debug, thiserror::Error)]
#[error("tracing.endpoint '{endpoint}' cannot be used: {reason}")]
pub struct TracesError {
    endpoint: String,
    reason: String,
}

/// One request whose answer has gone out.
#[derive(Debug)]
pub struct RequestSpan<'a> {
    pub api: ApiKey,
    pub version: i16,
    pub virtual_cluster: &'a str,
    /// The broker that answered; `None` where the gateway did.
    pub broker: Option<i32>,
    pub request_bytes: usize,
    pub response_bytes: usize,
    pub errors: ErrorClasses,
    /// The parts of the time, in their order; all of it is the request's.
    pub parts: &'a [(&'static str, Duration)],
}

impl Traces {
    /// Sends nothing yet. Starts a thread of its own, which waits for the collector in everybody's place.
    ///
    /// # Errors
    /// [`TracesError`]
    pub fn new(settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, TracesError> {
        let failed = |reason: String| TracesError { endpoint: settings.endpoint.clone(), reason };
        let headers = settings.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(Arc::clone(&metrics)))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_timeout(TIMEOUT)
            .with_headers(headers.collect())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.instance.id", settings.node.clone()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            // The choice is made here, before a span is made.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("anabranch-gateway");
        Ok(Self { tracer, per_million: settings.per_million, seen: AtomicU64::default(), metrics })
    }

    /// Whether this request is one of those that are traced.
    pub fn chooses(&self) -> bool {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        splitmix(seen) % 1_000_000 < u64::from(self.per_million)
    }

    /// Sends a request that ended now.
    pub fn send(&self, request: &RequestSpan<'_>) {
        self.metrics.spans.requests.fetch_add(1, Ordering::Relaxed);
        let end = SystemTime::now();
        let took = request.parts.iter().map(|(_, took)| *took).sum();
        let mut begin = end.checked_sub(took).unwrap_or(end);
        let mut root = self
            .tracer
            .span_builder(request.api.name())
            .with_kind(SpanKind::Server)
            .with_start_time(begin)
            .with_attributes(request.attributes())
            .start_with_context(&self.tracer, &Context::new());
        if let Some(class) = request.errors.iter().next() {
            root.set_attribute(KeyValue::new("error.type", class.label()));
            root.set_status(Status::error(class.label()));
        }
        let around = Context::new().with_span(root);
        for (part, took) in request.parts {
            let kind = if *part == "upstream" { SpanKind::Client } else { SpanKind::Internal };
            let mut span = self
                .tracer
                .span_builder(*part)
                .with_kind(kind)
                .with_start_time(begin)
                .start_with_context(&self.tracer, &around);
            begin += *took;
            span.end_with_timestamp(begin);
        }
        around.span().end_with_timestamp(end);
    }
}

impl RequestSpan<'_> {
    fn attributes(&self) -> Vec<KeyValue> {
        let bytes = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let mut attributes = vec![
            KeyValue::new("rpc.system", "kafka"),
            KeyValue::new("rpc.method", self.api.name()),
            KeyValue::new("kafka.api.version", i64::from(self.version)),
            KeyValue::new("anabranch.virtual_cluster", self.virtual_cluster.to_owned()),
            KeyValue::new("kafka.request.size", bytes(self.request_bytes)),
            KeyValue::new("kafka.response.size", bytes(self.response_bytes)),
        ];
        attributes.extend(self.broker.map(|broker| KeyValue::new("kafka.broker.id", i64::from(broker))));
        let classes: Vec<_> = self.errors.iter().map(ErrorClass::label).collect();
        if !classes.is_empty() {
            attributes.push(KeyValue::new("kafka.error.classes", classes.join(",")));
        }
        attributes
    }
}

/// Spreads numbers that follow each other over all numbers.
const fn splitmix(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The collector, by the gateway's own HTTP client.
#[derive(Debug)]
struct Collector {
    agent: ureq::Agent,
    metrics: Arc<Metrics>,
}

impl Collector {
    fn new(metrics: Arc<Metrics>) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Headers may hold a token, which a redirect must not carry elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        Self { agent: agent.into(), metrics }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let mut answer = self.agent.run(request.map(|body| body.to_vec()))?;
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec()?;
        Ok(answer.map(|_| body.into()))
    }
}

#[async_trait]
impl HttpClient for Collector {
    /// Blocks the thread, which is the sender's own.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.send(request);
        let spans = &self.metrics.spans;
        let outcome = match &answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(()) => {
                spans.exports.fetch_add(1, Ordering::Relaxed);
            }
            Err(reason) => {
                // The first one only: whoever looks after traces sees the counter.
                if spans.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!("cannot send traces to the collector; those of this time are lost: {reason}");
                }
            }
        }
        answer.map_err(Into::into)
    }
}

#[cfg(test)]
mod tests;
