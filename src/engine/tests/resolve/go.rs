//! Go's constructs, each as its programs use it: what is called where, and what is not.

use crate::support::{Tree, check, input, parse};
use onyx_engine::resolve::Workspace;

const MODULE: (&str, &str) = ("m/go.mod", "module example.com/m\n\ngo 1.21\n");

#[test]
fn packages_across_files_imports_aliases_and_tests() {
    check(&[
        MODULE,
        (
            "m/main.go",
            r#"package main

import (
	"fmt"
	yaml "example.com/m/conf"
	. "example.com/m/dots"
	_ "example.com/m/side"
	"example.com/m/go-odd"
	"example.com/m/deep/v2"
	"example.com/other"
	"text/template"
)

func main() {
	helper()           //-> m/help.go:helper
	yaml.Load()        //-> m/conf/a.go:Load
	yaml.more()        //->
	Dotted()           //-> m/dots/d.go:Dotted
	odd.Name()         //-> m/go-odd/o.go:Name
	deep.Dive()        //-> m/deep/v2/d.go:Dive
	fmt.Println(1)     //->
	other.Load()       //->
	template.New("x")  //->
	side()             //->
	missing()          //->
	var conf = 1
	conf.Load()        //->
}
"#,
        ),
        (
            "m/help.go",
            "package main\n\nfunc helper() { main() } //-> m/main.go:main\nfunc New() {}\n",
        ),
        ("m/gen.go", "package gen\n\nfunc helper() {}\n"),
        ("m/conf/a.go", "package conf\n\nfunc Load() { more() } //-> m/conf/b.go:more\n"),
        ("m/conf/b.go", "package conf\n\nfunc more() {}\n"),
        ("m/conf/tool.go", "package main\n\nfunc Load() {}\n"),
        (
            "m/conf/a_test.go",
            "package conf\n\nfunc TestX() {\n\tmore() //-> m/conf/b.go:more\n}\nfunc Exported() {}\n",
        ),
        (
            "m/conf/x_test.go",
            "package conf_test\n\nimport \"example.com/m/conf\"\n\nfunc TestY() {\n\tconf.Load()     //-> m/conf/a.go:Load\n\tconf.Exported() //-> m/conf/a_test.go:Exported\n\tmore()          //->\n\tlocal()         //-> local\n}\nfunc local() {}\n",
        ),
        ("m/dots/d.go", "package dots\n\nfunc Dotted() {}\n"),
        ("m/side/s.go", "package side\n\nfunc side() {}\n"),
        ("m/go-odd/o.go", "package odd\n\nfunc Name() {}\n"),
        ("m/deep/v2/d.go", "package deep\n\nfunc Dive() {}\n"),
        // Another module with a package of the same name.
        ("n/go.mod", "module example.com/n\n"),
        ("n/conf/a.go", "package conf\n\nfunc Load() {}\n"),
        (
            "n/main.go",
            "package main\n\nimport \"example.com/n/conf\"\n\nfunc f() { conf.Load() } //-> n/conf/a.go:Load\n",
        ),
    ]);
}

#[test]
fn a_nested_module_and_a_tree_before_modules() {
    check(&[
        MODULE,
        ("m/sub/go.mod", "module example.com/m/sub\n"),
        ("m/sub/p/p.go", "package p\n\nfunc F() {}\n"),
        (
            "m/a.go",
            "package a\n\nimport \"example.com/m/sub/p\"\n\nfunc f() { p.F() } //-> m/sub/p/p.go:F\n",
        ),
        ("g/src/host.org/lib/l.go", "package lib\n\nfunc L() {}\n"),
        (
            "g/src/host.org/use/u.go",
            "package use\n\nimport \"host.org/lib\"\n\nfunc f() { lib.L() } //-> g/src/host.org/lib/l.go:L\n",
        ),
    ]);
}

