//! What Rust's standard library gives, as far as it leads on to types of the project.

use crate::resolve::ty::Ty;

/// Names that are there without import.
pub(super) fn is_prelude(name: &str) -> bool {
    PRELUDE.binary_search(&name).is_ok()
}

const PRELUDE: [&str; 63] = [
    "AsMut",
    "AsRef",
    "AsyncFn",
    "AsyncFnMut",
    "AsyncFnOnce",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
    "Unpin",
    "Vec",
    "bool",
    "char",
    "drop",
    "f32",
    "f64",
    "i128",
    "i16",
    "i32",
    "i64",
    "i8",
    "isize",
    "str",
    "u128",
    "u16",
    "u32",
    "u64",
    "u8",
    "usize",
];

/// Whether a macro is the standard library's.
pub(super) fn is_macro(name: &str) -> bool {
    matches!(
        name,
        "assert"
            | "assert_eq"
            | "assert_ne"
            | "debug_assert"
            | "debug_assert_eq"
            | "debug_assert_ne"
            | "format"
            | "panic"
            | "print"
            | "println"
            | "eprint"
            | "eprintln"
            | "write"
            | "writeln"
            | "vec"
            | "matches"
            | "unreachable"
            | "unimplemented"
            | "todo"
            | "concat"
            | "stringify"
            | "include_str"
            | "include_bytes"
            | "include"
            | "env"
            | "option_env"
            | "cfg"
            | "line"
            | "column"
            | "file"
            | "module_path"
            | "compile_error"
            | "thread_local"
            | "dbg"
            | "try"
            | "format_args"
            | "addr_of"
            | "addr_of_mut"
            | "macro_rules"
    )
}

/// The last name of a type outside and its arguments.
fn outside(ty: &Ty) -> Option<(&str, &[Ty])> {
    match ty {
        Ty::Outside { path, arguments, .. } => {
            Some((path.rsplit("::").next().unwrap_or(path), arguments))
        }
        _ => None,
    }
}

fn argument(arguments: &[Ty], index: usize) -> Ty {
    arguments.get(index).cloned().unwrap_or(Ty::Unknown)
}

/// What a smart pointer, guard or lock's result points to.
pub(super) fn pointed(ty: &Ty) -> Option<Ty> {
    let Ty::Outside { is_value: true, .. } = ty else { return None };
    let (name, arguments) = outside(ty)?;
    let is_pointer = matches!(
        name,
        "Box"
            | "Rc"
            | "Arc"
            | "Ref"
            | "RefMut"
            | "MutexGuard"
            | "RwLockReadGuard"
            | "RwLockWriteGuard"
            | "Pin"
            | "Cow"
            | "ManuallyDrop"
            | "LazyLock"
            | "LazyCell"
            | "Lazy"
            | "LockResult"
            | "NonNull"
            | "CachePadded"
            | "AssertUnwindSafe"
            | "Reverse"
    );
    (is_pointer && !arguments.is_empty()).then(|| argument(arguments, 0))
}

/// Whether a method is a pointer's own, not of what it points to.
pub(super) fn is_own_method(ty: &Ty, name: &str) -> bool {
    match outside(ty) {
        Some(("Rc" | "Arc", _)) => matches!(name, "clone"),
        Some(("LockResult", _)) => matches!(name, "unwrap" | "expect" | "unwrap_or_else"),
        Some(("Pin", _)) => {
            matches!(name, "as_mut" | "as_ref" | "get_mut" | "get_unchecked_mut" | "set")
        }
        _ => false,
    }
}

/// What `Some(x)`, `Ok(x)`, `Err(x)` have in them, or `?` gives.
pub(super) fn payload(ty: &Ty, name: &str) -> Ty {
    match (outside(ty), name) {
        (Some(("Option" | "Result" | "Poll" | "LockResult", arguments)), "Some" | "Ok") => {
            argument(arguments, 0)
        }
        (Some(("Result", arguments)), "Err") => argument(arguments, 1),
        _ => Ty::Unknown,
    }
}

/// What an iteration or index gives.
pub(super) fn element(ty: &Ty, index: bool) -> Ty {
    if let Some(inner) = pointed(ty) {
        return element(&inner, index);
    }
    let Some((name, arguments)) = outside(ty) else { return Ty::Unknown };
    match name {
        "HashMap" | "BTreeMap" | "IndexMap" if index => argument(arguments, 1),
        "HashMap" | "BTreeMap" | "IndexMap" => {
            Ty::Tuple(vec![argument(arguments, 0), argument(arguments, 1)].into())
        }
        "slice" | "Vec" | "VecDeque" | "Iterator" | "IntoIterator" | "HashSet" | "BTreeSet"
        | "Option" | "LinkedList" | "BinaryHeap" | "Iter" | "IterMut" | "IntoIter" | "Drain"
        | "ArrayVec" | "SmallVec" | "Peekable" => argument(arguments, 0),
        _ => Ty::Unknown,
    }
}

