//! Manifests: the files that say what a directory is to a language's tools.
//!
//! One that cannot be read is a file without a manifest and with a notice; what is not of the shape its
//! tool expects is left out.

use onyx_protocol::code::{Alias, Body, Interface, Manifest, ManifestKind};
use onyx_protocol::facts::{FileFacts, Language};
use onyx_protocol::ingest::{Notice, SkipReason};
use serde_json::Value;

use super::extract::Parsed;

/// Most names of one list; more are left out.
const MAX_NAMES: usize = 10_000;
/// Deepest nesting of conditions in `exports`.
const MAX_CONDITIONS: u8 = 16;

/// What the manifest at a path says.
pub(super) fn parse(path: &str, text: &str) -> Parsed {
    let read = match ManifestKind::from_path(path) {
        // Called one by hand: nothing is known of it.
        None => Ok(None),
        // Nothing in it yet.
        Some(kind) if text.trim().is_empty() => Ok(Some(Manifest::new(kind))),
        Some(ManifestKind::Go) => Ok(Some(go(text))),
        Some(ManifestKind::Cargo) => cargo(text).map(Some),
        Some(ManifestKind::Package) => json(text).map(|value| Some(package(&value))),
        Some(ManifestKind::Config) => json(text).map(|value| Some(config(&value))),
    };
    let (manifest, notices) = match read {
        Ok(manifest) => (manifest, Vec::new()),
        Err(notice) => (None, vec![notice]),
    };
    let interface = Interface { manifest, ..Interface::new(Language::Manifest) };
    Parsed {
        facts: FileFacts::default(),
        interface,
        body: Body::default(),
        sql: Vec::new(),
        notices,
    }
}

fn broken(detail: String, line: usize) -> Notice {
    let line = u32::try_from(line).unwrap_or(0);
    Notice { reason: SkipReason::SyntaxError, detail, line }
}

/// `go.mod`: `module path` and `replace path => ./directory`, alone or in parentheses.
fn go(text: &str) -> Manifest {
    let mut manifest = Manifest::new(ManifestKind::Go);
    let mut block = "";
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        let mut words = line.split_whitespace();
        let verb = match block {
            "" => words.next().unwrap_or(""),
            block => block,
        };
        let words: Vec<&str> = words.map(|word| word.trim_matches(['"', '`'])).collect();
        match (verb, &words[..]) {
            (_, [")"]) => block = "",
            (verb, ["("]) => block = verb,
            ("module", [path]) => manifest.name = (*path).to_owned(),
            ("replace", _) => {
                let Some(arrow) = words.iter().position(|word| *word == "=>") else { continue };
                let (Some(name), Some(target)) = (words.first(), words.get(arrow + 1)) else {
                    continue;
                };
                if arrow > 0 && manifest.aliases.len() < MAX_NAMES {
                    manifest.aliases.push(alias(name, vec![(*target).to_owned()]));
                }
            }
            _ => {}
        }
    }
    manifest
}

fn cargo(text: &str) -> Result<Manifest, Notice> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(0, |before| before.matches('\n').count() + 1);
        broken(format!("not TOML: {}", error.message()), line)
    })?;
    let text_of = |table: &toml::Table, name: &str| {
        table.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    };
    let sub = |name: &str| table.get(name).and_then(|value| value.as_table());
    let mut manifest = Manifest::new(ManifestKind::Cargo);
    if let Some(package) = sub("package") {
        manifest.name = text_of(package, "name");
    }
    if let Some(library) = sub("lib") {
        manifest.library = text_of(library, "name");
        manifest.entries =
            Some(text_of(library, "path")).filter(|p| !p.is_empty()).into_iter().collect();
    }
    for kind in ["bin", "example", "test", "bench"] {
        let targets = table.get(kind).and_then(|value| value.as_array());
        for target in targets.into_iter().flatten().filter_map(|value| value.as_table()) {
            let path = text_of(target, "path");
            if !path.is_empty() && manifest.exports.len() < MAX_NAMES {
                manifest.exports.push(alias(&text_of(target, "name"), vec![path]));
            }
        }
    }
    if let Some(workspace) = sub("workspace") {
        let members = workspace.get("members").and_then(|value| value.as_array());
        let names = members.into_iter().flatten().filter_map(|value| value.as_str());
        manifest.members = names.take(MAX_NAMES).map(str::to_owned).collect();
        dependencies(workspace, &mut manifest);
    }
    dependencies(&table, &mut manifest);
    let targets = sub("target").into_iter().flat_map(|targets| targets.values());
    for target in targets.filter_map(|value| value.as_table()) {
        dependencies(target, &mut manifest);
    }
    Ok(manifest)
}

