//! Source that changes at random. Almost every line is like no other, so that any two ways to compare texts
//! find the same lines in common.

use onyx_pg_test::git::Random;

/// Files that there may be.
pub const PATHS: [&str; 10] = [
    "a/one.py",
    "a/two.py",
    "b/three.py",
    "b/c/four.py",
    "src/one.rs",
    "src/two.rs",
    "web/one.ts",
    "web/two.ts",
    "go/one.go",
    "go/two.go",
];

/// Makes source.
pub struct Writer {
    pub random: Random,
    number: u32,
}

impl Writer {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), number: 0 }
    }

    /// A number that was not given before.
    pub fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn name(&mut self) -> String {
        format!("f{}", self.random.below(30))
    }

    /// A file's first line.
    fn head(&mut self, path: &str) -> String {
        let (number, called) = (self.next(), self.name());
        match ending(path) {
            "py" => format!("from a.one import {called}  # {number}\n"),
            "rs" => format!("use crate::two::{called}; // {number}\n"),
            "go" => format!("package one // {number}\n"),
            _ => format!("import {{ {called} }} from './one'; // {number}\n"),
        }
    }

    /// A definition, of Python perhaps a class.
    fn block(&mut self, path: &str) -> String {
        let (name, called, other) = (self.name(), self.name(), self.name());
        let [a, b, c, d, e] = [(); 5].map(|()| self.next());
        match ending(path) {
            "py" if self.random.below(4) == 0 => format!(
                "class {}:\n    def {called}(self, x{a}):\n        y{b} = x{a} + {b}\n        return {other}(y{b}) + {c}\n    def {other}{d}(self):\n        return self.{called}({e})\n",
                name.to_uppercase()
            ),
            "py" => format!(
                "def {name}(x{a}):\n    y{b} = x{a} + {b}\n    z{c} = {called}(y{b}) + {c}\n    return {other}(z{c}) + {d}\n"
            ),
            "rs" => format!(
                "pub fn {name}(x{a}: u32) -> u32 {{\n    let y{b} = x{a} + {b};\n    let z{c} = {called}(y{b}) + {c};\n    {other}(z{c}) + {d}\n}} // {e}\n"
            ),
            "go" => format!(
                "func {name}(x{a} int) int {{\n\ty{b} := x{a} + {b}\n\tz{c} := {called}(y{b}) + {c}\n\treturn {other}(z{c}) + {d}\n}} // {e}\n"
            ),
            _ => format!(
                "export function {name}(x{a}) {{\n  const y{b} = x{a} + {b};\n  const z{c} = {called}(y{b}) + {c};\n  return {other}(z{c}) + {d};\n}} // {e}\n"
            ),
        }
    }

    /// A whole file.
    pub fn file(&mut self, path: &str) -> String {
        let mut text = self.head(path);
        for _ in 0..2 + self.random.below(4) {
            text += &self.block(path);
        }
        text
    }

    /// A text with one change.
    pub fn edited(&mut self, path: &str, text: &str) -> String {
        let mut blocks = blocks(text);
        let at = self.random.below(blocks.len());
        let mut lines: Vec<String> = blocks[at].split_inclusive('\n').map(str::to_owned).collect();
        let (line, number) = (self.random.below(lines.len().max(1)), self.next());
        let mark = if ending(path) == "py" { "#~" } else { "//~" };
        match self.random.below(8) {
            0 => blocks.insert(at + 1, self.block(path)),
            1 if at > 0 && blocks.len() > 2 => _ = blocks.remove(at),
            2 if at > 0 => {
                // Another name: callers are not told.
                let before = text_between(&lines[0], " f", "(").map(str::to_owned);
                if let Some(before) = before {
                    let after = format!(" {}(", self.name());
                    lines[0] = lines[0].replacen(&format!(" f{before}("), &after, 1);
                }
                blocks[at] = lines.concat();
            }
            3 if !lines.is_empty() => {
                lines.insert(line + 1, format!("    {mark} {number}\n"));
                blocks[at] = lines.concat();
            }
            4 if lines.len() > 3 && line > 0 && line + 1 < lines.len() => {
                lines.remove(line);
                blocks[at] = lines.concat();
            }
            _ if !lines.is_empty() => {
                let old = lines[line].trim_end_matches('\n');
                let old = old.split(&format!(" {mark}")).next().unwrap_or_default();
                lines[line] = format!("{old} {mark} {number}\n");
                blocks[at] = lines.concat();
            }
            _ => blocks.push(self.block(path)),
        }
        blocks.concat()
    }

    /// Takes a definition out of one text and puts it into another one of its language.
    pub fn moved(&mut self, from: &str, to: &str) -> Option<(String, String)> {
        let (mut from, mut to) = (blocks(from), blocks(to));
        if from.len() < 3 {
            return None;
        }
        let block = from.remove(1 + self.random.below(from.len() - 1));
        let at = 1 + self.random.below(to.len());
        to.insert(at.min(to.len()), block);
        Some((from.concat(), to.concat()))
    }
}

/// What is between the first `start` and the next `end`.
fn text_between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(between, _)| between)
}

pub fn ending(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// A text's head and its definitions.
fn blocks(text: &str) -> Vec<String> {
    let starts = ["def ", "class ", "pub fn ", "func ", "export function "];
    let mut blocks = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if starts.iter().any(|start| line.starts_with(start)) {
            blocks.push(String::new());
        }
        let last = blocks.len() - 1;
        blocks[last] += line;
    }
    blocks
}
