//! Node ids of a file's definitions as bytes: neighbours are mostly consecutive, so most take one byte.
//!
//! Each id is written as its difference from the one before (the first from 0), zigzag, in groups of
//! seven bits, the lowest first, the highest bit set on all but the last.

/// Ids to bytes.
pub fn encode(ids: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() + 8);
    let mut before = 0_i64;
    for id in ids {
        let difference = id.wrapping_sub(before);
        before = *id;
        let mut rest = ((difference << 1) ^ (difference >> 63)) as u64;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

/// The ids; `None` when the bytes end within one.
pub fn decode(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut ids = Vec::with_capacity(bytes.len());
    let (mut before, mut rest, mut shift) = (0_i64, 0_u64, 0);
    for byte in bytes {
        rest |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            before = before.wrapping_add((rest >> 1) as i64 ^ -((rest & 1) as i64));
            ids.push(before);
            (rest, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(ids)
}
