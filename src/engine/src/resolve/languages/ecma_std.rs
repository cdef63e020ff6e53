//! What JavaScript's globals and Node's modules are, and what their methods give, as far as it leads on
//! to types of the project.

use onyx_protocol::code::Type;

use crate::resolve::ty::Ty;

/// A path's last name.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// Whether a name is there without import.
pub(super) fn is_global(name: &str) -> bool {
    GLOBALS.binary_search(&name).is_ok()
}

/// Whether a module comes with Node.
pub(super) fn is_module(name: &str) -> bool {
    name.starts_with("node:") || MODULES.binary_search(&name).is_ok()
}

/// Whether a path is of the language, the browser or Node.
pub(super) fn is_builtin(path: &str) -> bool {
    let head = path.split(['.', '/']).next().unwrap_or(path);
    path.starts_with("node:") || is_global(head) || MODULES.binary_search(&head).is_ok()
}

fn argument(arguments: &[Ty], index: usize) -> Ty {
    arguments.get(index).cloned().unwrap_or(Ty::Unknown)
}

fn array(of: Ty) -> Ty {
    Ty::outside_value("Array", vec![of])
}

fn string() -> Ty {
    Ty::outside_value("String", Vec::new())
}

fn is_list(name: &str) -> bool {
    matches!(
        name,
        "Array"
            | "ReadonlyArray"
            | "Set"
            | "ReadonlySet"
            | "Iterable"
            | "IterableIterator"
            | "Iterator"
            | "Generator"
            | "AsyncIterable"
            | "AsyncGenerator"
            | "ArrayLike"
            | "AsyncIterableIterator"
            | "NodeListOf"
            | "ArrayIterator"
            | "SetIterator"
    )
}

fn is_map(name: &str) -> bool {
    matches!(name, "Map" | "ReadonlyMap" | "WeakMap")
}

/// What a type of the language with its arguments is used as.
pub(super) fn used(ty: Ty) -> Ty {
    let Ty::Outside { path, arguments, .. } = &ty else { return ty };
    match &**path {
        "Partial" | "Required" | "Readonly" | "NonNullable" | "Pick" | "Omit" | "Exclude"
        | "Extract" | "NoInfer" | "ThisType" | "DeepPartial" => argument(arguments, 0),
        "Awaited" => awaited(argument(arguments, 0)),
        _ => ty,
    }
}

/// What waiting gives.
pub(super) fn awaited(ty: Ty) -> Ty {
    match &ty {
        Ty::Outside { path, arguments, .. } if matches!(&**path, "Promise" | "PromiseLike") => {
            argument(arguments, 0)
        }
        Ty::Union(all) => Ty::union(all.iter().cloned().map(awaited)),
        _ => ty,
    }
}

/// What an async function gives.
pub(super) fn promised(ty: Ty) -> Ty {
    match &ty {
        Ty::Outside { path, .. } if matches!(&**path, "Promise" | "PromiseLike") => ty,
        _ => Ty::outside_value("Promise", vec![ty]),
    }
}

/// What an iteration or an index gives.
pub(super) fn element(of: &Ty, index: bool) -> Ty {
    match of {
        Ty::Tuple(parts) => Ty::union(parts.iter().cloned()),
        Ty::Union(all) => Ty::union(all.iter().map(|ty| element(ty, index))),
        Ty::Outside { path, arguments, is_value: true } => match &**path {
            name if is_list(name) => argument(arguments, 0),
            name if is_map(name) && !index => {
                Ty::Tuple(vec![argument(arguments, 0), argument(arguments, 1)].into())
            }
            "Record" if index => argument(arguments, 1),
            "String" => string(),
            _ => Ty::Unknown,
        },
        _ => Ty::Unknown,
    }
}

/// What calling something outside gives.
pub(super) fn result(callee: &Ty) -> Ty {
    match callee {
        Ty::Outside { path, is_value: false, .. } => match &**path {
            "String" => string(),
            "Number" | "parseInt" | "parseFloat" => Ty::outside_value("Number", Vec::new()),
            "Boolean" => Ty::outside_value("Boolean", Vec::new()),
            "Object.keys" => array(string()),
            "JSON.stringify" => string(),
            path => Ty::outside_value(&format!("{path}()"), Vec::new()),
        },
        Ty::OutsideMember(of, name) => method_result(of, name),
        _ => Ty::Unknown,
    }
}

