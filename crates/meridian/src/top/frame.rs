//! A frame: what is known at one moment, as lines.
//!
//! Promises: no line is wider than the terminal; control characters of what others wrote (texts of statements, names) reach no
//! terminal; what a node does not tell is left out.

use super::rates::Rates;
use super::sample::{Connection, Sample};
use crate::config::units::{round_size, round_span};
use crate::table::{rounded, thousands};
use crate::terminal::{Ink, Terminal, draws_unicode};
use std::collections::VecDeque;
use std::time::Duration;
use unicode_width::UnicodeWidthChar;

/// By what statements are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The longest first.
    #[default]
    Seconds,
    User,
    State,
    Pid,
}

impl Order {
    /// The next one.
    pub fn next(self) -> Order {
        match self {
            Order::Seconds => Order::User,
            Order::User => Order::State,
            Order::State => Order::Pid,
            Order::Pid => Order::Seconds,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Order::Seconds => "seconds",
            Order::User => "user",
            Order::State => "state",
            Order::Pid => "pid",
        }
    }
}

/// How it is looked at.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub order: Order,
    /// Whether idle sessions are listed too.
    pub with_idle: bool,
    /// The session that is chosen.
    pub chosen: Option<i64>,
    /// Whether it is printed once: then nothing is cut at the bottom.
    pub plain: bool,
    pub paused: bool,
}

/// Sessions as they are listed.
pub fn listed<'a>(sample: &'a Sample, view: &View) -> Vec<&'a Connection> {
    let mut all: Vec<&Connection> =
        sample.connections.iter().filter(|connection| view.with_idle || connection.state != "idle").collect();
    let longest = |a: &&Connection, b: &&Connection| b.seconds.total_cmp(&a.seconds).then(a.pid.cmp(&b.pid));
    match view.order {
        // What runs comes before what waits for its client.
        Order::Seconds => all.sort_by(|a, b| (a.state != "active").cmp(&(b.state != "active")).then_with(|| longest(a, b))),
        Order::User => all.sort_by(|a, b| a.user.cmp(&b.user).then_with(|| longest(a, b))),
        Order::State => all.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| longest(a, b))),
        Order::Pid => all.sort_by_key(|connection| connection.pid),
    }
    all
}

/// A text on one line of at most so many columns, without what moves a cursor.
pub fn fit(text: &str, width: usize) -> String {
    let (mut out, mut used, mut blank) = (String::new(), 0, false);
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if (c == ' ' && blank) || (c.is_control()) {
            continue;
        }
        blank = c == ' ';
        let wide = c.width().unwrap_or(0);
        if used + wide > width {
            break;
        }
        used += wide;
        out.push(c);
    }
    out
}

fn padded(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let used: usize = text.chars().map(|c| c.width().unwrap_or(0)).sum();
    let gap = " ".repeat(width.saturating_sub(used));
    if right { gap + &text } else { text + &gap }
}

/// A line of bars: the newest at the right, the highest as high as a line.
fn bars(history: &VecDeque<f64>, width: usize) -> String {
    let levels: &[char] =
        if draws_unicode() { &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] } else { &['_', '.', '-', '=', '#'] };
    let highest = history.iter().copied().fold(0.0, f64::max);
    let from = history.len().saturating_sub(width);
    let bar = |rate: &f64| {
        let part = if highest > 0.0 { rate / highest } else { 0.0 };
        levels[((part * (levels.len() - 1) as f64).round() as usize).min(levels.len() - 1)]
    };
    history.iter().skip(from).map(bar).collect()
}

fn size(bytes: f64) -> String {
    round_size(bytes.max(0.0) as u64)
}

fn span(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| round_span(Duration::from_secs_f64(seconds.clamp(0.0, 1e9))))
}

