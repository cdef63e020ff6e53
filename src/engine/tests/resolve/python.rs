//! Python's constructs, each as its programs use it: what is called where.

use crate::support::{Tree, check};

#[test]
fn imports_absolute_relative_aliased() {
    check(&[
        ("pkg/__init__.py", "from .core import run as start, Engine\nfrom . import util\n"),
        (
            "pkg/core.py",
            "from .util import helper\ndef run():\n    return helper() #-> pkg/util.py:helper\nclass Engine:\n    def go(self):\n        pass\n",
        ),
        ("pkg/util.py", "def helper():\n    pass\ndef other():\n    pass\n"),
        ("pkg/sub/__init__.py", ""),
        (
            "pkg/sub/deep.py",
            "from ..util import other as o\nfrom .. import util\nfrom ... import nothing\nimport pkg.core\nimport pkg.util as u\ndef f():\n    o() #-> pkg/util.py:other\n    util.helper() #-> pkg/util.py:helper\n    pkg.core.run() #-> pkg/core.py:run\n    u.other() #-> pkg/util.py:other\n    nothing() #->\n",
        ),
        (
            "main.py",
            "import pkg\nfrom pkg import start, Engine\nstart() #-> pkg/core.py:run\npkg.start() #-> pkg/core.py:run\npkg.util.other() #-> pkg/util.py:other\nEngine().go() #-> pkg/core.py:Engine, pkg/core.py:Engine.go\n",
        ),
    ]);
}

#[test]
fn star_imports_keep_to_all() {
    check(&[
        ("a.py", "__all__ = ['one']\ndef one(): pass\ndef two(): pass\n"),
        ("b.py", "def three(): pass\ndef _four(): pass\n"),
        (
            "c.py",
            "from a import *\nfrom b import *\none() #-> a.py:one\ntwo() #->\nthree() #-> b.py:three\n_four() #->\n",
        ),
    ]);
}

#[test]
fn methods_by_self_bases_and_super() {
    check(&[
        (
            "base.py",
            "class Base:\n    def hook(self): pass\n    def __init__(self): pass\nclass Other:\n    def hook(self): pass\n    def only(self): pass\n",
        ),
        (
            "a.py",
            "from base import Base, Other\nclass Mid(Base):\n    pass\nclass A(Mid, Other):\n    def __init__(self):\n        super().__init__() #-> base.py:Base.__init__\n    def hook(self):\n        super().hook() #-> base.py:Base.hook\n        self.only() #-> base.py:Other.only\n        self.own() #-> A.own\n        self.missing() #->\n    @classmethod\n    def own(cls):\n        cls.make() #-> A.make\n        return cls() #-> A, A.__init__\n    @staticmethod\n    def make():\n        A.own().hook() #-> A.own, A.hook\n",
        ),
    ]);
}

#[test]
fn overridden_by_name_along_the_bases() {
    let tree = Tree::new(&[(
        "a.py",
        "class A:\n    def f(self): pass\nclass B(A):\n    pass\nclass C(B):\n    def f(self): pass\n    def g(self): pass\n",
    )]);
    assert_eq!(tree.edges("overrides"), ["a.py:6 -> a.py:A.f [member]"]);
    assert_eq!(tree.edges("inherits"), ["a.py:3 -> a.py:A [scope]", "a.py:5 -> a.py:B [scope]"]);
}

#[test]
fn receivers_by_constructor_annotation_field_and_return() {
    check(&[
        (
            "m.py",
            "from __future__ import annotations\nfrom typing import Optional\nclass Part:\n    def turn(self) -> Part:\n        return self\nclass Whole:\n    count: int\n    spare: 'Part'\n    def __init__(self, part: Part, parts: list[Part]):\n        self.part = part\n        self.made = Part() #-> Part\n        self.parts = parts\n        self.maybe: Optional[Part] = None\n    def get(self):\n        return self.made\n",
        ),
        (
            "n.py",
            "from m import Part, Whole\ndef f(w: Whole, p: 'Part | None' = None):\n    w.part.turn() #-> m.py:Part.turn\n    w.made.turn().turn() #-> m.py:Part.turn, m.py:Part.turn\n    w.spare.turn() #-> m.py:Part.turn\n    w.maybe.turn() #-> m.py:Part.turn\n    w.get().turn() #-> m.py:Part.turn, m.py:Whole.get\n    p.turn() #-> m.py:Part.turn\n    x = Part() #-> m.py:Part\n    x.turn() #-> m.py:Part.turn\n    for q in w.parts:\n        q.turn() #-> m.py:Part.turn\n    [r.turn() for r in w.parts] #-> m.py:Part.turn\n    w.parts[0].turn() #-> m.py:Part.turn\n    w.parts.append(x) #->\n    with open('x') as h:\n        h.turn() #->\n",
        ),
    ]);
}

#[test]
fn functions_as_values_nested_and_decorated() {
    check(&[(
        "a.py",
        "import functools\ndef deco(f):\n    @functools.wraps(f)\n    def inner():\n        return f() #->\n    return inner\n@deco\ndef shown(): pass\nalias = shown\ndef outer():\n    def nested():\n        nested() #-> outer.<locals>.nested\n    nested() #-> outer.<locals>.nested\n    local = shown\n    local() #-> shown\n    alias() #-> shown\n    pick = lambda: shown() #-> shown\n    later = 1\n",
    )]);
}

#[test]
fn names_from_outside_stay_outside() {
    let tree = Tree::new(&[
        ("a.py", "def join(): pass\ndef get(): pass\nclass Path:\n    def open(self): pass\n"),
        (
            "b.py",
            "from os.path import join\nimport requests\nfrom pathlib import Path\njoin()\nrequests.get()\nPath('x').open()\nprint()\n{}.get(1)\nunknown()\n",
        ),
    ]);
    assert!(tree.edges("calls").is_empty());
    let at = |line| tree.unresolved("b.py", line, "calls");
    assert_eq!(at(4), ["external os.path.join"]);
    assert_eq!(at(5), ["external requests.get"]);
    assert_eq!(at(7), ["builtin builtins.print"]);
    assert_eq!(at(8), ["builtin builtins.dict.get"]);
    assert_eq!(at(9), ["unresolved"]);
}

#[test]
fn a_parameter_hides_a_function() {
    check(&[(
        "a.py",
        "def f(): pass\ndef g(f):\n    f() #->\n    class C:\n        def f(self): pass\n        def h(self):\n            f() #->\n",
    )]);
}

#[test]
fn properties_and_generics() {
    check(&[(
        "a.py",
        "import typing as t\nT = t.TypeVar('T')\nclass Box(t.Generic[T]):\n    @property\n    def item(self) -> 'Item':\n        return Item() #-> Item\nclass Item:\n    def use(self): pass\n    def __call__(self): pass\n    def __enter__(self) -> 'Item':\n        return self\nb = Box()\nb.item.use() #-> Item.use\ni = Item() #-> Item\ni() #-> Item.__call__\nwith Item() as j: #-> Item\n    j.use() #-> Item.use\n",
    )]);
}

#[test]
fn the_class_of_a_value() {
    check(&[(
        "a.py",
        "class A:
    def copy(self):
        b = self.__class__() #-> A
        b.fill() #-> A.fill
        c = type(self)() #-> A
        c.fill() #-> A.fill
        type(self).make() #-> A.make
    def fill(self):
        pass
    @classmethod
    def make(cls):
        pass
def f(x):
    type(x).make() #->
",
    )]);
}
