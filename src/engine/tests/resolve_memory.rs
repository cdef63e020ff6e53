//! Protects the bound on what the engine keeps of repositories: `Space::bytes` is about what a repository
//! takes. Prints what it measured; TREE=directory measures that instead of this project's own source.

#[path = "resolve/support.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use onyx_engine::parse::{Limits, parse_file};
use onyx_engine::resolve::{FileInput, Space, Workspace};
use onyx_protocol::code::encode_keys;
use onyx_protocol::facts::Language;

/// The system's allocator, with a count of the bytes it gave out.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn list(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => list(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn the_memory_of_a_repository_is_about_what_it_says() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let roots = match env::var_os("TREE") {
        Some(tree) => vec![PathBuf::from(tree)],
        None => vec![own.join("src"), own.join("bench")],
    };
    let mut paths = Vec::new();
    roots.iter().for_each(|root| list(root, &mut paths));
    let inputs = paths.iter().filter_map(|path| {
        let name = path.to_string_lossy().into_owned();
        let language = Language::from_path(&name)?;
        let bytes = fs::read(path).ok()?;
        parse_file(&name, language, &bytes, &Limits::default(), &|| false).ok()
    });
    let files: Vec<_> = inputs.collect();
    let mut workspace = Workspace::new();
    let input = |id: i64| {
        let file = &files[id as usize];
        FileInput { path: file.path.clone(), ..support::input(id, file) }
    };
    for id in 0..files.len() as i64 {
        workspace.add(&input(id)).expect("its own interface");
    }
    let dependencies: Vec<Vec<u8>> = (0..)
        .zip(&files)
        .map(|(id, file)| {
            encode_keys(&workspace.resolve(id, &file.body).expect("its body").dependencies)
        })
        .collect();
    drop(workspace);

    let before = BYTES.load(Ordering::Relaxed);
    let mut space = Space::new(0);
    for id in 0..files.len() as i64 {
        space.add(&input(id)).expect("its own interface");
        space.set_dependencies(id, &dependencies[id as usize]);
    }
    let (taken, said) = (BYTES.load(Ordering::Relaxed) - before, space.bytes());
    let interfaces: usize = files.iter().map(|file| file.interface.len()).sum();
    let keys: usize = dependencies.iter().map(Vec::len).sum();
    println!(
        "{} files: {taken} bytes, said {said}; {:.1} a byte of interface beside {keys} of keys",
        files.len(),
        (taken - keys) as f64 / interfaces as f64
    );
    assert!(files.len() > 100, "{} files", files.len());
    assert!(said * 4 > taken * 3 && said * 3 < taken * 4, "it takes {taken} bytes and says {said}");
    for id in 0..files.len() as i64 {
        space.remove(id);
    }
    assert_eq!(space.bytes(), 0);
}
