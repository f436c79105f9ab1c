//! Series as SVG text, by plotters' SVG backend.
//!
//! The pen writes CSS variables instead of colours, so one chart works in light mode, dark mode and
//! print. No two lanes differ only by colour: each has a colour of Okabe and Ito's palette and a
//! shape. Each chart has a title and a description for readers who cannot see it.

mod axis;
mod dots;
mod lines;
mod pen;
mod scatter;
mod stack;

pub use axis::{Axis, Scale};
pub use dots::{Dot, dots, narrow_dots};
pub use lines::{Curves, Ideal, Line, curves, narrow_curves};
pub use pen::{COLOURS_COUNT, Caption, Shape};
pub use scatter::{Band, Mark, Scatter, scatter};
pub use stack::{Bar, stack};
