//! The memory of a device as a bar: what is used, and what a model would use.

use crate::console::{Console, Paint};

/// One part of a bar.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its size.
    pub bytes: u64,
    /// The sign that it is drawn with.
    pub sign: char,
    /// Its colour.
    pub paint: Paint,
}

/// The whole bar. A part above 0 has at least one column; the rest is free.
pub fn bar(parts: &[Part], total: u64, width: usize, console: &Console) -> String {
    let mut left = width;
    let mut text = String::new();
    for part in parts.iter().filter(|part| part.bytes > 0) {
        let share = (part.bytes as f64 / total.max(1) as f64 * width as f64).round() as usize;
        let columns = share.max(1).min(left);
        left -= columns;
        text.push_str(&console.paint(part.paint, &part.sign.to_string().repeat(columns)));
    }
    text.push_str(&console.paint(Paint::Faint, &"·".repeat(left)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_it_should_be_and_shows_every_part() {
        let part = |bytes, sign| Part { bytes, sign, paint: Paint::Good };
        let console = Console::fixed_width(80);
        let parts = [part(25, '░'), part(50, '█'), part(0, '▓'), part(1, '▒')];
        assert_eq!(bar(&parts, 100, 8, &console), "░░████▒·");
        assert_eq!(bar(&[part(300, '█'), part(1, '▒')], 100, 8, &console), "████████");
        assert_eq!(bar(&[], 0, 3, &console), "···");
    }
}