/// The lines.
pub fn lines(rates: &Rates, view: &View, terminal: &Terminal) -> Vec<String> {
    let Some(sample) = rates.now() else { return vec!["waiting for the node".to_owned()] };
    let mut out = head(rates, sample, view);
    out.extend(figures(rates, sample, view, terminal));
    out.extend(operations(sample));
    out.extend(nodes(sample, terminal));
    let width = terminal.width;
    let mut out: Vec<String> = out.into_iter().map(|line| fit_line(&line, width)).collect();
    let room = if view.plain { usize::MAX } else { terminal.height.saturating_sub(out.len() + 3).max(1) };
    out.extend(statements(sample, view, terminal, room));
    out
}

/// Leading blanks stay; what is too long is cut.
fn fit_line(line: &str, width: usize) -> String {
    let mut used = 0;
    let mut taken = 0;
    for (at, c) in line.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        taken = at + c.len_utf8();
    }
    line[..taken].to_owned()
}

fn head(rates: &Rates, sample: &Sample, view: &View) -> Vec<String> {
    let info = sample.parts("meridian_info").next().map(|(labels, _)| labels.to_owned()).unwrap_or_default();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap_or_default();
    let word = |name: &str| fit(info[name].as_str().unwrap_or_default(), 40);
    let up = sample.now - sample.sum("meridian_start_time_seconds");
    let moment = chrono::DateTime::from_timestamp(sample.now as i64, 0).unwrap_or_default().format("%Y-%m-%d %H:%M:%S UTC");
    let paused = if view.paused { "   PAUSED" } else { "" };
    let mut out = vec![format!("meridian {} at {}, up {}   {moment}{paused}", word("release"), word("node"), span(Some(up)))];
    let cpu = rates.rate("meridian_process_cpu_seconds_total") * 100.0;
    let cores = sample.sum("meridian_process_cores");
    let mut load = Vec::new();
    if sample.has("meridian_process_cpu_seconds_total") {
        load.push(format!("cpu {cpu:.0} % of {:.0} cores", cores.max(1.0)));
        load.push(format!("resident {}", size(sample.sum("meridian_process_resident_bytes"))));
    }
    if sample.has("meridian_memory_budget_bytes") {
        let (used, budget) = (sample.sum("meridian_memory_used_bytes"), sample.sum("meridian_memory_budget_bytes"));
        load.push(format!("memory {} of {}", size(used), size(budget)));
    }
    let (queries, most) = (sample.sum("meridian_query_memory_bytes"), sample.sum("meridian_query_memory_limit_bytes"));
    load.push(format!("statements' memory {} of {}", size(queries), size(most)));
    out.push(load.join("   "));
    let shares: Vec<String> = sample
        .parts("meridian_memory_share_bytes")
        .map(|(labels, bytes)| {
            let most = sample.figures.get(&format!("meridian_memory_share_limit_bytes{labels}")).copied().unwrap_or(0.0);
            let name = labels.split('"').nth(3).unwrap_or_default();
            format!("{} {} of {}", fit(name, 24), size(bytes), size(most))
        })
        .collect();
    if !shares.is_empty() {
        out.push(format!("shares   {}", shares.join("   ")));
    }
    out
}

fn figures(rates: &Rates, sample: &Sample, view: &View, terminal: &Terminal) -> Vec<String> {
    let history = |rates: &VecDeque<f64>| {
        if view.plain { String::new() } else { format!("   {}", bars(rates, (terminal.width / 4).max(10))) }
    };
    let per = |name: &str| rates.rate(name);
    let mut out = vec![String::new()];
    out.push(format!(
        "ingest   {} rows/s   commits {}/s   syncs {}/s{}",
        rounded(per("meridian_rows_written_total")),
        rounded(per("meridian_commits_total")),
        rounded(per("meridian_log_syncs_total")),
        history(&rates.written),
    ));
    out.push(format!(
        "queries  {}/s   p50 {}   p99 {}   failed {}/s   running {:.0}{}",
        rounded(per("meridian_statements_total")),
        span(rates.quantile("meridian_statement_seconds", 0.5)),
        span(rates.quantile("meridian_statement_seconds", 0.99)),
        rounded(per("meridian_statements_failed_total")),
        // This client's own question is one of them.
        (sample.sum("meridian_statements_running") - 1.0).max(0.0),
        history(&rates.statements),
    ));
    out.push(format!(
        "store    log {}   buffers {}   flushes {}/s {}/s   merges {}/s {}/s   jobs {:.0}",
        size(sample.sum("meridian_log_bytes")),
        size(sample.sum("meridian_write_buffer_bytes")),
        rounded(per("meridian_flushes_total")),
        size(per("meridian_flushed_bytes_total")),
        rounded(per("meridian_merges_total")),
        size(per("meridian_merged_bytes_total")),
        sample.sum("meridian_jobs"),
    ));
    out.push(connections(rates, sample));
    if let Some(replicas) = &sample.replicas {
        let differing = if replicas.differing > 0.0 { format!("   {:.0} DIFFER", replicas.differing) } else { String::new() };
        out.push(format!("replicas lag {} records at most{differing}", thousands(replicas.lag_records.max(0.0) as u64)));
    }
    if sample.has("meridian_store_writable") && sample.sum("meridian_store_writable") < 1.0 {
        out.push(terminal.ink(Ink::Red, "THE STORE REFUSES WRITES since a disk error: see the node's log"));
    }
    out
}

