//! `logboom stats`: counts of records by the values of a field, and over time.

use std::io;

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::arguments;
use crate::cli::client::{ApiClient, fields::invalid_names, http, parameters};
use crate::cli::terminal::{
    Output, PlotSeries, Screen, Style, TextTable, numbers, output, paint, plot, screen, text,
};
use crate::failure::Failure;
use crate::query::Field;
use crate::record::Column;
use crate::record::{csv, severity, time};

/// Steps of time if there is no terminal whose width they must fit.
const BUCKETS: usize = 60;
/// Cells of a line if there is no terminal whose width it must fit.
const COLUMNS: usize = 80;

/// Lines of the plot, without its axis.
const PLOT_ROWS: usize = 6;

/// Cells of the sparkline of one value in the table.
const SPARKLINE_CELLS_MAX: usize = 30;

/// Colours of values that are not severities, assigned in this order and repeated.
const STYLES: [Style; 5] = [Style::Cyan, Style::Green, Style::Yellow, Style::Blue, Style::Magenta];

/// The server's answer.
#[derive(Deserialize)]
struct Histogram {
    since: String,
    until: String,
    step_seconds: f64,
    by: String,
    series: Vec<CountedValue>,
    other: Option<CountedValue>,
    total: u64,
    #[serde(default)]
    partial: bool,
}

/// One value, and its number of records in each step of time.
#[derive(Deserialize)]
struct CountedValue {
    #[serde(default)]
    value: Value,
    total: u64,
    counts: Vec<u64>,
}

/// Sends the request to the server and shows the answer.
pub(super) fn run(matches: &ArgMatches, output: &mut Output) -> Result<(), Failure> {
    let fields = fields(matches)?;
    let mut parameters = parameters::search(parameters::query_text(matches), matches, time::now())?;
    let columns = output.screen.map_or(COLUMNS, |screen| screen.columns);
    let buckets = matches.get_one::<u64>("buckets").copied();
    let buckets = buckets.unwrap_or_else(|| default_buckets(output.screen));
    parameters.push(("buckets", buckets.to_string()));
    let client = ApiClient::new(matches)?;
    let is_unicode = !matches.get_flag("ascii")
        && output
            .screen
            .map_or_else(|| screen::is_unicode(|name| std::env::var(name).ok()), |screen| screen.is_unicode);
    let format = arguments::text(matches, "format");
    let mut is_partial = false;
    for (at, field) in fields.iter().enumerate() {
        let mut parameters = parameters.clone();
        parameters.push(("by", (*field).to_owned()));
        let body = client.get("/api/v1/histogram", &parameters, "application/json")?.all()?;
        let mut histogram: Histogram = http::parse(&body)?;
        if let Some(other) = &mut histogram.other {
            other.value = "(other)".into();
        }
        is_partial |= histogram.partial;
        match format {
            Some("json") => write_json(&body, output),
            Some("csv") => output.write_csv(|rows| append_csv(&histogram, at == 0, rows)),
            _ => Page { histogram: &histogram, columns, is_unicode }.write(at == 0, output),
        }?;
    }
    output.finish()?;
    if is_partial {
        output::note(
            "the counts are incomplete: the search took longer than the server's `query_seconds_max`",
        );
    }
    Ok(())
}

/// Returns the fields whose values are counted.
fn fields(matches: &ArgMatches) -> Result<Vec<&str>, Failure> {
    let list = arguments::text(matches, "by").unwrap_or_default();
    let fields: Vec<_> = list.split(',').map(str::trim).collect();
    if fields.contains(&"") {
        return Err(invalid_names("--by", "a name between the commas is empty", "severity,user_id"));
    }
    Ok(fields)
}

/// Returns as many steps as there are cells beside the axis.
fn default_buckets(screen: Option<Screen>) -> u64 {
    screen.map_or(BUCKETS, |screen| screen.columns.saturating_sub(AXIS_CELLS).clamp(1, 500)) as u64
}

