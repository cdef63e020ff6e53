//! Java's constructs, each as its programs use it: what is called where.

use crate::support::{Tree, check};

#[test]
fn packages_and_imports() {
    check(&[
        (
            "src/a/Util.java",
            "package a;
public class Util {
  public static int twice(int x) { return x; }
  public static class Inner { public void go() {} public static void run() {} }
  public static final Util ONE = new Util(); //-> Util
  public void own() {}
}
",
        ),
        (
            "src/a/Near.java",
            "package a;\nclass Near { void f() { Util.twice(1); } //-> src/a/Util.java:Util.twice\n}\n",
        ),
        (
            "src/b/Single.java",
            "package b;
import a.Util;
import a.Util.Inner;
import java.util.List;
class Single {
  void f(Inner inner, List<Util> list) {
    Util.twice(1); //-> src/a/Util.java:Util.twice
    inner.go(); //-> src/a/Util.java:Util.Inner.go
    Inner.run(); //-> src/a/Util.java:Util.Inner.run
    Util.Inner.run(); //-> src/a/Util.java:Util.Inner.run
    a.Util.twice(2); //-> src/a/Util.java:Util.twice
    new a.Util.Inner().go(); //-> src/a/Util.java:Util.Inner, src/a/Util.java:Util.Inner.go
    Util.ONE.own(); //-> src/a/Util.java:Util.own
    Near.f(); //->
    list.size(); //->
  }
}
",
        ),
        (
            "src/b/OnDemand.java",
            "package b;
import a.*;
import static a.Util.twice;
class OnDemand {
  void f() {
    Util.twice(1); //-> src/a/Util.java:Util.twice
    twice(3); //-> src/a/Util.java:Util.twice
    new Single().f(null, null); //-> src/b/Single.java:Single, src/b/Single.java:Single.f
  }
}
",
        ),
        (
            "src/b/Static.java",
            "package b;
import static a.Util.*;
class Static {
  void f() {
    twice(3); //-> src/a/Util.java:Util.twice
    Inner.run(); //-> src/a/Util.java:Util.Inner.run
    ONE.own(); //-> src/a/Util.java:Util.own
  }
}
",
        ),
        (
            "src/b/Outside.java",
            "package b;
import org.other.Util;
import static org.other.Tools.twice;
class Outside {
  void f(Util util) {
    Util.twice(1); //->
    util.own(); //->
    twice(1); //->
  }
}
",
        ),
    ]);
}

#[test]
fn the_same_package_comes_before_imports_on_demand() {
    check(&[
        ("a/Thing.java", "package a;\npublic class Thing { public static void f() {} }\n"),
        ("b/Thing.java", "package b;\npublic class Thing { public static void f() {} }\n"),
        (
            "b/Use.java",
            "package b;\nimport a.*;\nclass Use { void g() { Thing.f(); } //-> b/Thing.java:Thing.f\n}\n",
        ),
        (
            "b/Explicit.java",
            "package b;\nimport a.Thing;\nclass Explicit { void g() { Thing.f(); } //-> a/Thing.java:Thing.f\n}\n",
        ),
    ]);
}

