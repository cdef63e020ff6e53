//! What the methods of Java's standard library give, as far as it leads on to types of the project or
//! tells overloads apart.

use super::java_std::{ARRAY, COLLECTIONS, MAPS, last};
use crate::resolve::ty::Ty;

fn string() -> Ty {
    Ty::outside_value("java.lang.String", Vec::new())
}

fn primitive(name: &str) -> Ty {
    Ty::outside_value(name, Vec::new())
}

/// Whether a path is that of something a call gave, of which no more is known.
pub(super) fn is_result(path: &str) -> bool {
    path.ends_with("()")
}

/// What a method of a type outside gives.
pub(super) fn result(of: &Ty, name: &str) -> Ty {
    match of {
        // Without type arguments it is nothing of the project.
        Ty::Outside { path, arguments, .. } => match known_result(of, name) {
            Ty::Unknown if arguments.is_empty() && path.starts_with("java.") => {
                Ty::outside_value(&format!("{path}.{name}()"), Vec::new())
            }
            ty => ty,
        },
        _ => Ty::Unknown,
    }
}

fn known_result(of: &Ty, name: &str) -> Ty {
    let Ty::Outside { path, arguments, .. } = of else { return Ty::Unknown };
    let argument = |index: usize| arguments.get(index).cloned().unwrap_or(Ty::Unknown);
    let made = |path: &str, arguments: Vec<Ty>| Ty::outside_value(path, arguments);
    let class = last(path);
    match name {
        "toString" | "getMessage" | "getSimpleName" | "displayName" | "readLine" => {
            return string();
        }
        "getClass" => return made("java.lang.Class", vec![of.clone()]),
        "hashCode" => return primitive("int"),
        "equals" => return primitive("boolean"),
        _ => {}
    }
    let is_map = MAPS.contains(&class);
    if is_map || COLLECTIONS.contains(&class) || path.starts_with("java.util.stream") {
        match name {
            "size" | "indexOf" | "lastIndexOf" => return primitive("int"),
            "isEmpty" | "contains" | "containsKey" | "containsValue" | "hasNext" | "add"
            | "addAll" | "containsAll" | "removeAll" | "offer" => return primitive("boolean"),
            _ => {}
        }
    }
    if is_map {
        return match name {
            "get" | "put" | "remove" | "getOrDefault" | "putIfAbsent" | "computeIfAbsent"
            | "compute" | "computeIfPresent" | "merge" | "replace" => argument(1),
            "values" => made("java.util.Collection", vec![argument(1)]),
            "keySet" | "navigableKeySet" => made("java.util.Set", vec![argument(0)]),
            "entrySet" => {
                let entry = made("java.util.Map.Entry", arguments.to_vec());
                made("java.util.Set", vec![entry])
            }
            "firstKey" | "lastKey" | "floorKey" | "ceilingKey" | "higherKey" | "lowerKey" => {
                argument(0)
            }
            "firstEntry" | "lastEntry" | "floorEntry" | "ceilingEntry" | "pollFirstEntry" => {
                made("java.util.Map.Entry", arguments.to_vec())
            }
            _ => Ty::Unknown,
        };
    }
    if COLLECTIONS.contains(&class) {
        return match name {
            "get" | "remove" | "set" | "next" | "previous" | "peek" | "poll" | "pop"
            | "element" | "first" | "last" | "getFirst" | "getLast" | "removeFirst"
            | "removeLast" | "peekFirst" | "peekLast" | "pollFirst" | "pollLast" | "take"
            | "firstElement" | "lastElement" | "elementAt" | "ceiling" | "floor" | "higher"
            | "lower" | "push" => argument(0),
            "iterator" | "descendingIterator" => made("java.util.Iterator", arguments.to_vec()),
            "listIterator" => made("java.util.ListIterator", arguments.to_vec()),
            "stream" | "parallelStream" => made("java.util.stream.Stream", arguments.to_vec()),
            "subList" | "headSet" | "tailSet" | "descendingSet" | "reversed" => of.clone(),
            _ => Ty::Unknown,
        };
    }
    match (class, name) {
        ("Entry", "getKey") => argument(0),
        ("Entry", "getValue" | "setValue") => argument(1),
        ("Enumeration", "nextElement") => argument(0),
        ("Optional", "get" | "orElse" | "orElseThrow" | "orElseGet") => argument(0),
        ("Optional", "filter" | "or") => of.clone(),
        (
            "Stream",
            "filter" | "sorted" | "distinct" | "limit" | "skip" | "peek" | "parallel"
            | "sequential" | "onClose",
        ) => of.clone(),
        ("Stream", "findFirst" | "findAny" | "min" | "max") => {
            made("java.util.Optional", arguments.to_vec())
        }
        ("Stream", "iterator") => made("java.util.Iterator", arguments.to_vec()),
        ("Stream", "toList") => made("java.util.List", arguments.to_vec()),
        (
            "Supplier" | "Callable" | "Future" | "AtomicReference" | "WeakReference"
            | "SoftReference" | "Reference" | "ThreadLocal" | "Provider" | "CompletableFuture"
            | "ListenableFuture",
            "get" | "call" | "getAndSet" | "join" | "getNow",
        ) => argument(0),
        ("Class", "newInstance" | "cast") => argument(0),
        ("Class" | "File" | "Thread" | "Method" | "Field", "getName") => string(),
        ("Class", "getCanonicalName") | ("Matcher", "group") | ("Charset", "name") => string(),
        ("File", "getPath" | "getAbsolutePath") => string(),
        ("Function", "apply") => argument(1),
        ("BiFunction", "apply") => argument(2),
        ("UnaryOperator" | "BinaryOperator", "apply") => argument(0),
        ("String", "length" | "indexOf" | "lastIndexOf" | "compareTo" | "codePointAt") => {
            primitive("int")
        }
        ("String" | "StringBuilder" | "StringBuffer" | "CharSequence", "charAt") => {
            primitive("char")
        }
        ("StringBuilder" | "StringBuffer" | "CharSequence", "length") => primitive("int"),
        (
            "StringBuilder" | "StringBuffer",
            "append" | "insert" | "reverse" | "deleteCharAt" | "delete" | "replace",
        ) => of.clone(),
        (
            "String" | "StringBuilder" | "StringBuffer",
            "substring" | "trim" | "toLowerCase" | "toUpperCase" | "replace" | "replaceAll"
            | "replaceFirst" | "concat" | "intern" | "strip" | "repeat",
        ) => string(),
        ("String", "toCharArray") => made(ARRAY, vec![primitive("char")]),
        ("String", "getBytes") => made(ARRAY, vec![primitive("byte")]),
        ("String", "split") => made(ARRAY, vec![string()]),
        (
            "String",
            "startsWith" | "endsWith" | "contains" | "isEmpty" | "matches" | "equalsIgnoreCase"
            | "isBlank",
        ) => primitive("boolean"),
        (_, "intValue") => primitive("int"),
        (_, "longValue") => primitive("long"),
        (_, "doubleValue") => primitive("double"),
        (_, "booleanValue") => primitive("boolean"),
        (ARRAY, "clone") => of.clone(),
        (ARRAY, "length") => primitive("int"),
        _ => Ty::Unknown,
    }
}