fn connections(rates: &Rates, sample: &Sample) -> String {
    let count = |wanted: &dyn Fn(&Connection) -> bool| sample.connections.iter().filter(|one| wanted(one)).count();
    let active = count(&|one| one.state == "active");
    let idle = count(&|one| one.state == "idle");
    let blocks = count(&|one| one.state.starts_with("idle in transaction"));
    let waiting = count(&|one| !one.waits.is_empty());
    let refused = rates.rate("meridian_connections_refused_total");
    format!(
        "sessions {}: {active} active, {idle} idle, {blocks} idle in transaction, {waiting} waiting   refused {}/s",
        sample.connections.len(),
        rounded(refused)
    )
}

fn operations(sample: &Sample) -> Vec<String> {
    if sample.operations.is_empty() {
        return Vec::new();
    }
    let mut out = vec![String::new(), "operations under way".to_owned()];
    for one in &sample.operations {
        let far = match (one.done, one.total) {
            (Some(done), Some(total)) if total > 0.0 => format!("{:.0} %", (done / total * 100.0).clamp(0.0, 100.0)),
            (Some(done), _) => rounded(done),
            _ => String::new(),
        };
        out.push(format!("  {}  {}  {far}", fit(&one.name, 40), fit(&one.step, 40)));
    }
    out
}

fn nodes(sample: &Sample, terminal: &Terminal) -> Vec<String> {
    let Some(nodes) = &sample.nodes else { return Vec::new() };
    let heads = ["node", "state", "roles", "address", "primaries", "backups", "cpu", "memory", "disk", "network", "silent"];
    let widths = [5, 10, 24, 22, 9, 8, 6, 6, 6, 7, 9];
    let row = |cells: &[String]| {
        let cells = cells.iter().zip(widths).enumerate();
        cells.map(|(at, (cell, width))| padded(cell, width, at >= 4)).collect::<Vec<_>>().join(" ")
    };
    let mut out = vec![String::new(), terminal.ink(Ink::Bold, &row(&heads.map(str::to_owned)))];
    for node in nodes {
        let part = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |part| format!("{:.0} %", part / 10.0));
        let [cpu, memory, disk, network] = node.busy.map(part);
        let silent = node.silent_ms.map_or_else(|| "-".to_owned(), |ms| span(Some(ms / 1000.0)));
        let cells = [
            node.number.clone(),
            node.state.clone(),
            node.roles.clone(),
            node.address.clone(),
            node.primaries.clone(),
            node.backups.clone(),
            cpu,
            memory,
            disk,
            network,
            silent,
        ];
        out.push(row(&cells));
    }
    out
}

