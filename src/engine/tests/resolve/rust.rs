//! Rust's constructs, each as its programs use it: what is called where.

use crate::support::{Tree, check};

#[test]
fn paths_use_trees_aliases_and_reexports() {
    check(&[
        (
            "k/src/lib.rs",
            "mod a;\npub mod b;\npub use a::{one, inner::{two as zwei, self}};\npub use b::*;\nfn top() {\n    one(); //-> k/src/a.rs:one\n    zwei(); //-> k/src/a/inner.rs:two\n    inner::two(); //-> k/src/a/inner.rs:two\n    three(); //-> k/src/b/mod.rs:three\n    crate::b::three(); //-> k/src/b/mod.rs:three\n    self::a::one(); //-> k/src/a.rs:one\n}\n",
        ),
        (
            "k/src/a.rs",
            "pub mod inner;\npub fn one() {\n    self::inner::two(); //-> k/src/a/inner.rs:two\n    super::top(); //-> k/src/lib.rs:top\n}\n",
        ),
        (
            "k/src/a/inner.rs",
            "use super::one;\npub fn two() {\n    one(); //-> k/src/a.rs:one\n    super::super::b::three(); //-> k/src/b/mod.rs:three\n}\n",
        ),
        ("k/src/b/mod.rs", "pub fn three() {}\n"),
        (
            "other/src/main.rs",
            "use k::{one, b};\nfn main() {\n    one(); //-> k/src/a.rs:one\n    b::three(); //-> k/src/b/mod.rs:three\n    k::three(); //-> k/src/b/mod.rs:three\n}\n",
        ),
    ]);
}

#[test]
fn impl_blocks_self_and_fields() {
    check(&[(
        "src/lib.rs",
        "pub struct Inner { n: u8 }\nimpl Inner {\n    pub fn new() -> Self { Inner { n: 1 } } //-> Inner\n    fn go(&self) -> Option<Inner> { None }\n}\npub struct Outer { inner: Inner, list: Vec<Inner>, boxed: Box<Inner> }\nimpl Outer {\n    fn make() -> Self {\n        Self { inner: Inner::new(), list: vec![], boxed: todo!() } //-> Inner::new, Outer\n    }\n    fn run(&mut self) {\n        self.inner.go(); //-> Inner::go\n        self.boxed.go(); //-> Inner::go\n        self.step(); //-> Outer::step\n        Self::make().step(); //-> Outer::make, Outer::step\n        for x in self.list.iter() {\n            x.go(); //-> Inner::go\n        }\n        self.list.push(Inner::new()); //-> Inner::new\n        if let Some(y) = self.inner.go() { //-> Inner::go\n            y.go(); //-> Inner::go\n        }\n        let z = self.list.first().unwrap();\n        z.go(); //-> Inner::go\n        self.list.iter().for_each(|e| { e.go(); }); //-> Inner::go\n    }\n    fn step(&self) {}\n    fn push(&self) {}\n}\n",
    )]);
}

#[test]
fn traits_bounds_and_overrides() {
    let source = "pub trait Shape {\n    fn area(&self) -> f64;\n    fn twice(&self) -> f64 { self.area() * 2.0 } //-> Shape::area\n}\npub struct Square;\nimpl Shape for Square {\n    fn area(&self) -> f64 { 1.0 }\n}\nfn all<S: Shape>(s: &S, d: &dyn Shape, i: impl Shape) {\n    s.area(); //-> Shape::area\n    d.twice(); //-> Shape::twice\n    i.area(); //-> Shape::area\n    Square.area(); //-> <Square as Shape>::area\n    Square.twice(); //-> Shape::twice\n    Shape::area(&Square); //-> Shape::area\n    <Square as Shape>::area(&Square); //-> <Square as Shape>::area\n}\nfn w<T>(t: T) where T: Shape {\n    t.area(); //-> Shape::area\n}\n";
    check(&[("src/lib.rs", source)]);
    let tree = Tree::new(&[("src/lib.rs", source)]);
    assert_eq!(tree.edges("overrides"), ["src/lib.rs:7 -> src/lib.rs:Shape::area [member]"]);
    assert_eq!(tree.edges("implements"), ["src/lib.rs:6 -> src/lib.rs:Shape [scope]"]);
}

#[test]
fn locals_results_and_patterns() {
    check(&[(
        "src/lib.rs",
        "pub struct E;\npub struct A;\npub enum K { One(A), Two { a: A } }\nimpl A {\n    fn new() -> Result<A, E> { Ok(A) }\n    fn f(&self) -> &Self { self }\n}\nimpl K { fn k(&self) {} }\nfn g(k: K, t: (A, u8)) -> Result<(), E> {\n    let a = A::new()?; //-> A::new\n    a.f().f(); //-> A::f\n    let b: A = todo!();\n    b.f(); //-> A::f\n    match k {\n        K::One(x) => { x.f(); } //-> A::f\n        K::Two { a } => { a.f(); } //-> A::f\n    }\n    let (p, _) = t;\n    p.f(); //-> A::f\n    t.0.f(); //-> A::f\n    let a = 1;\n    a.f(); //->\n    K::One(A).k(); //-> K::One, K::k\n    assert!(b.f().is_ok()); //-> A::f\n    println!(\"{}\", helper(b.f())); //-> A::f, helper\n    Ok(())\n}\nfn helper(_: &A) {}\n",
    )]);
}