/// What a method of a type of the language gives.
fn method_result(of: &Ty, name: &str) -> Ty {
    let Ty::Outside { path, arguments, .. } = of else { return Ty::Unknown };
    let kind = &**path;
    if is_map(kind) {
        return match name {
            "get" => argument(arguments, 1),
            "values" => array(argument(arguments, 1)),
            "keys" => array(argument(arguments, 0)),
            "entries" => {
                array(Ty::Tuple(vec![argument(arguments, 0), argument(arguments, 1)].into()))
            }
            "set" => of.clone(),
            _ => Ty::Unknown,
        };
    }
    match (kind, name) {
        (
            "Array" | "ReadonlyArray",
            "filter" | "slice" | "concat" | "reverse" | "sort" | "splice" | "toSorted"
            | "toReversed" | "fill" | "copyWithin" | "with",
        ) => of.clone(),
        ("Array" | "ReadonlyArray", "pop" | "shift" | "find" | "at" | "findLast") => {
            argument(arguments, 0)
        }
        (_, "values") if is_list(kind) => array(argument(arguments, 0)),
        ("Array" | "ReadonlyArray", "entries") => array(Ty::Tuple(
            vec![Ty::outside_value("Number", Vec::new()), argument(arguments, 0)].into(),
        )),
        ("Set", "add") => of.clone(),
        ("Promise", "catch" | "finally") => of.clone(),
        ("Array" | "ReadonlyArray", "join") => string(),
        (
            "String",
            "slice" | "substring" | "substr" | "trim" | "toLowerCase" | "toUpperCase" | "replace"
            | "replaceAll" | "concat" | "padStart" | "padEnd" | "repeat" | "charAt" | "trimEnd"
            | "trimStart" | "normalize" | "toString" | "at",
        ) => string(),
        ("String", "split") => array(string()),
        (_, "toString" | "toFixed") => string(),
        _ => Ty::outside_value(&format!("{path}.{name}()"), Vec::new()),
    }
}

/// What a method passes to the function it is given.
pub(super) fn passed(object: &Ty, method: &str, index: u8) -> Ty {
    match object {
        Ty::Union(all) => Ty::union(all.iter().map(|ty| passed(ty, method, index))),
        Ty::Outside { path, arguments, is_value: true } => match (&**path, method, index) {
            (kind, "forEach", 0) if is_map(kind) => argument(arguments, 1),
            (kind, "forEach", 1) if is_map(kind) => argument(arguments, 0),
            (
                kind,
                "forEach" | "map" | "filter" | "find" | "findIndex" | "some" | "every" | "flatMap"
                | "findLast" | "findLastIndex",
                0,
            ) if is_list(kind) => argument(arguments, 0),
            (kind, "reduce" | "reduceRight", 1) if is_list(kind) => argument(arguments, 0),
            (kind, "sort" | "toSorted", 0 | 1) if is_list(kind) => argument(arguments, 0),
            ("Promise", "then", 0) => argument(arguments, 0),
            _ => Ty::Unknown,
        },
        _ => Ty::Unknown,
    }
}

/// Whether a shape of a type is the type it stands in.
pub(super) fn is_self(ty: &Type) -> bool {
    *ty == Type::SelfType
}

/// Whether a base has no members anybody would call.
pub(super) fn is_empty_base(path: &str) -> bool {
    last(path) == "Object"
}

/// Modules of Node, sorted.
const MODULES: [&str; 42] = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "stream",
    "string_decoder",
    "sys",
    "test",
    "timers",
    "tls",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
];