/// The dependencies that have a name of their own here.
fn dependencies(table: &toml::Table, manifest: &mut Manifest) {
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let section = table.get(section).and_then(|value| value.as_table());
        for (name, value) in section.into_iter().flatten() {
            let renamed = value.get("package").and_then(|value| value.as_str());
            if let Some(package) = renamed.filter(|_| manifest.aliases.len() < MAX_NAMES) {
                manifest.aliases.push(alias(name, vec![package.to_owned()]));
            }
        }
    }
}

fn package(value: &Value) -> Manifest {
    let mut manifest = Manifest::new(ManifestKind::Package);
    manifest.name = string(value, "name");
    let entries = ["source", "types", "typings", "module", "main"];
    manifest.entries = entries.iter().map(|name| string(value, name)).collect();
    manifest.entries.retain(|entry| !entry.is_empty());
    manifest.exports = subpaths(value.get("exports"), ".");
    if let Some(binaries) = value.get("bin") {
        let own = manifest.name.clone();
        manifest.exports.extend(
            subpaths(Some(binaries), &own)
                .into_iter()
                .map(|one| Alias { name: format!("bin:{}", one.name), targets: one.targets }),
        );
    }
    manifest.aliases = subpaths(value.get("imports"), "");
    let workspaces = value.get("workspaces");
    let members = workspaces.and_then(|of| of.get("packages")).or(workspaces);
    manifest.members = strings(members);
    manifest
}

/// Targets by subpath. Without subpaths they are those of `whole`.
fn subpaths(value: Option<&Value>, whole: &str) -> Vec<Alias> {
    let is_name = |key: &str| match whole {
        "." => key.starts_with('.'),
        _ => true,
    };
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(map)) if map.keys().all(|key| is_name(key)) => map
            .iter()
            .take(MAX_NAMES)
            .map(|(name, value)| {
                let mut targets = Vec::new();
                conditions(value, &mut targets, 0);
                alias(name, targets)
            })
            .collect(),
        Some(value) => {
            let mut targets = Vec::new();
            conditions(value, &mut targets, 0);
            vec![alias(whole, targets)]
        }
    }
}

/// The targets of all conditions, each once.
fn conditions(value: &Value, targets: &mut Vec<String>, depth: u8) {
    match value {
        Value::String(path) if targets.len() < MAX_NAMES && !targets.contains(path) => {
            targets.push(path.clone());
        }
        Value::Array(all) if depth < MAX_CONDITIONS => {
            all.iter().for_each(|one| conditions(one, targets, depth + 1));
        }
        Value::Object(all) if depth < MAX_CONDITIONS => {
            // What compilers read goes before what is run.
            let first = ["source", "types", "import", "default"];
            first.iter().filter_map(|name| all.get(*name)).chain(all.values()).for_each(|one| {
                conditions(one, targets, depth + 1);
            });
        }
        _ => {}
    }
}

fn config(value: &Value) -> Manifest {
    let mut manifest = Manifest::new(ManifestKind::Config);
    manifest.extends = strings(value.get("extends"));
    let Some(options) = value.get("compilerOptions") else { return manifest };
    manifest.base = string(options, "baseUrl");
    manifest.output = string(options, "outDir");
    manifest.sources = strings(options.get("rootDir"));
    manifest.sources.extend(strings(options.get("rootDirs")));
    if let Some(Value::Object(paths)) = options.get("paths") {
        let paths = paths.iter().take(MAX_NAMES);
        manifest.aliases = paths.map(|(name, value)| alias(name, strings(Some(value)))).collect();
    }
    manifest
}

fn alias(name: &str, targets: Vec<String>) -> Alias {
    Alias { name: name.to_owned(), targets }
}

