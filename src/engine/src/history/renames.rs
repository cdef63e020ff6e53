//! Which deleted file went on under which added path.

use std::collections::HashMap;

use gix_hash::ObjectId;
use onyx_protocol::WireError;
use onyx_protocol::facts::Language;

use super::similarity::{Body, Postings, alike, has_fewer_words};

/// How alike two files must be.
const ALIKE: f32 = 0.55;
/// When the name is the same, or the directory became that one for other files, too.
const ALIKE_AND_NAMED: f32 = 0.42;
/// Files of fewer words are renamed only if their name stays.
const SMALL_WORDS: usize = 8;
/// Most files of one name that one is compared with: of those in a directory of the same name, and of all.
const MAX_NAMESAKES: usize = 8;

/// A file that was deleted or added.
pub(super) struct Candidate<'a> {
    pub(super) path: &'a str,
    pub(super) language: Language,
    pub(super) blob: ObjectId,
    pub(super) text: &'a str,
}

/// A deleted file, an added one, and how alike they are.
pub(super) type Rename = (usize, usize, f32);

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The last parts of a path: all of it when it has no more.
fn end_of(path: &str, parts: usize) -> &str {
    match parts.checked_sub(1) {
        Some(before) => {
            path.rmatch_indices('/').nth(before).map_or(path, |(at, _)| &path[at + 1..])
        }
        None => "",
    }
}

/// TypeScript is one language with or without JSX.
fn plain(language: Language) -> Language {
    if language == Language::Tsx { Language::TypeScript } else { language }
}

struct Finder<'a> {
    deleted: &'a [Candidate<'a>],
    added: &'a [Candidate<'a>],
    is_deleted_left: Vec<bool>,
    is_added_left: Vec<bool>,
    /// Directories that became others, by files found so far.
    directories: HashMap<(&'a str, &'a str), usize>,
    found: Vec<Rename>,
}

