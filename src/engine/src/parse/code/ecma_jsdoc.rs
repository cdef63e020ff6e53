//! Types that JavaScript tells in comments: `@param {Type} name`, `@returns {Type}`, `@type {Type}`,
//! with the names that `@typedef {Type} Name` and `@import { Name } from "module"` give to some.
//!
//! Nothing checks them, so they stand beside what the code itself shows, never in its place.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use onyx_protocol::code::{Expr, ExprId, Type, TypeId};
use onyx_protocol::facts::Language;

use super::Builder;
use super::pool::Interner;

/// Types within types.
const MAX_NESTING: u8 = 8;
/// Alternatives of one type.
const MAX_ALTERNATIVES: usize = 8;
/// Bytes of a type, braces within it included: one without an end is not looked for in all of the file.
const MAX_BYTES: usize = 1_000;
/// Parts of a type, those of the names in it included, which may be made of names again.
const MAX_PARTS: u32 = 200;

/// Types by the names that comments of a file give to them.
pub(super) type Named<'t> = HashMap<&'t str, Cow<'t, str>>;

/// What a comment says of types, as it is written there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    parameters: Vec<(String, String)>,
    result: Option<String>,
    ty: Option<String>,
}

/// The types that a file's comments give names to.
pub(super) fn named(source: &str) -> Named<'_> {
    let mut named = Named::new();
    for (at, tag) in source.match_indices("@typedef").chain(source.match_indices("@import")) {
        let Some((inner, rest)) = braced(source[at + tag.len()..].trim_start()) else { continue };
        if tag == "@typedef" {
            if let Some(name) = word(rest.trim_start()) {
                named.insert(name, inner.trim().into());
            }
            continue;
        }
        let from = rest.trim_start().strip_prefix("from").map(str::trim_start);
        let Some(module) = from.and_then(quoted) else { continue };
        for item in inner.split(',') {
            let mut words = item.split_whitespace();
            if let (Some(name), last) = (words.next(), words.next_back()) {
                let ty = format!("import('{module}').{name}");
                named.insert(last.unwrap_or(name), ty.into());
            }
        }
    }
    named
}

/// The name at the beginning of a text.
fn word(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'));
    let name = &text[..end.unwrap_or(text.len())];
    name.starts_with(|c: char| !c.is_numeric()).then_some(name)
}

/// What stands in quotes at the beginning of a text.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote).map(|(inner, _)| inner)
}

impl Told {
    /// What is told of a definition.
    pub(super) fn of(b: &Builder<'_, '_>, number: Option<u32>) -> Self {
        let doc = number.filter(|_| b.language() == Language::JavaScript).map(|n| &b.facts(n).doc);
        doc.filter(|doc| doc.contains('@')).map_or_else(Self::default, |doc| Self::read(doc))
    }

    fn read(doc: &str) -> Self {
        let mut told = Self::default();
        for (at, _) in doc.match_indices('@') {
            // At the beginning of a line, as others are in the text.
            if !doc[..at].trim_end_matches([' ', '\t', '*']).ends_with(['\n', '/'])
                && !doc[..at].trim().is_empty()
            {
                continue;
            }
            let rest = &doc[at + 1..];
            let tag = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
            let Some((ty, rest)) = braced(rest[tag.len()..].trim_start()) else { continue };
            match tag {
                "param" | "arg" | "argument" => {
                    let rest = rest.trim_start().trim_start_matches('[');
                    // `options.name` tells of a part.
                    if let Some(name) = word(rest)
                        && !rest[name.len()..].starts_with('.')
                    {
                        told.parameters.push((name.to_owned(), ty.to_owned()));
                    }
                }
                "return" | "returns" => told.result = Some(ty.to_owned()),
                "type" => told.ty = Some(ty.to_owned()),
                _ => {}
            }
        }
        told
    }

    /// A value of the type of a parameter.
    pub(super) fn parameter(&self, name: &str, b: &mut Builder<'_, '_>) -> ExprId {
        let of = self.parameters.iter().find(|(of, _)| of == name);
        of.map_or(0, |(_, ty)| value(ty, b))
    }

    /// A value of the type of what a function gives.
    pub(super) fn result(&self, b: &mut Builder<'_, '_>) -> ExprId {
        self.result.as_deref().map_or(0, |ty| value(ty, b))
    }

    /// A value of the type of a field or variable.
    pub(super) fn value(&self, b: &mut Builder<'_, '_>) -> ExprId {
        self.ty.as_deref().map_or(0, |ty| value(ty, b))
    }
}

