//! Texts to words: what full text indexes and what questions are turned into.

/// Lower-case words separated by single spaces. Everything that is no letter or digit separates;
/// so do a change from lower to upper case, the last capital before a lower-case letter
/// (`HTTPServer` is `http server`), and a change between letters and digits.
pub fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut chars = text.chars().peekable();
    let mut previous = Class::Other;
    while let Some(c) = chars.next() {
        let class = Class::of(c);
        if class != Class::Other {
            let boundary = match (previous, class) {
                (Class::Other, _) => true,
                (a, b) if a == b => {
                    b == Class::Upper && chars.peek().is_some_and(|n| Class::of(*n) == Class::Lower)
                }
                // A capital begins the word its lower-case letters continue.
                (Class::Upper, Class::Lower) => false,
                _ => true,
            };
            if boundary && !out.is_empty() {
                out.push(' ');
            }
            out.extend(c.to_lowercase());
        }
        previous = class;
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_uppercase() {
            Self::Upper
        } else if c.is_alphabetic() {
            Self::Lower
        } else if c.is_numeric() {
            Self::Digit
        } else {
            Self::Other
        }
    }
}
