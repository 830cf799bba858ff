//! Numbers as bars, in the block characters of Unicode or in ASCII.

use super::paint::{Paint, Style};

/// Levels of a cell, from empty to full.
const BLOCKS: [char; 9] =
    [' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
const ASCII_BARS: [char; 9] = [' ', '.', '.', '.', ':', ':', ':', '#', '#'];
const ASCII_SPARKS: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '%', '#'];

/// One of the series that are stacked in a plot, from the bottom up.
pub(crate) struct PlotSeries<'a> {
    pub(crate) style: Style,
    pub(crate) counts: &'a [u64],
}

/// Returns the lines of a bar plot, from the top down: `rows` cells high, each bar `bar` cells
/// wide.
pub(crate) fn bars(
    series: &[PlotSeries<'_>],
    rows: usize,
    bar: usize,
    is_unicode: bool,
    paint: Paint,
) -> Vec<String> {
    let totals = totals(series);
    let highest = totals.iter().copied().max().unwrap_or(0).max(1);
    let line = |row: usize| {
        let mut line = String::new();
        for (at, total) in totals.iter().enumerate() {
            let cell = cell(eighths(*total, highest, rows), row, is_unicode);
            let text = String::from(cell).repeat(bar);
            line.push_str(&match cell {
                ' ' => text,
                _ => paint.text(style(series, at, row, rows, highest), &text),
            });
        }
        line.truncate(line.trim_end().len());
        line
    };
    (0..rows).rev().map(line).collect()
}

/// Returns one line of at most `cells_max` cells that shows the course of the counts, without
/// trailing blanks.
pub(crate) fn sparkline(counts: &[u64], cells_max: usize, is_unicode: bool) -> String {
    let sums: Vec<u64> = counts
        .chunks(counts.len().div_ceil(cells_max.max(1)).max(1))
        .map(|counts| counts.iter().sum())
        .collect();
    let highest = sums.iter().copied().max().unwrap_or(0).max(1);
    let sparks = if is_unicode { BLOCKS } else { ASCII_SPARKS };
    let line: String = sums.iter().map(|sum| sparks[eighths(*sum, highest, 1)]).collect();
    line.trim_end().to_owned()
}

/// Returns the total of the series for each bar.
pub(crate) fn totals(series: &[PlotSeries<'_>]) -> Vec<u64> {
    let length = series.iter().map(|series| series.counts.len()).max().unwrap_or(0);
    let total = |at: usize| series.iter().filter_map(|series| series.counts.get(at)).sum();
    (0..length).map(total).collect()
}

/// Returns the height of a bar in eighths of a cell; a count above 0 is always visible.
fn eighths(count: u64, highest: u64, rows: usize) -> usize {
    let height = (u128::from(count) * rows as u128 * 8).div_ceil(u128::from(highest).max(1));
    usize::try_from(height).unwrap_or(usize::MAX)
}

fn cell(eighths: usize, row: usize, is_unicode: bool) -> char {
    let part = eighths.saturating_sub(row * 8).min(8);
    if is_unicode { BLOCKS[part] } else { ASCII_BARS[part] }
}

/// Returns the style of the series that covers the middle of a cell; above all series, the style of
/// the uppermost one.
fn style(series: &[PlotSeries<'_>], at: usize, row: usize, rows: usize, highest: u64) -> Style {
    let middle = (row as f64 + 0.5) / rows as f64 * highest as f64;
    let mut below = 0.0;
    let mut uppermost = Style::Normal;
    for PlotSeries { style, counts } in series {
        let count = counts.get(at).copied().unwrap_or(0);
        if count > 0 {
            below += count as f64;
            uppermost = *style;
        }
        if below >= middle {
            break;
        }
    }
    uppermost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_from_the_top_down() {
        let series = [
            PlotSeries { style: Style::Red, counts: &[0, 1, 8] },
            PlotSeries { style: Style::Green, counts: &[0, 7, 8] },
        ];
        assert_eq!(bars(&series, 2, 1, true, Paint::Plain), ["  \u{2588}", " \u{2588}\u{2588}"]);
        assert_eq!(bars(&series, 1, 2, false, Paint::Plain), ["  ::##"]);
        let painted = bars(&series, 2, 1, true, Paint::Colours);
        assert_eq!(painted, ["  \x1b[32m\u{2588}\x1b[0m", " \x1b[32m\u{2588}\x1b[0m\x1b[31m\u{2588}\x1b[0m"]);
    }

    #[test]
    fn smallest_count_is_visible_and_largest_fits() {
        assert_eq!(sparkline(&[0, 1, u64::MAX / 2], 10, true), " \u{2581}\u{2588}");
        assert_eq!(sparkline(&[1, 1, 2, 2, 0], 3, false), "=#");
        assert_eq!((sparkline(&[], 5, true), sparkline(&[0, 0], 0, false)), (String::new(), String::new()));
        let none: [PlotSeries<'_>; 0] = [];
        assert_eq!(bars(&none, 2, 1, true, Paint::Plain), ["", ""]);
    }
}
