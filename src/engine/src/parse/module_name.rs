//! The name of the module a file is, from its place in the tree.

use onyx_protocol::facts::{FileFacts, Language};

/// The module of the file at `path`, `/`-separated and below the root:
///
/// * Rust: from the last `src` down, `src/store/keys.rs` is `crate::store::keys`; without one, from
///   the root, `tests/walk.rs` is `tests::walk`.
/// * Python: the dotted path from the last `src` or the last name that is no identifier down.
/// * JavaScript and TypeScript: the path without extension and `/index`.
/// * Go: the directory; when its name is not that of the package clause, with the package below it.
/// * Java: the package clause.
/// * A manifest is no module.
///
/// May be empty.
pub fn module_name(language: Language, path: &str, facts: &FileFacts) -> String {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    let directories = directory.split('/').filter(|part| !part.is_empty() && *part != ".");
    let directories: Vec<&str> = directories.collect();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    match language {
        Language::Rust => rust(&directories, stem),
        Language::Python => python(&directories, stem),
        Language::JavaScript | Language::TypeScript | Language::Tsx => {
            ecmascript(&directories, stem)
        }
        Language::Go => go(&directories, &facts.package),
        Language::Java => facts.package.clone(),
        Language::Manifest => String::new(),
    }
}

fn rust(directories: &[&str], stem: &str) -> String {
    let src = directories.iter().rposition(|&part| part == "src");
    let mut names: Vec<&str> = match src {
        Some(src) => {
            std::iter::once("crate").chain(directories[src + 1..].iter().copied()).collect()
        }
        None => directories.to_vec(),
    };
    let is_root = matches!(stem, "lib" | "main") && names.len() < 2;
    if !is_root && stem != "mod" {
        names.push(stem);
    }
    names.join("::")
}

fn python(directories: &[&str], stem: &str) -> String {
    let is_name = |part: &str| {
        !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let outside = |part: &&str| !is_name(part) || matches!(*part, "src" | "lib" | "site_packages");
    let first = directories.iter().rposition(outside).map_or(0, |last| last + 1);
    let mut names = directories[first..].to_vec();
    if stem != "__init__" {
        names.push(stem);
    }
    names.join(".")
}

fn ecmascript(directories: &[&str], stem: &str) -> String {
    let stem = stem.strip_suffix(".d").unwrap_or(stem);
    let mut names = directories.to_vec();
    if stem != "index" {
        names.push(stem);
    }
    names.join("/")
}

fn go(directories: &[&str], package: &str) -> String {
    let mut names: Vec<String> = directories.iter().map(|&part| part.to_owned()).collect();
    let last = directories.last().copied().unwrap_or_default();
    match package.strip_suffix("_test") {
        _ if package.is_empty() || last == package => {}
        Some(tested) if !last.is_empty() && last == tested => {
            names.pop();
            names.push(package.to_owned());
        }
        _ => names.push(package.to_owned()),
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(language: Language, path: &str, package: &str) -> String {
        let facts = FileFacts { package: package.to_owned(), ..FileFacts::default() };
        module_name(language, path, &facts)
    }

    #[test]
    fn rust() {
        let rust = |path| name(Language::Rust, path, "");
        assert_eq!(rust("src/store/keys.rs"), "crate::store::keys");
        assert_eq!(rust("src/lib.rs"), "crate");
        assert_eq!(rust("crates/a-b/src/main.rs"), "crate");
        assert_eq!(rust("src/engine/src/parse/mod.rs"), "crate::parse");
        assert_eq!(rust("src/bin/tool/main.rs"), "crate::bin::tool::main");
        assert_eq!(rust("tests/walk.rs"), "tests::walk");
        assert_eq!(rust("build.rs"), "build");
        assert_eq!(rust("lib.rs"), "");
    }

    #[test]
    fn python() {
        let python = |path| name(Language::Python, path, "");
        assert_eq!(python("requests/cookies.py"), "requests.cookies");
        assert_eq!(python("requests-2.32.0/src/requests/__init__.py"), "requests");
        assert_eq!(python("django-5.1/django/db/models/base.py"), "django.db.models.base");
        assert_eq!(python("setup.py"), "setup");
        assert_eq!(python("__init__.py"), "");
        assert_eq!(python("stubs/typing.pyi"), "stubs.typing");
    }

    #[test]
    fn ecmascript() {
        assert_eq!(name(Language::TypeScript, "src/a/b.ts", ""), "src/a/b");
        assert_eq!(name(Language::Tsx, "src/App/index.tsx", ""), "src/App");
        assert_eq!(name(Language::TypeScript, "types/x.d.ts", ""), "types/x");
        assert_eq!(name(Language::JavaScript, "index.js", ""), "");
        assert_eq!(name(Language::JavaScript, "a.test.js", ""), "a.test");
    }

    #[test]
    fn go_and_java() {
        assert_eq!(name(Language::Go, "net/http/server.go", "http"), "net/http");
        assert_eq!(name(Language::Go, "net/http/server_test.go", "http_test"), "net/http_test");
        assert_eq!(name(Language::Go, "command.go", "cobra"), "cobra");
        assert_eq!(name(Language::Go, "cmd/tool/main.go", "main"), "cmd/tool/main");
        assert_eq!(name(Language::Go, "broken/x.go", ""), "broken");
        assert_eq!(
            name(Language::Java, "src/main/java/org/slf4j/A.java", "org.slf4j"),
            "org.slf4j"
        );
        assert_eq!(name(Language::Java, "A.java", ""), "");
    }
}