#[test]
fn receivers_fields_and_embedded_types() {
    check(&[
        MODULE,
        (
            "m/a.go",
            r#"package a

import (
	"sync"
	"example.com/m/base"
)

type Leaf struct{ n int }

func (l Leaf) Val() int   { return l.n }
func (l *Leaf) Ptr() *Leaf { return l }
func Val() int             { return 0 }

type Mid struct {
	*Leaf
	base.Base
	mu sync.Mutex
}

type Top struct {
	Mid
	name  string
	mid   *Mid
	many  []Mid
	byKey map[string]*Leaf
	fn    func() int
}

func (t *Top) Name() string { return t.name }

func (t *Top) run() {
	t.Name()            //-> (*Top).Name
	t.Val()             //-> Leaf.Val
	t.Ptr().Ptr()       //-> (*Leaf).Ptr
	t.Leaf.Val()        //-> Leaf.Val
	t.mid.Leaf.Val()    //-> Leaf.Val
	t.Hello()           //-> m/base/b.go:(*Base).Hello
	t.mid.Hello()       //-> m/base/b.go:(*Base).Hello
	t.many[0].Val()     //-> Leaf.Val
	t.byKey["x"].Val()  //-> Leaf.Val
	t.mu.Lock()         //->
	t.fn()              //->
	t.Nothing()         //->
	Val()               //-> Val
	Name()              //->
	f := t.Name
	f()                 //-> (*Top).Name
	(*Top).Name(t)      //-> (*Top).Name
	func() {
		t.Name()        //-> (*Top).Name
	}()
}

type Both struct {
	Left
	Right
}
type Left struct{}
type Right struct{}

func (Left) Same()  {}
func (Right) Same() {}
func (Left) Only()  {}

func both(b Both) {
	b.Same() //->
	b.Only() //-> Left.Only
	b.Right.Same() //-> Right.Same
}
"#,
        ),
        ("m/base/b.go", "package base\n\ntype Base struct{}\n\nfunc (b *Base) Hello() {}\n"),
    ]);
}

#[test]
fn typed_locals() {
    check(&[(
        "a.go",
        r#"package a

import "os"

type T struct{ next *T; kids []*T }
type E struct{}

func NewT() *T                 { return &T{} } //-> T
func pair() (*T, error)        { return nil, nil }
func named() (t T, e *E)       { t.M(); e.Fail(); return } //-> (*T).M, E.Fail
func (t *T) M() *T             { return t }
func (e E) Fail()              {}
func (t *T) Close()            {}
func M()                       {}

func f(p *T, rest ...T) {
	a := NewT()                     //-> NewT
	a.M().M().next.M()              //-> (*T).M
	b := T{}                        //-> T
	b.M()                           //-> (*T).M
	c := &T{next: NewT()}           //-> T, NewT
	c.next.M()                      //-> (*T).M
	d, err := pair()                //-> pair
	d.M()                           //-> (*T).M
	err.Error()                     //->
	var e T
	e.M()                           //-> (*T).M
	var g, h = NewT(), E{}          //-> NewT, E
	g.M()                           //-> (*T).M
	h.Fail()                        //-> E.Fail
	h.M()                           //->
	for _, k := range p.kids {
		k.M()                       //-> (*T).M
	}
	for i := range p.kids {
		p.kids[i].M()               //-> (*T).M
		i.M()                       //->
	}
	m := map[T]*E{}                 //->
	for k, v := range m {
		k.M()                       //-> (*T).M
		v.Fail()                    //-> E.Fail
	}
	rest[0].M()                     //-> (*T).M
	n := new(T)
	n.M()                           //-> (*T).M
	s := make([]T, 3)
	s = append(s, b)
	s[1:2][0].M()                   //-> (*T).M
	ch := make(chan *T)
	(<-ch).M()                      //-> (*T).M
	for x := range ch {
		x.M()                       //-> (*T).M
	}
	select {
	case y, ok := <-ch:
		y.M()                       //-> (*T).M
		ok.M()                      //->
	}
	if v, ok := m[b]; ok {
		v.Fail()                    //-> E.Fail
	} else if w := NewT(); w != nil { //-> NewT
		w.M()                       //-> (*T).M
	}
	file, _ := os.Open("x")         //->
	file.Close()                    //->
	tests := []struct {
		t    *T
		want int
	}{{t: NewT()}}                  //-> NewT
	for _, tt := range tests {
		tt.t.M()                    //-> (*T).M
		tt.want.M()                 //->
	}
	{
		a := E{}                    //-> E
		a.Fail()                    //-> E.Fail
		a.M()                       //->
	}
	a.M()                           //-> (*T).M
	(*p).M()                        //-> (*T).M
	q := *p
	(&q).M()                        //-> (*T).M
}
"#,
    )]);
}

