//! Words from outside, as a message may show them.

/// Characters of a foreign text that a message shows.
const SHOWN: usize = 200;

/// The beginning of a text from a file, with control characters spelled out: it goes to somebody's terminal.
pub(crate) fn shown(text: impl ToString) -> String {
    let text = text.to_string();
    let mut shown = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == SHOWN => {
                shown.push('…');
                break;
            }
            c if c.is_control() => shown.extend(c.escape_debug()),
            c => shown.push(c),
        }
    }
    shown
}