fn write_json(body: &[u8], output: &mut Output) -> Result<(), Failure> {
    output.write_json(String::from_utf8_lossy(body).trim_end().replace('\n', " ").as_bytes())
}

impl Histogram {
    /// Returns the beginning of a step, in ns since the Unix epoch. Steps are aligned, and the
    /// first step may begin before the range.
    fn time(&self, step: usize) -> i64 {
        let nanoseconds = ((self.step_seconds * 1e9) as i64).max(1);
        let since = time::parse(&self.since).unwrap_or_default();
        let first = since - since.rem_euclid(nanoseconds);
        first.saturating_add(nanoseconds.saturating_mul(step as i64))
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &CountedValue> {
        self.series.iter().chain(&self.other)
    }
}

impl CountedValue {
    /// Returns the value, formatted for a person.
    fn name(&self) -> String {
        match &self.value {
            Value::Null => "-".into(),
            Value::String(text) => text::or_dash(text).into_owned(),
            other => text::json(&other.to_string()).into_owned(),
        }
    }
}

fn append_csv(histogram: &Histogram, is_first: bool, rows: &mut Vec<u8>) -> io::Result<()> {
    if is_first {
        rows.extend_from_slice(b"by,value,time,count\r\n");
    }
    for counted in histogram.all() {
        let value = match &counted.value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for (step, count) in counted.counts.iter().enumerate() {
            let mut row = csv::CsvRow::new(rows);
            row.text(&histogram.by)?;
            row.text(&value)?;
            row.raw(&time::format(histogram.time(step)))?;
            row.raw(&count.to_string())?;
            row.end()?;
        }
    }
    Ok(())
}

/// Cells of the numbers at the left of the plot, and of the axis itself.
const AXIS_CELLS: usize = 8;

/// The counts of one field, formatted for a person.
struct Page<'a> {
    histogram: &'a Histogram,
    columns: usize,
    is_unicode: bool,
}

