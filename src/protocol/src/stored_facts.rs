//! A file's definitions as history stores them: bytes that hardly change when the file hardly does.
//!
//! A definition's bytes say where it lies by the gap to what stands before it, not by its offset, and
//! whose it is by the way there from the definition before it. So an edit changes the bytes of what it
//! touches (and the length of what that is in); all else is found again in the previous version by any
//! compressor that is given it as prefix.
//!
//! # Format, version 1
//!
//! Numbers are LEB128: seven bits a byte, lowest first, the top bit set on all but the last; at most five
//! bytes, and 32 bits. Signed ones are zigzag-coded (0, -1, 1, -2, ... as 0, 1, 2, 3, ...) and may have 33
//! bits. A string is its length in bytes as a number, then UTF-8.
//!
//! ```text
//! file        version    1 byte, 1
//!             package    string
//!             doc        string
//!             definitions to the end of the input
//! definition  shape      1 byte: kind (bits 0-4, its place in KINDS), visibility (bits 5-6, its place in
//!                        VISIBILITIES), whether there are attributes (bit 7)
//!             form       1 byte: qualified name (bits 0-1, below), whether there is a signature (bit 2),
//!                        a documentation (bit 3); the others 0
//!             owner      number: 0, the definition before this one; k, that one's k-th owner, where behind
//!                        the outermost comes "none"; beyond that, a second number follows: how many
//!                        definitions before this one the owner is. The first definition has owner 1.
//!             name       string
//!             qualified  string, only of form 3. Form 0: it is the name; 1 and 2: the owner's qualified name,
//!                        "." or "::", the name
//!             attributes number of them, then strings; only if there are any
//!             signature  string, only if there is one
//!             doc        string, only if there is one
//!             gap        signed: first byte, from the reference: the end of the definition before it with
//!                        the same owner, else the owner's first byte, else 0
//!             length     signed: last byte from the first
//!             line gap   signed: first line, from the reference's line: of an end the last line, else the
//!                        owner's first line, else 0
//!             lines      signed: last line from the first
//!             hash       16 bytes
//! ```

use crate::codec::CodecError;
use crate::facts::{Definition, FileFacts, NodeKind, Visibility};
use crate::limits::MAX_FRAME_BYTES;

/// The version this module writes, and the only one there has been.
const VERSION: u8 = 1;
/// No facts take more memory than this, so damage cannot ask for more.
const MAX_DECODED_BYTES: usize = 4 * MAX_FRAME_BYTES;
/// A qualified name longer than this is written out: derived ones could otherwise grow without bound.
const MAX_DERIVED_BYTES: usize = 4 << 10;

/// Kinds by their number in the format: new ones go to the end.
const KINDS: [NodeKind; 20] = [
    NodeKind::Module,
    NodeKind::Class,
    NodeKind::Struct,
    NodeKind::Union,
    NodeKind::Record,
    NodeKind::Annotation,
    NodeKind::Interface,
    NodeKind::Trait,
    NodeKind::Impl,
    NodeKind::Enum,
    NodeKind::EnumMember,
    NodeKind::TypeAlias,
    NodeKind::Function,
    NodeKind::Method,
    NodeKind::Constructor,
    NodeKind::Property,
    NodeKind::Field,
    NodeKind::Constant,
    NodeKind::Variable,
    NodeKind::Macro,
];

/// Visibilities by their number in the format.
const VISIBILITIES: [Visibility; 4] =
    [Visibility::Public, Visibility::Protected, Visibility::Package, Visibility::Private];

const HAS_ATTRIBUTES: u8 = 1 << 7;
const HAS_SIGNATURE: u8 = 1 << 2;
const HAS_DOC: u8 = 1 << 3;

/// How a qualified name is written.
const IS_NAME: u8 = 0;
const WITH_DOT: u8 = 1;
const WITH_COLONS: u8 = 2;
const WRITTEN: u8 = 3;

