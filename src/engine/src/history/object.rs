//! Commits and tags as they are, not as they should be: old histories hold objects that today's git would
//! not write, and one of them must not end a walk.

use std::borrow::Cow;

use gix_hash::ObjectId;
use onyx_protocol::history::Signature;

/// Longest message kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Longest name and address kept, in bytes.
const MAX_NAME_BYTES: usize = 1_000;

/// What a commit says of its place.
pub(super) struct Place {
    pub(super) tree: Option<ObjectId>,
    pub(super) parents: Vec<ObjectId>,
    /// Committer time; 0 when there is none that can be read.
    pub(super) time: i64,
}

/// What a commit says for people.
pub(super) struct Words {
    pub(super) author: Signature,
    pub(super) committer: Signature,
    pub(super) message: String,
    /// What could not be decoded.
    pub(super) lossy: Vec<&'static str>,
}

/// Headers of a commit or tag up to the empty line, first lines only, and what is behind it.
fn headers(object: &[u8]) -> (impl Iterator<Item = (&[u8], &[u8])>, &[u8]) {
    let end = object.windows(2).position(|two| two == b"\n\n");
    let (head, rest) = match end {
        Some(end) => (&object[..end], &object[end + 2..]),
        None => (object, &b""[..]),
    };
    let lines = head.split(|&byte| byte == b'\n').filter_map(|line| {
        // A line that begins with a space goes on with the one before it: no name.
        let at = line.iter().position(|&byte| byte == b' ')?;
        (at > 0).then(|| (&line[..at], &line[at + 1..]))
    });
    (lines, rest)
}

/// Reads a commit's place in history.
pub(super) fn place(commit: &[u8]) -> Place {
    let mut place = Place { tree: None, parents: Vec::new(), time: 0 };
    for (name, value) in headers(commit).0 {
        match name {
            b"tree" => place.tree = place.tree.or(ObjectId::from_hex(value).ok()),
            b"parent" => place.parents.extend(ObjectId::from_hex(value)),
            b"committer" => {
                place.time = time(value).0;
                break;
            }
            _ => {}
        }
    }
    place
}

/// What a tag is of.
pub(super) fn tagged(tag: &[u8]) -> Option<ObjectId> {
    let (mut headers, _) = headers(tag);
    headers.find(|(name, _)| *name == b"object").and_then(|(_, id)| ObjectId::from_hex(id).ok())
}

/// Reads author, committer and message.
pub(super) fn words(commit: &[u8]) -> Words {
    let (headers, message) = headers(commit);
    let (mut author, mut committer, mut encoding) = (&b""[..], &b""[..], &b""[..]);
    for (name, value) in headers {
        match name {
            b"author" if author.is_empty() => author = value,
            b"committer" if committer.is_empty() => committer = value,
            b"encoding" => encoding = value,
            _ => {}
        }
    }
    let latin =
        ["iso-8859-1", "iso8859-1", "latin-1", "latin1", "iso-8859-15", "cp1252", "windows-1252"]
            .iter()
            .any(|name| encoding.eq_ignore_ascii_case(name.as_bytes()));
    let mut lossy = Vec::new();
    let mut decode = |bytes: &[u8], limit: usize, what: &'static str| {
        let bytes = &bytes[..bytes.len().min(limit)];
        let (mut text, is_lossy) = text(bytes, latin);
        if text.contains('\0') {
            // PostgreSQL's text has none.
            text = text.replace('\0', "\u{fffd}");
        }
        if is_lossy {
            lossy.push(what);
        }
        text
    };
    let mut signature = |value: &[u8], what| {
        let open = value.iter().rposition(|&byte| byte == b'<');
        let close = value.iter().rposition(|&byte| byte == b'>');
        let (name, email) = match (open, close) {
            (Some(open), Some(close)) if open < close => (&value[..open], &value[open + 1..close]),
            (Some(open), _) => (&value[..open], &b""[..]),
            _ => (value, &b""[..]),
        };
        let (seconds, offset) = time(value);
        Signature {
            name: decode(name.trim_ascii(), MAX_NAME_BYTES, what),
            email: decode(email.trim_ascii(), MAX_NAME_BYTES, what),
            seconds,
            offset,
        }
    };
    let author = signature(author, "author");
    let committer = signature(committer, "committer");
    let message = decode(message, MAX_MESSAGE_BYTES, "message");
    lossy.dedup();
    Words { author, committer, message, lossy }
}