impl Page<'_> {
    /// Writes range and plot before the table of the first field only: range and plot of the other
    /// fields look the same.
    fn write(&self, is_first: bool, output: &mut Output) -> Result<(), Failure> {
        if is_first {
            self.write_heading(output)?;
            if self.histogram.total > 0 {
                self.write_plot(output)?;
            }
        }
        if self.histogram.total == 0 {
            return Ok(());
        }
        writeln!(output)?;
        self.write_table(output)
    }

    fn write_heading(&self, output: &mut Output) -> Result<(), Failure> {
        let Histogram { since, until, step_seconds, total, .. } = self.histogram;
        let short = |time: &str| text::one_line(time.get(..19).unwrap_or(time)).replace('T', " ");
        let line =
            format!("{} to {} UTC: {}", short(since), short(until), numbers::counted(*total, "record"));
        let step = format!(", {} a bar", seconds(*step_seconds));
        let step = if *total > 0 { step.as_str() } else { "" };
        writeln!(output, "{}{step}", output.paint.text(Style::Bold, &line))
    }

    /// Returns each value with its style, in the order in which the values are stacked: the most
    /// important at the bottom.
    fn stacked(&self) -> Vec<(&CountedValue, Style)> {
        let is_severity = Field::of_name(&self.histogram.by) == Some(Field::Column(Column::Severity));
        let style = |(at, counted): (usize, &CountedValue)| match &counted.value {
            Value::String(word) if is_severity => {
                paint::of_severity(severity::from_text(word).unwrap_or_default())
            }
            _ if is_severity => Style::Normal,
            _ => STYLES[at % STYLES.len()],
        };
        let series = &self.histogram.series;
        let mut stacked: Vec<_> = series.iter().enumerate().map(|pair| (pair.1, style(pair))).collect();
        if is_severity {
            let rank =
                |counted: &CountedValue| severity::from_text(counted.value.as_str().unwrap_or_default());
            stacked.sort_by_key(|(counted, _)| std::cmp::Reverse(rank(counted)));
        }
        stacked.extend(self.histogram.other.iter().map(|other| (other, Style::Dim)));
        stacked
    }

    fn write_plot(&self, output: &mut Output) -> Result<(), Failure> {
        let stacked = self.stacked();
        let series: Vec<_> = stacked
            .iter()
            .map(|(counted, style)| PlotSeries { style: *style, counts: &counted.counts })
            .collect();
        let totals = plot::totals(&series);
        let steps = totals.len().max(1);
        let bar = (self.columns.saturating_sub(AXIS_CELLS) / steps).clamp(1, 4);
        let highest = totals.into_iter().max().unwrap_or(0);
        let (side, corner, ground) =
            if self.is_unicode { ("\u{2524}", "\u{2514}", "\u{2500}") } else { ("|", "+", "-") };
        for (row, line) in
            plot::bars(&series, PLOT_ROWS, bar, self.is_unicode, output.paint).iter().enumerate()
        {
            let label = if row == 0 { numbers::compact(highest) } else { String::new() };
            let axis = output.paint.text(Style::Dim, &format!("{label:>6} {side}"));
            writeln!(output, "{axis}{line}")?;
        }
        let axis = format!("{:>6} {corner}{}", 0, ground.repeat(steps * bar));
        writeln!(output, "{}", output.paint.text(Style::Dim, &axis))?;
        let times = self.times(steps, bar);
        writeln!(output, "{}", output.paint.text(Style::Dim, &times))
    }

    /// Returns the times below the axis, as many as there is room for.
    fn times(&self, steps: usize, bar: usize) -> String {
        let range = self.histogram.step_seconds * steps as f64;
        let mut line = " ".repeat(AXIS_CELLS);
        let mut step = 0;
        while step < steps {
            let label = label(&time::format(self.histogram.time(step)), self.histogram.step_seconds, range);
            let column = AXIS_CELLS + step * bar;
            if column + label.len() > self.columns.max(AXIS_CELLS + steps * bar) {
                break;
            }
            line.push_str(&" ".repeat(column - line.len()));
            line.push_str(&label);
            step += (label.len() + 4).div_ceil(bar).max(steps.div_ceil(6));
        }
        line
    }

    fn write_table(&self, output: &mut Output) -> Result<(), Failure> {
        let mut table = TextTable::new([self.histogram.by.as_str(), "records", "share", "over time"]);
        for (counted, style) in self.stacked() {
            if counted.total == 0 {
                continue;
            }
            let share = counted.total as f64 * 100.0 / self.histogram.total.max(1) as f64;
            let share = if share < 0.1 { "< 0.1 %".into() } else { format!("{share:.1} %") };
            let cells = self.columns.saturating_sub(50).clamp(10, SPARKLINE_CELLS_MAX);
            let course = plot::sparkline(&counted.counts, cells, self.is_unicode);
            table.styled_row(
                style,
                [
                    (counted.name(), false),
                    (numbers::thousands(counted.total), true),
                    (share, true),
                    (course, false),
                ],
            );
        }
        table.write(output)
    }
}

/// Formats a step of time in its largest whole unit.
fn seconds(seconds: f64) -> String {
    for (unit, name) in [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")] {
        if seconds >= unit && seconds % unit == 0.0 {
            return format!("{} {name}", seconds / unit);
        }
    }
    if seconds < 1.0 { format!("{} ms", seconds * 1000.0) } else { format!("{seconds} s") }
}

