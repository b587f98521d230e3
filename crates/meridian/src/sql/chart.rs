//! Several lines over one axis of time, drawn in characters.
//!
//! Promises: nothing is wider than asked for; scales have round numbers and round times; each line has an ink of its
//! own, or a mark of its own where there are no inks.

use super::print::{cut, width};
use crate::plot::Canvas;
use crate::terminal::{Ink, Terminal};
use chrono::DateTime;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// Seconds since 1970 UTC and values, in order of time; NaN is a gap.
    pub points: Vec<(f64, f64)>,
}

/// A drawing.
#[derive(Clone, Copy, Debug)]
pub struct Chart {
    /// Columns, all included.
    pub width: usize,
    /// Lines of the drawing alone.
    pub height: usize,
    /// Whether more than ASCII can be drawn.
    pub unicode: bool,
    /// What the times' labels are ahead of UTC, in seconds.
    pub offset: i64,
}

/// Inks, in the order in which lines get them.
const INKS: [Ink; 6] = [Ink::Cyan, Ink::Yellow, Ink::Magenta, Ink::Green, Ink::Red, Ink::Blue];
/// Marks, where there are no inks.
const MARKS: [char; 12] = ['*', '+', 'o', 'x', '#', '@', '%', '&', '=', '~', '^', '$'];
/// Columns between two labels of the axis of time.
const LABEL_GAP: usize = 4;

impl Chart {
    /// Draws it.
    pub fn draw(&self, lines: &[Line], terminal: &Terminal) -> String {
        let points = || lines.iter().flat_map(|line| &line.points).filter(|(_, y)| y.is_finite());
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        let (first, last) = ends(&mut points().map(|point| point.0));
        let (low, high) = ends(&mut points().map(|point| point.1));
        let scale = Scale::over(low, high, (self.height / 4).max(2));
        let labels: Vec<String> = scale.ticks().map(|tick| scale.label(tick)).collect();
        let margin = labels.iter().map(String::len).max().unwrap_or(1) + 1;
        let across = self.width.saturating_sub(margin + 3).max(16);
        let mut canvas = Canvas::new(across, self.height);
        for (i, line) in lines.iter().enumerate() {
            let place = |(x, y): (f64, f64)| {
                let part = |value: f64, low: f64, high: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
                y.is_finite().then(|| (part(x, first, last), part(y, scale.low, scale.high)))
            };
            canvas.line(line.points.iter().map(|point| place(*point)), i);
        }
        let mut rows: Vec<Option<String>> = vec![None; self.height];
        for (tick, label) in scale.ticks().zip(labels) {
            let part = (tick - scale.low) / (scale.high - scale.low);
            let row = ((1.0 - part) * (self.height - 1) as f64).round() as usize;
            rows[row.min(self.height - 1)] = Some(label);
        }
        let (side, notch) = if self.unicode { ("│", "┤") } else { ("|", "+") };
        let braille = self.unicode && (terminal.has_colours() || lines.len() == 1);
        let mut out = String::new();
        for (row, label) in rows.iter().enumerate() {
            let edge = if label.is_some() { notch } else { side };
            let text = self.row(&canvas, row, braille, terminal);
            out.push_str(&format!("{:>margin$} {edge}{text}\n", label.as_deref().unwrap_or_default()));
        }
        out.push_str(&self.times(first, last, margin, across));
        out.push_str(&self.legend(lines, braille, terminal));
        out
    }

    /// One row of the canvas: stretches of one line in its ink.
    fn row(&self, canvas: &Canvas, row: usize, braille: bool, terminal: &Terminal) -> String {
        let mut out = String::new();
        let (mut stretch, mut owner) = (String::new(), None);
        for cell in canvas.row(row) {
            let (c, whose) = match cell {
                None => (' ', owner),
                Some((dots, line)) if braille => (dots, Some(line)),
                Some((_, line)) => (MARKS[line % MARKS.len()], Some(line)),
            };
            if whose != owner {
                out.push_str(&inked(terminal, owner, &stretch));
                stretch.clear();
                owner = whose;
            }
            stretch.push(c);
        }
        out.push_str(&inked(terminal, owner, stretch.trim_end()));
        out.trim_end().to_owned()
    }