/// Names that need no import, sorted.
const GLOBALS: [&str; 235] = [
    "AbortController",
    "AbortSignal",
    "AggregateError",
    "Array",
    "ArrayBuffer",
    "ArrayBufferView",
    "ArrayLike",
    "AsyncGenerator",
    "AsyncIterable",
    "AsyncIterableIterator",
    "AsyncIterator",
    "Atomics",
    "Awaited",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Blob",
    "Boolean",
    "BroadcastChannel",
    "Buffer",
    "BufferSource",
    "CSS",
    "CSSStyleDeclaration",
    "Capitalize",
    "ConstructorParameters",
    "CustomEvent",
    "DOMException",
    "DOMParser",
    "DOMRect",
    "DataView",
    "Date",
    "Document",
    "DocumentFragment",
    "Element",
    "Error",
    "ErrorEvent",
    "EvalError",
    "Event",
    "EventListener",
    "EventSource",
    "EventTarget",
    "Exclude",
    "Extract",
    "File",
    "FileList",
    "FileReader",
    "FinalizationRegistry",
    "Float32Array",
    "Float64Array",
    "FormData",
    "Function",
    "Generator",
    "HTMLButtonElement",
    "HTMLCanvasElement",
    "HTMLDivElement",
    "HTMLElement",
    "HTMLImageElement",
    "HTMLInputElement",
    "HTMLVideoElement",
    "Headers",
    "Image",
    "ImageBitmap",
    "ImageData",
    "Infinity",
    "InstanceType",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "IntersectionObserver",
    "Intl",
    "Iterable",
    "IterableIterator",
    "Iterator",
    "IteratorResult",
    "JSON",
    "JSX",
    "KeyboardEvent",
    "Lowercase",
    "Map",
    "Math",
    "MediaStream",
    "MessageChannel",
    "MessageEvent",
    "MessagePort",
    "MouseEvent",
    "MutationObserver",
    "NaN",
    "Navigator",
    "NoInfer",
    "Node",
    "NodeJS",
    "NodeList",
    "NodeListOf",
    "NonNullable",
    "Number",
    "Object",
    "Omit",
    "OmitThisParameter",
    "Parameters",
    "Partial",
    "Path2D",
    "Performance",
    "PerformanceObserver",
    "Pick",
    "PointerEvent",
    "Promise",
    "PromiseConstructor",
    "PromiseLike",
    "PropertyDescriptor",
    "PropertyKey",
    "Proxy",
    "RangeError",
    "ReadableStream",
    "Readonly",
    "ReadonlyArray",
    "ReadonlyMap",
    "ReadonlySet",
    "Record",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "RegExpMatchArray",
    "Request",
    "RequestInit",
    "Required",
    "ResizeObserver",
    "Response",
    "ReturnType",
    "SVGElement",
    "Set",
    "SharedArrayBuffer",
    "Storage",
    "String",
    "Symbol",
    "SyntaxError",
    "TemplateStringsArray",
    "Text",
    "TextDecoder",
    "TextEncoder",
    "ThisParameterType",
    "ThisType",
    "TouchEvent",
    "TransformStream",
    "TypeError",
    "TypedPropertyDescriptor",
    "URIError",
    "URL",
    "URLSearchParams",
    "Uint16Array",
    "Uint32Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "Uncapitalize",
    "Uppercase",
    "WeakMap",
    "WeakRef",
    "WeakSet",
    "WebAssembly",
    "WebGL2RenderingContext",
    "WebGLRenderingContext",
    "WebSocket",
    "WheelEvent",
    "Window",
    "Worker",
    "WritableStream",
    "XMLHttpRequest",
    "XMLSerializer",
    "__dirname",
    "__filename",
    "addEventListener",
    "afterAll",
    "afterEach",
    "alert",
    "arguments",
    "atob",
    "beforeAll",
    "beforeEach",
    "btoa",
    "cancelAnimationFrame",
    "clearImmediate",
    "clearInterval",
    "clearTimeout",
    "confirm",
    "console",
    "createImageBitmap",
    "crypto",
    "customElements",
    "decodeURI",
    "decodeURIComponent",
    "describe",
    "document",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "eval",
    "expect",
    "exports",
    "fetch",
    "frames",
    "getComputedStyle",
    "global",
    "globalThis",
    "history",
    "indexedDB",
    "isFinite",
    "isNaN",
    "it",
    "jest",
    "localStorage",
    "location",
    "matchMedia",
    "module",
    "navigator",
    "parseFloat",
    "parseInt",
    "performance",
    "postMessage",
    "process",
    "prompt",
    "queueMicrotask",
    "removeEventListener",
    "requestAnimationFrame",
    "requestIdleCallback",
    "require",
    "screen",
    "self",
    "sessionStorage",
    "setImmediate",
    "setInterval",
    "setTimeout",
    "structuredClone",
    "test",
    "undefined",
    "unescape",
    "window",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted() {
        assert!(MODULES.is_sorted());
        assert!(GLOBALS.is_sorted());
    }
}