/// A kind's number in the format.
fn kind_number(kind: NodeKind) -> u8 {
    match kind {
        NodeKind::Module => 0,
        NodeKind::Class => 1,
        NodeKind::Struct => 2,
        NodeKind::Union => 3,
        NodeKind::Record => 4,
        NodeKind::Annotation => 5,
        NodeKind::Interface => 6,
        NodeKind::Trait => 7,
        NodeKind::Impl => 8,
        NodeKind::Enum => 9,
        NodeKind::EnumMember => 10,
        NodeKind::TypeAlias => 11,
        NodeKind::Function => 12,
        NodeKind::Method => 13,
        NodeKind::Constructor => 14,
        NodeKind::Property => 15,
        NodeKind::Field => 16,
        NodeKind::Constant => 17,
        NodeKind::Variable => 18,
        NodeKind::Macro => 19,
    }
}

fn visibility_number(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Public => 0,
        Visibility::Protected => 1,
        Visibility::Package => 2,
        Visibility::Private => 3,
    }
}

/// Where a definition with an owner is measured from: byte and line.
#[derive(Clone, Copy, Default)]
struct Reference {
    byte: u32,
    line: u32,
}

/// The references that definitions so far leave to those behind them: an end for each owner that has
/// had one, by the owner's number plus one; 0 stands for none.
#[derive(Default)]
struct References(Vec<Option<Reference>>);

impl References {
    fn of(&self, owner: Option<usize>, definitions: &[Definition]) -> Reference {
        let place = owner.map_or(0, |owner| owner + 1);
        match (self.0.get(place).copied().flatten(), owner.and_then(|owner| definitions.get(owner)))
        {
            (Some(end), _) => end,
            (None, Some(owner)) => Reference { byte: owner.start_byte, line: owner.start_line },
            (None, None) => Reference::default(),
        }
    }

    fn ended(&mut self, owner: Option<usize>, definition: &Definition) {
        let place = owner.map_or(0, |owner| owner + 1);
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(Reference { byte: definition.end_byte, line: definition.end_line });
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// `to` from `from`.
fn push_signed(out: &mut Vec<u8>, from: u32, to: u32) {
    let difference = i64::from(to) - i64::from(from);
    push_number(out, ((difference << 1) ^ (difference >> 63)) as u64);
}

fn push_string(out: &mut Vec<u8>, string: &str) {
    push_number(out, string.len() as u64);
    out.extend_from_slice(string.as_bytes());
}

/// How a qualified name follows from the owner's.
fn qualified_form(definition: &Definition, owner: Option<&Definition>) -> u8 {
    let (qualified, name) = (definition.qualified_name.as_str(), definition.name.as_str());
    if qualified == name {
        return IS_NAME;
    }
    if qualified.len() > MAX_DERIVED_BYTES {
        return WRITTEN;
    }
    let rest = owner
        .and_then(|owner| qualified.strip_prefix(owner.qualified_name.as_str()))
        .and_then(|rest| rest.strip_suffix(name));
    match rest {
        Some(".") => WITH_DOT,
        Some("::") => WITH_COLONS,
        _ => WRITTEN,
    }
}

/// Writes the way from the definition before `index` to its owner.
fn push_owner(out: &mut Vec<u8>, index: usize, owner: Option<usize>, definitions: &[Definition]) {
    let mut at = index.checked_sub(1);
    let mut steps = u64::from(index == 0);
    loop {
        if index > 0 && at == owner {
            push_number(out, steps);
            return;
        }
        let Some(before) = at else { break };
        at = definitions[before].parent.map(|parent| parent as usize);
        steps += 1;
    }
    if index == 0 {
        push_number(out, 1);
        return;
    }
    // Not around the definition before: `steps` stands at "none", one more says so.
    push_number(out, steps + 1);
    push_number(out, owner.map_or(0, |owner| (index - owner) as u64));
}

/// Facts as bytes. Owners must stand before what they own, as [`FileFacts`] says; one that does not is
/// written as none.
pub fn encode(facts: &FileFacts) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 128 * facts.definitions.len());
    out.push(VERSION);
    push_string(&mut out, &facts.package);
    push_string(&mut out, &facts.doc);
    let definitions = &facts.definitions;
    let mut references = References::default();
    for (index, definition) in definitions.iter().enumerate() {
        let owner = definition.parent.map(|parent| parent as usize).filter(|owner| *owner < index);
        let form = qualified_form(definition, owner.map(|owner| &definitions[owner]));
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        out.push(
            kind_number(definition.kind)
                | visibility_number(definition.visibility) << 5
                | flag(!definition.attributes.is_empty(), HAS_ATTRIBUTES),
        );
        out.push(
            form | flag(!definition.signature.is_empty(), HAS_SIGNATURE)
                | flag(!definition.doc.is_empty(), HAS_DOC),
        );
        push_owner(&mut out, index, owner, definitions);
        push_string(&mut out, &definition.name);
        if form == WRITTEN {
            push_string(&mut out, &definition.qualified_name);
        }
        if !definition.attributes.is_empty() {
            push_number(&mut out, definition.attributes.len() as u64);
            definition.attributes.iter().for_each(|attribute| push_string(&mut out, attribute));
        }
        if !definition.signature.is_empty() {
            push_string(&mut out, &definition.signature);
        }
        if !definition.doc.is_empty() {
            push_string(&mut out, &definition.doc);
        }
        let from = references.of(owner, definitions);
        push_signed(&mut out, from.byte, definition.start_byte);
        push_signed(&mut out, definition.start_byte, definition.end_byte);
        push_signed(&mut out, from.line, definition.start_line);
        push_signed(&mut out, definition.start_line, definition.end_line);
        out.extend_from_slice(&definition.hash);
        references.ended(owner, definition);
    }
    out
}

