//! The constructs of JavaScript and TypeScript, each as its programs use it: what is called where.

use crate::support::{Tree, check};

#[test]
fn esm_imports_reexports_and_barrels() {
    check(&[
        (
            "src/main.ts",
            "import def, { one, two as zwei } from './lib';\nimport * as ns from './lib/index.js';\nimport other from './cls';\nimport './side';\nimport { helper } from 'outside';\nfunction main() {\n  def(); //-> src/lib/def.ts:start\n  one(); //-> src/lib/a.ts:one\n  zwei(); //-> src/lib/a.ts:two\n  ns.one(); //-> src/lib/a.ts:one\n  ns.inner.deep(); //-> src/lib/inner.ts:deep\n  ns.renamed(); //-> src/lib/inner.ts:deep\n  ns.hidden(); //->\n  helper(); //->\n  new other().go(); //-> src/cls.ts:Other, src/cls.ts:Other.go\n  one.missing(); //->\n}\n",
        ),
        (
            "src/lib/index.ts",
            "export { default } from './def';\nexport * from './a';\nexport * as inner from './inner';\nexport { deep as renamed } from './inner';\nimport { hidden } from './a';\n",
        ),
        ("src/lib/def.ts", "export default function start() {}\n"),
        (
            "src/lib/a.ts",
            "export function one() { two(); } //-> two\nexport const two = () => {};\nexport function hiddenToo() {}\nfunction hidden() {}\n",
        ),
        ("src/lib/inner.ts", "function deep() {}\nexport { deep };\n"),
        ("src/cls.ts", "class Other { go() {} }\nexport default Other;\n"),
        ("src/side.ts", "export function helper() {}\n"),
    ]);
}

#[test]
fn private_names_do_not_pass_a_barrel() {
    check(&[
        ("index.ts", "export * from './a';\nexport * from './b';\n"),
        ("a.ts", "function is() {}\nexport function a() { is(); } //-> is\n"),
        ("b.ts", "export function is() {}\n"),
        ("use.ts", "import { is } from '.';\nis(); //-> b.ts:is\n"),
    ]);
}

#[test]
fn common_js() {
    check(&[
        (
            "main.js",
            "const lib = require('./lib');\nconst { a, b: bee } = require('./lib');\nconst c = require('./lib').a;\nconst Thing = require('./thing');\nconst make = require('./make.js');\nlib.a(); //-> lib.js:a\nlib.c(); //-> lib.js:c\nlib.d(); //-> lib.js:inner\na(); //-> lib.js:a\nbee(); //-> lib.js:b\nc(); //-> lib.js:a\nnew Thing().run(); //-> thing.js:Thing, thing.js:Thing.prototype.run\nmake().go(); //-> make.js:make, make.js:make.go\nmake.sub(); //-> make.js:sub\nfunction lazy() {\n  const { a } = require('./lib');\n  a(); //-> lib.js:a\n  require('./lib').b(); //-> lib.js:b\n}\nrequire('fs').readFile('x'); //->\n",
        ),
        (
            "lib.js",
            "exports.a = function () { exports.b(); }; //-> b\nmodule.exports.b = () => {};\nfunction c() {}\nfunction inner() {}\nexports.c = c;\nexports.d = inner;\n",
        ),
        (
            "thing.js",
            "module.exports = Thing;\nfunction Thing() {\n  this.list = [];\n  this.init(); //-> Thing.prototype.init\n}\nThing.prototype.init = function () { this.run(); }; //-> Thing.prototype.run\nThing.prototype.run = function run() {\n  this.list.push(1); //->\n  this.push(); //->\n  var self = this;\n  [1].forEach(function () { self.init(); }); //-> Thing.prototype.init\n};\nfunction push() {}\n",
        ),
        (
            "make.js",
            "exports = module.exports = make;\nfunction make() {\n  return { go() {}, stop: stop };\n}\nexports.sub = function sub() { make().stop(); }; //-> make, stop\nfunction stop() {}\n",
        ),
        (
            "all.js",
            "module.exports = { x() {}, y: function () {}, z, ...require('./lib') };\nfunction z() {}\n",
        ),
        (
            "all_use.js",
            "const all = require('./all');\nall.x(); //-> all.js:x\nall.y(); //-> all.js:y\nall.z(); //-> all.js:z\nall.a(); //-> lib.js:a\n",
        ),
    ]);
}