fn string(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A string or the strings of a list.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            let names = all.iter().filter_map(Value::as_str);
            names.take(MAX_NAMES).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// JSON as TypeScript reads it: comments and trailing commas are none of it.
fn json(text: &str) -> Result<Value, Notice> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&bare(text)))
        .map_err(|error: serde_json::Error| broken(format!("not JSON: {error}"), error.line()))
}

/// JSON with blanks in the place of comments and trailing commas: lines stay.
fn bare(text: &str) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    // A comma behind which only blanks have come.
    let mut comma = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            b'"' => string_length(rest),
            b'/' if rest.starts_with(b"//") => {
                rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
            }
            b'/' if rest.starts_with(b"/*") => {
                let end = rest[2..].windows(2).position(|pair| pair == b"*/");
                end.map_or(rest.len(), |end| end + 4)
            }
            _ => 1,
        };
        let piece = &rest[..length];
        if byte == b'/' && length > 1 {
            out.extend(piece.iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
        } else {
            if matches!(byte, b'}' | b']')
                && let Some(comma) = comma
            {
                out[comma] = b' ';
            }
            if byte == b',' {
                comma = Some(out.len());
            } else if !byte.is_ascii_whitespace() {
                comma = None;
            }
            out.extend_from_slice(piece);
        }
        at += length;
    }
    // Only whole ASCII characters and comments have been replaced.
    String::from_utf8(out).unwrap_or_default()
}

