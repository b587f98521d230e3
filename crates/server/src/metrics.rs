//! What the process counts: for `/metrics`, and for the table `meridian.metrics`.
//!
//! Promises: each name has one HELP and one TYPE line and begins with `meridian_`; counters end with `_total`; sizes are bytes
//! and times seconds. Of a fleet, figures of its data nodes carry the label `node`.

mod page;

use crate::shared::Shared;
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{Kernel, NodeStatus};
use page::Page;
use query::{Metric, NodeReport, RateInForce, Rated};
use std::sync::Weak;
use std::time::Duration;

/// How long nodes of a fleet are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells SQL of them, for as long as the server runs.
pub(crate) struct Told(pub(crate) Weak<Shared>);

impl query::Metrics for Told {
    fn read(&self) -> BoxFuture<'static, Vec<Metric>> {
        let shared = self.0.upgrade();
        async move {
            match shared {
                Some(shared) => collect(&shared).await.into_metrics(),
                None => Vec::new(),
            }
        }
        .boxed()
    }
}

/// All of it, as it is now.
pub(crate) async fn collect(shared: &Shared) -> Page {
    let mut page = Page::default();
    process(shared, &mut page);
    doors(shared, &mut page);
    statements(shared, &mut page);
    let engine = &shared.engine;
    page.gauge("meridian_tags", "Tags in the tag table.", engine.catalog().len());
    page.gauge("meridian_tag_table_bytes", "Memory of the tag table.", engine.catalog().memory_bytes());
    let (reports, answered) = match tokio::time::timeout(PATIENCE, engine.store().reports()).await {
        Ok(Ok(reports)) => (reports, true),
        Ok(Err(_)) | Err(_) => (Vec::new(), false),
    };
    page.gauge("meridian_data_nodes", "Data nodes that told of themselves.", reports.len() as u64);
    page.gauge("meridian_data_nodes_asked", "Whether data nodes could be asked (1) or not (0).", u64::from(answered));
    nodes(&reports, &mut page);
    if let Some(kernel) = engine.local() {
        memory(kernel, &mut page);
    }
    for figure in engine.settings().operator.iter().flat_map(|operator| operator.figures()) {
        page.family(figure.name, figure.kind, figure.help).number(figure.name, &[], figure.value);
    }
    page
}

/// Ticks of the system's clock in a second, as it tells processes of them on every machine that it runs on today.
const TICKS: f64 = 100.0;

/// Seconds of processors that the process has used, and its resident memory in bytes; None where the system does not tell.
fn of_system() -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name, which may hold blanks.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(((user + system) as f64 / TICKS, kib << 10))
}

