//! The results: medians over rounds, as tables for people and as JSON for everything else.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::generator::Sent;

/// Figures by name; [`COLUMNS`] lists the names.
pub type Figures = BTreeMap<&'static str, f64>;

/// One line of a table.
#[derive(Clone)]
pub struct Line {
    /// What was measured.
    pub name: String,
    /// The measured figures.
    pub figures: Figures,
    /// The goal of one of the figures.
    pub goal: Option<Goal>,
}

/// A figure and its limit.
#[derive(Clone)]
pub struct Goal {
    /// The name of the figure.
    pub figure: &'static str,
    /// The limit, measured in the same round, or fixed.
    pub limit: f64,
    /// What the figure divided by the limit must reach.
    pub reach: Reach,
}

/// Which side of the limit is good.
#[derive(Clone, Copy)]
pub enum Reach {
    /// At least this part of the limit.
    AtLeast(f64),
    /// At most this part of the limit.
    AtMost(f64),
    /// No goal was set: the ratio is only shown.
    Open,
}

/// A figure's name and its heading.
struct Column {
    figure: &'static str,
    heading: &'static str,
}

/// All figures, in the order of the table. Columns that no line fills are left out.
const COLUMNS: &[Column] = &[
    Column { figure: "sent", heading: "sent" },
    Column { figure: "stored", heading: "kept" },
    Column { figure: "records_per_second", heading: "rec/s" },
    Column { figure: "stored_per_second", heading: "sto/s" },
    Column { figure: "seen_per_second", heading: "seen" },
    Column { figure: "missed", heading: "miss" },
    Column { figure: "megabytes_per_second", heading: "MB/s" },
    Column { figure: "p50_ms", heading: "p50" },
    Column { figure: "p90_ms", heading: "p90" },
    Column { figure: "p95_ms", heading: "p95" },
    Column { figure: "p99_ms", heading: "p99" },
    Column { figure: "p999_ms", heading: "p99.9" },
    Column { figure: "max_ms", heading: "max" },
    Column { figure: "checkpoints", heading: "ckpt" },
    Column { figure: "segments", heading: "segm" },
    Column { figure: "deleted", heading: "del" },
    Column { figure: "cpu_percent", heading: "CPU%" },
    Column { figure: "cpu_seconds_per_million", heading: "CPU" },
    Column { figure: "database_cpu_seconds_per_million", heading: "dbCPU" },
    Column { figure: "generator_cpu_seconds_per_million", heading: "gen" },
    Column { figure: "peak_megabytes", heading: "RSS" },
    Column { figure: "disk_bytes_per_record", heading: "B/rec" },
    Column { figure: "database_bytes_per_record", heading: "dbB" },
    Column { figure: "over_plain_bytes", heading: "+B" },
    Column { figure: "index_bytes_per_record", heading: "idx" },
    Column { figure: "id_range_ms", heading: "ids" },
    Column { figure: "hour_ms", heading: "hour" },
    Column { figure: "trace_ms", heading: "trace" },
    Column { figure: "warm_ms", heading: "warm" },
    Column { figure: "cold_ms", heading: "cold" },
];

/// What the headings mean.
pub const LEGEND: &str = "\
sent, kept: records, the latter by the database's own count | rec/s: records a second, acknowledged or durable | sto/s: until all were stored | seen, miss: records a second, and missed, by all tails together | p50 to max: latency in ms
CPU, dbCPU, gen: processor seconds a million records, of server, PostgreSQL and generator | RSS: peak memory of the server in MB
B/rec, dbB, idx: bytes a record of all files on disk, of the database alone, and of indexes | +B: dbB above that of plain
ids, hour, trace: ms for 1,000 ids, an hour, a trace
warm, cold: ms for a question, with the files in memory and after the system has dropped its page cache
ckpt, segm, del: checkpoints, spool segments, deleted records meanwhile
limit: measured in the same round (indented lines), or fixed | ratio: figure to limit | reach: what that should be";

/// Widths: the minimum for the name of a line, and the width of each figure. The widest table has
/// fourteen figures and 120 columns.
const NAME_WIDTH: usize = 24;
const FIGURE_WIDTH: usize = 6;

impl Line {
    /// Returns a line without a goal.
    pub fn new(name: impl Into<String>, figures: Figures) -> Line {
        Line { name: name.into(), figures, goal: None }
    }

    /// Compares one of the line's figures with a limit.
    pub fn held_against(mut self, figure: &'static str, limit: f64, reach: Reach) -> Line {
        self.goal = Some(Goal { figure, limit, reach });
        self
    }
}

/// Returns rate, latencies, and the generator's own time.
pub fn figures_of(sent: &Sent, records: u64) -> Figures {
    let mut figures = Figures::from([
        ("records_per_second", records as f64 / sent.seconds),
        ("generator_cpu_seconds_per_million", sent.cpu_seconds / records as f64 * 1e6),
    ]);
    if !sent.latencies.is_empty() {
        figures.extend(latencies(&sent.latencies));
    }
    figures
}