/// One value or the other, where both are known.
pub(super) fn either(one: ExprId, other: ExprId, pool: &mut Interner<'_>) -> ExprId {
    match (one, other) {
        (0, one) | (one, 0) => one,
        _ => pool.expr(Expr::Either(one, other)),
    }
}

fn value(text: &str, b: &mut Builder<'_, '_>) -> ExprId {
    match ty(text, &b.told_types, &mut b.shared) {
        0 => 0,
        ty => b.shared.expr(Expr::OfType(ty)),
    }
}

/// What stands in the braces at the beginning of a text, and what follows them.
fn braced(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let mut depth = 1_usize;
    for (at, c) in inner.char_indices().take_while(|(at, _)| *at < MAX_BYTES) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inner[..at], &inner[at + 1..]));
        }
    }
    None
}

fn ty(text: &str, named: &Named<'_>, pool: &mut Interner<'_>) -> TypeId {
    let left = Cell::new(MAX_PARTS);
    Reader { rest: text, named, left: &left }.whole(pool, 0).unwrap_or(0)
}

/// Reads the types of JSDoc and of Closure's compiler. `None`: something else stands there.
struct Reader<'d> {
    rest: &'d str,
    named: &'d Named<'d>,
    /// Parts that may still be read.
    left: &'d Cell<u32>,
}

impl<'d> Reader<'d> {
    /// All of the text: what is understood in part is not understood.
    fn whole(mut self, pool: &mut Interner<'_>, depth: u8) -> Option<TypeId> {
        let ty = self.union(pool, depth)?;
        self.skip();
        self.rest.is_empty().then_some(ty)
    }

    /// Takes a part off those that are left.
    fn part(&self) -> Option<()> {
        self.left.set(self.left.get().checked_sub(1)?);
        Some(())
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, what: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn union(&mut self, pool: &mut Interner<'_>, depth: u8) -> Option<TypeId> {
        let mut parts = Vec::new();
        loop {
            let part = self.one(pool, depth)?;
            if part != 0 && !parts.contains(&part) && parts.len() < MAX_ALTERNATIVES {
                parts.push(part);
            }
            if !self.takes("|") {
                break;
            }
        }
        Some(match parts[..] {
            [] => 0,
            [one] => one,
            _ => pool.ty(Type::Union(parts)),
        })
    }

    fn one(&mut self, pool: &mut Interner<'_>, depth: u8) -> Option<TypeId> {
        self.part().filter(|()| depth <= MAX_NESTING)?;
        while self.takes("?") || self.takes("!") || self.takes("=") {}
        let rest = self.takes("...");
        let mut ty = if self.takes("(") {
            let inner = self.union(pool, depth + 1)?;
            self.takes(")").then_some(inner)?
        } else if self.takes("*") {
            0
        } else {
            self.named(pool, depth)?
        };
        loop {
            if self.takes("[]") {
                self.part()?;
                ty = pool.ty(Type::Array(ty));
            } else if !(self.takes("=") || self.takes("?") || self.takes("!")) {
                break;
            }
        }
        Some(if rest { pool.ty(Type::Array(ty)) } else { ty })
    }

    fn name(&mut self) -> Option<&'d str> {
        self.skip();
        let name = word(self.rest)?;
        self.rest = &self.rest[name.len()..];
        Some(name)
    }

    /// `import("module")`, after its first word, as others say it.
    fn module(&mut self) -> Option<String> {
        self.takes("(").then_some(())?;
        self.skip();
        let module = quoted(self.rest)?;
        self.rest = &self.rest[module.len() + 2..];
        self.takes(")").then(|| format!("require:{module}"))
    }

