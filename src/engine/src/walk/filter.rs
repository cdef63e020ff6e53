//! Globs: those of the request, and those of ignore files. All are in the language of `.gitignore`.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use onyx_protocol::{ErrorKind, WireError};

/// The request's globs.
pub(super) struct Filter {
    include: Gitignore,
    exclude: Gitignore,
}

impl Filter {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, WireError> {
        Ok(Self { include: globs(include)?, exclude: globs(exclude)? })
    }

    /// Whether a path, `/` before it, is excluded itself. Its parents have been asked before.
    pub(super) fn excludes(&self, path: &str, is_directory: bool) -> bool {
        self.exclude.matched(path, is_directory).is_ignore()
    }

    /// Whether a file is among those wanted: it or a directory above it matches, or there is no
    /// such glob.
    pub(super) fn includes(&self, path: &str) -> bool {
        self.include.is_empty() || self.include.matched_path_or_any_parents(path, false).is_ignore()
    }
}

fn globs(globs: &[String]) -> Result<Gitignore, WireError> {
    let mut builder = GitignoreBuilder::new("/");
    // Git takes a bracket without its end for itself; in a request it is a slip.
    builder.allow_unclosed_class(false);
    let refuse = |glob: &str, why: String| {
        WireError::new(ErrorKind::InvalidRequest, format!("invalid glob \"{glob}\""))
            .detail(why)
            .hint("Globs are written as in .gitignore, for example \"*.py\", \"/src/**\" or \"build/\".")
    };
    for glob in globs {
        if glob.trim().is_empty() || glob.starts_with('#') {
            return Err(refuse(glob, "It matches nothing.".to_owned()));
        }
        builder.add_line(None, glob).map_err(|error| refuse(glob, reason(&error)))?;
    }
    builder.build().map_err(|error| refuse(&globs.join(", "), reason(&error)))
}

fn reason(error: &ignore::Error) -> String {
    let said = match error {
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    };
    format!("The glob cannot be read: {}.", said.trim_end_matches('.'))
}

/// The ignore files of one directory.
#[derive(Default)]
pub(super) struct Rules {
    /// `.ignore`, which goes before `.gitignore` wherever it is.
    ignore: Option<Gitignore>,
    gitignore: Option<Gitignore>,
}

impl Rules {
    /// Names of the files that hold rules, those that win last.
    pub(super) const FILES: [&str; 2] = [".gitignore", ".ignore"];

    /// Adds the content of one of [`Self::FILES`], found in `directory`, which begins with `/`.
    /// As in git, a line that is no glob is passed over.
    pub(super) fn add(&mut self, file: &str, directory: &str, content: &[u8]) {
        let text = String::from_utf8_lossy(content);
        let mut builder = GitignoreBuilder::new(directory);
        for line in text.trim_start_matches('\u{feff}').lines() {
            if let Err(error) = builder.add_line(None, line) {
                log::debug!("{directory}/{file}: {error}");
            }
        }
        let rules = builder.build().ok();
        if file == ".ignore" { self.ignore = rules } else { self.gitignore = rules }
    }

    /// Whether the ignore files of `levels`, outermost first, leave out a path, `/` before it.
    /// The innermost rule that matches decides; parents have been asked before.
    pub(super) fn ignore<'a>(
        levels: impl DoubleEndedIterator<Item = &'a Self> + Clone,
        path: &str,
        is_directory: bool,
    ) -> bool {
        let decide = |pick: fn(&Self) -> Option<&Gitignore>| {
            levels.clone().rev().filter_map(pick).find_map(|rules| {
                let found = rules.matched(Path::new(path), is_directory);
                (!found.is_none()).then(|| found.is_ignore())
            })
        };
        decide(|rules| rules.ignore.as_ref())
            .or_else(|| decide(|rules| rules.gitignore.as_ref()))
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let own = |globs: &[&str]| globs.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>();
        Filter::new(&own(include), &own(exclude)).unwrap()
    }

    #[test]
    fn includes_match_names_paths_and_directories() {
        let all = filter(&[], &[]);
        assert!(all.includes("/a/b.py"));
        for glob in ["*.py", "a", "a/", "/a/**", "/a", "a/*.py", "b.py", "[a-c].py"] {
            let some = filter(&[glob], &[]);
            assert!(some.includes("/a/b.py"), "{glob}");
            assert!(!some.includes("/x/y.rs"), "{glob}");
        }
        let but = filter(&["*.py", "!test_*.py"], &[]);
        assert!(but.includes("/a/b.py") && !but.includes("/a/test_b.py"));
        assert!(!filter(&["/b.py"], &[]).includes("/a/b.py"));
    }

    #[test]
    fn excludes_tell_directories_from_files() {
        let some = filter(&[], &["build/", "*.min.js"]);
        assert!(some.excludes("/x/build", true) && !some.excludes("/x/build", false));
        assert!(some.excludes("/x/a.min.js", false) && !some.excludes("/x/a.js", false));
    }

    #[test]
    fn bad_globs_are_named() {
        for glob in ["a[", "{a,b", "", "  ", "# no"] {
            let error = Filter::new(&[], &["ok".to_owned(), glob.to_owned()]).err().unwrap();
            assert_eq!(error.kind, ErrorKind::InvalidRequest);
            assert_eq!(error.message, format!("invalid glob \"{glob}\""));
            assert!(!error.detail.is_empty() && !error.hint.is_empty(), "{error:?}");
        }
    }

    #[test]
    fn inner_rules_go_before_outer_ones_and_ignore_before_gitignore() {
        let mut outer = Rules::default();
        outer.add(".gitignore", "/", b"\xef\xbb\xbf*.py\r\n/top\nz[\n# no\n\xff\n");
        let mut inner = Rules::default();
        inner.add(".gitignore", "/a", b"!keep.py\n/b\n");
        let levels = [outer, inner];
        let ignored = |path, is_directory| Rules::ignore(levels.iter(), path, is_directory);
        assert!(ignored("/a/x.py", false) && ignored("/x.py", false));
        assert!(!ignored("/a/keep.py", false));
        assert!(ignored("/a/b", true) && !ignored("/a/c/b", true));
        assert!(ignored("/top", false) && !ignored("/a/top", false));

        let [mut outer, inner] = levels;
        outer.add(".ignore", "/", b"keep.py\n");
        assert!(Rules::ignore([outer, inner].iter(), "/a/keep.py", false));
    }
}
