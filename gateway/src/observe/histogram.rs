//! How long things take, in buckets of fixed bounds. To observe is two additions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::Text;

/// The upper bounds of the buckets: in microseconds, and as Prometheus writes them in seconds.
const BOUNDS: [(u64, &str); 15] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
    (30_000_000, "30"),
];

/// Counts durations by bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last one is for what is longer than all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// Microseconds.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        // Rounded down, as the bucket is: what is shorter than a microsecond is nothing here.
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The samples of one set of labels. All three names come from one reading of the buckets, so that they agree.
    pub(super) fn render(&self, text: &mut Text, name: &str, labels: &[(&str, &str)]) {
        let (bucket_name, mut count) = (format!("{name}_bucket"), 0);
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            count += bucket.load(Ordering::Relaxed);
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            text.sample(&bucket_name, &labels, count);
        }
        let micros = self.sum.load(Ordering::Relaxed);
        text.sample(&format!("{name}_sum"), labels, format_args!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        text.sample(&format!("{name}_count"), labels, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_its_bucket_and_in_all_longer_ones() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 30_000_000, 30_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = Text::new();
        histogram.render(&mut text, "x_seconds", &[("api", "Fetch")]);
        let text = text.finish();
        for line in [
            "x_seconds_bucket{api=\"Fetch\",le=\"0.0001\"} 2",
            "x_seconds_bucket{api=\"Fetch\",le=\"0.00025\"} 3",
            "x_seconds_bucket{api=\"Fetch\",le=\"30\"} 4",
            "x_seconds_bucket{api=\"Fetch\",le=\"+Inf\"} 5",
            "x_seconds_sum{api=\"Fetch\"} 60.000202",
            "x_seconds_count{api=\"Fetch\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn bounds_ascend_and_are_written_as_they_are() {
        assert!(BOUNDS.is_sorted_by(|(left, _), (right, _)| left < right));
        for (micros, written) in BOUNDS {
            let seconds: f64 = written.parse().unwrap();
            assert!((seconds * 1e6 - f64::from(u32::try_from(micros).unwrap())).abs() < 0.5, "{written}");
        }
    }
}
