//! What Java's standard library gives, as far as it leads on to types of the project or tells
//! overloads apart.

use crate::resolve::ty::Ty;

/// The path of arrays.
pub(super) const ARRAY: &str = "[]";

/// From narrow to wide.
const NUMBERS: [&str; 6] = ["byte", "short", "int", "long", "float", "double"];

pub(super) fn is_primitive(name: &str) -> bool {
    NUMBERS.contains(&name) || matches!(name, "boolean" | "char" | "null")
}

/// Steps from one primitive type to a wider one.
pub(super) fn widening(from: &str, to: &str) -> Option<u32> {
    let place = |name: &str| NUMBERS.iter().position(|n| *n == name);
    let steps = match (from, to) {
        _ if from == to => return Some(0),
        ("char", "int" | "long" | "float" | "double") => place(to)?.checked_sub(1)?,
        _ => place(to)?.checked_sub(place(from)?)?,
    };
    u32::try_from(steps).ok()
}

/// The class of a primitive type's values.
pub(super) fn boxed(primitive: &str) -> &'static str {
    match primitive {
        "byte" => "Byte",
        "short" => "Short",
        "int" => "Integer",
        "long" => "Long",
        "float" => "Float",
        "double" => "Double",
        "char" => "Character",
        "boolean" => "Boolean",
        _ => "",
    }
}

/// The primitive type of a class.
pub(super) fn unboxed(class: &str) -> Option<&'static str> {
    let all = NUMBERS.into_iter().chain(["char", "boolean"]);
    all.into_iter().find(|primitive| boxed(primitive) == class)
}

/// Whether a name is in java.lang.
pub(super) fn is_lang(name: &str) -> bool {
    LANG.binary_search(&name).is_ok()
}

const LANG: [&str; 103] = [
    "AbstractMethodError",
    "Appendable",
    "ArithmeticException",
    "ArrayIndexOutOfBoundsException",
    "ArrayStoreException",
    "AssertionError",
    "AutoCloseable",
    "Boolean",
    "Byte",
    "CharSequence",
    "Character",
    "Class",
    "ClassCastException",
    "ClassCircularityError",
    "ClassFormatError",
    "ClassLoader",
    "ClassNotFoundException",
    "ClassValue",
    "CloneNotSupportedException",
    "Cloneable",
    "Comparable",
    "Deprecated",
    "Double",
    "Enum",
    "EnumConstantNotPresentException",
    "Error",
    "Exception",
    "ExceptionInInitializerError",
    "Float",
    "FunctionalInterface",
    "IllegalAccessError",
    "IllegalAccessException",
    "IllegalArgumentException",
    "IllegalCallerException",
    "IllegalMonitorStateException",
    "IllegalStateException",
    "IllegalThreadStateException",
    "IncompatibleClassChangeError",
    "IndexOutOfBoundsException",
    "InheritableThreadLocal",
    "InstantiationError",
    "InstantiationException",
    "Integer",
    "InternalError",
    "InterruptedException",
    "Iterable",
    "LayerInstantiationException",
    "LinkageError",
    "Long",
    "Math",
    "Module",
    "ModuleLayer",
    "NegativeArraySizeException",
    "NoClassDefFoundError",
    "NoSuchFieldError",
    "NoSuchFieldException",
    "NoSuchMethodError",
    "NoSuchMethodException",
    "NullPointerException",
    "Number",
    "NumberFormatException",
    "Object",
    "OutOfMemoryError",
    "Override",
    "Package",
    "Process",
    "ProcessBuilder",
    "ProcessHandle",
    "Readable",
    "Record",
    "ReflectiveOperationException",
    "Runnable",
    "Runtime",
    "RuntimeException",
    "RuntimePermission",
    "SafeVarargs",
    "SecurityException",
    "SecurityManager",
    "Short",
    "StackOverflowError",
    "StackTraceElement",
    "StackWalker",
    "StrictMath",
    "String",
    "StringBuffer",
    "StringBuilder",
    "StringIndexOutOfBoundsException",
    "SuppressWarnings",
    "System",
    "Thread",
    "ThreadDeath",
    "ThreadGroup",
    "ThreadLocal",
    "Throwable",
    "TypeNotPresentException",
    "UnknownError",
    "UnsatisfiedLinkError",
    "UnsupportedClassVersionError",
    "UnsupportedOperationException",
    "VerifyError",
    "VirtualMachineError",
    "Void",
    "WrongThreadException",
];

/// Whether a name begins the packages of others.
pub(super) fn is_domain(name: &str) -> bool {
    matches!(
        name,
        "java"
            | "javax"
            | "jakarta"
            | "com"
            | "org"
            | "net"
            | "io"
            | "android"
            | "androidx"
            | "kotlin"
            | "sun"
            | "jdk"
            | "junit"
            | "edu"
    )
}

