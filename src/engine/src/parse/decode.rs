//! Bytes to text: UTF-8, UTF-16 with a byte order mark, Windows-1252; or none of them.

use std::borrow::Cow;

use onyx_protocol::ingest::{Notice, SkipReason};

/// How much of a file is looked at first.
const HEAD_BYTES: usize = 8 << 10;

/// The text of a file, and a notice when its encoding had to be guessed or replaced. A UTF-8 byte
/// order mark is kept, so that positions in the text are positions in the file.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<Notice>), Notice> {
    if let Some((name, units)) = utf16_units(bytes) {
        return utf16(name, units, bytes.len());
    }
    if bytes[..bytes.len().min(HEAD_BYTES)].contains(&0) {
        return Err(binary(format!("has NUL bytes among its first {HEAD_BYTES} bytes")));
    }
    if bytes.contains(&0) {
        return Err(binary("has NUL bytes".to_owned()));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok((Cow::Borrowed(text), None)),
        Err(error) => windows_1252(bytes, error.valid_up_to()),
    }
}

fn binary(detail: String) -> Notice {
    Notice { reason: SkipReason::Binary, detail, line: 0 }
}

fn decoded(detail: String, line: u32) -> Option<Notice> {
    Some(Notice { reason: SkipReason::Decoded, detail, line })
}

type Units<'a> = Box<dyn Iterator<Item = u16> + 'a>;

fn utf16_units(bytes: &[u8]) -> Option<(&'static str, Units<'_>)> {
    let pairs = bytes.get(2..)?.as_chunks::<2>().0.iter();
    match bytes {
        [0xff, 0xfe, ..] => Some(("UTF-16LE", Box::new(pairs.map(|&b| u16::from_le_bytes(b))))),
        [0xfe, 0xff, ..] => Some(("UTF-16BE", Box::new(pairs.map(|&b| u16::from_be_bytes(b))))),
        _ => None,
    }
}

fn utf16<'a>(
    name: &str,
    units: Units<'_>,
    bytes: usize,
) -> Result<(Cow<'a, str>, Option<Notice>), Notice> {
    let mut replaced = bytes % 2;
    let mut text = String::with_capacity(bytes / 2);
    for unit in char::decode_utf16(units) {
        text.push(unit.unwrap_or_else(|_| {
            replaced += 1;
            char::REPLACEMENT_CHARACTER
        }));
    }
    if text.contains('\0') {
        return Err(binary(format!("has NUL characters in its {name}")));
    }
    let detail = match replaced {
        0 => format!("decoded from {name}"),
        n => format!("decoded from {name} with {n} replacement characters"),
    };
    Ok((Cow::Owned(text), decoded(detail, 0)))
}

/// The characters of 0x80 to 0x9f; the five bytes Windows leaves unassigned are taken for the control
/// characters of Latin-1, as browsers do.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Control characters that text has no use for. A file with more than one in fifty is none.
fn is_odd(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
}

fn windows_1252(
    bytes: &[u8],
    valid_up_to: usize,
) -> Result<(Cow<'_, str>, Option<Notice>), Notice> {
    let odd = bytes.iter().filter(|&&b| is_odd(b)).count();
    if odd * 50 > bytes.len() {
        return Err(binary(format!("has {odd} control characters and is not UTF-8")));
    }
    let text: String = bytes
        .iter()
        .map(|&b| match b {
            0x80..=0x9f => WINDOWS_1252[usize::from(b - 0x80)],
            _ => char::from(b),
        })
        .collect();
    let line = bytes[..valid_up_to].iter().filter(|&&b| b == b'\n').count() + 1;
    let detail = format!("invalid UTF-8 at byte {valid_up_to}, decoded as Windows-1252");
    Ok((Cow::Owned(text), decoded(detail, u32::try_from(line).unwrap_or(u32::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_utf8_and_its_byte_order_mark() {
        let (text, notice) = decode("\u{feff}a = 'é'\n".as_bytes()).unwrap();
        assert_eq!(text, "\u{feff}a = 'é'\n");
        assert_eq!(notice, None);
        assert_eq!(decode(b"").unwrap().0, "");
    }

    #[test]
    fn decodes_utf16_of_both_orders() {
        let text = "x = '日本🦀'\n";
        let le: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        let be: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_be_bytes))
            .collect();
        for (bytes, name) in [(le, "UTF-16LE"), (be, "UTF-16BE")] {
            let (decoded, notice) = decode(&bytes).unwrap();
            assert_eq!(decoded, text);
            let notice = notice.unwrap();
            assert_eq!(notice.reason, SkipReason::Decoded);
            assert!(notice.detail.contains(name), "{}", notice.detail);
        }
        let (lone, notice) = decode(&[0xff, 0xfe, 0x00, 0xd8, b'a', 0]).unwrap();
        assert_eq!(lone, "\u{fffd}a");
        assert!(notice.unwrap().detail.contains("1 replacement"));
        assert_eq!(decode(&[0xff, 0xfe, 0, 0]).unwrap_err().reason, SkipReason::Binary);
    }

    #[test]
    fn falls_back_to_windows_1252() {
        let (text, notice) = decode(b"# ok\nname = '\x93M\xfcller\x94 \x80'\n").unwrap();
        assert_eq!(text, "# ok\nname = '“Müller” €'\n");
        let notice = notice.unwrap();
        assert_eq!((notice.reason, notice.line), (SkipReason::Decoded, 2));
    }

    #[test]
    fn refuses_binaries() {
        assert_eq!(decode(b"a\0b").unwrap_err().reason, SkipReason::Binary);
        let mut late = vec![b'a'; HEAD_BYTES * 2];
        late.push(0);
        assert_eq!(decode(&late).unwrap_err().reason, SkipReason::Binary);
        let noise: Vec<u8> = (0..1000u32).map(|i| (i * 37 % 255) as u8 + 1).collect();
        assert_eq!(decode(&noise).unwrap_err().reason, SkipReason::Binary);
    }
}
