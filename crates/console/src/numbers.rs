//! Numbers for people.

/// With a comma after every three digits: `131,072`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of parameters: `268 M`, `70.6 B`.
pub fn parameters(count: u64) -> String {
    let (value, unit) = match count {
        0..1_000_000 => (count as f64 / 1e3, "K"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "M"),
        1_000_000_000..1_000_000_000_000 => (count as f64 / 1e9, "B"),
        _ => (count as f64 / 1e12, "T"),
    };
    let digits = usize::from(value < 100.0);
    format!("{value:.digits$} {unit}")
}

/// A time: `12 ms`, `1.5 s`, `210 s`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..100.0 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// As `3 d 4 h`, `4 h 12 min`, `12 min` or `40 s`.
pub fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The time of day in UTC of milliseconds since 1970: `14:03:59`.
pub fn time_of_day(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!([0.0124, 1.54, 210.4].map(seconds), ["12 ms", "1.5 s", "210 s"]);
        assert_eq!(time_of_day(86_400_000 * 3 + 50_639_999), "14:03:59");
    }

    #[test]
    fn numbers_have_separators_and_units() {
        assert_eq!([0, 999, 1000, 131_072, 1_000_000].map(grouped), ["0", "999", "1,000", "131,072", "1,000,000"]);
        assert_eq!([176, 268_098_176, 70_553_706_496].map(parameters), ["0.2 K", "268 M", "70.6 B"]);
    }
}
