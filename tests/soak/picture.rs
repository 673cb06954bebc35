//! Draws the samples: one plot below the other, the same time from left to right. Does not know how they were taken.
#![expect(clippy::float_arithmetic, reason = "coordinates of a picture")]
#![expect(clippy::cast_precision_loss, reason = "figures of a picture")]

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::drawing::{self, Area, COLORS, Drawn, FONT, TEXT};
use crate::samples::{Sample, Samples};

const SIZE: (u32, u32) = (880, 900);
const TITLE: u32 = 84;
const HOSTS: [&str; 2] = ["host a, priority 160", "host b, priority 150"];

/// The figure of a sample, from the one before it and itself.
struct Plot {
    name: &'static str,
    value: fn(&Sample, &Sample) -> f64,
    /// One series only.
    shared: bool,
}

const PLOTS: [Plot; 5] = [
    Plot { name: "memory (RSS), KB", value: |_, now| now.rss_kb as f64, shared: false },
    Plot { name: "open descriptors", value: |_, now| now.descriptors as f64, shared: false },
    Plot { name: "wake-ups per second", value: |last, now| rate(last, now, |s| s.wakeups), shared: false },
    Plot {
        name: "CPU, ms per second",
        value: |last, now| rate(last, now, |s| s.cpu_us) / 1_000.0,
        shared: false,
    },
    Plot {
        name: "failed requests per second, of about 50",
        value: |last, now| rate(last, now, |s| s.failed),
        shared: true,
    },
];

fn rate(last: &Sample, now: &Sample, of: fn(&Sample) -> u64) -> f64 {
    let time = (now.seconds - last.seconds).max(1) as f64;
    of(now).saturating_sub(of(last)) as f64 / time
}

/// Minutes and values.
type Line = Vec<(f64, f64)>;

pub(crate) fn draw(samples: &Samples) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        whole(&area, samples).map_err(|error| error.to_string())?;
    }
    let label = "Memory, descriptors, wake-ups, CPU and failed requests of a pair over hours";
    Ok(drawing::labeled(&svg, label))
}

fn whole(area: &Area<'_>, samples: &Samples) -> Drawn {
    let (head, plots) = area.split_vertically(TITLE);
    let minutes = (samples.duration().as_secs() + 30) / 60;
    let title =
        format!("A pair for {} h {:02} min, with a fault about every 30 s", minutes / 60, minutes % 60);
    text(&head, &title, (60, 22), 22, TEXT)?;
    for (n, left) in [60, 260].into_iter().enumerate() {
        head.draw(&Rectangle::new([(left, 50), (left + 12, 62)], COLORS[n].filled()))?;
        text(&head, HOSTS[n], (left + 18, 56), 15, COLORS[n])?;
    }
    text(&head, "dot: a fault ended the process, and it was started again", (460, 56), 14, TEXT)?;
    for (plot, area) in PLOTS.iter().zip(plots.split_evenly((PLOTS.len(), 1))) {
        one(&area, plot, samples)?;
    }
    area.present()
}

fn one(area: &Area<'_>, plot: &Plot, samples: &Samples) -> Drawn {
    let of = |host| samples.lives(host).iter().map(|life| points(plot, life)).collect();
    let series: Vec<Vec<Line>> =
        if plot.shared { vec![vec![points(plot, &samples.lives(0).concat())]] } else { vec![of(0), of(1)] };
    let most = series.iter().flatten().flatten().map(|point| point.1);
    let most = most.fold(1.0_f64, f64::max) * 1.15;
    let end = samples.duration().as_secs() as f64 / 60.0;
    let mut chart = ChartBuilder::on(area)
        .margin_right(20)
        .margin_top(24)
        .x_label_area_size(22)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end.max(1.0), 0.0..most)?;
    let label = (FONT, 13).into_font().color(&TEXT);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(TEXT.mix(0.3))
        .axis_style(TEXT)
        .label_style(label)
        .x_label_formatter(&|minutes| format!("{minutes:.0} min"))
        .y_labels(4)
        .draw()?;
    for (lives, color) in series.into_iter().zip(COLORS) {
        let color = if plot.shared { TEXT } else { color };
        let starts: Vec<_> = lives.iter().skip(1).filter_map(|life| life.first().copied()).collect();
        chart.draw_series(lives.into_iter().map(|life| PathElement::new(life, color.stroke_width(1))))?;
        chart.draw_series(starts.into_iter().map(|at| Circle::new(at, 3, color.filled())))?;
    }
    text(area, plot.name, (60, 12), 15, TEXT)
}

fn points(plot: &Plot, life: &[Sample]) -> Line {
    let figure = |two: &[Sample]| (two[1].seconds as f64 / 60.0, (plot.value)(&two[0], &two[1]));
    life.windows(2).map(figure).collect()
}

fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, color: RGBColor) -> Drawn {
    drawing::text(area, text, at, size, HPos::Left, color)
}