#[test]
fn overloads_by_arity_and_by_type() {
    let tree = Tree::new(&[(
        "A.java",
        "class A {
  void f() {}
  void f(int x) {}
  void f(String s) {}
  void f(A a) {}
  void f(Object o) {}
  void f(int[] all) {}
  void f(int x, String... rest) {}
  void g(long x) {}
  void g(Integer x) {}
  void h(CharSequence s) {}
  void h(Iterable<A> s) {}
  void calls(A a, B b, String s, long[] l, byte y, Object[] many, Unknown u, char[] c) {
    f();
    f(1);
    f(s + 1);
    f(b);
    f(many);
    f(new int[] {1});
    f(1, s, s);
    f(1L);
    g(1);
    g(y);
    h(s);
    h(u);
    f(c);
    f(this);
  }
}
class B extends A {}
",
    )]);
    let at = |line: u32| {
        let edges = tree.resolved[0].edges.iter();
        let found = edges.filter(|e| e.line == line && e.kind.as_str() == "calls");
        let lines: Vec<u32> = found
            .map(|e| {
                tree.files[0].facts.definitions[e.target.number().unwrap() as usize].start_line
            })
            .collect();
        lines
    };
    let expected: [(u32, &[u32]); 14] = [
        (14, &[2]),
        (15, &[3]),
        (16, &[4]),
        (17, &[5]),
        (18, &[6]),
        (19, &[7]),
        (20, &[8]),
        // A long does not fit an int, boxed it is an object.
        (21, &[6]),
        // Without boxing comes first.
        (22, &[9]),
        (23, &[9]),
        (24, &[11]),
        // What is not known chooses nothing.
        (25, &[]),
        (26, &[6]),
        (27, &[5]),
    ];
    for (line, lines) in expected {
        assert_eq!(at(line), lines, "line {line}");
    }
    assert_eq!(tree.unresolved("A.java", 25, "calls"), ["ambiguous"]);
}