#[test]
fn prototypes_and_inheritance_by_call() {
    check(&[(
        "a.js",
        "var util = require('util');\nfunction Base() {}\nBase.prototype = {\n  first: function () { this.second(); }, //-> second\n  second() {},\n};\nfunction Sub() { Base.call(this); } //-> Base\nutil.inherits(Sub, Base); //->\nSub.prototype.third = function () {\n  this.first(); //-> first\n  Base.prototype.second.call(this); //-> second\n};\nSub.make = function () { return new Sub(); }; //-> Sub\nSub.make().third(); //-> Sub.make, Sub.prototype.third\nvar app = {};\napp.use = function () { this.handle(); }; //-> app.dispatch\napp.handle = app.dispatch = function () {};\napp.dispatch(); //-> app.dispatch\napp.toString(); //->\nfunction Made() {\n  const inner = new Sub(); //-> Sub\n  Object.defineProperties(this, { inner: { value: inner } }); //->\n  Object.defineProperty(this, 'other', { value: new Base() }); //-> Base\n}\nMade.prototype.go = function () {\n  this.inner.third(); //-> Sub.prototype.third\n  this.other.first(); //-> first\n};\n",
    )]);
}

#[test]
fn classes_fields_statics_accessors_and_super() {
    let source = "class A {\n  #secret = new B();\n  static count = 0;\n  constructor(private b: B, readonly c?: C) { this.late = new B(); } //-> B\n  late;\n  go() {\n    this.b.run(); //-> B.run\n    this.c?.run(); //-> C.run\n    this.#secret.run(); //-> B.run\n    this.late.run(); //-> B.run\n    this.other.run(); //-> B.run\n    this.bound(); //-> A.bound\n    A.make().go(); //-> A.make, A.go\n    A.go(); //->\n    this.make(); //->\n  }\n  get other(): B { return this.b; }\n  bound = () => { this.go(); }; //-> A.go\n  static make() { return new this(null); } //-> A, A.constructor\n  static { A.make(); } //-> A.make\n}\nclass B { run() { return this; } chain() {} }\nclass C extends B {\n  constructor() { super(); } //->\n  run() { super.run(); return this; } //-> B.run\n  more() { this.run().chain(); this.chain(); } //-> C.run, B.chain\n  own() {}\n}\nclass D extends C {\n  constructor() {\n    super(); //-> C.constructor\n    new C().run().own(); //-> C, C.constructor, C.run, C.own\n  }\n}\nclass E extends Outside { go() { this.run(); this.hidden(); } } //->\n";
    check(&[("a.ts", source)]);
    let tree = Tree::new(&[("a.ts", source)]);
    assert_eq!(tree.edges("overrides"), ["a.ts:25 -> a.ts:B.run [member]"]);
}