/// What a static method outside gives, by its path.
pub(super) fn static_result(path: &str, arguments: &[Ty]) -> Ty {
    let first = || arguments.first().cloned().unwrap_or(Ty::Unknown);
    let Some((class, name)) = path.rsplit_once('.') else { return Ty::Unknown };
    match (last(class), name) {
        ("String", "valueOf" | "format" | "join" | "copyValueOf") => string(),
        (
            "Integer" | "Long" | "Double" | "Boolean" | "Character" | "Float",
            "toString" | "toHexString",
        ) => string(),
        ("Integer", "parseInt") => primitive("int"),
        ("Long", "parseLong") | ("System", "currentTimeMillis" | "nanoTime") => primitive("long"),
        ("Double", "parseDouble") => primitive("double"),
        ("Boolean", "parseBoolean") => primitive("boolean"),
        (
            "Integer" | "Long" | "Double" | "Boolean" | "Character" | "Float" | "Byte" | "Short",
            "valueOf",
        ) => Ty::outside_value(class, Vec::new()),
        ("Objects", "requireNonNull" | "requireNonNullElse") => first(),
        ("Arrays", "asList") | ("List", "of") => Ty::outside_value("java.util.List", vec![first()]),
        ("Set", "of") => Ty::outside_value("java.util.Set", vec![first()]),
        ("Optional", "of" | "ofNullable") => Ty::outside_value("java.util.Optional", vec![first()]),
        ("Stream", "of") => Ty::outside_value("java.util.stream.Stream", vec![first()]),
        ("Arrays", "stream") => match arguments.first() {
            Some(Ty::Outside { path, arguments, .. }) if &**path == ARRAY => {
                Ty::outside_value("java.util.stream.Stream", arguments.to_vec())
            }
            _ => Ty::Unknown,
        },
        (
            "Charset" | "Locale" | "Calendar" | "TimeZone" | "Pattern" | "Path" | "Paths" | "URI"
            | "Instant" | "Duration" | "LocalDate" | "LocalDateTime",
            "forName" | "defaultCharset" | "getDefault" | "getInstance" | "getTimeZone" | "compile"
            | "of" | "create" | "now" | "parse",
        ) if class.starts_with("java.") => Ty::outside_value(class, Vec::new()),
        ("Arrays", "copyOf" | "copyOfRange") => first(),
        (
            "Collections",
            "unmodifiableList"
            | "unmodifiableSet"
            | "unmodifiableMap"
            | "unmodifiableCollection"
            | "synchronizedList"
            | "synchronizedMap",
        ) => first(),
        // Libraries of assertions give what they are given.
        (_, name) if name.ends_with("NotNull") || name.ends_with("NonNull") => first(),
        _ => Ty::Unknown,
    }
}