pub(super) fn iterator(of: Ty) -> Ty {
    Ty::outside_value("Iterator", vec![of])
}

fn option(of: Ty) -> Ty {
    Ty::outside_value("Option", vec![of])
}

/// What a call of something of the library gives.
pub(super) fn result(callee: &Ty) -> Ty {
    match callee {
        Ty::OutsideMember(of, name) => method(of, name),
        // A value of an outside type made by its constructor; its arguments are not known.
        _ => Ty::Unknown,
    }
}

fn method(of: &Ty, name: &str) -> Ty {
    let Some((outer, arguments)) = outside(of) else { return derived(of, name) };
    let first = || argument(arguments, 0);
    let second = || argument(arguments, 1);
    match outer {
        "Option" => match name {
            "unwrap" | "expect" | "unwrap_or" | "unwrap_or_else" | "unwrap_or_default"
            | "unwrap_unchecked" | "insert" | "get_or_insert" | "get_or_insert_with" => first(),
            "as_ref" | "as_mut" | "as_deref" | "as_deref_mut" | "take" | "cloned" | "copied"
            | "filter" | "or" | "or_else" | "clone" | "replace" | "inspect" | "xor" => {
                option(match name {
                    "as_deref" | "as_deref_mut" => pointed(&first()).unwrap_or_else(first),
                    _ => first(),
                })
            }
            "ok_or" | "ok_or_else" => Ty::outside_value("Result", vec![first(), Ty::Unknown]),
            "iter" | "iter_mut" | "into_iter" => iterator(first()),
            _ => Ty::Unknown,
        },
        "Result" => match name {
            "unwrap" | "expect" | "unwrap_or" | "unwrap_or_else" | "unwrap_or_default" => first(),
            "unwrap_err" | "expect_err" => second(),
            "ok" => option(first()),
            "err" => option(second()),
            "map_err" | "or_else" => Ty::outside_value("Result", vec![first(), Ty::Unknown]),
            "as_ref" | "as_mut" | "clone" | "inspect_err" => of.clone(),
            _ => Ty::Unknown,
        },
        "LockResult" => match name {
            "unwrap" | "expect" | "unwrap_or_else" => {
                Ty::outside_value("MutexGuard", vec![first()])
            }
            _ => Ty::Unknown,
        },
        "Mutex" | "RwLock" => match name {
            "lock" | "read" | "write" | "get_mut" | "into_inner" => {
                Ty::outside_value("LockResult", vec![first()])
            }
            _ => Ty::Unknown,
        },
        "RefCell" => match name {
            "borrow" | "borrow_mut" => Ty::outside_value("Ref", vec![first()]),
            "get_mut" | "into_inner" | "take" | "replace" => first(),
            _ => Ty::Unknown,
        },
        "Cell" | "OnceCell" | "OnceLock" => match name {
            "get" | "get_mut" if outer != "Cell" => option(first()),
            "get" | "take" | "get_mut" | "into_inner" | "get_or_init" => first(),
            _ => Ty::Unknown,
        },
        "Rc" | "Arc" => match name {
            "clone" => of.clone(),
            "as_ref" => first(),
            _ => Ty::Unknown,
        },
        "Box" | "Ref" | "RefMut" | "MutexGuard" | "Pin" | "Cow" => match name {
            "as_ref" | "as_mut" | "get_mut" | "borrow" | "borrow_mut" => first(),
            _ => method(&first(), name),
        },
        "HashMap" | "BTreeMap" | "IndexMap" => match name {
            "get" | "get_mut" | "remove" | "insert" => option(second()),
            "values" | "values_mut" | "into_values" => iterator(second()),
            "keys" | "into_keys" => iterator(first()),
            "iter" | "iter_mut" | "into_iter" | "drain" | "range" => {
                iterator(Ty::Tuple(vec![first(), second()].into()))
            }
            "entry" => Ty::outside_value("Entry", vec![second()]),
            "clone" => of.clone(),
            _ => Ty::Unknown,
        },
        "Entry" => match name {
            "or_insert" | "or_insert_with" | "or_default" => first(),
            "and_modify" => of.clone(),
            _ => Ty::Unknown,
        },
        "Vec" | "slice" | "VecDeque" | "HashSet" | "BTreeSet" | "SmallVec" | "ArrayVec"
        | "BinaryHeap" | "LinkedList" => match name {
            "iter" | "iter_mut" | "into_iter" | "drain" => iterator(first()),
            "first" | "last" | "get" | "get_mut" | "pop" | "first_mut" | "last_mut"
            | "pop_front" | "pop_back" | "front" | "back" | "front_mut" | "back_mut" | "peek"
            | "pop_first" | "pop_last" => option(first()),
            "remove" | "swap_remove" => first(),
            "clone" | "to_vec" | "as_slice" | "as_mut_slice" | "as_ref" | "as_mut" | "to_owned" => {
                of.clone()
            }
            "chunks" | "windows" | "split" => iterator(of.clone()),
            _ => Ty::Unknown,
        },
        "Iterator"
        | "IntoIterator"
        | "DoubleEndedIterator"
        | "Peekable"
        | "Iter"
        | "IntoIter"
        | "IterMut" => match name {
            "next" | "last" | "nth" | "find" | "max_by" | "min_by" | "max_by_key"
            | "min_by_key" | "peek" | "next_back" | "max" | "min" | "reduce" => option(first()),
            "filter" | "rev" | "skip" | "take" | "peekable" | "chain" | "cloned" | "copied"
            | "by_ref" | "skip_while" | "take_while" | "inspect" | "fuse" | "into_iter"
            | "step_by" | "cycle" | "iter" => of.clone(),
            "enumerate" => {
                let count = Ty::outside_value("usize", Vec::new());
                iterator(Ty::Tuple(vec![count, first()].into()))
            }
            _ => Ty::Unknown,
        },
        "Into" if name == "into" => first(),
        "TryInto" if name == "try_into" => Ty::outside_value("Result", vec![first(), Ty::Unknown]),
        "Borrow" | "BorrowMut" if matches!(name, "borrow" | "borrow_mut") => first(),
        "AsRef" if name == "as_ref" => first(),
        "AsMut" if name == "as_mut" => first(),
        "ToOwned" if name == "to_owned" => first(),
        _ if name == "clone" => of.clone(),
        _ => Ty::Unknown,
    }
}