#[test]
fn interfaces_types_generics_and_enums() {
    let source = "export interface Shape { area(): number; name: string; inner: Other }\ninterface Other { deep(): Shape[] }\ninterface Big extends Shape, Other {}\nclass Square implements Shape { area() { return 1; } name = ''; inner!: Other }\ntype Alias = { hit(): void; list: Array<Square> };\ntype Both = Shape & Alias;\ntype Maybe = Square | null | undefined;\nenum Color { Red = compute(), Blue } //-> compute\nfunction compute() { return 1; }\nfunction f<T extends Shape>(t: T, b: Big, a: Alias, both: Both, m: Maybe, r: Readonly<Partial<Square>>) {\n  t.area(); //-> Shape.area\n  b.deep()[0].area(); //-> Other.deep, Shape.area\n  a.hit(); //-> hit\n  a.list.map((s) => s.area()); //-> Square.area\n  both.hit(); //-> hit\n  m!.area(); //-> Square.area\n  r.area!(); //-> Square.area\n  t.name.toUpperCase(); //->\n  t.inner.deep(); //-> Other.deep\n  Color.Red.toString(); //->\n  const q = t as unknown as Square;\n  q.area(); //-> Square.area\n}\nnamespace N { export function g() { h(); } function h() {} } //-> N.h\nN.g(); //-> N.g\nclass Box<T> { constructor(public value: T) {} get(): T { return this.value; } }\nfunction boxes(b: Box<Square>, all: Map<string, Square>, w: Box<Box<Square>>) {\n  b.get().area(); //-> Box.get, Square.area\n  b.value.area(); //-> Square.area\n  all.get('x')?.area(); //-> Square.area\n  for (const [key, one] of all) one.area(); //-> Square.area\n  all.forEach((one) => one.area()); //-> Square.area\n  w.get().get().area(); //-> Box.get, Square.area\n}\n";
    let source = source.replace("//-> hit", "//-> Alias.hit");
    check(&[("a.ts", &source)]);
    let tree = Tree::new(&[("a.ts", &source)]);
    assert_eq!(tree.edges("implements"), ["a.ts:4 -> a.ts:Shape [scope]"]);
    assert_eq!(
        tree.edges("inherits"),
        ["a.ts:3 -> a.ts:Shape [scope]", "a.ts:3 -> a.ts:Other [scope]"]
    );
}

#[test]
fn functions_closures_and_locals() {
    check(&[(
        "a.ts",
        "class A { m() {} static s() {} }\nconst f = function () { g(); }; //-> g\nconst g = async (): Promise<A> => new A(); //-> A\nfunction h({ a, rest: { b } }: Props, ...more: A[]) {\n  a.m(); //-> A.m\n  b.m(); //-> A.m\n  more[0].m(); //-> A.m\n  for (const one of more) one.m(); //-> A.m\n  inner(); //-> h.inner\n  function inner() { later(); } //-> h.later\n  const later = () => {};\n}\ninterface Props { a: A; rest: { b: A } ; deep: Deep }\ninterface Deep { b: A }\nasync function k(p: Props) {\n  (await g()).m(); //-> g, A.m\n  const x = await g(); //-> g\n  x.m(); //-> A.m\n  g().then((y) => y.m()); //-> g, A.m\n  const { deep: { b: z }, a = new A() } = p; //-> A\n  z.m(); //-> A.m\n  a.m(); //-> A.m\n  let w = x;\n  w.m(); //-> A.m\n  if (p) { const g = () => {}; g(); } //-> k.g\n  const pick = p ? p.a : x;\n  pick.m(); //-> A.m\n  (p.a || x).m(); //-> A.m\n  g.call(null); //-> g\n  const bound = f.bind(null);\n  bound(); //-> f\n  unknown.m(); //->\n  m(); //->\n}\n[1].map((v) => { const local = () => v; return local(); }); //-> local\n[2].map((v) => { const local = (x) => v + x; return local(1); }); //-> local\n"
            .replace("rest: { b: A } ; ", "rest: Deep; ")
            .as_str(),
    )]);
}

#[test]
fn same_local_name_in_two_callbacks() {
    let tree = Tree::new(&[(
        "a.js",
        "it('a', () => {\n  const run = () => 1;\n  run();\n});\nit('b', () => {\n  function run() {}\n  run();\n});\nrun();\n",
    )]);
    assert_eq!(tree.edges("calls").len(), 2);
    let lines: Vec<(u32, u32)> = tree.resolved[0]
        .edges
        .iter()
        .filter(|edge| edge.kind.as_str() == "calls")
        .map(|edge| {
            let number = edge.target.number().expect("a definition");
            (edge.line, tree.files[0].facts.definitions[number as usize].start_line)
        })
        .collect();
    assert_eq!(lines, [(3, 2), (7, 6)]);
}