    fn named(&mut self, pool: &mut Interner<'_>, depth: u8) -> Option<TypeId> {
        let mut path = vec![match self.name()? {
            "import" => self.module()?,
            name => name.to_owned(),
        }];
        while !self.rest.starts_with(".<") && self.takes(".") {
            path.push(self.name()?.to_owned());
        }
        let mut arguments = Vec::new();
        if self.takes(".<") || self.takes("<") {
            loop {
                arguments.push(self.union(pool, depth + 1)?);
                if !self.takes(",") {
                    break;
                }
            }
            self.takes(">").then_some(())?;
        }
        let first = path[0].as_str();
        if let Some(text) = self.named.get(first).filter(|_| path.len() == 1) {
            return Reader { rest: text, ..*self }.whole(pool, depth + 1);
        }
        let of_language = match first {
            _ if path.len() > 1 => None,
            "string" | "String" => Some("String"),
            "number" | "Number" => Some("Number"),
            "boolean" | "Boolean" | "bool" => Some("Boolean"),
            "bigint" => Some("BigInt"),
            "symbol" => Some("Symbol"),
            _ => None,
        };
        if let Some(name) = of_language {
            return Some(pool.named_type(&["globalThis", name]));
        }
        match first {
            // A function's type has parentheses, which are left: it is not understood.
            "any" | "unknown" | "mixed" | "void" | "undefined" | "null" | "never" | "object"
            | "Object" | "Function" | "function"
                if path.len() == 1 =>
            {
                Some(0)
            }
            "Array" | "ReadonlyArray" if path.len() == 1 => {
                Some(pool.ty(Type::Array(arguments.first().copied().unwrap_or_default())))
            }
            _ => {
                let path = path.into_iter().map(|part| pool.name(part)).collect();
                Some(pool.ty(Type::Named(path, arguments)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parameters: &[(&str, &str)], result: Option<&str>, ty: Option<&str>) -> Told {
        let owned = |text: &str| text.to_owned();
        Told {
            parameters: parameters.iter().map(|(name, ty)| (owned(name), owned(ty))).collect(),
            result: result.map(owned),
            ty: ty.map(owned),
        }
    }

    #[test]
    fn reads_the_tags_of_a_comment() {
        let doc = "Adds one, unlike `@param {No} one`.\n\n@param {Item} one - the item, {not this}\n\
                   @param {{a: Other}} [two=3]\n@param {string} two.a part of it\n@returns {Promise<Item>}";
        let parameters = [("one", "Item"), ("two", "{a: Other}")];
        assert_eq!(Told::read(doc), told(&parameters, Some("Promise<Item>"), None));
        assert_eq!(Told::read("@type {?Item} where it is"), told(&[], None, Some("?Item")));
        assert_eq!(Told::read("@private\n@return {Item"), Told::default());
    }

    #[test]
    fn reads_types() {
        let read = |text: &str| {
            let mut pool = Interner::default();
            let source = "/** @typedef {import('./a.js').One} One */ /* @typedef {Two[]} Twos */\n\
                          /** @typedef {Self} Self\n @import { Three, Four as Vier } from \"four\" */";
            let ty = ty(text, &named(source), &mut pool);
            written(&pool, ty)
        };
        for (text, expected) in [
            ("Item", "Item"),
            ("?Item", "Item"),
            ("Item=", "Item"),
            ("Item|null", "Item"),
            ("(string|Item)[]", "[globalThis.String|Item]"),
            ("Array.<Item>", "[Item]"),
            ("...Item", "[Item]"),
            ("a.b.Item", "a.b.Item"),
            ("Promise<Item>", "Promise<Item>"),
            ("Map<string, Array<Item>>", "Map<globalThis.String,[Item]>"),
            ("import('./b.js').Item", "require:./b.js.Item"),
            ("?One", "require:./a.js.One"),
            ("Twos|Three", "[Two]|require:four.Three"),
            ("Vier", "require:four.Four"),
            ("Self", ""),
            ("*", ""),
            ("Object", ""),
            ("function(Item): Other", ""),
            ("{a: Item}", ""),
            ("'one'|'two'", ""),
            ("Item and more", ""),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_names_and_braces_without_end_take_no_time() {
        let level = |n: usize| {
            format!("@typedef {{{}}} T{n}\n", vec![format!("T{}", n + 1); 200].join("|"))
        };
        let source: String = (0..8).map(level).collect();
        let mut pool = Interner::default();
        assert_eq!(ty("T0", &named(&source), &mut pool), 0);
        assert_eq!(ty(&format!("T9{}", "[]".repeat(400)), &named(&source), &mut pool), 0);
        assert!(named(&"@typedef {".repeat(400_000)).is_empty());
    }

    fn written(pool: &Interner<'_>, ty: TypeId) -> String {
        let all = |ids: &[TypeId], by: &str| {
            ids.iter().map(|id| written(pool, *id)).collect::<Vec<_>>().join(by)
        };
        match pool.get_type(ty) {
            Type::Named(path, arguments) => {
                let path: Vec<&str> = path.iter().map(|name| pool.text(*name)).collect();
                let arguments = match arguments.is_empty() {
                    true => String::new(),
                    false => format!("<{}>", all(arguments, ",")),
                };
                path.join(".") + &arguments
            }
            Type::Array(of) => format!("[{}]", written(pool, *of)),
            Type::Union(parts) => all(parts, "|"),
            _ => String::new(),
        }
    }
}