/// What the n-th parameter of a function is that a method outside is given.
pub(super) fn passed(of: &Ty, name: &str, index: u8) -> Ty {
    let Ty::Outside { path, arguments, .. } = of else { return Ty::Unknown };
    let argument = |index: usize| arguments.get(index).cloned().unwrap_or(Ty::Unknown);
    let class = last(path);
    if MAPS.contains(&class) {
        return match name {
            "forEach" | "replaceAll" | "compute" | "computeIfPresent" => {
                argument(usize::from(index))
            }
            "computeIfAbsent" => argument(0),
            "merge" => argument(1),
            _ => Ty::Unknown,
        };
    }
    let takes_elements = matches!(
        name,
        "forEach"
            | "forEachOrdered"
            | "removeIf"
            | "replaceAll"
            | "filter"
            | "map"
            | "flatMap"
            | "mapToInt"
            | "mapToLong"
            | "mapToDouble"
            | "mapToObj"
            | "anyMatch"
            | "allMatch"
            | "noneMatch"
            | "peek"
            | "takeWhile"
            | "dropWhile"
            | "ifPresent"
            | "ifPresentOrElse"
            | "sort"
            | "sorted"
            | "min"
            | "max"
            | "forEachRemaining"
    );
    let has_elements = COLLECTIONS.contains(&class) || matches!(class, "Stream" | "Optional");
    if takes_elements && has_elements { argument(0) } else { Ty::Unknown }
}

/// What the n-th parameter of a functional interface's function is.
pub(super) fn parameter(of: &Ty, index: u8) -> Ty {
    let Ty::Outside { path, arguments, .. } = of else { return Ty::Unknown };
    let at = match last(path) {
        "Comparator" | "UnaryOperator" | "BinaryOperator" => 0,
        "Consumer" | "Function" | "Predicate" | "BiConsumer" | "BiFunction" | "BiPredicate"
        | "ToIntFunction" | "ToLongFunction" | "ToDoubleFunction" | "ToIntBiFunction" => {
            usize::from(index)
        }
        _ => return Ty::Unknown,
    };
    arguments.get(at).cloned().unwrap_or(Ty::Unknown)
}
