//! plotters' SVG backend in pixels, with colours from CSS.
//!
//! plotters writes only colours of six digits and whole coordinates. So the pen draws in
//! placeholder colours, which CSS variables replace in the text, and on a finer grid, which the
//! view box scales down.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

const FINE: f64 = 4.0;

/// Further lanes have the same colours with other shapes.
pub const COLOURS_COUNT: usize = 7;

/// What a mark shows. CSS chooses its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Muted,
    Grid,
    Paper,
    Band,
    /// A lane, by its place in the header.
    Lane(usize),
    Part(usize),
}

impl Ink {
    fn code(self) -> u8 {
        match self {
            Ink::Text => 0,
            Ink::Muted => 1,
            Ink::Grid => 2,
            Ink::Paper => 3,
            Ink::Band => 4,
            Ink::Lane(index) => 0x10 + (index % COLOURS_COUNT) as u8,
            Ink::Part(index) => 0x20 + (index % 8) as u8,
        }
    }

    fn variable(code: u8) -> String {
        match code {
            0 => "--ink".to_owned(),
            1 => "--muted".to_owned(),
            2 => "--grid".to_owned(),
            3 => "--paper".to_owned(),
            4 => "--band".to_owned(),
            0x10..0x20 => format!("--lane-{}", code - 0x10),
            _ => format!("--part-{}", code - 0x20),
        }
    }

    fn colour(self) -> RGBColor {
        RGBColor(0xfa, 0xce, self.code())
    }
}

/// The shape of a lane's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle that points up.
    Up,
    /// A square on its corner.
    Diamond,
    /// A triangle that points down.
    Down,
    /// A ring.
    Ring,
}

impl Shape {
    /// The shape of the lane with this index in the header. Shapes and colours distinguish 42
    /// lanes.
    #[must_use]
    pub fn of_lane(index: usize) -> Shape {
        [
            Shape::Circle,
            Shape::Square,
            Shape::Up,
            Shape::Diamond,
            Shape::Down,
            Shape::Ring,
        ][index % 6]
    }
}

/// A chart's text for readers who cannot see it.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// An id that is unique in its page.
    pub id: String,
    /// The title.
    pub title: String,
    /// A description of the picture.
    pub description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

pub(super) struct Pen<'a> {
    backend: SVGBackend<'a>,
}