/// Returns the part of a time that distinguishes one step from the others.
fn label(timestamp: &str, step_seconds: f64, range_seconds: f64) -> String {
    let part = match (step_seconds, range_seconds) {
        (step, _) if step >= 86_400.0 => 0..10,
        (_, range) if range > 86_400.0 => 5..16,
        (step, _) if step >= 60.0 => 11..16,
        (step, _) if step >= 1.0 => 11..19,
        _ => 11..23,
    };
    timestamp.get(part).unwrap_or(timestamp).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::testing::run_against;

    const ANSWER: &str = r#"{"since":"2026-11-21T10:00:30.000000000Z","until":"2026-11-21T10:08:00.000000000Z","step_seconds":60,
        "by":"severity","series":[{"value":"INFO","total":1200,"counts":[0,100,200,300,300,200,50,50]},
        {"value":"ERROR","total":1,"counts":[0,0,0,0,1,0,0,0]},{"value":"","total":3,"counts":[3,0,0,0,0,0,0,0]},
        {"value":"WARN","total":0,"counts":[0,0,0,0,0,0,0,0]}],"other":null,"total":1204,"partial":false}"#;

    fn ask(arguments: &[&str], body: &str) -> (String, String) {
        let words = [&["stats"][..], arguments].concat();
        let screen = Screen { columns: 60, rows: 24, is_unicode: true };
        let (text, result, request) = run_against(&[("200 OK", body.into())], &words, Some(screen));
        result.unwrap();
        (text, request)
    }

    #[test]
    fn text_has_heading_plot_and_table() {
        let (text, request) = ask(&["--by=severity", "level>=info", "--since=2026-11-21", "--ascii"], ANSWER);
        let expected = "\
2026-11-21 10:00:30 to 2026-11-21 10:08:00 UTC: 1,204 records, 1 min a bar
   301 |            ########
       |            ########
       |        ################
       |        ################
       |    ####################
       |....############################
     0 +--------------------------------
        10:00       10:03       10:06

severity  records    share  over time
ERROR           1  < 0.1 %      #
INFO        1,200   99.7 %   -*##*::
-               3    0.2 %  #
";
        assert_eq!(text, expected);
        let line = request.lines().next().unwrap();
        let asked = "GET /api/v1/histogram?q=level%3E%3Dinfo&since=2026-11-21T00%3A00%3A00.000000000Z&buckets=52&by=severity HTTP/1.1";
        assert_eq!(line, asked);
    }

    #[test]
    fn csv_has_the_time_of_every_step() {
        let (text, _) = ask(&["--by=severity", "--format=csv"], ANSWER);
        let rows: Vec<_> = text.lines().collect();
        assert_eq!(rows[..2], ["by,value,time,count", "severity,INFO,2026-11-21T10:00:00.000000000Z,0"]);
        assert_eq!((rows[2], rows.len()), ("severity,INFO,2026-11-21T10:01:00.000000000Z,100", 33));
    }

    #[test]
    fn json_is_the_answer_on_one_line() {
        let (text, _) = ask(&["--by=severity", "--format=json"], ANSWER);
        assert_eq!(text.lines().count(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            serde_json::from_str::<Value>(ANSWER).unwrap()
        );
    }

    #[test]
    fn empty_result_has_a_heading_only() {
        let none = r#"{"since":"2026-11-21T10:00:00.000000000Z","until":"2026-11-21T11:00:00.000000000Z","step_seconds":60,
            "by":"x","series":[],"other":null,"total":0}"#;
        assert_eq!(ask(&["--by=x"], none).0, "2026-11-21 10:00:00 to 2026-11-21 11:00:00 UTC: 0 records\n");
    }

    #[test]
    fn control_characters_of_values_are_escaped() {
        let evil = r#"{"since":"\u001b[2J","until":"x","step_seconds":0,"by":"\u001b","series":
            [{"value":"\u001b[2J\n","total":1,"counts":[1]},{"value":{"a":"\u009b"},"total":1,"counts":[1,1]}],"other":
            {"total":1,"counts":[]},"total":3}"#;
        for format in ["text", "csv", "json"] {
            let (text, _) = ask(&["--by=x", "--format", format], evil);
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn steps_and_times_are_shortened() {
        assert_eq!(
            [0.005, 30.0, 90.0, 7200.0, 86_400.0].map(seconds),
            ["5 ms", "30 s", "90 s", "2 h", "1 d"]
        );
        let at = "2026-11-21T10:00:30.250000000Z";
        assert_eq!(label(at, 0.1, 5.0), "10:00:30.250");
        assert_eq!(label(at, 60.0, 3600.0), "10:00");
        assert_eq!(label(at, 3600.0, 200_000.0), "11-21 10:00");
    }
}