/// Whether a well-known name is in a package.
pub(super) fn is_in(package: &str, name: &str) -> bool {
    let is_collection = COLLECTIONS.contains(&name)
        || MAPS.contains(&name) && !name.starts_with("Concurrent")
        || matches!(
            name,
            "Arrays"
                | "Collections"
                | "Objects"
                | "Comparator"
                | "Optional"
                | "Locale"
                | "Date"
                | "Calendar"
                | "Random"
                | "Scanner"
                | "StringTokenizer"
                | "BitSet"
                | "UUID"
                | "Properties"
                | "Enumeration"
                | "StringJoiner"
                | "TimeZone"
        );
    match package {
        "java.util" => is_collection,
        "java.io" => {
            ["Stream", "Reader", "Writer", "File"].iter().any(|end| name.ends_with(end))
                || name.starts_with("IO")
        }
        "java.util.function" => functional(name).is_some(),
        _ => false,
    }
}

const COLLECTIONS: [&str; 38] = [
    "List",
    "ArrayList",
    "LinkedList",
    "Collection",
    "Set",
    "HashSet",
    "LinkedHashSet",
    "TreeSet",
    "SortedSet",
    "NavigableSet",
    "EnumSet",
    "Queue",
    "Deque",
    "ArrayDeque",
    "PriorityQueue",
    "Vector",
    "Stack",
    "Iterable",
    "Iterator",
    "ListIterator",
    "AbstractList",
    "AbstractSet",
    "AbstractCollection",
    "BlockingQueue",
    "LinkedBlockingQueue",
    "ArrayBlockingQueue",
    "CopyOnWriteArrayList",
    "CopyOnWriteArraySet",
    "ConcurrentLinkedQueue",
    "ImmutableList",
    "ImmutableSet",
    "Multiset",
    "Spliterator",
    "AbstractQueue",
    "LinkedBlockingDeque",
    "ConcurrentLinkedDeque",
    "SequencedCollection",
    "PriorityBlockingQueue",
];

const MAPS: [&str; 15] = [
    "Map",
    "HashMap",
    "LinkedHashMap",
    "TreeMap",
    "SortedMap",
    "NavigableMap",
    "ConcurrentMap",
    "ConcurrentHashMap",
    "EnumMap",
    "WeakHashMap",
    "IdentityHashMap",
    "AbstractMap",
    "Hashtable",
    "ImmutableMap",
    "ConcurrentSkipListMap",
];

/// The last name of a path.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How many parameters the function of a functional interface has.
pub(super) fn functional(name: &str) -> Option<usize> {
    Some(match name {
        "Runnable" | "Callable" | "Supplier" | "BooleanSupplier" | "IntSupplier"
        | "LongSupplier" | "DoubleSupplier" => 0,
        "Consumer" | "Function" | "Predicate" | "UnaryOperator" | "IntFunction"
        | "IntPredicate" | "IntConsumer" | "IntUnaryOperator" | "ToIntFunction"
        | "ToLongFunction" | "ToDoubleFunction" | "LongFunction" | "DoubleFunction"
        | "LongConsumer" | "DoubleConsumer" | "FileFilter" => 1,
        "BiConsumer" | "BiFunction" | "BiPredicate" | "BinaryOperator" | "Comparator"
        | "IntBinaryOperator" | "ToIntBiFunction" | "FilenameFilter" => 2,
        _ => return None,
    })
}

/// Whether a method is one that every object has.
pub(super) fn is_of_object(name: &str) -> bool {
    matches!(
        name,
        "getClass"
            | "hashCode"
            | "equals"
            | "toString"
            | "notify"
            | "notifyAll"
            | "wait"
            | "clone"
            | "finalize"
    )
}