/// What is left of the input, and how much memory what was read may still take.
struct Reader<'a> {
    rest: &'a [u8],
    budget: usize,
}

const SHORT: CodecError = CodecError::Damaged("the input ends early");
const BAD_NUMBER: CodecError = CodecError::Damaged("a number is out of range");

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], CodecError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, CodecError> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(BAD_NUMBER)
    }

    /// A signed number as what it leads to from `from`.
    fn signed(&mut self, from: u32) -> Result<u32, CodecError> {
        let number = self.number()?;
        let difference = (number >> 1) as i64 ^ -((number & 1) as i64);
        u32::try_from(i64::from(from) + difference).map_err(|_| BAD_NUMBER)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), CodecError> {
        self.budget =
            self.budget.checked_sub(bytes).ok_or(CodecError::Damaged("the facts are too large"))?;
        Ok(())
    }

    fn string(&mut self) -> Result<String, CodecError> {
        let length = usize::try_from(self.number()?).map_err(|_| BAD_NUMBER)?;
        let bytes = self.bytes(length)?;
        self.spend(length)?;
        let string = std::str::from_utf8(bytes);
        Ok(string.map_err(|_| CodecError::Damaged("a string is not UTF-8"))?.to_owned())
    }

    fn owner(&mut self, definitions: &[Definition]) -> Result<Option<u32>, CodecError> {
        const BAD: CodecError = CodecError::Damaged("a definition has an owner that is not there");
        let steps = self.number()?;
        let Some(mut at) = definitions.len().checked_sub(1).map(|last| last as u32) else {
            return if steps == 1 { Ok(None) } else { Err(BAD) };
        };
        for left in (0..steps).rev() {
            match definitions[at as usize].parent {
                Some(parent) => at = parent,
                None if left == 0 => return Ok(None),
                None if left == 1 => {
                    let back = usize::try_from(self.number()?).map_err(|_| BAD_NUMBER)?;
                    let owner = definitions.len().checked_sub(back).ok_or(BAD)?;
                    return if back == 0 { Err(BAD) } else { Ok(Some(owner as u32)) };
                }
                None => return Err(BAD),
            }
        }
        Ok(Some(at))
    }
}

/// Facts from bytes. An error is all that damaged ones give, never more memory than a bound.
pub fn decode(bytes: &[u8]) -> Result<FileFacts, CodecError> {
    let mut reader = Reader { rest: bytes, budget: MAX_DECODED_BYTES };
    match reader.byte()? {
        VERSION => {}
        other => return Err(CodecError::Version(other)),
    }
    let package = reader.string()?;
    let doc = reader.string()?;
    let mut definitions: Vec<Definition> = Vec::new();
    let mut references = References::default();
    while !reader.rest.is_empty() {
        let definition = definition(&mut reader, &definitions, &references)?;
        references.ended(definition.parent.map(|parent| parent as usize), &definition);
        definitions.push(definition);
    }
    Ok(FileFacts { definitions, package, doc })
}