#[test]
fn assertions_switches_closures_and_shadows() {
    check(&[(
        "a.go",
        r#"package a

type A struct{}
type B struct{}

func (A) X()  {}
func (*B) X() {}
func run(f func(A)) {}
func free()   {}
func get() A  { return A{} } //-> A

func f(v interface{}) {
	v.(A).X()                 //-> A.X
	if b, ok := v.(*B); ok {
		b.X()                 //-> (*B).X
	}
	switch t := v.(type) {
	case A:
		t.X()                 //-> A.X
	case *B:
		t.X()                 //-> (*B).X
	case nil, string:
		t.X()                 //->
	default:
		t.X()                 //->
	}
	run(func(a A) {           //-> run
		a.X()                 //-> A.X
	})
	local := func(b *B) A {
		b.X()                 //-> (*B).X
		return get()          //-> get
	}
	local(nil).X()            //-> f.local, A.X
	func() A { return A{} }().X() //-> A, A.X
	free()                    //-> free
	go free()                 //-> free
	defer free()              //-> free
	func(free func()) {
		free()                //->
	}(nil)
	{
		free := 1
		free()                //->
	}
	free()                    //-> free
	h := get
	h().X()                   //-> get, A.X
	len := func() {}
	len()                     //-> f.len
}
"#,
    )]);
}

#[test]
fn interfaces_generics_and_defined_types() {
    check(&[(
        "a.go",
        r#"package a

type Reader interface{ Read() int }
type ReadCloser interface {
	Reader
	Close()
}
type file struct{}

func (f *file) Read() int { return 0 }
func (f *file) Close()    {}

func use(r ReadCloser) {
	r.Read()          //-> Reader.Read
	r.Close()         //-> ReadCloser.Close
}

type List[T any] struct{ head *node[T]; items []T }
type node[T any] struct{ val T; next *node[T] }

func NewList[T any]() *List[T]          { return &List[T]{} } //-> List
func (l *List[T]) First() T             { return l.items[0] }
func (l *List[U]) Node() *node[U]       { return l.head }
func Map[A, B any](a A, f func(A) B) B  { return f(a) } //->
func call[R Reader](r R)                { r.Read() } //-> Reader.Read

func g(l *List[*file]) {
	l.First().Close()       //-> (*List).First, (*file).Close
	l.head.val.Close()      //-> (*file).Close
	l.Node().val.Close()    //-> (*List).Node, (*file).Close
	l.items[0].Read()       //-> (*file).Read
	NewList[int]()          //-> NewList
	call[*file](nil)        //-> call
}

type Names []string
type Files []*file
type Handler func(int)
type Count int
type Copy file
type Same = file

func (n Names) Len() int     { return len(n) } //->
func (h Handler) Serve()     { h(1) } //->
func (c Count) String() string { return "" }

const (
	One Count = iota
	Two
)

func h(fs Files, c *Copy, s *Same) {
	Names{}.Len()            //-> Names, Names.Len
	Names(nil).Len()         //-> Names, Names.Len
	fs[0].Close()            //-> (*file).Close
	for _, f := range fs {
		f.Close()            //-> (*file).Close
	}
	Handler(func(int) {}).Serve() //-> Handler, Handler.Serve
	One.String()             //-> Count.String
	Two.String()             //-> Count.String
	c.Close()                //->
	s.Close()                //-> (*file).Close
}
"#,
    )]);
}

