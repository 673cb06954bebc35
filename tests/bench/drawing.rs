//! What the pictures of the documents have in common: colors and texts.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

// The background is transparent; these are readable on a white page and on a dark one.
pub(crate) const TEXT: RGBColor = RGBColor(0x78, 0x80, 0x8a);
pub(crate) const COLORS: [RGBColor; 2] = [RGBColor(0x2f, 0x81, 0xf7), RGBColor(0xc2, 0x77, 0x2e)];
pub(crate) const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

pub(crate) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Writes `text` at the height of `at`, which is its end or middle as `from` says.
pub(crate) fn text(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    from: HPos,
    color: RGBColor,
) -> Drawn {
    let style = (FONT, size).into_font().color(&color).pos(Pos::new(from, VPos::Center));
    area.draw(&Text::new(text, at, style))
}

/// The picture with a text for those who do not see it.
pub(crate) fn labeled(svg: &str, label: &str) -> String {
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1)
}