fn definition(
    reader: &mut Reader<'_>,
    definitions: &[Definition],
    references: &References,
) -> Result<Definition, CodecError> {
    reader.spend(size_of::<Definition>())?;
    let shape = reader.byte()?;
    let kind = *KINDS
        .get(usize::from(shape & 0x1f))
        .ok_or(CodecError::Damaged("a definition has an unknown kind"))?;
    let visibility = VISIBILITIES[usize::from(shape >> 5 & 3)];
    let form = reader.byte()?;
    if form & !(WRITTEN | HAS_SIGNATURE | HAS_DOC) != 0 {
        return Err(CodecError::Damaged("a definition has an unknown form"));
    }
    let parent = reader.owner(definitions)?;
    let owner = parent.and_then(|parent| definitions.get(parent as usize));
    let name = reader.string()?;
    let qualified_name = match form & WRITTEN {
        IS_NAME => {
            reader.spend(name.len())?;
            name.clone()
        }
        WRITTEN => reader.string()?,
        derived => {
            let owner = owner.ok_or(CodecError::Damaged("a name has no owner"))?;
            let separator = if derived == WITH_DOT { "." } else { "::" };
            let length = owner.qualified_name.len() + separator.len() + name.len();
            if length > MAX_DERIVED_BYTES {
                return Err(CodecError::Damaged("a name is too long"));
            }
            reader.spend(length)?;
            let mut qualified = String::with_capacity(length);
            qualified.push_str(&owner.qualified_name);
            qualified.push_str(separator);
            qualified.push_str(&name);
            qualified
        }
    };
    let mut attributes = Vec::new();
    if shape & HAS_ATTRIBUTES != 0 {
        let count = reader.number()?;
        for _ in 0..count {
            reader.spend(size_of::<String>())?;
            attributes.push(reader.string()?);
        }
    }
    let signature = if form & HAS_SIGNATURE != 0 { reader.string()? } else { String::new() };
    let doc = if form & HAS_DOC != 0 { reader.string()? } else { String::new() };
    let from = references.of(parent.map(|parent| parent as usize), definitions);
    let start_byte = reader.signed(from.byte)?;
    let end_byte = reader.signed(start_byte)?;
    let start_line = reader.signed(from.line)?;
    let end_line = reader.signed(start_line)?;
    let mut hash = [0; 16];
    hash.copy_from_slice(reader.bytes(16)?);
    Ok(Definition {
        kind,
        name,
        qualified_name,
        parent,
        signature,
        doc,
        visibility,
        attributes,
        start_byte,
        end_byte,
        start_line,
        end_line,
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random numbers that are the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) % bound
        }

        fn text(&mut self, longest: u64) -> String {
            let length = self.below(longest + 1);
            (0..length).map(|_| ['a', 'B', '_', '.', 'é', '字'][self.below(6) as usize]).collect()
        }

        fn facts(&mut self) -> FileFacts {
            let mut definitions: Vec<Definition> = Vec::new();
            for index in 0..self.below(40) as usize {
                // Mostly of the definition before or what is around it, sometimes of any.
                let parent = match (index, self.below(4)) {
                    (0, _) | (_, 0) => None,
                    (_, 1) => Some(index as u32 - 1),
                    (_, 2) => definitions[index - 1].parent,
                    _ => Some(self.below(index as u64) as u32),
                };
                let name = self.text(12);
                let owner = parent.map(|p| definitions[p as usize].qualified_name.clone());
                let qualified_name = match (self.below(5), owner) {
                    (0, Some(owner)) => format!("{owner}.{name}"),
                    (1, Some(owner)) => format!("{owner}::{name}"),
                    (2, Some(owner)) => format!("({owner}).{name}"),
                    (3, _) => self.text(30),
                    _ => name.clone(),
                };
                let any = |random: &mut Self| match random.below(8) {
                    0 => u32::MAX,
                    1 => 0,
                    _ => random.below(1 << 20) as u32,
                };
                definitions.push(Definition {
                    kind: KINDS[self.below(20) as usize],
                    name,
                    qualified_name,
                    parent,
                    signature: self.text(40),
                    doc: self.text(200),
                    visibility: VISIBILITIES[self.below(4) as usize],
                    attributes: (0..self.below(3)).map(|_| self.text(9)).collect(),
                    start_byte: any(self),
                    end_byte: any(self),
                    start_line: any(self),
                    end_line: any(self),
                    hash: std::array::from_fn(|_| self.below(256) as u8),
                });
            }
            FileFacts { definitions, package: self.text(9), doc: self.text(50) }
        }
    }

    fn plain(name: &str, parent: Option<u32>, span: (u32, u32), lines: (u32, u32)) -> Definition {
        Definition {
            kind: NodeKind::Function,
            name: name.into(),
            qualified_name: name.into(),
            parent,
            signature: format!("fn {name}()"),
            doc: String::new(),
            visibility: Visibility::Public,
            attributes: vec![],
            start_byte: span.0,
            end_byte: span.1,
            start_line: lines.0,
            end_line: lines.1,
            hash: [7; 16],
        }
    }

    #[test]
    fn facts_come_back() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..2_000 {
            let facts = random.facts();
            assert_eq!(decode(&encode(&facts)).unwrap(), facts);
        }
        assert_eq!(decode(&encode(&FileFacts::default())).unwrap(), FileFacts::default());
    }

    #[test]
    fn numbers_are_those_of_the_format() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(usize::from(kind_number(kind)), number);
        }
        for (number, visibility) in VISIBILITIES.into_iter().enumerate() {
            assert_eq!(usize::from(visibility_number(visibility)), number);
        }
    }

    /// Bytes that were written once must be read for ever.
    #[test]
    fn the_format_is_frozen() {
        let mut inner = plain("g", Some(0), (20, 30), (3, 4));
        inner.qualified_name = "f::g".into();
        inner.attributes = vec!["async".into()];
        inner.doc = "Do.".into();
        let facts = FileFacts {
            definitions: vec![plain("f", None, (10, 300), (2, 9)), inner],
            package: "p".into(),
            doc: String::new(),
        };
        let mut frozen = vec![1, 1, b'p', 0];
        frozen.extend_from_slice(b"\x0c\x04\x01\x01f\x06fn f()\x14\xc4\x04\x04\x0e");
        frozen.extend_from_slice(&[7; 16]);
        frozen
            .extend_from_slice(b"\x8c\x0e\x00\x01g\x01\x05async\x06fn g()\x03Do.\x14\x14\x02\x02");
        frozen.extend_from_slice(&[7; 16]);
        assert_eq!(encode(&facts), frozen);
        assert_eq!(decode(&frozen).unwrap(), facts);
    }

    #[test]
    fn an_edit_changes_only_what_it_touches() {
        let facts = |grown: u32| FileFacts {
            definitions: vec![
                plain("a", None, (0, 100 + grown), (1, 10 + grown)),
                plain("b", None, (110 + grown, 400 + grown), (12 + grown, 40 + grown)),
                plain("c", Some(1), (120 + grown, 130 + grown), (13 + grown, 14 + grown)),
                plain("d", Some(1), (140 + grown, 150 + grown), (16 + grown, 17 + grown)),
                plain("e", None, (500 + grown, 600 + grown), (50 + grown, 60 + grown)),
            ],
            ..FileFacts::default()
        };
        let (before, after) = (encode(&facts(0)), encode(&facts(5)));
        assert_eq!(before.len(), after.len());
        let differing = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 2, "the length and the lines of the one that grew");
    }

    #[test]
    fn damage_is_an_error_or_other_facts() {
        let mut random = Random(42);
        for _ in 0..300 {
            let bytes = encode(&random.facts());
            for cut in 0..bytes.len().min(200) {
                // A cut between two definitions is no damage that can be seen.
                let _ = decode(&bytes[..cut]);
            }
            for _ in 0..50 {
                let mut damaged = bytes.clone();
                let place = random.below(damaged.len() as u64) as usize;
                damaged[place] = random.below(256) as u8;
                let _ = decode(&damaged);
            }
        }
        assert!(matches!(decode(&[]), Err(CodecError::Damaged(_))));
        assert!(matches!(decode(&[2, 0, 0]), Err(CodecError::Version(2))));
        assert!(decode(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "a length beyond the input");
        assert!(decode(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err(), "a number too long");
    }

    #[test]
    fn names_cannot_grow_without_bound() {
        // Each the owner of the next, each qualified name the owner's and its own.
        let mut bytes = vec![1, 0, 0];
        let name = "n".repeat(100);
        for index in 0..1_000u32 {
            bytes.extend_from_slice(&[
                12,
                if index == 0 { 0 } else { 1 },
                u8::from(index == 0),
                100,
            ]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&[0; 20]);
        }
        assert!(matches!(decode(&bytes), Err(CodecError::Damaged("a name is too long"))));
    }
}