#[test]
fn inheritance_super_and_interfaces() {
    check(&[
        (
            "p/Base.java",
            "package p;
public abstract class Base<T> implements Shape {
  protected T item;
  protected Base(int x) {}
  protected void hook() {}
  public abstract T make();
  public String toString() { return \"\"; }
  static void help() {}
}
",
        ),
        (
            "p/Shape.java",
            "package p;\npublic interface Shape extends Named { default int area() { return 0; } }\n",
        ),
        ("p/Named.java", "package p;\npublic interface Named { String label(); }\n"),
        ("q/Item.java", "package q;\npublic class Item { public void use() {} }\n"),
        (
            "q/Sub.java",
            "package q;
import p.*;
class Sub extends Base<Item> {
  Sub() {
    super(1); //-> p/Base.java:Base.Base
  }
  Sub(int y) {
    this(); //-> Sub.Sub
  }
  @Override protected void hook() {
    super.hook(); //-> p/Base.java:Base.hook
    this.hook(); //-> Sub.hook
    hook(); //-> Sub.hook
    help(); //-> p/Base.java:Base.help
    area(); //-> p/Shape.java:Shape.area
    label(); //-> p/Named.java:Named.label
    item.use(); //-> q/Item.java:Item.use
    make().use(); //-> p/Base.java:Base.make, q/Item.java:Item.use
    toString(); //-> p/Base.java:Base.toString
    hashCode(); //->
    super.hashCode(); //->
  }
  void shape(Shape s, Sub sub) {
    s.area(); //-> p/Shape.java:Shape.area
    s.label(); //-> p/Named.java:Named.label
    sub.make().use(); //-> p/Base.java:Base.make, q/Item.java:Item.use
    s.toString(); //->
  }
}
",
        ),
    ]);
}

#[test]
fn kinds_of_edges_between_types() {
    let tree = Tree::new(&[(
        "A.java",
        "interface I { void f(); default void g() {} }
interface J extends I { void f(); }
class A implements J { public void f() {} public void f(int x) {} private void g(int y) {} }
class B extends A implements I { public void f() {} public static void h() {} }
enum E implements I { X { public void f() {} }, Y; public void f() {} }
class C { Object o = new A() { public void f() {} }; I i = new I() { public void f() {} }; }
",
    )]);
    assert_eq!(
        tree.edges("implements"),
        [
            "A.java:3 -> A.java:J [scope]",
            "A.java:4 -> A.java:I [scope]",
            "A.java:5 -> A.java:I [scope]",
            "A.java:6 -> A.java:I [scope]",
        ]
    );
    assert_eq!(
        tree.edges("inherits"),
        [
            "A.java:2 -> A.java:I [scope]",
            "A.java:4 -> A.java:A [scope]",
            "A.java:6 -> A.java:A [scope]",
        ]
    );
    assert_eq!(
        tree.edges("overrides"),
        [
            "A.java:2 -> A.java:I.f [member]",
            "A.java:3 -> A.java:J.f [member]",
            "A.java:4 -> A.java:I.f [member]",
            "A.java:4 -> A.java:A.f [member]",
            "A.java:5 -> A.java:E.f [member]",
            "A.java:5 -> A.java:I.f [member]",
            "A.java:6 -> A.java:A.f [member]",
            "A.java:6 -> A.java:I.f [member]",
        ]
    );
    assert_eq!(tree.edges("instantiates"), Vec::<String>::new());
}

#[test]
fn inner_and_anonymous_classes_see_what_is_around() {
    check(&[(
        "A.java",
        "class A {
  private Helper helper = new Helper(); //-> Helper
  void run() {}
  void log(String s) {}
  class Inner {
    void log(int x) {}
    void f() {
      run(); //-> A.run
      A.this.log(\"\"); //-> A.log
      log(1); //-> A.Inner.log
      helper.help(); //-> Helper.help
    }
  }
  void g() {
    Helper local = new Helper(); //-> Helper
    Runnable r = new Runnable() {
      public void run() {
        log(\"\"); //-> A.log
        local.help(); //-> Helper.help
        helper.help(); //-> Helper.help
        run(); //-> A.g.<anonymous Runnable>.run
      }
    };
    new Thread() { public void f() { start(); } }; //->
    new Helper() { void f() { help(); } }; //-> Helper.help
    new Inner().f(); //-> A.Inner, A.Inner.f
    this.new Inner(); //-> A.Inner
    class Local { void f() {} }
    new Local().f(); //-> A.g.Local, A.g.Local.f
  }
  void start() {}
}
class Helper { void help() {} }
",
    )]);
}

#[test]
fn declared_types_of_locals_fields_and_parameters() {
    check(&[(
        "A.java",
        "class A {
  B field;
  B[] array;
  static B shared;
  B get() { return null; }
  void f(B parameter, B... many) {
    parameter.go(); //-> B.go
    B local = get(); //-> A.get
    local.go().go(); //-> B.go
    var inferred = get(); //-> A.get
    inferred.go(); //-> B.go
    this.field.go(); //-> B.go
    field.go(); //-> B.go
    array[0].go(); //-> B.go
    many[1].go(); //-> B.go
    A.shared.go(); //-> B.go
    ((B) unknown()).go(); //-> B.go
    new A().field.go(); //-> A, B.go
    get().next.next.go(); //-> A.get, B.go
    for (B each : array) each.go(); //-> B.go
    for (var each : many) { each.go(); } //-> B.go
    Object o = parameter;
    if (o instanceof B b) b.go(); //-> B.go
    try (B resource = get()) { resource.go(); } //-> A.get, B.go
    catch (Failure failure) { failure.tell(); } //-> Failure.tell
    (parameter == null ? local : parameter).go(); //-> B.go
    o.go(); //->
    unknown().go(); //->
    String s = \"\";
    s.go(); //->
    { Other parameter2 = null; parameter2.go(); } //-> Other.go
    B parameter2 = null;
    parameter2.go(); //-> B.go
    field = null;
  }
  int go(int field) {
    return field.go(); //->
  }
}
class B { B next; B go() { return this; } }
class Other { void go() {} }
class Failure extends Exception { void tell() {} }
",
    )]);
}

#[test]
fn generics() {
    check(&[(
        "A.java",
        "import java.util.*;
class A<T extends Part> {
  T item;
  List<T> items;
  Map<String, List<Part>> byName;
  <U> U same(U u) { return u; }
  <U extends Part> U make(Class<U> of) { return null; }
  void f(Box<Part> box, List<? extends Part> wild, Optional<Part> perhaps, Holder holder) {
    item.use(); //-> Part.use
    for (T each : items) { each.use(); } //-> Part.use
    for (Part each : byName.get(\"\")) { each.use(); } //-> Part.use
    byName.get(\"\").get(0).use(); //-> Part.use
    for (var entry : byName.entrySet()) entry.getValue().get(0).use(); //-> Part.use
    box.get().use(); //-> Box.get, Part.use
    box.map().get().use(); //-> Box.map, Box.get, Part.use
    wild.get(0).use(); //-> Part.use
    perhaps.get().use(); //-> Part.use
    same(new Part()).use(); //-> A.same, Part, Part.use
    make(Gear.class).turn(); //-> A.make, Gear.turn
    holder.get().use(); //-> Box.get, Part.use
    for (Part each : new Parts()) each.use(); //-> Parts, Part.use
    items.get(0).get(0); //->
  }
}
class Box<V> { V v; V get() { return v; } Box<V> map() { return this; } }
class Holder extends Box<Part> {}
class Parts implements Iterable<Part> { public Iterator<Part> iterator() { return null; } }
class Part { void use() {} }
class Gear extends Part { void turn() {} }
",
    )]);
}

#[test]
fn lambdas_and_method_references() {
    let source = "import java.util.*;
class A {
  interface Visitor<T> { void visit(T part, int depth); }
  interface Plain { Part pick(Part p); }
  void walk(Visitor<Part> visitor) {}
  void any(java.util.function.Function<Part, String> f) {}
  void f(List<Part> parts) {
    walk((part, depth) -> part.use()); //-> A.walk, Part.use
    any(p -> p.name()); //-> A.any, Part.name
    Plain plain = p -> p.self(); //-> Part.self
    parts.forEach(p -> p.use()); //-> Part.use
    parts.stream().filter(p -> p.name() != null).map(p -> p.self()); //-> Part.name, Part.self
    parts.forEach(Part::use); //->
    plain.pick(null).use(); //-> A.Plain.pick, Part.use
    unknown(p -> p.use()); //->
    Runnable r = () -> f(null); //-> A.f
    parts.forEach(this::one); //->
    make(Part::new); //->
  }
  void one(Part p) {}
}
class Part { void use() {} String name() { return null; } Part self() { return this; } }
";
    // `Part::new` makes one.
    let source = source.replace("make(Part::new); //->", "make(Part::new); //-> Part");
    check(&[("A.java", &source)]);
    let tree = Tree::new(&[("A.java", &source)]);
    assert_eq!(tree.targets("A.java", 13, "references"), ["A.java:Part", "A.java:Part.use"]);
    assert_eq!(tree.targets("A.java", 17, "references"), ["A.java:A.one"]);
}

#[test]
fn records_and_enums() {
    let tree = [(
        "A.java",
        "enum Color {
  RED(1) { int code() { return 2; } }, GREEN(2);
  static final Color FIRST = RED;
  Color(int x) {}
  int code() { return 1; }
}
record Point(Part x, Part y) {
  Point { check(); } //-> Point.check
  Point(Part one) {
    this(one, one); //-> Point.Point
  }
  Part x() { return x; }
  void check() {}
}
class A {
  void f(Color c, Point p) {
    Color.RED.code(); //-> Color.code
    Color.FIRST.code(); //-> Color.code
    c.code(); //-> Color.code
    Color.valueOf(\"\").code(); //-> Color.code
    for (Color each : Color.values()) each.code(); //-> Color.code
    c.ordinal(); //->
    p.x().use(); //-> Point.x, Part.use
    p.y().use(); //-> Point.y, Part.use
    switch (c) { case RED: c.code(); } //-> Color.code
    Object o = p;
    switch (o) { case Part part -> part.use(); default -> {} } //-> Part.use
    if (o instanceof Point(Part a, Part b)) a.use(); //-> Part.use
  }
}
class Part { void use() {} }
",
    )];
    check(&tree);
    let tree = Tree::new(&tree);
    // The constants are made by the constructor.
    assert_eq!(tree.targets("A.java", 2, "calls"), ["A.java:Color.Color", "A.java:Color.Color"]);
    assert_eq!(
        tree.targets("A.java", 25, "references"),
        ["A.java:Color.RED"],
        "a case names the constant of what is switched over"
    );
}

#[test]
fn annotations_fields_and_types_are_references() {
    let tree = Tree::new(&[(
        "A.java",
        "@interface Mark { String value(); }
class A {
  static final String NAME = \"\";
  int count;
  @Mark(A.NAME) A f(A other) { return other; }
  void g() { count = 1; int count = 2; count++; }
  Class<?> c = A.class;
}
",
    )]);
    assert_eq!(
        tree.targets("A.java", 5, "references"),
        ["A.java:A", "A.java:A", "A.java:A", "A.java:A.NAME", "A.java:Mark"]
    );
    assert_eq!(tree.targets("A.java", 6, "references"), ["A.java:A.count"]);
    assert_eq!(tree.unresolved("A.java", 3, "references"), ["builtin java.lang.String"]);
}

#[test]
fn the_library_never_binds_to_the_project() {
    check(&[(
        "A.java",
        "import java.util.*;
import java.io.*;
class A extends ArrayList<String> {
  void f(Map<String, String> map, StringBuilder out, InputStream in, Object any, int[] array) {
    map.put(\"\", \"\"); //->
    map.get(\"\").trim(); //->
    out.append(1).append(2); //->
    in.read(); //->
    add(\"\"); //->
    this.size(); //->
    any.equals(any); //->
    array.clone(); //->
    System.out.println(); //->
    Arrays.asList(1, 2).get(0); //->
    String.valueOf(1).length(); //->
    new Thread(() -> {}).start(); //->
    missing(); //->
    Missing.get(); //->
    getClass().getName(); //->
  }
}
class Own {
  void put(String a, String b) {}
  String get(String s) { return s; }
  String trim() { return null; }
  Own append(int x) { return this; }
  int read() { return 0; }
  void start() {}
  void println() {}
}
",
    )]);
}

#[test]
fn reasons() {
    let tree = Tree::new(&[(
        "p/A.java",
        "package p;
import java.util.List;
import com.other.Thing;
class A extends Thing {
  void f(List<String> list, Thing thing, Object o) {
    list.size();
    thing.go();
    inherited();
    o.hashCode();
    String.valueOf(1);
    nowhere.go();
  }
}
",
    )]);
    let at = |line| tree.unresolved("p/A.java", line, "calls");
    assert_eq!(at(6), ["external java.util.List.size"]);
    assert_eq!(at(7), ["external com.other.Thing.go"]);
    assert_eq!(at(8), ["external com.other.Thing.inherited"]);
    assert_eq!(at(9), ["builtin java.lang.Object.hashCode"]);
    assert_eq!(at(10), ["builtin java.lang.String.valueOf"]);
    assert_eq!(tree.unresolved("p/A.java", 2, "imports"), ["external java.util.List"]);
}

#[test]
fn a_library_s_method_hides_one_around() {
    check(&[(
        "A.java",
        "import lib.View;
class A extends View {
  @Override public int getCount() { return 0; }
  void own() {}
  class Inner extends View {
    void f() {
      getCount(); //->
      own(); //-> A.own
    }
  }
  Runnable r = new Runnable() {
    public void run() {
      getCount(); //-> A.getCount
    }
  };
}
",
    )]);
}

#[test]
fn a_local_of_a_switch_holds_in_all_its_groups() {
    check(&[(
        "A.java",
        "class A {
  void f(int x) {
    switch (x) {
      case 1:
        A a = null;
        break;
      case 2:
        a = this;
        a.f(1); //-> A.f
    }
    a.f(1); //->
  }
}
",
    )]);
}
