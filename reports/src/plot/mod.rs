//! Series as SVG text: this module reads no files and computes no figures.
//!
//! Drawn with plotters' SVG backend. Colours are roles, not values: the pen writes CSS variables,
//! so one chart works in light mode, dark mode and print. Each lane has a colour of Okabe and Ito's
//! palette and a shape, so no two lanes differ only by colour. Each chart has a title and a
//! description for readers who cannot see it.

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
