//! Numbers as bytes: seven bits a byte, the lowest first, the highest bit set on all but the last. A signed
//! number is zigzag. Ids are written as their difference from the one before (the first from 0); behind a
//! difference of 1 stands how many more of it follow. The ids of a file's definitions are mostly consecutive,
//! so hundreds take a dozen bytes.

/// Adds a number.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Adds a signed number.
pub fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

/// Reads what was put, from the start. `None`: the bytes end within a number, or it has too many.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// The next number.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The next number, signed.
    #[inline]
    pub fn signed(&mut self) -> Option<i64> {
        self.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next bytes.
    pub fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Ids that bytes may stand for: more than a file has definitions, and damage cannot ask for more.
const MAX_IDS: usize = 1 << 20;

/// Ids to bytes.
pub fn encode(ids: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut before, mut rest) = (0_i64, ids);
    while let Some((id, others)) = rest.split_first() {
        let difference = id.wrapping_sub(before);
        put_signed(&mut bytes, difference);
        (before, rest) = (*id, others);
        if difference == 1 {
            let next =
                rest.iter().zip(1..).take_while(|(id, step)| **id == before.wrapping_add(*step));
            let run = next.count();
            put(&mut bytes, run as u64);
            before = before.wrapping_add(run as i64);
            rest = &rest[run..];
        }
    }
    bytes
}

/// The ids; `None` when the bytes end within one, or are too many.
pub fn decode(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut ids = Vec::with_capacity(bytes.len());
    let (mut reader, mut before) = (Reader(bytes), 0_i64);
    while !reader.0.is_empty() {
        let difference = reader.signed()?;
        before = before.wrapping_add(difference);
        ids.push(before);
        if difference == 1 {
            let run = usize::try_from(reader.number()?).ok().filter(|run| *run <= MAX_IDS)?;
            ids.extend((1..=run as i64).map(|step| before.wrapping_add(step)));
            before = before.wrapping_add(run as i64);
        }
        if ids.len() > MAX_IDS {
            return None;
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 0x7f, 0x80, 1 << 40, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!((reader.number(), reader.0.len()), (Some(number), 0));
            assert_eq!(Reader(&bytes[..bytes.len() - 1]).number(), None);
        }
        // Eleven bytes are never written.
        assert_eq!(Reader(&[0x80; 11]).number(), None);
    }

    #[test]
    fn ids_come_back() {
        let long: Vec<i64> = (5..5_000).chain([7, 8, 8, 9]).collect();
        for ids in [vec![], vec![1], vec![7, 8, 9, 3, -4], vec![i64::MIN, i64::MAX, 0], long] {
            assert_eq!(decode(&encode(&ids)), Some(ids));
        }
        assert_eq!(encode(&[100, 101, 102, 103, 99]), [0xc8, 1, 2, 2, 7]);
        assert_eq!(decode(&[0xc8]), None);
        // A run without its length, and one without end.
        assert_eq!(decode(&[2]), None);
        assert_eq!(decode(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), None);
    }
}
