//! Identifiers as people would say them.

/// The lower-case words of an identifier: `cookieJar2HTTPServer` is cookie, jar, 2, http, server. What
/// is neither letter nor digit separates; so do changes of case and changes between letters and
/// digits. Works on whole sentences and paths too.
pub fn split_identifier(name: &str) -> Vec<String> {
    let mut words = String::new();
    push_words(&mut words, name);
    words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Appends the words of an identifier, single spaces between.
pub(super) fn push_words(words: &mut String, name: &str) {
    let start = words.len();
    let mut before = Class::Other;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        let class = Class::of(c);
        let begins = match (before, class) {
            (_, Class::Other) => false,
            (Class::Upper, Class::Upper) => {
                // The last capital of several begins the next word: HTTPServer, but not the `s` of IDs.
                chars.peek().is_some_and(|&next| Class::of(next) == Class::Lower) && {
                    let mut rest = chars.clone();
                    let plural = rest.next() == Some('s')
                        && rest.next().is_none_or(|c| Class::of(c) != Class::Lower);
                    !plural
                }
            }
            (Class::Upper, Class::Lower) => false,
            (one, other) => one != other,
        };
        if begins && words.len() > start {
            words.push(' ');
        }
        if c.is_ascii() && class != Class::Other {
            words.push(c.to_ascii_lowercase());
        } else if class != Class::Other {
            words.extend(c.to_lowercase());
        }
        before = class;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Upper,
    Lower,
    Digit,
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii() {
            match c {
                'a'..='z' => Self::Lower,
                'A'..='Z' => Self::Upper,
                '0'..='9' => Self::Digit,
                _ => Self::Other,
            }
        } else if c.is_uppercase() {
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

#[cfg(test)]
mod tests {
    use super::split_identifier;

    fn words(name: &str) -> String {
        split_identifier(name).join(" ")
    }

    #[test]
    fn splits_every_style() {
        assert_eq!(words("cookieJar2HTTPServer"), "cookie jar 2 http server");
        assert_eq!(words("snake_case__name_"), "snake case name");
        assert_eq!(words("SCREAMING_SNAKE"), "screaming snake");
        assert_eq!(words("kebab-case"), "kebab case");
        assert_eq!(words("__init__"), "init");
        assert_eq!(words("getHTTPResponse"), "get http response");
        assert_eq!(words("userIDs"), "user ids");
        assert_eq!(words("parseURLs"), "parse urls");
        assert_eq!(words("XMLHttpRequest"), "xml http request");
        assert_eq!(words("sha256sum"), "sha 256 sum");
        assert_eq!(words("net/http.(*Server).Serve"), "net http server serve");
        assert_eq!(words("A"), "a");
        assert_eq!(words("aB"), "a b");
        assert_eq!(words("ÜberGröße"), "über größe");
        assert_eq!(words("変数名"), "変数名");
        assert_eq!(words(""), "");
        assert_eq!(words("_"), "");
    }
}