#[test]
fn std_methods_stay_outside() {
    let tree = Tree::new(&[(
        "src/lib.rs",
        "use std::mem::replace;\npub struct S;\nimpl S { fn push(&self) {} fn get(&self) {} fn len(&self) {} fn clone(&self) {} }\nfn replace2() {}\nfn f(v: Vec<u8>, s: &str, o: Option<S>) {\n    v.push(1);\n    v.len();\n    s.len();\n    replace(&mut 1, 2);\n    o.clone();\n    unknown().get();\n    serde_json::to_string(&1);\n}\n",
    )]);
    assert!(tree.edges("calls").is_empty(), "{:?}", tree.edges("calls"));
    let at = |line| tree.unresolved("src/lib.rs", line, "calls");
    assert_eq!(at(6), ["builtin Vec.push"]);
    assert_eq!(at(9), ["builtin std::mem::replace"]);
    assert_eq!(at(12), ["external serde_json::to_string"]);
}

#[test]
fn deref_inline_modules_and_macros() {
    check(&[(
        "src/lib.rs",
        "use std::sync::{Arc, Mutex};\nmacro_rules! say { () => {} }\npub struct Guard { s: State }\npub struct State;\nimpl State { fn tick(&self) {} }\nimpl std::ops::Deref for Guard {\n    type Target = State;\n    fn deref(&self) -> &State { &self.s }\n}\npub struct Shared { state: Arc<Mutex<State>> }\nimpl Shared {\n    fn lock(&self, g: Guard) {\n        g.tick(); //-> State::tick\n        self.state.lock().unwrap().tick(); //-> State::tick\n        say!(); //-> say\n        util::deep(); //-> util::deep\n    }\n}\nmod util {\n    pub fn deep() {\n        super::top(); //-> top\n        top(); //->\n    }\n}\nfn top() {\n    fn local() {}\n    local(); //-> top::local\n    let f = util::deep;\n    f(); //-> util::deep\n}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    fn t() {\n        top(); //-> top\n        State.tick(); //-> State::tick\n    }\n}\n",
    )]);
}

#[test]
fn crates_have_the_names_of_their_manifests() {
    check(&[
        ("a/Cargo.toml", "[package]\nname = \"my-lib\"\n"),
        ("a/src/lib.rs", "pub fn one() {}\n"),
        (
            "b/Cargo.toml",
            "[package]\nname = \"other\"\n[lib]\nname = \"short\"\npath = \"code/s.rs\"\n",
        ),
        ("b/code/s.rs", "pub fn two() {}\n"),
        (
            "c/Cargo.toml",
            "[package]\nname = \"c\"\n[dependencies]\nalias = { package = \"my-lib\", path = \"../a\" }\n",
        ),
        (
            "c/src/lib.rs",
            "fn f() {\n    alias::one(); //-> a/src/lib.rs:one\n    my_lib::one(); //-> a/src/lib.rs:one\n    short::two(); //-> b/code/s.rs:two\n    other::two(); //->\n    a::one(); //->\n}\n",
        ),
    ]);
}

#[test]
fn conversions_wrappers_and_items_in_macros() {
    check(&[
        (
            "src/lib.rs",
            "use std::borrow::Borrow;
use std::sync::Arc;
cfg_x! { mod hidden; }
pub struct Name;
impl Name { fn text(&self) {} }
pub struct S { name: Name }
impl S {
    fn name(&self) -> u8 {
        self.name.text(); //-> Name::text
        0
    }
    cfg_x! {
        fn more(&self) {
            self.name(); //-> S::name
        }
    }
}
pub struct Wrap<T> { v: T }
impl<T> std::ops::Deref for Wrap<T> {
    type Target = T;
    fn deref(&self) -> &T { &self.v }
}
pub struct It;
impl Iterator for It {
    type Item = Name;
    fn next(&mut self) -> Option<Name> { None }
}
fn f<A: Into<Name>, B: Clone + Borrow<S>>(a: A, b: B, w: Wrap<Name>, it: It, o: Option<Name>) {
    let a = a.into(); //->
    a.text(); //-> Name::text
    b.borrow().name(); //-> S::name
    w.text(); //-> Name::text
    w.clone().text(); //-> Name::text
    it.filter(|_| true).for_each(|n| n.text()); //-> Name::text
    let c = Arc::new(S { name: Name }); //-> S
    c.name(); //-> S::name
    Arc::clone(&c).more(); //-> S::more
    let m = match o { Some(m) => m, None => return };
    m.text(); //-> Name::text
    let n = match c.name() { 1 => c, _ => Arc::clone(&c) }; //-> S::name
    n.more(); //-> S::more
    hidden::deep(); //-> src/hidden.rs:deep
    for x in w { x.text(); } //->
}
",
        ),
        ("src/hidden.rs", "pub fn deep() {}\n"),
    ]);
}