/// Text of bytes, and whether something of them is lost or was guessed.
fn text(bytes: &[u8], latin: bool) -> (String, bool) {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => (text.to_owned(), false),
        Cow::Owned(_) if latin => (bytes.iter().map(|&byte| char::from(byte)).collect(), false),
        Cow::Owned(text) => (text, true),
    }
}

/// Seconds and offset behind a signature's address; what cannot be read is 0.
fn time(signature: &[u8]) -> (i64, i32) {
    let after = signature.iter().rposition(|&byte| byte == b'>').map_or(0, |at| at + 1);
    let tail = String::from_utf8_lossy(&signature[after..]);
    let mut parts = tail.split_whitespace();
    let seconds = parts.next().and_then(|seconds| seconds.parse::<i64>().ok());
    // Without a time there is no zone either.
    let zone = seconds.and(parts.next());
    let offset = zone.and_then(|zone| zone.parse::<i32>().ok()).unwrap_or(0);
    let minutes = offset / 100 * 60 + offset % 100;
    // Beyond a day it is a mistake, and beyond the year 9999 or 0 no timestamp of SQL's.
    let offset = if minutes.abs() < 24 * 60 { minutes * 60 } else { 0 };
    (seconds.unwrap_or(0).clamp(-62_135_596_800, 253_402_300_799), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    fn commit(author: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut commit = format!("tree {ID}\nparent {ID}\nparent {ID}\nauthor ").into_bytes();
        commit.extend_from_slice(author);
        commit.extend_from_slice(b"\ncommitter C <c@x> 1700000000 +0530\n");
        commit.extend_from_slice(rest);
        commit
    }

    #[test]
    fn reads_what_git_writes() {
        let commit = commit("É <e@x> 1600000000 -0130".as_bytes(), b"gpgsig x\n y\n\nOne\n\nTwo\n");
        let place = place(&commit);
        assert_eq!(place.tree.unwrap().to_string(), ID);
        assert_eq!((place.parents.len(), place.time), (2, 1_700_000_000));
        let words = words(&commit);
        assert_eq!((words.author.name.as_str(), words.author.email.as_str()), ("É", "e@x"));
        assert_eq!((words.author.seconds, words.author.offset), (1_600_000_000, -5_400));
        assert_eq!(words.committer.offset, 19_800);
        assert_eq!(words.message, "One\n\nTwo\n");
        assert!(words.lossy.is_empty());
    }

    #[test]
    fn reads_what_git_does_not_write() {
        let odd: [&[u8]; 6] = [
            b"",
            b"no address",
            b"a <b",
            b"a <b> x y",
            b"<> 99999999999999999999 +9999",
            b"a >b< 1 +0",
        ];
        for author in odd {
            let words = words(&commit(author, b"\n"));
            assert_eq!((words.author.seconds, words.author.offset), (0, 0), "{author:?}");
        }
        assert_eq!(words(b"").message, "");
        assert_eq!(words(b"\n\nonly").message, "only");
        assert!(place(b"tree x\nparent y").parents.is_empty());
        let nul = words(&commit(b"a\0 <b> 1 +0", b"\nm\0"));
        assert_eq!((nul.author.name.as_str(), nul.message.as_str()), ("a\u{fffd}", "m\u{fffd}"));
        assert!(tagged(b"object 12\n\n").is_none());
    }

    #[test]
    fn decodes_what_an_encoding_says_and_accounts_for_the_rest() {
        let latin = words(&commit(b"M\xfcller <m@x> 1 +0", b"encoding ISO-8859-1\n\n\xe9t\xe9"));
        assert_eq!((latin.author.name.as_str(), latin.message.as_str()), ("Müller", "été"));
        assert!(latin.lossy.is_empty());
        let unknown = words(&commit(b"M\xfcller <m@x> 1 +0", b"\n\xe9"));
        assert_eq!(unknown.author.name, "M\u{fffd}ller");
        assert_eq!(unknown.lossy, ["author", "message"]);
    }
}