#[test]
fn objects_and_their_methods() {
    check(&[(
        "a.js",
        "export const api = {\n  get() { return this.load(); }, //-> api.load\n  load: () => helper(), //-> helper\n  helper,\n  nested: { deep() { top(); } }, //-> top\n};\nfunction helper() {}\nfunction top() {}\napi.get(); //-> api.get\napi.helper(); //-> helper\napi.nested.deep(); //-> api.deep\napi.missing(); //->\ndeep(); //->\nload(); //->\nfunction make() {\n  const self = { a() { return self.b(); }, b() {} }; //-> make.b\n  return self;\n}\nmake().b(); //-> make, make.b\nconst { get, nested: { deep: d } } = api;\nget(); //-> api.get\nd(); //-> api.deep\n",
    )]);
}

#[test]
fn jsx_components() {
    check(&[
        (
            "App.tsx",
            "import * as React from 'react';\nimport { View } from 'react-native';\nimport Card, { Row } from './Card';\nimport * as UI from './Card';\nexport default function App({ title }: { title: string }) {\n  return <div className={css()}> //-> css\n    <Card title={title}> //-> Card.tsx:Card\n      <Row /> //-> Card.tsx:Row\n      <UI.Row>x</UI.Row> //-> Card.tsx:Row\n      <View /> //->\n      <Local onPress={() => press()} /> //-> Local, press\n      <Context.Provider value={1} /> //->\n    </Card>\n  </div>;\n}\nconst Local = React.memo(() => null);\nconst Context = React.createContext(0);\nfunction css() {}\nfunction press() {}\n",
        ),
        (
            "Card.tsx",
            "import * as React from 'react';\nexport default class Card extends React.Component<{}> {\n  render() { return this.body(); } //-> Card.body\n  body = () => <Row />; //-> Row\n}\nexport const Row = () => null;\n",
        ),
    ]);
}

#[test]
fn wrapped_components_are_the_components() {
    check(&[
        (
            "use.tsx",
            r"import Anonymous from './anonymous';
import Named from './named';
import Nested from './nested';
import Connected from './connected';
import Plain from './plain';
import Cast from './cast';
import { Both, Observed, Linked, Routed } from './constants';
export const use = () => <div>
  <Anonymous /> //-> anonymous.tsx:default
  <Named /> //-> named.tsx:Name
  <Nested /> //-> nested.tsx:Inner
  <Connected /> //-> connected.jsx:Panel
  <Plain /> //-> plain.tsx:Plain
  <Cast /> //-> cast.tsx:Cast
  <Both /> //-> constants.tsx:Both
  <Observed /> //-> constants.tsx:Observed
  <Linked /> //-> constants.tsx:Linked
  <Routed /> //-> constants.tsx:Page
</div>;
",
        ),
        (
            "anonymous.tsx",
            "import { memo } from 'react';\nexport default memo(({ a }) => <p>{help(a)}</p>); //-> help\nfunction help(a) {}\n",
        ),
        (
            "named.tsx",
            "import React from 'react';\nexport default React.memo(function Name({ a }) {\n  return help(a); //-> help\n}, (a, b) => same(a, b)); //-> same\nfunction help(a) {}\nfunction same(a, b) {}\n",
        ),
        (
            "nested.tsx",
            "import { forwardRef, memo } from 'react';\nexport default memo(forwardRef(function Inner({ a }, ref) {\n  return help(a); //-> help\n}));\nfunction help(a) {}\n",
        ),
        (
            "connected.jsx",
            "import { connect } from 'react-redux';\nfunction Panel() {}\nconst state = s => pick(s); //-> pick\nfunction pick(s) {}\nexport default connect(state)(Panel);\n",
        ),
        (
            "plain.tsx",
            "import { memo } from 'react';\nfunction Plain() {}\nexport default memo(Plain);\n",
        ),
        (
            "cast.tsx",
            "import { forwardRef } from 'react';\nfunction Cast(props: { a: number }, ref: any) {}\nexport default forwardRef(Cast) as <T>(props: T) => JSX.Element;\n",
        ),
        (
            "constants.tsx",
            "import { memo, forwardRef } from 'react';\nexport const Both = memo(forwardRef((props, ref) => help(props))); //-> help\nexport const Observed = observer(() => help(1)); //-> help\nexport const Linked = connect(s => s)(({ a }) => help(a)); //-> help\nclass Page {}\nexport const Routed = withRouter(Page);\nfunction help(a) {}\n",
        ),
    ]);
}

