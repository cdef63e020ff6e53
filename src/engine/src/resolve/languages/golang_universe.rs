//! What Go has without an import, and what is known of its standard library.

use crate::resolve::ty::Ty;

/// Sorted.
const UNIVERSE: [&str; 44] = [
    "any",
    "append",
    "bool",
    "byte",
    "cap",
    "clear",
    "close",
    "comparable",
    "complex",
    "complex128",
    "complex64",
    "copy",
    "delete",
    "error",
    "false",
    "float32",
    "float64",
    "imag",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "iota",
    "len",
    "make",
    "max",
    "min",
    "new",
    "nil",
    "panic",
    "print",
    "println",
    "real",
    "recover",
    "rune",
    "string",
    "true",
    "uint",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
    "uintptr",
];

/// Methods of interfaces of the universe and the standard library, by the interface's path.
const INTERFACES: [(&str, &[&str]); 16] = [
    ("any", &[]),
    ("context.Context", &["Deadline", "Done", "Err", "Value"]),
    ("encoding.BinaryMarshaler", &["MarshalBinary"]),
    ("encoding.TextMarshaler", &["MarshalText"]),
    ("error", &["Error"]),
    ("flag.Value", &["Set", "String"]),
    ("fmt.Stringer", &["String"]),
    ("io.Closer", &["Close"]),
    ("io.ReadCloser", &["Close", "Read"]),
    ("io.ReadWriteCloser", &["Close", "Read", "Write"]),
    ("io.ReadWriter", &["Read", "Write"]),
    ("io.Reader", &["Read"]),
    ("io.WriteCloser", &["Close", "Write"]),
    ("io.Writer", &["Write"]),
    (
        "net.Conn",
        &[
            "Close",
            "LocalAddr",
            "Read",
            "RemoteAddr",
            "SetDeadline",
            "SetReadDeadline",
            "SetWriteDeadline",
            "Write",
        ],
    ),
    ("sort.Interface", &["Len", "Less", "Swap"]),
];

/// Whether a name is known everywhere.
pub(super) fn is_universal(name: &str) -> bool {
    UNIVERSE.binary_search(&name).is_ok()
}

/// The methods an interface from outside asks for, when they are known.
pub(super) fn interface(path: &str) -> Option<&'static [&'static str]> {
    let at = INTERFACES.binary_search_by_key(&path, |one| one.0).ok()?;
    Some(INTERFACES[at].1)
}

/// What a range's first variable, or with `index` its second and an index, is of a type.
pub(super) fn element(of: &Ty, index: bool) -> Ty {
    let Ty::Outside { path, arguments, is_value: true } = of else { return Ty::Unknown };
    let at = match (&**path, index) {
        ("map" | "iter.Seq2", false) | ("slice", true) | ("chan" | "iter.Seq", false) => 0,
        ("map" | "iter.Seq2", true) => 1,
        _ => return Ty::Unknown,
    };
    arguments.get(at).cloned().unwrap_or(Ty::Unknown)
}

/// What calling something outside gives: of a function outside a value of a type outside, as far as
/// anybody can tell.
pub(super) fn result(callee: &Ty) -> Ty {
    match callee {
        // A conversion.
        Ty::Outside { path, is_value: false, .. } if is_universal(path) => match &**path {
            "append" | "len" | "cap" | "copy" | "panic" | "recover" | "min" | "max" => Ty::Unknown,
            _ => Ty::outside_value(path, Vec::new()),
        },
        Ty::Outside { path, is_value: false, .. } => {
            Ty::outside_value(&format!("{path}()"), Vec::new())
        }
        Ty::OutsideMember(of, name) => match &**of {
            Ty::Outside { path, arguments, is_value: true } => match (&**path, &**name) {
                ("sync/atomic.Pointer", "Load" | "Swap") => {
                    arguments.first().cloned().unwrap_or(Ty::Unknown)
                }
                _ => Ty::outside_value(&format!("{path}.{name}()"), Vec::new()),
            },
            _ => Ty::Unknown,
        },
        _ => Ty::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(UNIVERSE.is_sorted());
        assert!(INTERFACES.is_sorted_by_key(|one| one.0));
        assert!(INTERFACES.iter().all(|one| one.1.is_sorted()));
        assert!(is_universal("len") && !is_universal("Len"));
        assert_eq!(interface("error"), Some(&["Error"][..]));
    }
}