    /// The axis of time with its labels.
    fn times(&self, first: f64, last: f64, margin: usize, across: usize) -> String {
        let (corner, line, tick) = if self.unicode { ('└', '─', '┬') } else { ('+', '-', '+') };
        let offset = self.offset as f64;
        let (from, to) = (first + offset, last + offset);
        let (step, format) = time_step(to - from, across);
        let mut axis = vec![line; across];
        let mut labels = vec![' '; across];
        let mut free = 0;
        let mut at = (from / step).ceil() * step;
        while at <= to && step > 0.0 {
            let part = if to > from { (at - from) / (to - from) } else { 0.5 };
            let column = ((part * (across - 1) as f64).round() as usize).min(across - 1);
            let text = shown(at, format);
            let start = column.saturating_sub(text.len() / 2).min(across.saturating_sub(text.len()));
            axis[column] = tick;
            if start >= free {
                for (i, c) in text.chars().enumerate().take(across - start) {
                    labels[start + i] = c;
                }
                free = start + text.len() + LABEL_GAP;
            }
            at += step;
        }
        let labels: String = labels.into_iter().collect();
        let zone = match self.offset {
            0 => "+00".to_owned(),
            offset => format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, offset.abs() / 3600, offset.abs() / 60 % 60),
        };
        let (from, to) = (shown(from, "%Y-%m-%d %H:%M:%S"), shown(to, "%Y-%m-%d %H:%M:%S"));
        let fits = 2 * (from.len() + zone.len()) + 4 <= self.width;
        let ends = if fits {
            vec![format!("{from}{zone} .. {to}{zone}")]
        } else {
            vec![format!("{from}{zone} .."), format!("{to}{zone}")]
        };
        let axis: String = axis.into_iter().collect();
        let mut out = format!("{:margin$} {corner}{axis}\n{:margin$}  {}\n", "", "", labels.trim_end());
        for line in ends {
            let indent = (margin + 2 + across.saturating_sub(line.len()) / 2).min(self.width.saturating_sub(line.len()));
            out.push_str(&format!("{:indent$}{line}\n", ""));
        }
        out
    }

    /// What each line is, and its newest value.
    fn legend(&self, lines: &[Line], braille: bool, terminal: &Terminal) -> String {
        let mut out = String::new();
        let mut used = 0;
        for (i, line) in lines.iter().enumerate() {
            let newest =
                line.points.iter().rev().find(|(_, y)| y.is_finite()).map_or(String::new(), |(_, y)| format!(" {}", brief(*y)));
            let room = self.width.saturating_sub(8 + newest.len());
            let mark = if braille { "──".to_owned() } else { MARKS[i % MARKS.len()].to_string() };
            let text = format!("{}{newest}", cut(&line.name, room, if self.unicode { "…" } else { "..." }));
            let wide = width(&mark) + 1 + width(&text) + 3;
            if used > 0 && used + wide > self.width {
                out.push('\n');
                used = 0;
            }
            out.push_str(&format!("{}{} {text}", if used == 0 { "  " } else { "   " }, inked(terminal, Some(i), &mark)));
            used += wide;
        }
        out.push('\n');
        out
    }
}

fn inked(terminal: &Terminal, owner: Option<usize>, text: &str) -> String {
    match owner {
        Some(line) if !text.trim().is_empty() => terminal.ink(INKS[line % INKS.len()], text),
        _ => text.to_owned(),
    }
}

fn shown(seconds: f64, format: &str) -> String {
    let micros = (seconds * 1e6).round() as i64;
    DateTime::from_timestamp_micros(micros).map_or_else(String::new, |time| time.format(format).to_string())
}

/// A value in few characters.
fn brief(value: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e7 || value.abs() < 1e-3) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Steps of time that people count in, with the format of labels in that step, in seconds.
const STEPS: [(f64, &str); 27] = [
    (0.001, "%H:%M:%S%.3f"),
    (0.01, "%H:%M:%S%.3f"),
    (0.1, "%H:%M:%S%.3f"),
    (0.5, "%H:%M:%S%.3f"),
    (1.0, "%H:%M:%S"),
    (2.0, "%H:%M:%S"),
    (5.0, "%H:%M:%S"),
    (10.0, "%H:%M:%S"),
    (15.0, "%H:%M:%S"),
    (30.0, "%H:%M:%S"),
    (60.0, "%H:%M"),
    (120.0, "%H:%M"),
    (300.0, "%H:%M"),
    (600.0, "%H:%M"),
    (900.0, "%H:%M"),
    (1800.0, "%H:%M"),
    (3600.0, "%H:%M"),
    (7200.0, "%H:%M"),
    (10_800.0, "%H:%M"),
    (21_600.0, "%m-%d %H:%M"),
    (43_200.0, "%m-%d %H:%M"),
    (86_400.0, "%m-%d"),
    (172_800.0, "%m-%d"),
    (604_800.0, "%Y-%m-%d"),
    (2_419_200.0, "%Y-%m-%d"),
    (7_862_400.0, "%Y-%m-%d"),
    (31_557_600.0, "%Y"),
];

