//! A plot of costs by the number of workers, as SVG.

use std::fmt::Write as _;

/// The plot, in pixels; the text is right of it.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 44.0;
const COLOURS: [&str; 3] = ["#2f6df6", "#d1580a", "#0e8f74"];
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#16202f}.title{font-weight:650}.axis{stroke:#b6bfcd;fill:none}\
    svg{background:#fff}@media(prefers-color-scheme:dark){svg{background:#0d131d}text{fill:#e8edf6}.axis{stroke:#45526a}}";

/// The costs of one thing, in microseconds.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) values: &'a [f64],
}

/// Draws the lines over `sizes`, which are on a logarithmic axis.
pub(super) fn draw(title: &str, sizes: &[usize], lines: &[Line<'_>]) -> String {
    let most = lines.iter().flat_map(|line| line.values).copied().fold(0.0, f64::max);
    let step = step(most);
    let top = (most / step).ceil() * step;
    let log = |size: usize| (size as f64).ln();
    let (first, last) = (sizes.first().copied().map_or(0.0, log), sizes.last().copied().map_or(1.0, log));
    let x = |size: usize| LEFT + (log(size) - first) / (last - first) * WIDTH;
    let y = |value: f64| TOP + HEIGHT - value / top * HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n<text class=\"title\" x=\"{LEFT}\" y=\"22\">{title}</text>\n",
        LEFT + WIDTH + 230.0,
        TOP + HEIGHT + 40.0
    );
    let mut value = 0.0;
    while value <= top {
        let at = y(value);
        let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {at:.1}h{WIDTH}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, at + 4.0);
        value += step;
    }
    for &size in sizes {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{size}</text>",
            x(size),
            TOP + HEIGHT + 20.0
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS) {
        let points: Vec<String> =
            sizes.iter().zip(line.values).map(|(&size, &value)| format!("{:.1},{:.1}", x(size), y(value))).collect();
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    }
    // The lowest name first; none covers another.
    let mut names: Vec<_> =
        lines.iter().zip(COLOURS).filter_map(|(line, colour)| Some((line, colour, *line.values.last()?))).collect();
    names.sort_by(|one, other| one.2.total_cmp(&other.2));
    let mut below = f64::MAX;
    for (line, colour, end) in names {
        let at = (y(end) + 4.0).min(below - 17.0);
        below = at;
        let right = LEFT + WIDTH + 10.0;
        let name = line.name;
        let _ = writeln!(svg, "<text x=\"{right}\" y=\"{at:.1}\" style=\"fill:{colour}\">{name}: {end:.0} µs</text>");
    }
    svg + "</svg>\n"
}

/// The distance of lines: 1, 2 or 5 with zeros, and at most six of them.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most.max(1.0) / 6.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| most / step <= 6.0)
        .unwrap_or(10.0 * power)
}
