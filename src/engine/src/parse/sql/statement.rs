//! The tables of one statement and the columns it names of them.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Kind, Token};

/// A table that a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Empty when it is not named.
    pub schema: String,
    pub name: String,
    /// Byte of the file where it is named first.
    pub at: usize,
    /// Names that are columns of this table if they are any.
    pub columns: Vec<String>,
    /// Names that may be columns of this table or of another of the statement.
    pub possible: Vec<String>,
}

/// Words that name neither tables nor columns where they stand alone.
#[rustfmt::skip]
const KEYWORDS: [&str; 87] = [
    "all", "and", "any", "as", "asc", "between", "by", "case", "cast", "collate", "column",
    "conflict", "constraint", "create", "cross", "current_date", "current_timestamp", "default",
    "delete", "desc", "distinct", "do", "drop", "else", "end", "except", "excluded", "exists",
    "explain", "false", "fetch", "first", "for", "from", "full", "group", "having", "if", "ilike",
    "in", "inner", "insert", "intersect", "into", "is", "join", "last", "lateral", "left", "like",
    "limit", "matched", "merge", "natural", "not", "nothing", "null", "nulls", "offset", "on",
    "only", "or", "order", "outer", "over", "partition", "primary", "recursive", "references",
    "returning", "right", "row", "rows", "select", "set", "some", "table", "then", "true",
    "union", "unique", "update", "using", "values", "when", "where", "with",
];
/// What stands behind the first word where objects are made, changed or dropped.
const OBJECTS: [&str; 16] = [
    "foreign",
    "function",
    "global",
    "index",
    "local",
    "materialized",
    "or",
    "policy",
    "procedure",
    "recursive",
    "table",
    "temp",
    "temporary",
    "trigger",
    "unique",
    "view",
];
/// Functions whose arguments have a `from` of their own.
const FROM_INSIDE: [&str; 5] = ["extract", "substring", "trim", "overlay", "position"];
/// Most columns kept of a statement.
const MAX_COLUMNS: usize = 500;

/// The tables a statement names, in source order; none when it has not the shape of one.
pub(super) fn tables(tokens: &[Token]) -> Vec<Table> {
    let mut reader = Reader::new(tokens);
    if !reader.has_shape() {
        return Vec::new();
    }
    reader.read();
    reader.finish()
}

struct Reader<'a> {
    tokens: &'a [Token],
    /// Names of common table expressions.
    common: BTreeSet<&'a str>,
    tables: Vec<Table>,
    /// What rows are called by, and the numbers of their tables.
    called: BTreeMap<&'a str, usize>,
    /// Tokens that are names of tables or rows.
    used: BTreeSet<usize>,
    /// Whether there are rows of something else too: of a function, a subquery, a name nobody can read.
    has_others: bool,
}

