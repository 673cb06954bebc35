//! Draws `docs/failover.svg` from the first failover table of `docs/performance.md`. Knows the page, not how its figures
//! were measured.
#![expect(clippy::float_arithmetic, reason = "coordinates of a picture")]

use std::ops::Range;

use plotters::coord::combinators::{IntoLogRange, LogCoord};
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::drawing::{self, Area, COLORS, Drawn, TEXT};

/// Pixels: the width of the picture, and the heights above the plot, below it and of one row.
const WIDTH: i32 = 880;
const ABOVE: i32 = 96;
const BELOW: i32 = 78;
const ROW: i32 = 50;
/// Pixels left of the scale, for the names of the events, and right of it, for the values.
const LEFT: i32 = 236;
const RIGHT: i32 = 120;
/// Height of a bar.
const BAR: i32 = 15;
/// Milliseconds. The scale starts at the client's interval: two answers without an outage between them are that far apart.
const SCALE: Range<f64> = 3.0..10_000.0;
/// Below two intervals of the client it cannot see an outage.
const VISIBLE: f64 = 6.0;
const GRID: [(f64, &str); 3] = [(10.0, "10 ms"), (100.0, "100 ms"), (1_000.0, "1 s")];

const PROGRAMS: [&str; 2] = ["vrrp-init", "keepalived"];

/// The table's events, and what the picture calls them.
const EVENTS: [(&str, &str); 8] = [
    ("haproxy killed on the master", "haproxy is killed"),
    ("haproxy started again: failback", "haproxy is back"),
    ("SIGTERM to PID 1 of the master", "docker stop keepalived"),
    ("SIGKILL to PID 1 of the master", "docker kill keepalived"),
    ("OOM kill of PID 1 of the master", "out of memory: OOM kill"),
    ("link down at the master", "link goes down"),
    ("link up again", "link is back"),
    ("SIGSTOP of the master for 10 s, then SIGCONT", "docker pause keepalived, 10 s"),
];

/// One cell of the table, in milliseconds.
struct Outage {
    median: f64,
    least: f64,
    most: f64,
    /// The median as the table writes it.
    text: String,
}

impl Outage {
    /// As in `9.1 ms (5.9 ms to 12.1 ms), n 30`.
    fn parse(cell: &str) -> Option<Self> {
        let (text, rest) = cell.split_once(" (")?;
        let (least, most) = rest.split_once(')')?.0.split_once(" to ")?;
        Some(Self {
            median: millis(text)?,
            least: millis(least)?,
            most: millis(most)?,
            text: text.to_owned(),
        })
    }

    fn is_visible(&self) -> bool {
        self.median >= VISIBLE
    }
}

fn millis(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let factor = match unit {
        "µs" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// An event.
struct Row {
    name: &'static str,
    /// Of both programs; `None` where it was not measured.
    outages: [Option<Outage>; 2],
    /// How many times longer keepalived's is, as the table writes it.
    ratio: String,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, event, ours, _, theirs, _, ratio, ..] = cells[..] else { return None };
        let (_, name) = EVENTS.iter().find(|(known, _)| *known == event)?;
        let outages = [ours, theirs].map(Outage::parse);
        Some(Self { name, outages, ratio: ratio.to_owned() })
    }

    /// The median, and for keepalived's the ratio if both outages are visible and it is two digits or more.
    fn label(&self, program: usize, outage: &Outage) -> String {
        let visible = self.outages.iter().flatten().filter(|outage| outage.is_visible()).count();
        if program == 1 && visible == 2 && !self.ratio.contains('.') {
            format!("{} ({})", outage.text, self.ratio)
        } else {
            outage.text.clone()
        }
    }
}

/// The configuration that was measured, and its rows.
fn parse(page: &str) -> Option<(&str, Vec<Row>)> {
    let part = page.split_once("<!-- failover:begin -->")?.1;
    let (configuration, part) = part.split_once("\n### ")?.1.split_once('\n')?;
    let lines =
        part.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    Some((configuration, lines.filter_map(Row::parse).collect()))
}