#[test]
fn package_values_initialisers_and_init() {
    check(&[
        MODULE,
        (
            "m/a.go",
            r#"package a

import "time"

type S struct{}

func (s *S) Do() {}
func make1() *S  { return nil }

var std = make1()             //-> make1
var now = time.Now
var hook = make1
var inline = func(s *S) {
	s.Do()                    //-> (*S).Do
}
var table = map[string]func(){"a": helper}
var x, y = both()             //-> both

func both() (*S, int) { return nil, 0 }
func helper()         {}
func init()           { helper() } //-> helper
func init()           { std.Do() } //-> (*S).Do

func f() {
	std.Do()                  //-> (*S).Do
	now()                     //->
	hook().Do()               //-> make1, (*S).Do
	inline(nil)               //-> inline
	table["a"]()              //->
	x.Do()                    //-> (*S).Do
	y.Do()                    //->
}
"#,
        ),
        (
            "m/b/b.go",
            "package b\n\nimport \"example.com/m\"\n\nfunc f() { a.Std.Do(); a.New() } //->\n",
        ),
    ]);
}

#[test]
fn method_sets_implement_interfaces() {
    let tree = Tree::new(&[
        MODULE,
        (
            "m/a/a.go",
            r#"package a

type Shape interface {
	Area(scale int) float64
	private()
}
type Named interface{ Name() string }
type Both interface {
	Named
	Size() int
}
type Empty interface{}
type Num interface{ ~int | ~string }
"#,
        ),
        (
            "m/b/b.go",
            r#"package b

import "example.com/m/a"

type One struct{}
func (o *One) Name() string { return "" }
type Wide struct{ One }
func (w Wide) Size() int { return 0 }
type Wrong struct{}
func (w Wrong) Name() int { return 0 }
type More struct{}
func (m More) Name(x int) string { return "" }
type Circle struct{}
func (c Circle) Area(s int) float64 { return 0 }
func (c Circle) private() {}
type Held struct{ a.Named }
type local interface{ Size() int }
"#,
        ),
        (
            "m/c/c.go",
            "package main\n\ntype sizer interface{ Size() int }\ntype Sizer interface{ Size() int }\n",
        ),
    ]);
    let mut found = tree.edges("implements");
    found.sort();
    let expected = [
        "m/b/b.go:16 -> m/a/a.go:Named [member]",
        "m/b/b.go:5 -> m/a/a.go:Named [member]",
        "m/b/b.go:7 -> m/a/a.go:Both [member]",
        "m/b/b.go:7 -> m/a/a.go:Named [member]",
        "m/b/b.go:7 -> m/b/b.go:local [member]",
    ];
    assert_eq!(found, expected);
    assert_eq!(tree.edges("overrides"), [""; 0]);
    let inherits = ["m/a/a.go:9 -> m/a/a.go:Named [scope]", "m/b/b.go:7 -> m/b/b.go:One [scope]"];
    assert_eq!(tree.edges("inherits"), inherits);
}

#[test]
fn what_is_outside_says_so() {
    let tree = Tree::new(&[
        MODULE,
        (
            "m/b.go",
            "package a\n\nimport . \"check.io/v1\"\n\nfunc g(c *C) {\n\tc.Assert(IsNil)\n\tOutside()\n\there()\n}\n",
        ),
        (
            "m/a.go",
            r#"package a

import (
	"net/http"
	"github.com/x/go-lib"
)

type S struct{ http.Client }

func (s *S) Get() {}
func f(s *S, r *http.Request) {
	http.Get("x")
	lib.Do()
	r.Context().Done()
	len("x")
	s.Do(nil)
	s.Get()
	resp, err := http.Get("x")
	resp.Body.Close()
	err.Error()
}
"#,
        ),
    ]);
    let at = |line| tree.unresolved("m/a.go", line, "calls");
    assert_eq!(at(12), ["external net/http.Get"]);
    assert_eq!(at(13), ["external github.com/x/go-lib.Do"]);
    assert_eq!(
        at(14),
        ["external net/http.Request.Context", "external net/http.Request.Context().Done"]
    );
    assert_eq!(at(15), ["builtin len"]);
    assert_eq!(at(16), ["external net/http.Client.Do"]);
    assert_eq!(tree.edges("calls"), ["m/a.go:17 -> m/a.go:(*S).Get [receiver]"]);
    let dotted = |line| tree.unresolved("m/b.go", line, "calls");
    assert_eq!(dotted(6), ["external check.io/v1.C.Assert"]);
    assert_eq!(dotted(7), ["external check.io/v1.Outside"]);
    assert_eq!(dotted(8), ["unresolved"]);
    assert_eq!(at(19), ["external net/http.Get().Body.Close"]);
    assert_eq!(at(20), ["external net/http.Get().Error"]);
}