/// Returns the usual quantiles.
pub fn latencies(latencies: &crate::histogram::Histogram) -> Figures {
    let quantiles = [
        ("p50_ms", 0.5),
        ("p90_ms", 0.9),
        ("p95_ms", 0.95),
        ("p99_ms", 0.99),
        ("p999_ms", 0.999),
        ("max_ms", 1.0),
    ];
    quantiles.map(|(name, part)| (name, latencies.quantile(part))).into()
}

/// One row of the benchmark: the lines of each round, and their medians.
pub struct Section {
    /// The name on the command line.
    pub name: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The lines of each round: the same lines in each.
    pub rounds: Vec<Vec<Line>>,
}

impl Section {
    /// Returns each figure's median, and the median of the ratios: each round's limit belongs to
    /// its own figures.
    pub fn medians(&self) -> Vec<Line> {
        let line = |index: usize| {
            let rounds: Vec<&Line> = self.rounds.iter().map(|round| &round[index]).collect();
            let first = rounds[0];
            let of_figure =
                |name: &&'static str| (*name, median(rounds.iter().map(|line| line.figures[name])));
            let figures: Figures = first.figures.keys().map(of_figure).collect();
            let goal = first.goal.clone().map(|goal| {
                let ratio = median(rounds.iter().filter_map(|line| line.ratio()));
                Goal { limit: figures[goal.figure] / ratio, ..goal }
            });
            Line { name: first.name.clone(), figures, goal }
        };
        (0..self.rounds[0].len()).map(line).collect()
    }

    /// Formats the table.
    pub fn table(&self) -> String {
        let lines = self.medians();
        let has = |column: &&Column| lines.iter().any(|line| line.figures.contains_key(column.figure));
        let columns: Vec<&Column> = COLUMNS.iter().filter(has).collect();
        let mut headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
        if lines.iter().any(|line| line.goal.is_some()) {
            headings.extend(["limit", "ratio", "reach"]);
        }
        let width = lines.iter().map(|line| line.name.len()).fold(NAME_WIDTH, usize::max);
        let mut out = format!("\n{} ({})\n{:width$}", self.title, self.name, "");
        for heading in headings {
            let _ = write!(out, "{heading:>FIGURE_WIDTH$}");
        }
        for line in &lines {
            let mut text = format!("{:width$}", line.name);
            for column in &columns {
                let figure = line.figures.get(column.figure).map_or(String::new(), |figure| short(*figure));
                let _ = write!(text, "{figure:>FIGURE_WIDTH$}");
            }
            text += &line.verdict();
            out = out + "\n" + text.trim_end();
        }
        out
    }

    /// Returns medians and rounds as JSON.
    pub fn json(&self) -> Value {
        let lines = |lines: &[Line]| Value::Array(lines.iter().map(Line::json).collect());
        json!({
            "name": self.name,
            "title": self.title,
            "median": lines(&self.medians()),
            "rounds": self.rounds.iter().map(|round| lines(round)).collect::<Vec<_>>(),
        })
    }
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.goal.as_ref().map(|goal| self.figures[goal.figure] / goal.limit)
    }

    /// Returns whether the goal is reached.
    pub fn is_reached(&self) -> Option<bool> {
        let ratio = self.ratio()?;
        Some(match self.goal.as_ref()?.reach {
            Reach::AtLeast(reach) => ratio >= reach,
            Reach::AtMost(reach) => ratio <= reach,
            Reach::Open => return None,
        })
    }

    fn verdict(&self) -> String {
        let (Some(goal), Some(ratio)) = (&self.goal, self.ratio()) else { return String::new() };
        let reach = match goal.reach {
            Reach::AtLeast(reach) => format!("≥{reach}"),
            Reach::AtMost(reach) => format!("≤{reach}"),
            Reach::Open => String::new(),
        };
        let verdict = self.is_reached().map_or("", |is_reached| if is_reached { " yes" } else { " NO" });
        let limit = short(goal.limit);
        format!("{limit:>FIGURE_WIDTH$}{:>FIGURE_WIDTH$}{reach:>FIGURE_WIDTH$}{verdict}", short(ratio))
    }

    fn json(&self) -> Value {
        let goal = self.goal.as_ref().map(|goal| {
            let (at_least, at_most) = match goal.reach {
                Reach::AtLeast(reach) => (Some(reach), None),
                Reach::AtMost(reach) => (None, Some(reach)),
                Reach::Open => (None, None),
            };
            json!({
                "figure": goal.figure, "limit": goal.limit, "ratio": self.ratio(),
                "at_least": at_least, "at_most": at_most, "reached": self.is_reached(),
            })
        });
        json!({ "name": self.name, "figures": self.figures, "goal": goal })
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Formats a value with three digits, or a few more before the point: 0.051, 9.35, 64.1, 812k,
/// 1.23M.
fn short(value: f64) -> String {
    let digits = |value: f64| match value.abs() {
        0.0 => "0".to_owned(),
        ..0.0995 => format!("{value:.3}"),
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match value.abs() {
        ..9_999.5 => digits(value),
        ..999_500.0 => digits(value / 1e3) + "k",
        _ => digits(value / 1e6) + "M",
    }
}