fn process(shared: &Shared, page: &mut Page) {
    let engine = &shared.engine;
    let labels = [("release", engine.settings().release.as_str()), ("node", engine.settings().node.as_str())];
    page.family("meridian_info", "gauge", "Always 1; what the process is.").value("meridian_info", &labels, 1);
    let started = engine.started_us().max(0) as f64 / 1e6;
    page.family("meridian_start_time_seconds", "gauge", "When it was started, in seconds since 1970.");
    page.number("meridian_start_time_seconds", &[], started);
    if let Some((cpu, resident)) = of_system() {
        page.family("meridian_process_cpu_seconds_total", "counter", "Seconds of processors that the process has used.");
        page.number("meridian_process_cpu_seconds_total", &[], cpu);
        page.gauge("meridian_process_resident_bytes", "Resident memory of the process.", resident);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    page.gauge("meridian_process_cores", "Processors that the process may use.", cores as u64);
}

fn doors(shared: &Shared, page: &mut Page) {
    let counts = shared.counters.counts();
    page.family("meridian_connections", "gauge", "Connections open now.");
    for (name, open) in [("pg", counts.pg_connections), ("http", counts.http_connections)] {
        page.value("meridian_connections", &[("door", name)], open);
    }
    page.family("meridian_connections_accepted_total", "counter", "Connections accepted.");
    for (name, accepted) in [("pg", counts.pg_accepted), ("http", counts.http_accepted)] {
        page.value("meridian_connections_accepted_total", &[("door", name)], accepted);
    }
    page.family("meridian_connections_refused_total", "counter", "Connections refused for want of room (connections_max).");
    for (name, refused) in [("pg", counts.pg_refused), ("http", counts.http_refused)] {
        page.value("meridian_connections_refused_total", &[("door", name)], refused);
    }
    for (name, help, count) in [
        ("meridian_logins_refused_total", "Logins refused, at all doors.", counts.logins_refused),
        ("meridian_cancel_requests_total", "Requests to cancel a statement.", counts.cancel_requests),
        ("meridian_flight_streams_total", "Flight streams opened.", counts.flight_streams),
        ("meridian_flight_batches_total", "Batches committed through Flight.", counts.flight_batches),
        ("meridian_flight_rows_total", "Rows committed through Flight.", counts.flight_rows),
        ("meridian_http_requests_total", "HTTP requests answered.", counts.http_requests),
        (
            "meridian_http_failed_requests_total",
            "HTTP requests answered with a status of 400 or more.",
            counts.http_failed_requests,
        ),
        ("meridian_lines_total", "Lines of the line protocol kept.", counts.http_lines),
        ("meridian_lines_refused_total", "Lines of the line protocol refused.", counts.http_lines_refused),
        ("meridian_lines_rows_total", "Rows written by the line protocol.", counts.http_rows),
        ("meridian_lines_tags_created_total", "Tags made for fields of lines.", counts.http_tags_created),
        ("meridian_series_cache_hits_total", "Lines whose series was known.", counts.http_series_hits),
        ("meridian_series_cache_misses_total", "Lines whose series was looked up.", counts.http_series_misses),
    ] {
        page.counter(name, help, count);
    }
    page.gauge("meridian_series_cache_fields", "Fields of series that are known.", shared.series.read().len() as u64);
}

fn statements(shared: &Shared, page: &mut Page) {
    let (engine, counts) = (&shared.engine, shared.counters.counts());
    page.family("meridian_statements_total", "counter", "Statements executed, on the point path and otherwise.");
    for (path, count) in [("point", counts.point_statements), ("plan", counts.other_statements)] {
        page.value("meridian_statements_total", &[("path", path)], count);
    }
    page.counter("meridian_statements_failed_total", "Statements that ended in an error.", counts.failed_statements);
    page.gauge("meridian_statements_running", "Statements that run now.", engine.statements_running() as u64);
    page.gauge("meridian_query_memory_bytes", "Memory that statements hold of their share.", engine.query_bytes());
    page.gauge("meridian_query_memory_limit_bytes", "Memory that statements may hold.", engine.settings().memory_bytes);
    rates(&engine.rates_in_force(), page);
    let spans = traces::counts();
    page.counter("meridian_spans_exported_total", "Spans that a collector has taken.", spans.exported);
    page.counter("meridian_spans_dropped_total", "Spans that no collector has taken: it was away, or too slow.", spans.dropped);
    let help = "How long statements took, to their last row; those of the point path left out.";
    page.histogram("meridian_statement_seconds", help, &engine.statement_times());
}

/// Rates of roles that were met here.
fn rates(rates: &[RateInForce], page: &mut Page) {
    type Of = fn(&RateInForce) -> f64;
    let figures: [(&str, &str, Of); 2] = [
        ("meridian_role_rows_per_second_limit", "Rows a second that a role may use, at all schedulers.", |rate| {
            rate.limit as f64
        }),
        ("meridian_role_rows_per_second_here", "Rows a second of them that are this server's now.", |rate| rate.here),
    ];
    for (name, help, of) in figures.into_iter().filter(|_| !rates.is_empty()) {
        page.family(name, "gauge", help);
        for rate in rates {
            let direction = match rate.rated {
                Rated::Written => "written",
                Rated::Read => "read",
            };
            page.number(name, &[("role", rate.role.as_str()), ("direction", direction)], of(rate));
        }
    }
}

/// Figures that a kernel tells of itself, here or on nodes of a fleet.
fn nodes(reports: &[NodeReport], page: &mut Page) {
    type Of = fn(&NodeStatus) -> u64;
    let figures: [(&str, &str, &str, Of); 11] = [
        ("meridian_commits_total", "counter", "Commits.", |status| status.commits),
        ("meridian_rows_written_total", "counter", "Rows taken, those thinned included.", |status| status.rows_written),
        ("meridian_rows_thinned_total", "counter", "Rows that thinning left out.", |status| status.rows_thinned),
        ("meridian_log_syncs_total", "counter", "Syncs of the log.", |status| status.log_syncs),
        ("meridian_log_bytes", "gauge", "Bytes of log segments.", |status| status.log_bytes),
        ("meridian_write_buffer_bytes", "gauge", "Bytes of write buffers.", |status| status.buffered_bytes),
        ("meridian_flushes_total", "counter", "Flushes of a slice's buffer.", |status| status.flushes),
        ("meridian_merges_total", "counter", "Merges of files.", |status| status.merges),
        ("meridian_flushed_bytes_total", "counter", "Bytes that flushes wrote.", |status| status.flushed_bytes),
        ("meridian_merged_bytes_total", "counter", "Bytes that merges wrote.", |status| status.merged_bytes),
        ("meridian_jobs", "gauge", "Jobs of flush and merge that wait or run now.", |status| status.jobs),
    ];
    for (name, kind, help, of) in figures {
        page.family(name, kind, help);
        reports.iter().for_each(|report| page.value(name, &node_label(report), of(&report.status)));
    }
    type OfSlices = fn(&NodeReport) -> u64;
    let sums: [(&str, &str, OfSlices); 5] = [
        ("meridian_files", "Files of slices.", |report| report.slices.iter().map(|slice| slice.files).sum()),
        ("meridian_file_bytes", "Bytes of files of slices.", |report| report.slices.iter().map(|slice| slice.file_bytes).sum()),
        ("meridian_buffered_rows", "Rows in write buffers.", |report| {
            report.slices.iter().map(|slice| slice.buffered_rows).sum()
        }),
        ("meridian_held_samples", "Newest samples of thinned tags.", |report| {
            report.slices.iter().map(|slice| slice.held_samples).sum()
        }),
        ("meridian_tombstones", "Deletions not merged into files yet.", |report| {
            report.slices.iter().map(|slice| slice.tombstones).sum()
        }),
    ];
    for (name, help, of) in sums {
        page.family(name, "gauge", help);
        reports.iter().for_each(|report| page.value(name, &node_label(report), of(report)));
    }
}

fn node_label(report: &NodeReport) -> Vec<(&'static str, &str)> {
    if report.node.is_empty() { Vec::new() } else { vec![("node", report.node.as_str())] }
}

/// What only the process of a kernel knows of it.
fn memory(kernel: &Kernel, page: &mut Page) {
    let metrics = kernel.metrics();
    page.gauge("meridian_memory_budget_bytes", "The one budget of memory.", metrics.budget_bytes.0);
    page.gauge("meridian_memory_used_bytes", "What all shares hold of it.", metrics.budget_bytes.1);
    type Of = fn(&kernel::ShareStatus) -> u64;
    let figures: [(&str, &str, Of); 4] = [
        ("meridian_memory_share_bytes", "What a share holds.", |share| share.bytes),
        ("meridian_memory_share_limit_bytes", "What a share may hold.", |share| share.bytes_max),
        ("meridian_memory_share_peak_bytes", "The most that a share held.", |share| share.bytes_peak),
        ("meridian_memory_share_waiting_bytes", "What waits for room in a share.", |share| share.bytes_waiting),
    ];
    for (name, help, of) in figures {
        page.family(name, "gauge", help);
        metrics.shares.iter().for_each(|share| page.value(name, &[("share", share.name)], of(share)));
    }
    page.gauge("meridian_cache_bytes", "Bytes of cached blocks of files.", metrics.cache.bytes);
    page.gauge("meridian_cache_entries", "Cached blocks of files.", metrics.cache.entries);
    page.counter("meridian_cache_hits_total", "Blocks found in the cache.", metrics.cache.hits);
    page.counter("meridian_cache_misses_total", "Blocks that had to be read.", metrics.cache.misses);
    page.counter("meridian_cache_evicted_total", "Blocks that had to go.", metrics.cache.evicted);
    page.gauge(
        "meridian_store_writable",
        "Whether the store takes writes (1), or refuses them since a disk error (0).",
        u64::from(metrics.refuses_writes.is_none()),
    );
    page.histogram("meridian_commit_seconds", "How long commits took, from the call to the answer.", &metrics.commit_times);
    page.histogram("meridian_flush_seconds", "How long flushes took.", &metrics.flush_times);
    page.histogram("meridian_merge_seconds", "How long merges took.", &metrics.merge_times);
}
