//! Line plots for a terminal, in braille dots: 2 x 4 dots a character.
//!
//! Promises: as many lines as asked for and none wider than asked for; points that are no number
//! are left out; a constant is a line in the middle.

/// A plot of one or several lines over the same x.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// Characters across, the scale at the left included.
    pub width: usize,
    /// Lines down, without the line of x labels.
    pub height: usize,
}

/// Room for the scale at the left.
const SCALE_CHARS: usize = 10;
/// Bits of a braille character by dot row and dot column.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl Plot {
    /// Draws points (x, y) in any order as a line; `labels` stand below the left and right ends.
    #[must_use]
    pub fn draw(&self, points: &[(f64, f64)], labels: (&str, &str)) -> String {
        let across = self.width.saturating_sub(SCALE_CHARS + 2).max(8);
        let down = self.height.max(2);
        let mut points: Vec<(f64, f64)> = points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some((low, high)) = ends(points.iter().map(|point| point.1)) else { return "  (nothing to draw)\n".to_owned() };
        let (first, last) = ends(points.iter().map(|point| point.0)).unwrap_or((0.0, 1.0));
        let mut canvas = Canvas::new(across, down);
        let part = |value: f64, low: f64, high: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
        canvas.line(points.into_iter().map(|(x, y)| Some((part(x, first, last), part(y, low, high)))), 0);
        self.frame(&canvas, (low, high), labels)
    }

    fn frame(&self, canvas: &Canvas, (low, high): (f64, f64), labels: (&str, &str)) -> String {
        let (across, down) = (canvas.across, canvas.down);
        let mut out = String::new();
        for i in 0..down {
            let scale = match i {
                0 => number(high),
                i if i + 1 == down => number(low),
                i if i == down / 2 && down >= 5 => number(low + (high - low) * (down - 1 - i) as f64 / (down - 1) as f64),
                _ => String::new(),
            };
            let line: String = canvas.row(i).map(|cell| cell.map_or(BLANK, |(dots, _)| dots)).collect();
            out.push_str(&format!("{scale:>SCALE_CHARS$} │{line}\n"));
        }
        let room = across.saturating_sub(labels.0.chars().count());
        out.push_str(&format!("{:SCALE_CHARS$} └{}{:>room$}\n", "", labels.0, labels.1));
        out
    }
}

/// Characters to draw lines in.
#[derive(Clone, Debug)]
pub struct Canvas {
    across: usize,
    down: usize,
    dots: Vec<u8>,
    /// Whose line went through a character last.
    owners: Vec<usize>,
}

/// A braille character without dots.
const BLANK: char = '\u{2800}';

impl Canvas {
    /// So many characters across and down.
    #[must_use]
    pub fn new(across: usize, down: usize) -> Canvas {
        Canvas { across, down, dots: vec![0; across * down], owners: vec![0; across * down] }
    }

    /// Draws a line of that owner through points, given as parts (0 to 1) of the way from the left and from below; None
    /// is a gap.
    pub fn line(&mut self, points: impl Iterator<Item = Option<(f64, f64)>>, owner: usize) {
        let (dots_x, dots_y) = (self.across * 2, self.down * 4);
        let place = |part: f64, dots: usize| ((part * (dots - 1) as f64).round() as usize).min(dots - 1);
        let mut before: Option<(usize, usize)> = None;
        for point in points {
            let Some((x, y)) = point else {
                before = None;
                continue;
            };
            let at = (place(x, dots_x), dots_y - 1 - place(y, dots_y));
            let from = before.unwrap_or(at);
            let steps = from.0.abs_diff(at.0).max(from.1.abs_diff(at.1)).max(1);
            for step in 0..=steps {
                let between =
                    |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * step as f64 / steps as f64).round() as usize;
                let (x, y) = (between(from.0, at.0), between(from.1, at.1));
                let cell = (y / 4) * self.across + x / 2;
                self.dots[cell] |= DOTS[y % 4][x % 2];
                self.owners[cell] = owner;
            }
            before = Some(at);
        }
    }

    /// The characters of a row in braille, each with its owner; None where nothing is drawn.
    pub fn row(&self, row: usize) -> impl Iterator<Item = Option<(char, usize)>> {
        let cells = row * self.across..(row + 1) * self.across;
        let cell = |at: usize| {
            let dots = char::from_u32(0x2800 + u32::from(self.dots[at])).unwrap_or(BLANK);
            (self.dots[at] != 0).then_some((dots, self.owners[at]))
        };
        cells.map(cell)
    }
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 || (v > 0.0 && v < 1e-3) => format!("{value:.2e}"),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_goes_from_the_lower_left_to_the_upper_right() {
        let points: Vec<(f64, f64)> = (0..100).map(|i| (f64::from(i), f64::from(i))).collect();
        let drawn = Plot { width: 32, height: 4 }.draw(&points, ("a", "b"));
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("     99.00 │") && lines[3].starts_with("      0.00 │"), "{drawn}");
        assert!(lines[0].ends_with('⠉') || lines[0].ends_with('⠋') || !lines[0].ends_with('⠀'), "{drawn}");
        assert!(!lines[3].contains("│⠀") && lines[3].ends_with('⠀'), "{drawn}");
        assert!(lines[4].contains("└a") && lines[4].ends_with('b'));
        assert!(lines.iter().all(|line| line.chars().count() <= 32));
    }

    #[test]
    fn odd_data_is_drawn_too() {
        let plot = Plot { width: 40, height: 3 };
        assert!(plot.draw(&[], ("", "")).contains("nothing"));
        assert!(plot.draw(&[(f64::NAN, 1.0), (0.0, f64::INFINITY)], ("", "")).contains("nothing"));
        let constant = plot.draw(&[(0.0, 5.0), (1.0, 5.0)], ("", ""));
        let dots = |line: &str| line.chars().any(|c| ('\u{2801}'..='\u{28FF}').contains(&c));
        let lines: Vec<&str> = constant.lines().collect();
        assert!(dots(lines[1]) && !dots(lines[0]) && !dots(lines[2]), "{constant}");
    }
}