#[test]
fn modules_of_both_languages_and_dynamic_imports() {
    check(&[
        (
            "a.ts",
            "import { js } from './b.js';\nimport legacy = require('./c');\nasync function f() {\n  js(); //-> b.js:js\n  legacy.old(); //-> c.js:old\n  const { js: again } = await import('./b');\n  again(); //-> b.js:js\n  (await import('./b')).js(); //-> b.js:js\n}\n@decorate() //-> decorate\nclass D { @log field = make(); } //-> make\nfunction decorate() { return (x: any) => x; }\nfunction log() {}\nfunction make() {}\n",
        ),
        ("b.js", "export function js() {}\n"),
        ("c.js", "exports.old = function old() {};\n"),
        ("c.d.ts", "export function old(): void;\n"),
    ]);
}

#[test]
fn methods_of_the_language_stay_outside() {
    let tree = Tree::new(&[(
        "a.ts",
        "export class Mine { get() {} map() {} then() {} push() {} forEach() {} toString() {} call() {} }\nexport function get() {}\nfunction f(a: number[], m: Map<string, Mine>, p: Promise<Mine>, s: string, x: any, y) {\n  a.map(String); a.push(1); a.forEach(console.log);\n  m.get('x'); m.forEach(() => {});\n  p.then(() => {});\n  s.toString(); [].map(f); ({}).toString();\n  x.get(); y.push(); y.map(); window.get();\n  JSON.parse(s); new Map().get(1); Object.keys(a).map(x);\n}\n",
    )]);
    assert_eq!(tree.edges("calls"), Vec::<String>::new());
    assert_eq!(
        tree.unresolved("a.ts", 8, "calls"),
        ["dynamic", "dynamic", "dynamic", "builtin window.get"]
    );
}

#[test]
fn reasons_and_edges_of_imports() {
    let tree = Tree::new(&[
        (
            "a.ts",
            "import React from 'react';\nimport { readFile } from 'node:fs';\nimport { gone } from './gone';\nimport './style.css';\nimport { here } from './b';\nReact.useState();\nreadFile();\ngone();\nhere();\n",
        ),
        ("b.ts", "export const here = () => {};\n"),
    ]);
    assert_eq!(tree.edges("imports"), ["a.ts:5 -> b.ts:here [import]"]);
    assert_eq!(tree.unresolved("a.ts", 6, "calls"), ["external react.useState"]);
    assert_eq!(tree.unresolved("a.ts", 7, "calls"), ["builtin node:fs.readFile"]);
    assert_eq!(tree.unresolved("a.ts", 3, "imports"), ["unresolved"]);
    assert_eq!(tree.unresolved("a.ts", 4, "imports"), ["external ./style.css"]);
    assert_eq!(tree.edges("calls"), ["a.ts:9 -> b.ts:here [import]"]);
}