/// Pairs deleted and added files: those of the same content first, then those most alike. Each is in one
/// pair at most. `check` is asked often, and an error of it ends the search.
pub(super) fn renames(
    deleted: &[Candidate<'_>],
    added: &[Candidate<'_>],
    check: &dyn Fn() -> Result<(), WireError>,
) -> Result<Vec<Rename>, WireError> {
    if deleted.is_empty() || added.is_empty() {
        return Ok(Vec::new());
    }
    let mut finder = Finder {
        deleted,
        added,
        is_deleted_left: vec![true; deleted.len()],
        is_added_left: vec![true; added.len()],
        directories: HashMap::new(),
        found: Vec::new(),
    };
    finder.exact();
    finder.alike(check)?;
    Ok(finder.found)
}

impl<'a> Finder<'a> {
    fn take(&mut self, old: usize, new: usize, similarity: f32) {
        if self.is_deleted_left[old] && self.is_added_left[new] {
            self.is_deleted_left[old] = false;
            self.is_added_left[new] = false;
            let directories = (split(self.deleted[old].path).0, split(self.added[new].path).0);
            *self.directories.entry(directories).or_default() += 1;
            self.found.push((old, new, similarity));
        }
    }

    fn has_same_name(&self, old: usize, new: usize) -> bool {
        split(self.deleted[old].path).1 == split(self.added[new].path).1
    }

    /// The same content: the more of the path is the same the better, and without its name a small file
    /// is another.
    fn exact(&mut self) {
        for parts in [3, 2, 1, 0] {
            let key =
                |file: &Candidate<'a>| (file.blob, plain(file.language), end_of(file.path, parts));
            let mut waiting: HashMap<_, Vec<usize>> = HashMap::new();
            // Backwards, so that the first is the last of its list.
            for old in (0..self.deleted.len()).rev().filter(|old| self.is_deleted_left[*old]) {
                waiting.entry(key(&self.deleted[old])).or_default().push(old);
            }
            for new in 0..self.added.len() {
                let file = &self.added[new];
                let is_said = parts > 0 || !has_fewer_words(file.text, SMALL_WORDS);
                if self.is_added_left[new]
                    && is_said
                    && let Some(old) = waiting.get_mut(&key(file)).and_then(Vec::pop)
                {
                    self.take(old, new, 1.0);
                }
            }
        }
    }

    fn alike(&mut self, check: &dyn Fn() -> Result<(), WireError>) -> Result<(), WireError> {
        let left = |is_left: &[bool]| -> Vec<usize> {
            (0..is_left.len()).filter(|number| is_left[*number]).collect()
        };
        let (old_left, new_left) = (left(&self.is_deleted_left), left(&self.is_added_left));
        if old_left.is_empty() || new_left.is_empty() {
            return Ok(());
        }
        let mut postings = Postings::default();
        let mut by_end: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut bodies = HashMap::new();
        for &old in &old_left {
            check()?;
            let body = Body::new(self.deleted[old].text, "");
            postings.add(old, &body);
            bodies.insert(old, body);
            for parts in [1, 2] {
                by_end.entry(end_of(self.deleted[old].path, parts)).or_default().push(old);
            }
        }
        let mut candidates = Vec::new();
        for &new in &new_left {
            check()?;
            let body = Body::new(self.added[new].text, "");
            let mut like = postings.like(&body);
            for parts in [1, 2] {
                let namesakes = by_end.get(end_of(self.added[new].path, parts));
                like.extend(namesakes.into_iter().flatten().take(MAX_NAMESAKES));
            }
            like.sort_unstable();
            like.dedup();
            for old in like {
                if plain(self.deleted[old].language) != plain(self.added[new].language) {
                    continue;
                }
                let named = self.has_same_name(old, new);
                let directories = (split(self.deleted[old].path).0, split(self.added[new].path).0);
                let moved = self.directories.contains_key(&directories);
                let similarity = alike(&bodies[&old], &body);
                let small = bodies[&old].words.min(body.words) < SMALL_WORDS;
                let enough = if named || moved { ALIKE_AND_NAMED } else { ALIKE };
                if similarity >= enough && (named || !small) {
                    let bonus = |is: bool| if is { 0.1 } else { 0.0 };
                    candidates.push((
                        similarity + bonus(named) + bonus(moved),
                        similarity,
                        old,
                        new,
                    ));
                }
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.2, a.3).cmp(&(b.2, b.3))));
        for (_, similarity, old, new) in candidates {
            // A copy of all words in another order is still another text.
            self.take(old, new, similarity.min(0.999));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "def one(a, b): return a + b\ndef two(x): return one(x, x)\nLIMIT = 10\n";

    fn file<'a>(path: &'a str, text: &'a str) -> Candidate<'a> {
        let mut id = [0; 20];
        for (at, byte) in text.bytes().enumerate() {
            id[at % 20] ^= byte.rotate_left(at as u32 / 20);
        }
        let blob = ObjectId::from(id);
        Candidate { path, language: Language::from_path(path).unwrap(), blob, text }
    }

    fn pairs(deleted: &[Candidate<'_>], added: &[Candidate<'_>]) -> Vec<(String, String)> {
        let mut found: Vec<_> = renames(deleted, added, &|| Ok(()))
            .unwrap()
            .into_iter()
            .map(|(old, new, _)| (deleted[old].path.to_owned(), added[new].path.to_owned()))
            .collect();
        found.sort();
        found
    }

    fn pair(old: &str, new: &str) -> (String, String) {
        (old.to_owned(), new.to_owned())
    }

    #[test]
    fn the_same_content_is_the_same_file_and_the_name_decides() {
        let deleted = [file("a/x.py", LONG), file("a/y.py", LONG)];
        let added = [file("b/y.py", LONG), file("b/z.py", LONG)];
        assert_eq!(pairs(&deleted, &added), [pair("a/x.py", "b/z.py"), pair("a/y.py", "b/y.py")]);
    }

    #[test]
    fn small_files_keep_their_name_or_are_others() {
        let deleted = [file("a/__init__.py", ""), file("a/x.py", "X = 1")];
        let added = [file("b/__init__.py", ""), file("b/y.py", "X = 1")];
        assert_eq!(pairs(&deleted, &added), [pair("a/__init__.py", "b/__init__.py")]);
    }

    #[test]
    fn empty_files_go_where_their_directories_do() {
        let deleted = [file("a/w/__init__.py", ""), file("a/x/__init__.py", "")];
        let added = [file("b/x/__init__.py", "")];
        assert_eq!(pairs(&deleted, &added), [pair("a/x/__init__.py", "b/x/__init__.py")]);
    }

    #[test]
    fn many_of_one_content_take_no_time() {
        let paths: Vec<(String, String)> = (0..20_000)
            .map(|n| (format!("a/{n}/__init__.py"), format!("b/{n}/__init__.py")))
            .collect();
        let deleted: Vec<_> = paths.iter().map(|(old, _)| file(old, LONG)).collect();
        let added: Vec<_> = paths.iter().rev().map(|(_, new)| file(new, LONG)).collect();
        let found = renames(&deleted, &added, &|| Ok(())).unwrap();
        assert!(found.iter().all(|(old, new, _)| old + new == 19_999) && found.len() == 20_000);
    }

    #[test]
    fn alike_is_enough_within_a_language() {
        let edited = LONG.replace("LIMIT", "BOUND");
        let deleted = [file("a.py", LONG)];
        assert_eq!(pairs(&deleted, &[file("b.py", &edited)]), [pair("a.py", "b.py")]);
        assert!(pairs(&deleted, &[file("b.go", &edited)]).is_empty());
        assert!(
            pairs(&deleted, &[file("b.py", "import os\nclass C:\n  pass\n\nprint(C)")]).is_empty()
        );
    }
}