impl<'a> Reader<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let mut reader = Self {
            tokens,
            common: BTreeSet::new(),
            tables: Vec::new(),
            called: BTreeMap::new(),
            used: BTreeSet::new(),
            has_others: false,
        };
        if tokens.first().is_some_and(|token| token.is_any(&super::VERBS)) {
            reader.used.insert(0);
        }
        for (at, token) in tokens.iter().enumerate() {
            let follows = at.checked_sub(1).and_then(|before| tokens.get(before));
            let follows =
                follows.is_some_and(|t| t.is_any(&["with", "recursive"]) || t.kind == Kind::Comma);
            if follows && reader.is_name(at) && reader.is_common(at + 1) {
                reader.common.insert(&token.text);
                reader.used.insert(at);
            }
        }
        reader
    }

    fn word(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_any(words))
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Whether a whole name stands here: no keyword, and no hole touches it.
    fn is_name(&self, at: usize) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        let is_name = match token.kind {
            Kind::Word => !KEYWORDS.contains(&token.text.as_str()),
            // In quotes too something may be filled in.
            Kind::Quoted => !token.text.is_empty() && !token.text.contains(['%', '{', '$']),
            _ => false,
        };
        let touches = |one: &Token, other: &Token| one.end == other.start;
        let before = at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let after = self.tokens.get(at + 1);
        is_name
            && !before.is_some_and(|t| t.kind == Kind::Hole && touches(t, token))
            && !after.is_some_and(|t| t.kind == Kind::Hole && touches(token, t))
    }

    /// Whether what follows a name makes it that of a common table expression.
    fn is_common(&self, mut at: usize) -> bool {
        if self.kind(at) == Some(Kind::Open) {
            at = self.behind(at);
        }
        if !self.word(at, &["as"]) {
            return false;
        }
        at += 1;
        while self.word(at, &["not", "materialized"]) {
            at += 1;
        }
        self.kind(at) == Some(Kind::Open)
    }

    /// Behind what is in parentheses.
    fn behind(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at + 1;
            }
        }
        self.tokens.len()
    }

    fn read(&mut self) {
        let is_index = self.word(0, &["create"])
            && (1..5).any(|at| self.word(at, &["index", "trigger", "policy"]));
        // Whether each of the open parentheses has a `from` of its own.
        let mut open = Vec::new();
        for at in 0..self.tokens.len() {
            let before = at.checked_sub(1);
            let is_before = |words: &[&str]| before.is_some_and(|before| self.word(before, words));
            match self.tokens[at].kind {
                Kind::Open => open.push(is_before(&FROM_INSIDE)),
                Kind::Close => drop(open.pop()),
                Kind::Word => {}
                _ => continue,
            }
            let begins = before.is_none_or(|before| {
                matches!(self.kind(before), Some(Kind::Open | Kind::Close))
                    || self.word(before, &["explain", "analyze", "verbose"])
            });
            match self.tokens[at].text.as_str() {
                "from" => {
                    let compares = is_before(&["distinct"])
                        && before.is_some_and(|b| b > 0 && self.word(b - 1, &["is", "not"]));
                    // Behind it is a file.
                    let copies = open.is_empty() && self.word(0, &["copy"]);
                    if !compares && !copies && open.last() != Some(&true) {
                        self.list(at + 1, true, false);
                    }
                }
                "join" => self.list(at + 1, false, false),
                "using" if self.kind(at + 1) != Some(Kind::Open) => self.list(at + 1, true, false),
                "into" if is_before(&["insert", "merge", "ignore", "replace"]) => {
                    self.list(at + 1, false, true)
                }
                "update" if begins && self.has_set(at + 1) => self.list(at + 1, false, false),
                "table" | "view" if self.is_definition(at) => {
                    self.list(at + 1, is_before(&["drop", "truncate", "lock"]), true);
                }
                "truncate" if at == 0 && !self.word(at + 1, &["table"]) => {
                    self.list(at + 1, true, false)
                }
                "copy" if at == 0 => self.list(at + 1, false, true),
                "references" => self.list(at + 1, false, true),
                "on" if is_index && self.tables.is_empty() => self.list(at + 1, false, true),
                _ => {}
            }
        }
    }

    /// Whether what follows the first word is what can follow it in a statement, and not in a sentence.
    fn has_shape(&self) -> bool {
        let Some(first) = self.tokens.first().filter(|first| first.kind == Kind::Word) else {
            return true;
        };
        match first.text.as_str() {
            "insert" => self.word(1, &["into", "or", "ignore", "overwrite"]),
            "update" => self.has_set(1),
            "delete" => self.word(1, &["from"]),
            "merge" => self.word(1, &["into"]),
            "with" => !self.common.is_empty(),
            "create" | "alter" | "drop" => self.word(1, &OBJECTS),
            "copy" => self.tokens.iter().take(40).any(|token| token.is_any(&["from", "to"])),
            _ => true,
        }
    }

    /// Whether `table` or `view` stands where what is made, changed or dropped is named.
    fn is_definition(&self, at: usize) -> bool {
        let modifiers = [
            "temporary",
            "temp",
            "unlogged",
            "materialized",
            "or",
            "replace",
            "recursive",
            "foreign",
        ];
        let mut first = at;
        while first > 0 && self.word(first - 1, &modifiers) {
            first -= 1;
        }
        first > 0 && self.word(first - 1, &["create", "alter", "drop", "truncate", "lock"])
    }

    /// Whether a table's name and `set` follow, as in an update.
    fn has_set(&self, mut at: usize) -> bool {
        if self.word(at, &["only"]) {
            at += 1;
        }
        let end = self.tokens.len().min(at + 7);
        (at + 1..end).any(|at| self.word(at, &["set"]))
    }

    /// Reads names of tables, separated by commas or one. A function is none unless what stands in
    /// parentheses behind the name is columns.
    fn list(&mut self, mut at: usize, many: bool, has_columns: bool) {
        loop {
            while self.word(at, &["only", "lateral", "if", "not", "exists", "concurrently"]) {
                at += 1;
            }
            let next = match self.kind(at) {
                // What a subquery reads is read where its own words stand.
                Some(Kind::Open) => Some(self.other(at)),
                _ => self.table(at, has_columns),
            };
            let Some(next) = next else {
                self.has_others = true;
                return;
            };
            at = next;
            if !many || self.kind(at) != Some(Kind::Comma) {
                return;
            }
            at += 1;
        }
    }

    /// Reads one name of a table and what its rows are called by. Returns what is behind.
    fn table(&mut self, start: usize, has_columns: bool) -> Option<usize> {
        let tokens = self.tokens;
        let mut last = start;
        let mut names = vec![start];
        while self.kind(last + 1) == Some(Kind::Dot) {
            last += 2;
            names.push(last);
        }
        if names.len() > 3 || !names.iter().all(|at| self.is_name(*at)) {
            return None;
        }
        let mut next = last + 1;
        if self.kind(next) == Some(Kind::Open) && !has_columns {
            return Some(self.other(next));
        }
        self.used.extend(&names);
        let name = tokens[last].text.as_str();
        let schema = match names.len() {
            1 => "",
            _ => tokens[last - 2].text.as_str(),
        };
        let calls = next + usize::from(self.word(next, &["as"]));
        let called = (!has_columns && self.is_name(calls)).then_some(calls);
        if let Some(called) = called {
            self.used.insert(called);
            next = called + 1;
        }
        if schema.is_empty() && self.common.contains(name) {
            return Some(next);
        }
        let same = |table: &Table| table.name == name && table.schema == schema;
        let number = self.tables.iter().position(same).unwrap_or_else(|| {
            self.tables.push(Table {
                schema: schema.into(),
                name: name.into(),
                at: tokens[start].start,
                columns: Vec::new(),
                possible: Vec::new(),
            });
            self.tables.len() - 1
        });
        self.called.entry(name).or_insert(number);
        if let Some(called) = called {
            self.called.insert(&tokens[called].text, number);
        }
        Some(next)
    }

    /// Passes rows of something else than a table, from its parenthesis on. Returns what is behind.
    fn other(&mut self, open: usize) -> usize {
        self.has_others = true;
        let mut at = self.behind(open);
        at += usize::from(self.word(at, &["as"]));
        if self.is_name(at) {
            self.used.insert(at);
            at += 1;
            if self.kind(at) == Some(Kind::Open) {
                at = self.behind(at);
            }
        }
        at
    }

    /// Gives the columns to their tables.
    fn finish(mut self) -> Vec<Table> {
        let tokens = self.tokens;
        let mut certain: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); self.tables.len()];
        let mut alone: BTreeSet<&str> = BTreeSet::new();
        let is_only = self.tables.len() == 1 && self.common.is_empty() && !self.has_others;
        let mut at = 0;
        while at < tokens.len() {
            let start = at;
            at += 1;
            if !matches!(tokens[start].kind, Kind::Word | Kind::Quoted) {
                continue;
            }
            let mut last = start;
            while self.kind(last + 1) == Some(Kind::Dot)
                && matches!(self.kind(last + 2), Some(Kind::Word | Kind::Quoted))
            {
                last += 2;
            }
            at = last + 1;
            let before = start.checked_sub(1).map(|before| &tokens[before]);
            let is_none = self.used.contains(&start)
                || self.kind(at) == Some(Kind::Open) && last != start
                || before.is_some_and(|t| t.is("as") || matches!(t.kind, Kind::Cast | Kind::Dot));
            if is_none {
                continue;
            }
            let name = tokens[last].text.as_str();
            if last > start {
                let of = self.called.get(tokens[last - 2].text.as_str());
                if let Some(of) = of.filter(|_| self.is_name(last)) {
                    certain[*of].insert(name);
                }
            } else if self.is_name(start) && !self.called.contains_key(name) && !self.is_call(start)
            {
                alone.insert(name);
            }
        }
        for (table, certain) in self.tables.iter_mut().zip(&mut certain) {
            if is_only {
                certain.append(&mut alone);
            }
            table.columns = certain.iter().take(MAX_COLUMNS).map(|&name| name.into()).collect();
            let possible = alone.iter().filter(|name| !certain.contains(*name));
            table.possible = possible.take(MAX_COLUMNS).map(|&name| name.into()).collect();
        }
        self.tables
    }

    /// Whether a name is that of a function: behind those of tables columns stand in parentheses.
    fn is_call(&self, at: usize) -> bool {
        self.kind(at + 1) == Some(Kind::Open)
    }
}
