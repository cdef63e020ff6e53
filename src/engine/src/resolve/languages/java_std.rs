//! Names and types of Java's standard library: what is in scope, what hides what, what is above what.

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

pub(super) const COLLECTIONS: [&str; 38] = [
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

pub(super) const MAPS: [&str; 15] = [
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