/// The smallest step whose labels fit beside each other.
fn time_step(span: f64, across: usize) -> (f64, &'static str) {
    let fits = |step: f64, format: &str| {
        let wide = shown(0.0, format).len() + LABEL_GAP;
        span / step * wide as f64 <= across as f64
    };
    let found = STEPS.iter().find(|(step, format)| fits(*step, format)).copied();
    found.unwrap_or_else(|| {
        let years = (span / 31_557_600.0 / (across as f64 / 8.0)).ceil();
        (31_557_600.0 * years.max(1.0), "%Y")
    })
}

/// A scale with round numbers.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    fn over(low: f64, high: f64, ticks: usize) -> Scale {
        let (low, high) =
            if high > low { (low, high) } else { (low - low.abs().max(1.0) * 0.5, high + high.abs().max(1.0) * 0.5) };
        let rough = (high - low) / ticks as f64;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|times| times * unit).find(|step| *step >= rough).unwrap_or(rough);
        let (round_low, round_high) = ((low / step).floor() * step, (high / step).ceil() * step);
        // Beyond what doubles can tell apart there are no round numbers.
        if round_high > round_low && step > 0.0 && ((round_high - round_low) / step) < 100.0 {
            Scale { low: round_low, high: round_high, step }
        } else {
            Scale { low, high, step: high - low }
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 100.0) as u32;
        let (low, step) = (self.low, self.step);
        (0..=count).map(move |i| low + f64::from(i) * step)
    }

    fn label(&self, value: f64) -> String {
        let value = if value.abs() < self.step * 1e-9 { 0.0 } else { value };
        if self.high.abs().max(self.low.abs()) >= 1e7 || self.step < 1e-4 {
            return format!("{value:.3e}");
        }
        let digits = (0..6).find(|digits| {
            let scaled = self.step * 10_f64.powi(*digits);
            (scaled - scaled.round()).abs() < 1e-6
        });
        format!("{value:.*}", digits.unwrap_or(4) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, of: fn(f64) -> f64) -> Line {
        Line { name: name.to_owned(), points: (0..100).map(|i| (f64::from(i) * 60.0, of(f64::from(i)))).collect() }
    }

    #[test]
    fn a_chart_fits_and_says_what_is_what() {
        for unicode in [true, false] {
            for width in [40, 80, 200] {
                let chart = Chart { width, height: 12, unicode, offset: 0 };
                let drawn = chart.draw(&[line("rising", |i| i), line("falling", |i| -i)], &Terminal::plain());
                assert!(drawn.lines().all(|line| super::width(line) <= width), "{width}:\n{drawn}");
                assert!(drawn.contains("* rising 99") && drawn.contains("+ falling -99"), "{drawn}");
                assert!(drawn.contains("1970-01-01 00:00:00+00 .."), "{drawn}");
                assert!(drawn.contains("-100 ") && drawn.contains(" 100 ") && drawn.contains("01:00"), "{drawn}");
            }
        }
    }

    #[test]
    fn a_rising_line_rises() {
        let chart = Chart { width: 60, height: 8, unicode: true, offset: 3600 };
        let drawn = chart.draw(&[line("a", |i| i)], &Terminal::plain());
        let rows: Vec<&str> = drawn.lines().collect();
        let dots =
            |row: &str| row.chars().enumerate().filter(|(_, c)| ('\u{2801}'..='\u{28FF}').contains(c)).map(|(i, _)| i).max();
        assert!(dots(rows[0]) > dots(rows[4]) && dots(rows[4]) > dots(rows[7]), "{drawn}");
        assert!(drawn.contains("01:00:00+01:00"), "{drawn}");
    }

    #[test]
    fn scales_are_round_and_a_constant_is_in_the_middle() {
        let scale = Scale::over(0.3, 9.7, 4);
        assert_eq!((scale.low, scale.high), (0.0, 10.0));
        assert_eq!(scale.ticks().map(|tick| scale.label(tick)).collect::<Vec<_>>(), ["0.0", "2.5", "5.0", "7.5", "10.0"]);
        let constant = Scale::over(5.0, 5.0, 4);
        assert!(constant.low < 5.0 && constant.high > 5.0);
        assert!(Scale::over(1e300, 1.0000001e300, 4).ticks().count() >= 2);
    }
}
