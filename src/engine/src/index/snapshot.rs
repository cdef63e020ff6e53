//! A graph's links as bytes, and back.
//!
//! ```text
//! header   version u8 = 1 | m u16 BE | layout u8, 0 whole, 1 split | moment u64 BE | end u32 BE
//! part     one for every 1,024 ids from 0 to before `end`:
//!          for each id   0x00, not in the graph
//!                        0x01 | content 16 | a list for each layer from 0 to the id's
//!          list          count u8 | ids, ascending, as LEB128 of the difference to the one before
//! ```
//!
//! `content` is the first half of the content's SHA-256: of a vector's f32 LE bytes, or a text's. An
//! id's layer follows from the id and m, see `links::layer_of`.
//!
//! A snapshot is taken while points come and go, and is not exact: who reads it leaves out what is
//! not there, links what is missing, and takes out what nothing claims.

use super::graph::{Graph, PointId};
use super::links::layer_of;
use super::points::ContentId;
use super::rows::Layout;

/// Version of everything described here.
const VERSION: u8 = 1;

/// Ids in a part.
pub const PART_IDS: usize = 1_024;

/// What a snapshot's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Neighbours on the upper layers.
    pub m: u16,
    /// How rows were kept.
    pub layout: Layout,
    /// Which of a generation's snapshots this is.
    pub moment: u64,
    /// Ids are below this.
    pub end: u32,
}

impl Header {
    /// Its bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.m.to_be_bytes());
        bytes.push(u8::from(self.layout == Layout::Split));
        bytes.extend(self.moment.to_be_bytes());
        bytes.extend(self.end.to_be_bytes());
        bytes
    }

    /// Reads it; `None` when it is of another version or damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [VERSION, m0, m1, layout, rest @ ..] = bytes else { return None };
        let (moment, end) = rest.split_first_chunk::<8>()?;
        Some(Self {
            m: u16::from_be_bytes([*m0, *m1]),
            layout: if *layout == 1 { Layout::Split } else { Layout::Whole },
            moment: u64::from_be_bytes(*moment),
            end: u32::from_be_bytes(end.try_into().ok()?),
        })
    }
}

/// The part that begins with an id; `content` names the contents of points to keep.
pub fn encode_part(
    graph: &Graph,
    first: PointId,
    end: u32,
    content: impl Fn(PointId) -> Option<ContentId>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PART_IDS * 96);
    let mut list = Vec::new();
    for id in first..end.min(first + PART_IDS as u32) {
        let Some(content) = content(id).filter(|_| graph.is_linked(id)) else {
            bytes.push(0);
            continue;
        };
        bytes.push(1);
        bytes.extend(content);
        for layer in 0..=layer_of(id, graph.options.m) {
            list.clear();
            list.extend(graph.neighbours(id, layer).filter(|n| *n < end));
            list.sort_unstable();
            list.dedup();
            bytes.push(list.len() as u8);
            let mut before = 0;
            for neighbour in &list {
                put_number(&mut bytes, neighbour - before);
                before = *neighbour;
            }
        }
    }
    bytes
}

/// Reads a part: calls `point` for every point in it, with its lists by layer. `None` when it is
/// damaged.
pub fn decode_part(
    bytes: &[u8],
    first: PointId,
    header: Header,
    mut point: impl FnMut(PointId, ContentId, &[Vec<PointId>]),
) -> Option<()> {
    let mut rest = bytes;
    let mut lists: Vec<Vec<PointId>> = Vec::new();
    for id in first..header.end.min(first + PART_IDS as u32) {
        let (state, after) = rest.split_first()?;
        rest = after;
        if *state == 0 {
            continue;
        }
        let (content, after) = rest.split_first_chunk::<16>()?;
        rest = after;
        let layers = layer_of(id, usize::from(header.m)) + 1;
        lists.resize_with(layers, Vec::new);
        for list in &mut lists {
            let (count, after) = rest.split_first()?;
            rest = after;
            list.clear();
            let mut before = 0u32;
            for _ in 0..*count {
                before = before.checked_add(take_number(&mut rest)?)?;
                list.push(before);
            }
        }
        point(id, *content, &lists);
    }
    rest.is_empty().then_some(())
}

fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0u32;
    for shift in (0..32).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
