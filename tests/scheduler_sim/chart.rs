//! The chart of a day: which model was on which device and when, and how long jobs waited.

use std::fmt::Write;
use std::time::Duration;

use crate::host::SimulatedHost;
use crate::scenario::End;

const WIDTH: f64 = 1400.0;
const LEFT: f64 = 120.0;
const ROW: f64 = 22.0;
/// Height of the waits, on a logarithmic scale.
const WAITS: f64 = 160.0;

/// One colour for each model, distinguishable in print too.
const COLOURS: [&str; 10] =
    ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#79706e"];

/// Draws a row for each model with a lane for each device, and the waits below.
pub(crate) fn draw(names: &[&str], devices: usize, span: Duration, host: &SimulatedHost) -> String {
    let rows = names.len() as f64 * ROW;
    let height = 60.0 + rows + 40.0 + WAITS + 50.0;
    let x = |at: Duration| LEFT + (at.as_secs_f64() / span.as_secs_f64()).min(1.0) * (WIDTH - LEFT - 20.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n\
         <text x='{LEFT}' y='24' font-size='16'>A day of {} models on {devices} devices: {} jobs, {} loads</text>\n\
         <text x='{LEFT}' y='42' fill='#666'>each row has a lane for each device; loading counts as being there</text>\n",
        names.len(),
        host.ends.len(),
        host.loads
    );
    let foot = 60.0 + rows;
    for hour in 0..=24 {
        let at = x(Duration::from_secs(hour * 3600));
        let bottom = foot + 40.0 + WAITS;
        let _ = writeln!(svg, "<line x1='{at:.1}' y1='55' x2='{at:.1}' y2='{bottom:.1}' stroke='#eee'/>");
        if hour % 3 == 0 {
            let _ = writeln!(
                svg,
                "<text x='{at:.1}' y='{:.1}' fill='#666' text-anchor='middle'>{hour}:00</text>",
                bottom + 18.0
            );
        }
    }
    for (model, name) in names.iter().enumerate() {
        let y = 60.0 + model as f64 * ROW;
        let _ = writeln!(svg, "<text x='{:.1}' y='{:.1}' text-anchor='end'>{name}</text>", LEFT - 8.0, y + 14.0);
    }
    let lane = (ROW - 6.0) / devices as f64;
    for stay in &host.stays {
        let (from, until) = (x(stay.from), x(stay.until));
        for device in &stay.devices {
            let y = 60.0 + stay.model as f64 * ROW + 3.0 + *device as f64 * lane;
            let (width, colour) = ((until - from).max(0.5), COLOURS[stay.model % COLOURS.len()]);
            let _ = writeln!(
                svg,
                "<rect x='{from:.1}' y='{y:.1}' width='{width:.1}' height='{:.1}' fill='{colour}'/>",
                lane - 1.0
            );
        }
    }
    waits(&mut svg, foot + 40.0, x, host);
    svg.push_str("</svg>\n");
    svg
}

fn waits(svg: &mut String, top: f64, x: impl Fn(Duration) -> f64, host: &SimulatedHost) {
    let _ = writeln!(
        svg,
        "<text x='{LEFT}' y='{:.1}' fill='#666'>waits of jobs that did not begin at once</text>",
        top - 8.0
    );
    // From a tenth of a second to a thousand seconds.
    let y = |seconds: f64| top + WAITS - ((seconds.max(0.1).log10() + 1.0) / 4.0).clamp(0.0, 1.0) * WAITS;
    for seconds in [0.1, 1.0, 10.0, 100.0, 1000.0] {
        let at = y(seconds);
        let _ = writeln!(svg, "<line x1='{LEFT}' y1='{at:.1}' x2='{:.1}' y2='{at:.1}' stroke='#ddd'/>", WIDTH - 20.0);
        let _ = writeln!(
            svg,
            "<text x='{:.1}' y='{:.1}' fill='#666' text-anchor='end'>{seconds} s</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for (job, end) in host.ends.values() {
        let (seconds, colour) = match end {
            End::Ran { waited, .. } if waited.as_secs_f64() > 0.1 => {
                (waited.as_secs_f64(), COLOURS[job.model % COLOURS.len()])
            }
            End::Refused(_) => (1000.0, "red"),
            End::Ran { .. } | End::Cancelled | End::Cut => continue,
        };
        let _ = writeln!(svg, "<circle cx='{:.1}' cy='{:.1}' r='1.5' fill='{colour}'/>", x(job.at), y(seconds));
    }
}