#[test]
fn aliases_of_configurations_and_names_of_packages() {
    check(&[
        (
            "packages/app/src/main.ts",
            "import { a } from '@/util/a';\nimport { b } from 'lib/b';\nimport { core } from '@org/core';\nimport { deep } from '@org/core/deep';\nimport { x } from '@org/core/made/x';\nimport { inner } from '#inner';\nimport { none } from '@org/none';\na(); //-> packages/app/src/util/a.ts:a\nb(); //-> packages/app/lib/b.ts:b\ncore(); //-> packages/core/src/index.ts:core\ndeep(); //-> packages/core/src/deep.ts:deep\nx(); //-> packages/core/src/x.ts:x\ninner(); //-> packages/app/src/inner.ts:inner\nnone(); //->\n",
        ),
        ("packages/app/src/util/a.ts", "export function a() {}\n"),
        ("packages/app/src/inner.ts", "export function inner() {}\n"),
        ("packages/app/lib/b.ts", "export function b() {}\n"),
        (
            "packages/app/tsconfig.json",
            "{ // comments are allowed\n  \"extends\": \"../../tsconfig.base\",\n  \"compilerOptions\": { \"baseUrl\": \".\", \"paths\": { \"@/*\": [\"src/*\"], }, },\n}\n",
        ),
        ("tsconfig.base.json", "{}\n"),
        (
            "packages/app/package.json",
            "{ \"name\": \"@org/app\", \"imports\": { \"#inner\": \"./src/inner.ts\" } }\n",
        ),
        (
            "packages/core/package.json",
            "{ \"name\": \"@org/core\", \"main\": \"./dist/index.js\", \"exports\": { \".\": { \"import\": \"./dist/esm/index.js\" }, \"./made/*\": \"./dist/*.js\" } }\n",
        ),
        ("packages/core/src/index.ts", "export function core() {}\n"),
        (
            "packages/core/src/deep.ts",
            "import { core } from '@org/core';\nexport function deep() { core(); } //-> packages/core/src/index.ts:core\n",
        ),
        ("packages/core/src/x.ts", "export const x = () => {};\n"),
    ]);
}

#[test]
fn jsdoc_types_stand_beside_what_the_code_shows() {
    check(&[
        (
            "main.js",
            "import { Item, Box } from './item.js';\n\n/**\n * Uses one.\n * @param {Item} one what\n * @param {?Box|string} [two] perhaps\n * @param {Missing} three is nothing known\n * @returns {Box} a box\n */\nfunction use(one, two, three = new Item()) {\n  one.go(); //-> item.js:Item.go\n  two.open(); //-> item.js:Box.open\n  three.go(); //-> item.js:Item.go\n  return outside(one);\n}\nuse().open(); //-> use, item.js:Box.open\n\n/** @return {Promise<Item>} */\nasync function later() { return load(); }\nasync function wait() {\n  (await later()).go(); //-> later, item.js:Item.go\n}\n\nclass Holder {\n  /** @type {Item[]} */\n  all = load();\n  constructor(box) {\n    /** @type {Box} */\n    this.box = box;\n  }\n  run() {\n    this.all[0].go(); //-> item.js:Item.go\n    this.box.open(); //-> item.js:Box.open\n  }\n}\n\n/** @type {Box} */\nexport const shared = load();\nshared.open(); //-> item.js:Box.open\n\n/** Says `@param {Item} x`, which is no tag. */\nfunction plain(x) {\n  x.go(); //->\n}\n",
        ),
        ("item.js", "export class Item { go() {} }\nexport class Box { open() {} }\n"),
        (
            "told.js",
            "/**\n * @typedef { import(\"./item.js\").Item } Item\n */\n/** @import { Box as Case } from './item.js' */\nclass Help {\n  /**\n   * @param {Item} one\n   * @param {Case[]} cases\n   */\n  show(one, cases) {\n    one.go(); //-> item.js:Item.go\n    cases[0].open(); //-> item.js:Box.open\n  }\n}\n",
        ),
        // Types that are checked are the annotations.
        (
            "typed.ts",
            "import { Item } from './item.js';\n/** @param {Item} x */\nfunction use(x) {\n  x.go(); //->\n}\n",
        ),
    ]);
}