fn statements(sample: &Sample, view: &View, terminal: &Terminal, room: usize) -> Vec<String> {
    let all = listed(sample, view);
    let widths = [7, 14, 21, 9, 26];
    let query_width = terminal.width.saturating_sub(widths.iter().map(|width| width + 1).sum()).max(10);
    let row = |cells: [&str; 5], query: &str| {
        let cells = cells.iter().zip(widths).enumerate();
        let fixed: Vec<String> = cells.map(|(at, (cell, width))| padded(cell, width, at == 0 || at == 3)).collect();
        fit_line(&format!("{} {}", fixed.join(" "), fit(query, query_width)), terminal.width)
    };
    let title = row(["pid", "user", "client", "seconds", "state"], &format!("statement (by {})", view.order.word()));
    let mut out = vec![String::new(), terminal.ink(Ink::Bold, title.trim_end())];
    for one in all.iter().take(room) {
        let state = if one.waits.is_empty() { one.state.clone() } else { format!("{} ({})", one.state, one.waits) };
        let client = if one.client.is_empty() { &one.application } else { &one.client };
        let line = row([&one.pid.to_string(), &one.user, client, &format!("{:.1}", one.seconds), &state], &one.query);
        let line = line.trim_end();
        out.push(if view.chosen == Some(one.pid) { chosen(line, terminal) } else { line.to_owned() });
    }
    if all.len() > room {
        out.push(format!("{:>7} more", all.len() - room));
    }
    if all.is_empty() {
        out.push(if view.with_idle { "    none".to_owned() } else { "    none that runs (i: idle sessions too)".to_owned() });
    }
    out
}

fn chosen(line: &str, terminal: &Terminal) -> String {
    if terminal.has_colours() { format!("\u{1b}[7m{line}\u{1b}[0m") } else { format!(">{}", line.get(1..).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use super::super::rates::tests::sample;
    use super::*;

    fn busy(pid: i64, user: &str, state: &str, seconds: f64, query: &str) -> Connection {
        Connection {
            pid,
            user: user.to_owned(),
            state: state.to_owned(),
            seconds,
            query: query.to_owned(),
            ..Connection::default()
        }
    }

    #[test]
    fn statements_are_listed_in_order_and_no_line_is_too_wide() {
        let mut one = sample(Duration::ZERO, &[("meridian_log_bytes{}", 2048.0), ("meridian_statements_running{}", 2.0)]);
        one.connections = vec![
            busy(3, "温度", "idle", 900.0, "SELECT '温度温度温度'"),
            busy(1, "b", "active", 2.0, &format!("SELECT\n\t'{}'\u{1b}[2J", "x".repeat(500))),
            busy(2, "a", "active", 5.0, "SELECT 2"),
        ];
        let mut rates = Rates::default();
        rates.take(one);
        let pids = |view: &View| listed(rates.now().unwrap(), view).iter().map(|one| one.pid).collect::<Vec<_>>();
        let mut view = View::default();
        assert_eq!(pids(&view), [2, 1]);
        view.with_idle = true;
        let all: Vec<Vec<i64>> = std::iter::successors(Some(Order::Seconds), |order| Some(order.next()))
            .take(5)
            .map(|order| pids(&View { order, ..view.clone() }))
            .collect();
        assert_eq!(all, [[2, 1, 3], [2, 1, 3], [2, 1, 3], [1, 2, 3], [2, 1, 3]]);
        view.chosen = Some(1);
        let lines = lines(&rates, &view, &Terminal::plain());
        for line in &lines {
            let width: usize = line.chars().map(|c| c.width().unwrap_or(0)).sum();
            assert!(width <= 100 && !line.contains('\u{1b}'), "{line}");
        }
        assert!(lines.iter().any(|line| line.starts_with(">     1 b") && line.contains("SELECT 'xxx")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("log 2.00 KiB")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("sessions 3: 2 active, 1 idle, 0 idle in transaction")), "{lines:?}");
    }

    #[test]
    fn bars_are_as_high_as_the_highest() {
        let history: VecDeque<f64> = (0..200).map(f64::from).collect();
        let drawn: Vec<char> = bars(&history, 20).chars().collect();
        assert_eq!(drawn.len(), 20);
        assert!(drawn.is_sorted());
        assert_eq!(bars(&[0.0].into(), 20).chars().count(), 1);
    }
}