/// Bytes of the string literal that begins here, both quotes included.
fn string_length(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Manifest {
        let parsed = parse(path, text);
        assert_eq!(parsed.notices, []);
        parsed.interface.manifest.unwrap()
    }

    fn aliases(all: &[Alias]) -> Vec<(&str, Vec<&str>)> {
        all.iter()
            .map(|one| (one.name.as_str(), one.targets.iter().map(String::as_str).collect()))
            .collect()
    }

    #[test]
    fn names_of_manifests() {
        let kind = ManifestKind::from_path;
        assert_eq!(kind("a/go.mod"), Some(ManifestKind::Go));
        assert_eq!(kind("Cargo.toml"), Some(ManifestKind::Cargo));
        assert_eq!(kind("a/package.json"), Some(ManifestKind::Package));
        assert_eq!(kind("tsconfig.base.json"), Some(ManifestKind::Config));
        assert_eq!(kind("tsconfig-app.json"), Some(ManifestKind::Config));
        assert_eq!(kind("jsconfig.json"), Some(ManifestKind::Config));
        for other in ["go.sum", "Cargo.lock", "package-lock.json", "tsconfigs.json", "a.json"] {
            assert_eq!(kind(other), None, "{other}");
            assert_eq!(Language::from_path(other), None, "{other}");
        }
        assert_eq!(Language::from_path("x/go.mod"), Some(Language::Manifest));
        assert_eq!(Language::from_name("manifest"), Some(Language::Manifest));
    }

    #[test]
    fn go_modules() {
        let one = read("go.mod", "module example.com/a/b // ours\n\ngo 1.21\n");
        assert_eq!((one.kind, one.name.as_str()), (ManifestKind::Go, "example.com/a/b"));
        let two = read(
            "x/go.mod",
            "module \"a.b/c\"\nrequire (\n\tx.y/z v1.0.0\n\tmodule v1.0.0\n)\n\
             replace x.y/z v1.0.0 => ../z\nreplace (\n\tq.r/s => ./s\n)\n",
        );
        assert_eq!(two.name, "a.b/c");
        assert_eq!(aliases(&two.aliases), [("x.y/z", vec!["../z"]), ("q.r/s", vec!["./s"])]);
        assert_eq!(read("go.mod", "module (\n\ta.b/c\n)\n").name, "a.b/c");
        assert_eq!(read("go.mod", "").name, "");
    }

    #[test]
    fn cargo_packages() {
        let text = r#"
            [package]
            name = "my-crate"
            version.workspace = true
            [lib]
            name = "mine"
            path = "lib/mine.rs"
            [[bin]]
            name = "tool"
            path = "cmd/tool.rs"
            [workspace]
            members = ["crates/*", "x"]
            [dependencies]
            plain = "1"
            other = { package = "real", version = "1" }
            [target.'cfg(unix)'.dev-dependencies]
            unix = { package = "nix", version = "1" }
        "#;
        let one = read("Cargo.toml", text);
        assert_eq!((one.name.as_str(), one.library.as_str()), ("my-crate", "mine"));
        assert_eq!(one.entries, ["lib/mine.rs"]);
        assert_eq!(one.members, ["crates/*", "x"]);
        assert_eq!(aliases(&one.exports), [("tool", vec!["cmd/tool.rs"])]);
        assert_eq!(aliases(&one.aliases), [("other", vec!["real"]), ("unix", vec!["nix"])]);

        let notice = &parse("Cargo.toml", "[package]\nname = \n").notices[0];
        assert_eq!((notice.reason, notice.line), (SkipReason::SyntaxError, 2));
        assert_eq!(parse("Cargo.toml", "x = [").interface.manifest, None);
        // Of another shape than Cargo's.
        assert_eq!(read("Cargo.toml", "package = 1\nlib = []\nbin = 2").name, "");
    }

    #[test]
    fn packages_of_node() {
        let text = r##"{
            "name": "@scope/pkg", "main": "./dist/index.js", "types": "dist/index.d.ts",
            "exports": {
                ".": { "require": "./dist/index.cjs", "import": "./dist/index.mjs" },
                "./sub/*": "./dist/sub/*.js", "./none": null
            },
            "imports": { "#internal": "./src/internal.js" },
            "bin": { "run": "cli.js" },
            "workspaces": { "packages": ["packages/*"] }
        }"##;
        let one = read("package.json", text);
        assert_eq!(one.name, "@scope/pkg");
        assert_eq!(one.entries, ["dist/index.d.ts", "./dist/index.js"]);
        let exports = [
            (".", vec!["./dist/index.mjs", "./dist/index.cjs"]),
            ("./none", vec![]),
            ("./sub/*", vec!["./dist/sub/*.js"]),
            ("bin:run", vec!["cli.js"]),
        ];
        assert_eq!(aliases(&one.exports), exports);
        assert_eq!(aliases(&one.aliases), [("#internal", vec!["./src/internal.js"])]);
        assert_eq!(one.members, ["packages/*"]);

        let two = read("package.json", r#"{"exports": {"import": "a", "default": ["b", "a"]}}"#);
        assert_eq!(aliases(&two.exports), [(".", vec!["a", "b"])]);
        assert_eq!(read("package.json", r#"{"workspaces": ["a"]}"#).members, ["a"]);
        assert_eq!(read("package.json", "[1, 2]").name, "");
        let notice = &parse("package.json", "{\n\"name\":\n").notices[0];
        assert_eq!((notice.reason, notice.line), (SkipReason::SyntaxError, 3));
    }

    #[test]
    fn configurations_with_comments_and_trailing_commas() {
        let text = r#"{
            // "extends": "./no.json",
            "extends": ["./base.json", "@x/y"], /* a, } */
            "compilerOptions": {
                "baseUrl": "./src", "outDir": "dist", "rootDir": "src",
                "paths": {
                    "@/*": ["./*", "../lib/*",], // the last comma
                    "u//r,}l": ["a\"/*b*/"],
                },
            },
        }"#;
        let one = read("tsconfig.json", text);
        assert_eq!(one.extends, ["./base.json", "@x/y"]);
        assert_eq!((one.base.as_str(), one.output.as_str()), ("./src", "dist"));
        assert_eq!(one.sources, ["src"]);
        let paths = [("@/*", vec!["./*", "../lib/*"]), ("u//r,}l", vec!["a\"/*b*/"])];
        assert_eq!(aliases(&one.aliases), paths);
        assert_eq!(read("tsconfig.json", "{}").base, "");
        for odd in ["[1,,2]", "{\"a\" 1}", "/*", "\"", "{\"a\":1,,}"] {
            assert_eq!(parse("tsconfig.json", odd).notices.len(), 1, "{odd}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse("tsconfig.json", &deep).notices.len(), 1);
    }

    #[test]
    fn one_by_hand_is_a_file_without_a_manifest() {
        let parsed = parse("settings", "x");
        assert_eq!((parsed.interface.manifest, parsed.notices.len()), (None, 0));
    }
}
