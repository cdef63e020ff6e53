//! Tokens of SQL as it stands in a string of a program, its escapes and holes included.

use std::ops::Range;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, in lower case as SQL folds it.
    Word,
    /// A name in quotes.
    Quoted,
    Dot,
    Comma,
    Open,
    Close,
    /// A semicolon.
    End,
    /// `::`; a type follows.
    Cast,
    /// What is filled in at run time: a parameter or a piece of text.
    Hole,
    /// Anything else: operators, numbers, literals.
    Other,
}

/// A token and the bytes of the file it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// Of words and names.
    pub text: String,
}

impl Token {
    pub fn hole(start: usize, end: usize) -> Self {
        Self { kind: Kind::Hole, start, end, text: String::new() }
    }

    /// Whether it is a word, not in quotes.
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    pub fn is_any(&self, words: &[&str]) -> bool {
        self.kind == Kind::Word && words.contains(&self.text.as_str())
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Adds the tokens of a part of a file.
pub(super) fn lex(bytes: &[u8], content: Range<usize>, tokens: &mut Vec<Token>) {
    let mut lexer = Lexer { bytes: &bytes[..content.end], at: content.start };
    while let Some(byte) = lexer.peek(0) {
        let start = lexer.at;
        let (kind, text) = lexer.token(byte);
        if let Some(kind) = kind {
            tokens.push(Token { kind, start, end: lexer.at, text });
        }
    }
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Goes on while a byte is as asked for.
    fn skip(&mut self, mut wanted: impl FnMut(u8) -> bool) {
        while self.peek(0).is_some_and(&mut wanted) {
            self.at += 1;
        }
    }

    /// Goes behind the next byte of a kind, or to the end.
    fn skip_behind(&mut self, byte: u8) {
        self.skip(|b| b != byte);
        self.at = self.bytes.len().min(self.at + 1);
    }

    fn text(&self, range: Range<usize>) -> String {
        String::from_utf8_lossy(&self.bytes[range]).into_owned()
    }

    /// Reads one token, or what is none.
    fn token(&mut self, byte: u8) -> (Option<Kind>, String) {
        let start = self.at;
        self.at += 1;
        let kind = match byte {
            b'\\' => match self.peek(0) {
                // An escaped quote is one.
                Some(quote @ (b'"' | b'\'' | b'`')) => {
                    self.at += 1;
                    return self.quoted(quote);
                }
                _ => {
                    self.at = self.bytes.len().min(self.at + 1);
                    return (None, String::new());
                }
            },
            b'"' | b'\'' | b'`' => return self.quoted(byte),
            b'-' if self.peek(0) == Some(b'-') => {
                while let Some(byte) = self.peek(0) {
                    let is_end = byte == b'\n' || byte == b'\\' && self.peek(1) == Some(b'n');
                    if is_end {
                        break;
                    }
                    self.at += 1;
                }
                return (None, String::new());
            }
            b'/' if self.peek(0) == Some(b'*') => {
                let rest = &self.bytes[self.at..];
                let end = rest.windows(2).position(|two| two == b"*/");
                self.at = end.map_or(self.bytes.len(), |end| self.at + end + 2);
                return (None, String::new());
            }
            b if b.is_ascii_whitespace() => return (None, String::new()),
            b if b.is_ascii_digit() => {
                self.skip(|b| is_name(b) || b == b'.');
                Kind::Other
            }
            b if is_name(b) => {
                self.skip(is_name);
                return (Some(Kind::Word), self.text(start..self.at).to_ascii_lowercase());
            }
            b'.' => Kind::Dot,
            b',' => Kind::Comma,
            b'(' => Kind::Open,
            b')' => Kind::Close,
            b';' => Kind::End,
            b'?' => Kind::Hole,
            b'{' => self.braces(),
            b'$' | b'#' if self.peek(0) == Some(b'{') => {
                self.at += 1;
                self.braces()
            }
            b'$' | b'@' => {
                self.skip(is_name);
                Kind::Hole
            }
            b'%' if self.peek(0) == Some(b'(') => {
                self.skip_behind(b')');
                self.at = self.bytes.len().min(self.at + 1);
                Kind::Hole
            }
            b'%' if self.peek(0).is_some_and(|b| b.is_ascii_alphabetic()) => {
                self.at += 1;
                Kind::Hole
            }
            b':' if self.peek(0) == Some(b':') => {
                self.at += 1;
                Kind::Cast
            }
            b':' if self.peek(0).is_some_and(is_name) => {
                self.skip(is_name);
                Kind::Hole
            }
            _ => Kind::Other,
        };
        (Some(kind), String::new())
    }

    /// A hole in braces, which may have some inside.
    fn braces(&mut self) -> Kind {
        let mut depth = 1;
        while depth > 0 {
            match self.peek(0) {
                Some(b'{') => depth += 1,
                Some(b'}') => depth -= 1,
                Some(_) => {}
                None => break,
            }
            self.at += 1;
        }
        self.at = self.at.min(self.bytes.len());
        Kind::Hole
    }

    /// A literal or a name in quotes, behind its first.
    fn quoted(&mut self, quote: u8) -> (Option<Kind>, String) {
        let start = self.at;
        self.skip_behind(quote);
        let mut end = self.at.saturating_sub(1).max(start);
        if quote == b'\'' {
            return (Some(Kind::Other), String::new());
        }
        if end > start && self.bytes[end - 1] == b'\\' {
            end -= 1;
        }
        (Some(Kind::Quoted), self.text(start..end))
    }
}