pub(super) fn svg(
    width: f64,
    height: f64,
    caption: &Caption,
    draw: impl FnOnce(&mut Pen<'_>),
) -> String {
    let mut text = String::new();
    let grid = |length: f64| (length * FINE) as u32;
    let mut pen = Pen {
        backend: SVGBackend::with_string(&mut text, (grid(width), grid(height))),
    };
    draw(&mut pen);
    // The backend writes to a string, which cannot fail.
    let _ = pen.backend.present();
    drop(pen);
    finish(&text, width, height, caption)
}

/// Inserts the title and removes redundant text.
fn finish(text: &str, width: f64, height: f64, caption: &Caption) -> String {
    let body = text.split_once('>').map_or("", |(_, body)| body);
    let mut body = body
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace("\n", "");
    for code in 0..=u8::MAX {
        let marked = format!("#FACE{code:02X}\"");
        if body.contains(&marked) {
            body = body.replace(&marked, &format!("var({})\"", Ink::variable(code)));
        }
    }
    let id = escape(&caption.id);
    format!(
        "<svg class=\"chart\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>{body}",
        width * FINE,
        height * FINE,
        escape(&caption.title),
        escape(&caption.description),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

fn point(x: f64, y: f64) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn style(ink: Ink, alpha: f64, width: f64) -> ShapeStyle {
    ShapeStyle {
        color: ink.colour().mix(alpha),
        filled: true,
        stroke_width: (width * FINE).round() as u32,
    }
}

/// Writing to a string cannot fail, so the backend's results are ignored.
impl Pen<'_> {
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) {
        let (from, to) = (point(from.0, from.1), point(to.0, to.1));
        let _ = self.backend.draw_line(from, to, &style(ink, 1.0, width));
    }

    pub(super) fn dashes(&mut self, path: &[(f64, f64)], ink: Ink, width: f64) {
        const ON: f64 = 5.0;
        const OFF: f64 = 4.0;
        let mut walked = 0.0;
        for pair in path.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let at = |part: f64| {
                let share = part / length;
                (
                    from.0 + (to.0 - from.0) * share,
                    from.1 + (to.1 - from.1) * share,
                )
            };
            let mut place = 0.0;
            while place < length {
                let phase = (walked + place) % (ON + OFF);
                let step = if phase < ON {
                    ON - phase
                } else {
                    ON + OFF - phase
                };
                let end = (place + step.max(0.1)).min(length);
                if phase < ON {
                    self.line(at(place), at(end), ink, width);
                }
                place = end;
            }
            walked += length;
        }
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let points = points.iter().map(|&(x, y)| point(x, y));
        let _ = self.backend.draw_path(points, &style(ink, 1.0, width));
    }

    pub(super) fn rect(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink, alpha: f64) {
        let (from, to) = (point(from.0, from.1), point(to.0, to.1));
        let _ = self
            .backend
            .draw_rect(from, to, &style(ink, alpha, 0.0), true);
    }

    pub(super) fn area(&mut self, points: &[(f64, f64)], ink: Ink, alpha: f64) {
        let points = points.iter().map(|&(x, y)| point(x, y));
        let _ = self.backend.fill_polygon(points, &style(ink, alpha, 0.0));
    }

    pub(super) fn mark(&mut self, lane: usize, (x, y): (f64, f64), radius: f64, alpha: f64) {
        let r = radius;
        let ink = Ink::Lane(lane);
        match Shape::of_lane(lane) {
            Shape::Circle => {
                let radius = (r * FINE).round() as u32;
                let _ =
                    self.backend
                        .draw_circle(point(x, y), radius, &style(ink, alpha, 0.0), true);
            }
            Shape::Ring => {
                // The inside of the ring covers the shapes behind it.
                let whole = (r * FINE).round() as u32;
                let paper = style(Ink::Paper, alpha, 0.0);
                let _ = self.backend.draw_circle(point(x, y), whole, &paper, true);
                let radius = ((r - 0.6) * FINE).round() as u32;
                let _ =
                    self.backend
                        .draw_circle(point(x, y), radius, &style(ink, alpha, 1.8), false);
            }
            Shape::Square => {
                let r = r * 0.88;
                self.rect((x - r, y - r), (x + r, y + r), ink, alpha);
            }
            Shape::Up => {
                self.area(
                    &[
                        (x, y - r * 1.2),
                        (x + r * 1.1, y + r * 0.8),
                        (x - r * 1.1, y + r * 0.8),
                    ],
                    ink,
                    alpha,
                );
            }
            Shape::Down => {
                self.area(
                    &[
                        (x, y + r * 1.2),
                        (x + r * 1.1, y - r * 0.8),
                        (x - r * 1.1, y - r * 0.8),
                    ],
                    ink,
                    alpha,
                );
            }
            Shape::Diamond => {
                let r = r * 1.25;
                self.area(
                    &[(x, y - r), (x + r, y), (x, y + r), (x - r, y)],
                    ink,
                    alpha,
                );
            }
        }
    }

    pub(super) fn text(&mut self, text: &str, at: (f64, f64), ink: Ink, anchor: Anchor) {
        self.words(text, at, ink, anchor, 12.0, FontStyle::Normal);
    }

    pub(super) fn bold(&mut self, text: &str, at: (f64, f64), ink: Ink, anchor: Anchor) {
        self.words(text, at, ink, anchor, 12.0, FontStyle::Bold);
    }

    pub(super) fn small(&mut self, text: &str, at: (f64, f64), ink: Ink, anchor: Anchor) {
        self.words(text, at, ink, anchor, 11.0, FontStyle::Normal);
    }

    fn words(
        &mut self,
        text: &str,
        at: (f64, f64),
        ink: Ink,
        anchor: Anchor,
        size: f64,
        font: FontStyle,
    ) {
        /// plotters divides the size by this factor.
        const PLOTTERS: f64 = 1.24;
        let h_pos = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let colour = ink.colour();
        let style = TextStyle::from((FontFamily::SansSerif, size * FINE * PLOTTERS, font))
            .pos(Pos::new(h_pos, VPos::Center))
            .color(&colour);
        let _ = self.backend.draw_text(text, &style, point(at.0, at.1));
    }
}

/// The approximate width of a text of normal size.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|letter| if letter.is_uppercase() { 8.6 } else { 7.2 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_has_title_description_and_no_colour_of_its_own() {
        let caption = Caption {
            id: "c1".into(),
            title: "a < b".into(),
            description: "two \"points\"".into(),
        };
        let text = svg(100.0, 50.0, &caption, |pen| {
            pen.line((0.0, 0.0), (10.0, 10.0), Ink::Lane(8), 1.0);
            pen.text("<script>", (5.0, 5.0), Ink::Text, Anchor::Start);
        });
        assert!(
            text.contains("<title id=\"c1-t\">a &lt; b</title>"),
            "{text}"
        );
        assert!(text.contains("two &quot;points&quot;"));
        assert!(text.contains("stroke=\"var(--lane-1)\"") && text.contains("fill=\"var(--ink)\""));
        assert!(text.contains("&lt;script&gt;") && !text.contains("<script"));
        assert!(
            !text.contains("#FACE") && text.ends_with("</svg>"),
            "{text}"
        );
    }

    #[test]
    fn lanes_with_one_colour_have_other_shapes() {
        for lane in 0..COLOURS_COUNT {
            assert_ne!(Shape::of_lane(lane), Shape::of_lane(lane + COLOURS_COUNT));
        }
    }
}