/// The picture of the figures in `page`.
pub(crate) fn draw(page: &str) -> Result<String, String> {
    let (configuration, rows) = parse(page).ok_or("the page has no table of failover")?;
    let mut svg = String::new();
    Canvas::new(&mut svg, rows.len()).draw(configuration, &rows).map_err(|error| error.to_string())?;
    Ok(drawing::labeled(&svg, "Time without an answer, vrrp-init and keepalived"))
}

struct Canvas<'a> {
    area: Area<'a>,
    scale: LogCoord<f64>,
    /// The lower end of the plot.
    bottom: i32,
}

impl<'a> Canvas<'a> {
    fn new(svg: &'a mut String, rows: usize) -> Self {
        let bottom = (0..rows).fold(ABOVE, |bottom, _| bottom + ROW);
        let size = (WIDTH.unsigned_abs(), (bottom + BELOW).unsigned_abs());
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        Self { area, scale: SCALE.log_scale().into(), bottom }
    }

    fn draw(&self, configuration: &str, rows: &[Row]) -> Drawn {
        self.legend()?;
        self.grid()?;
        let mut top = ABOVE;
        for row in rows {
            self.text(row.name, (LEFT - 14, top + ROW / 2), 17, HPos::Right, TEXT)?;
            let lanes = [top + ROW / 2 - BAR - 1, top + ROW / 2 + 1];
            for (program, lane) in lanes.into_iter().enumerate() {
                self.bar(lane, row, program)?;
            }
            top += ROW;
        }
        let unseen = "none: a median below 6 ms, too short to see for a client that asks every 3 ms.";
        self.text(unseen, (LEFT, self.bottom + 44), 14, HPos::Left, TEXT)?;
        self.text(configuration, (LEFT, self.bottom + 63), 14, HPos::Left, TEXT)?;
        self.area.present()
    }

    fn legend(&self) -> Drawn {
        self.text("Time without an answer", (LEFT, 26), 24, HPos::Left, TEXT)?;
        let line = "Median; the thin line spans all repetitions. Logarithmic scale.";
        self.text(line, (LEFT, 51), 14, HPos::Left, TEXT)?;
        for (n, left) in [LEFT, LEFT + 110].into_iter().enumerate() {
            self.area.draw(&Rectangle::new([(left, 68), (left + 12, 80)], COLORS[n].filled()))?;
            self.text(PROGRAMS[n], (left + 18, 74), 15, HPos::Left, COLORS[n])?;
        }
        Ok(())
    }

    fn grid(&self) -> Drawn {
        for (time, text) in GRID {
            let x = self.x(time);
            self.area.draw(&PathElement::new([(x, ABOVE), (x, self.bottom)], TEXT.mix(0.3)))?;
            self.text(text, (x, self.bottom + 16), 14, HPos::Center, TEXT)?;
        }
        self.area.draw(&PathElement::new([(LEFT, ABOVE), (LEFT, self.bottom)], TEXT))
    }

    /// A bar from the start of the scale to the median, the range as a thin line, and the median as text.
    fn bar(&self, top: i32, row: &Row, program: usize) -> Drawn {
        let (middle, color) = (top + BAR / 2, COLORS[program]);
        let label = |text: &str, x| self.text(text, (x + 8, middle), 15, HPos::Left, color);
        let Some(outage) = &row.outages[program] else { return label("not measured", LEFT) };
        if !outage.is_visible() {
            return label("none", LEFT);
        }
        let [end, least, most] = [outage.median, outage.least, outage.most].map(|time| self.x(time));
        self.area.draw(&Rectangle::new([(LEFT, top), (end, top + BAR)], color.filled()))?;
        self.area.draw(&PathElement::new([(least, middle), (most, middle)], TEXT.stroke_width(2)))?;
        label(&row.label(program, outage), most.max(end))
    }

    fn text(&self, text: &str, at: (i32, i32), size: i32, from: HPos, color: RGBColor) -> Drawn {
        drawing::text(&self.area, text, at, size, from, color)
    }

    fn x(&self, time: f64) -> i32 {
        self.scale.map(&time.max(SCALE.start), (LEFT, WIDTH - RIGHT))
    }
}