#[test]
fn references_to_fields_constants_and_functions() {
    let tree = Tree::new(&[
        MODULE,
        ("m/p/p.go", "package p\n\nconst Max = 1\n\ntype Opt struct{ Size int }\n\nfunc Fn() {}\n"),
        (
            "m/a.go",
            "package a\n\nimport \"example.com/m/p\"\n\nfunc f(o p.Opt) {\n\t_ = o.Size\n\t_ = p.Opt{Size: p.Max}\n\t_ = []p.Opt{{Size: 1}}\n\tg(p.Fn)\n}\n\nfunc g(h func()) {}\n",
        ),
    ]);
    let at = |line| tree.targets("m/a.go", line, "references");
    assert_eq!(at(5), ["m/p/p.go:Opt"]);
    assert_eq!(at(6), ["m/p/p.go:Opt.Size"]);
    assert_eq!(at(7), ["m/p/p.go:Max", "m/p/p.go:Opt.Size"]);
    assert_eq!(at(8), ["m/p/p.go:Opt", "m/p/p.go:Opt.Size"]);
    assert_eq!(at(9), ["m/p/p.go:Fn"]);
    assert_eq!(tree.edges("imports"), ["m/a.go:3 -> m/p/p.go [import]"]);
}

#[test]
fn builds_for_several_systems() {
    check(&[
        (
            "a.go",
            "package a\n\nfunc f() { open() } //-> open_linux.go:open, open_windows.go:open\n",
        ),
        (
            "open_linux.go",
            "package a\n\nfunc open() { flush() } //-> open_linux.go:flush\nfunc flush() {}\n",
        ),
        (
            "open_windows.go",
            "package a\n\nfunc open() { flush() } //-> open_windows.go:flush\nfunc flush() {}\n",
        ),
        ("use_linux.go", "package a\n\nfunc g() { open() } //-> open_linux.go:open\n"),
    ]);
}

#[test]
fn a_change_elsewhere_concerns_who_asked() {
    let user = (
        "m/a.go",
        "package a\n\nimport \"example.com/m/p\"\n\ntype T struct{}\n\nfunc (t T) Do() {}\nfunc f() { p.F() }\n",
    );
    let tree = Tree::new(&[
        MODULE,
        user,
        ("m/p/p.go", "package p\n\nfunc F() {}\n\ntype I interface{ Do() }\n"),
        ("m/q/q.go", "package q\n\nfunc F() {}\n"),
    ]);
    let dependencies = &tree.resolved[1].dependencies;
    let concerned = |path: &str, before: &str, after: &str| {
        let before = [input(9, &parse(path, before))];
        let after = [input(9, &parse(path, after))];
        let changed = Workspace::changed_keys(&before, &after).unwrap();
        changed.iter().any(|key| dependencies.binary_search(key).is_ok())
    };
    let whole = "package p\n\nfunc F() {}\n\ntype I interface{ Do() }\n";
    // The manifest's module, the package's name, the function, the interface's methods.
    assert!(concerned("m/go.mod", MODULE.1, "module example.com/n\n"));
    assert!(!concerned("m/go.mod", MODULE.1, "// Comment.\nmodule example.com/m\n"));
    assert!(concerned("m/p/p.go", whole, &whole.replace("package p", "package r")));
    assert!(concerned("m/p/p.go", whole, &whole.replace("func F()", "func G()")));
    assert!(concerned("m/p/p.go", whole, &whole.replace("Do()", "Do(); Go()")));
    assert!(!concerned("m/p/p.go", whole, &format!("// Moves.\n{whole}")));
    // Another package is none of its business.
    let other = "package q\n\nfunc F() {}\n";
    assert!(!concerned("m/q/q.go", other, &other.replace("func F()", "func G()")));
}