/// Whether a method may well be one of a class of the standard library, so that a class based on it
/// does not see a method of the same name around it.
pub(super) fn may_have(path: &str, name: &str) -> bool {
    if !path.starts_with("java.") && !path.starts_with("javax.") {
        return false;
    }
    match last(path) {
        "Runnable" => name == "run",
        "Callable" | "Future" => matches!(name, "call" | "get"),
        "Comparator" => matches!(name, "compare" | "reversed" | "thenComparing"),
        "Iterator" | "ListIterator" | "Enumeration" => {
            matches!(
                name,
                "next" | "hasNext" | "remove" | "forEachRemaining" | "previous" | "set" | "add"
            )
        }
        "Iterable" => matches!(name, "iterator" | "forEach" | "spliterator"),
        "Comparable" => name == "compareTo",
        "Serializable" | "Cloneable" => false,
        class if functional(class).is_some() => {
            matches!(
                name,
                "get" | "accept" | "apply" | "test" | "andThen" | "negate" | "and" | "or"
            )
        }
        "Thread" => matches!(
            name,
            "start"
                | "run"
                | "interrupt"
                | "isInterrupted"
                | "interrupted"
                | "join"
                | "setName"
                | "getName"
                | "setDaemon"
                | "isAlive"
                | "sleep"
                | "yield"
                | "currentThread"
                | "getId"
                | "setPriority"
                | "getPriority"
                | "getState"
                | "getContextClassLoader"
        ),
        class
            if class.ends_with("Exception") || class.ends_with("Error") || class == "Throwable" =>
        {
            matches!(
                name,
                "getMessage"
                    | "getCause"
                    | "initCause"
                    | "printStackTrace"
                    | "getStackTrace"
                    | "setStackTrace"
                    | "addSuppressed"
                    | "getSuppressed"
                    | "fillInStackTrace"
                    | "getLocalizedMessage"
            )
        }
        class
            if class.ends_with("Stream")
                || class.ends_with("Reader")
                || class.ends_with("Writer") =>
        {
            matches!(
                name,
                "read"
                    | "write"
                    | "close"
                    | "flush"
                    | "skip"
                    | "available"
                    | "mark"
                    | "reset"
                    | "append"
                    | "print"
                    | "println"
                    | "printf"
                    | "ready"
                    | "markSupported"
                    | "transferTo"
                    | "readLine"
                    | "toByteArray"
                    | "size"
                    | "format"
            )
        }
        class if COLLECTIONS.contains(&class) || MAPS.contains(&class) => matches!(
            name,
            "add"
                | "addAll"
                | "addFirst"
                | "addLast"
                | "clear"
                | "contains"
                | "containsAll"
                | "containsKey"
                | "containsValue"
                | "entrySet"
                | "forEach"
                | "get"
                | "getFirst"
                | "getLast"
                | "getOrDefault"
                | "indexOf"
                | "isEmpty"
                | "iterator"
                | "keySet"
                | "lastIndexOf"
                | "listIterator"
                | "offer"
                | "peek"
                | "poll"
                | "pop"
                | "push"
                | "put"
                | "putAll"
                | "putIfAbsent"
                | "remove"
                | "removeAll"
                | "removeIf"
                | "removeFirst"
                | "removeLast"
                | "replaceAll"
                | "retainAll"
                | "set"
                | "size"
                | "sort"
                | "stream"
                | "subList"
                | "toArray"
                | "values"
                | "merge"
                | "compute"
                | "computeIfAbsent"
                | "first"
                | "last"
                | "removeEldestEntry"
                | "modCount"
        ),
        _ => false,
    }
}

/// Steps from a class of the standard library to one above it; None when there is no way, Some(None)
/// when it is not known.
pub(super) fn above(of: &str, base: &str) -> Option<Option<u32>> {
    let (of, base) = (last(of), last(base));
    if of == base {
        return Some(Some(0));
    }
    let bases: &[&str] = match of {
        "String" => &["CharSequence", "Comparable", "Serializable"],
        "StringBuilder" | "StringBuffer" => {
            &["CharSequence", "Appendable", "Comparable", "Serializable"]
        }
        "CharSequence" | "Class" | "Object" | "Locale" => &[],
        "Boolean" | "Character" => &["Comparable", "Serializable"],
        _ if unboxed(of).is_some() => &["Number", "Comparable", "Serializable"],
        "ArrayList" | "LinkedList" | "Vector" => &["List", "Collection", "Iterable"],
        "List" => &["Collection", "Iterable"],
        "HashSet" | "LinkedHashSet" | "EnumSet" => &["Set", "Collection", "Iterable"],
        "TreeSet" => &["NavigableSet", "SortedSet", "Set", "Collection", "Iterable"],
        "Set" | "Queue" => &["Collection", "Iterable"],
        "Collection" => &["Iterable"],
        "HashMap" | "LinkedHashMap" | "EnumMap" | "Hashtable" => &["Map"],
        "TreeMap" => &["NavigableMap", "SortedMap", "Map"],
        "Iterator" => &[],
        _ if of.ends_with("InputStream") => {
            &["FilterInputStream", "InputStream", "Closeable", "AutoCloseable"]
        }
        _ if of.ends_with("OutputStream") => {
            &["FilterOutputStream", "OutputStream", "Closeable", "Flushable", "AutoCloseable"]
        }
        _ if of.ends_with("Reader") => &[
            "BufferedReader",
            "InputStreamReader",
            "Reader",
            "Closeable",
            "Readable",
            "AutoCloseable",
        ],
        _ if of.ends_with("Writer") => &[
            "OutputStreamWriter",
            "Writer",
            "Closeable",
            "Appendable",
            "Flushable",
            "AutoCloseable",
        ],
        "Throwable" => &["Serializable"],
        "Exception" | "Error" => &["Throwable", "Serializable"],
        _ if of.ends_with("Exception") && matches!(base, "Exception" | "Throwable") => {
            &["", "", "Exception", "Throwable"]
        }
        _ => return Some(None),
    };
    let at = bases.iter().position(|name| *name == base)?;
    Some(u32::try_from(at + 1).ok())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(LANG.is_sorted());
    }

    #[test]
    fn widens() {
        assert_eq!(widening("int", "long"), Some(1));
        assert_eq!(widening("long", "int"), None);
        assert_eq!(widening("char", "int"), Some(1));
        assert_eq!(widening("boolean", "int"), None);
        assert_eq!(unboxed("Integer"), Some("int"));
    }
}