/// What a call on a value of the project's own type gives, when the type has no such method but a
/// derived one or one that all types have.
fn derived(of: &Ty, name: &str) -> Ty {
    match name {
        "clone" | "to_owned" | "borrow" | "borrow_mut" => of.clone(),
        _ => Ty::Unknown,
    }
}

/// Whether a method of this name may be there by a derivation or for all types.
pub(super) fn is_derived(name: &str) -> bool {
    matches!(name, "clone" | "to_owned" | "borrow" | "borrow_mut")
}

/// What a method passes to the closure it is given.
pub(super) fn passed(object: &Ty, method: &str, index: u8) -> Ty {
    let Ty::Outside { .. } = object else { return Ty::Unknown };
    if let Some(inner) = pointed(object) {
        return passed(&inner, method, index);
    }
    let Some((outer, arguments)) = outside(object) else { return Ty::Unknown };
    match outer {
        "Result" => match method {
            "map_err" | "or_else" | "unwrap_or_else" | "inspect_err" => argument(arguments, 1),
            _ => argument(arguments, 0),
        },
        "Option" => match method {
            "or_else" | "unwrap_or_else" | "ok_or_else" | "get_or_insert_with" => Ty::Unknown,
            _ => argument(arguments, 0),
        },
        "HashMap" | "BTreeMap" => match (method, index) {
            ("retain", 0) => argument(arguments, 0),
            ("retain", _) => argument(arguments, 1),
            _ => Ty::Unknown,
        },
        "Iterator" | "Peekable" | "Iter" | "IntoIter" | "IterMut" => match (method, index) {
            ("fold" | "try_fold", 0) => Ty::Unknown,
            _ => argument(arguments, 0),
        },
        "Vec" | "slice" | "VecDeque" | "HashSet" | "BTreeSet" => match method {
            "retain"
            | "retain_mut"
            | "sort_by"
            | "sort_by_key"
            | "sort_unstable_by"
            | "sort_unstable_by_key"
            | "binary_search_by"
            | "binary_search_by_key"
            | "partition_point"
            | "dedup_by_key" => argument(arguments, 0),
            _ => Ty::Unknown,
        },
        "Entry" if method == "and_modify" => argument(arguments, 0),
        _ => Ty::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::PRELUDE;

    #[test]
    fn names_are_sorted() {
        assert!(PRELUDE.is_sorted());
    }
}
