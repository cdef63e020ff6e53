; What JavaScript and TypeScript share. Where patterns match the same name, the first one counts.

(class_declaration name: (_) @name) @definition.class
(function_declaration name: (identifier) @name) @definition.function
(generator_function_declaration name: (identifier) @name) @definition.function
(method_definition name: (_) @name) @definition.method

; const f = () => ..., var f = function () ...
(lexical_declaration
  (variable_declarator
    name: (identifier) @name
    value: [
      (arrow_function body: (_) @body)
      (function_expression body: (_) @body)
      (generator_function body: (_) @body)
    ]) @definition.function) @holder
(variable_declaration
  (variable_declarator
    name: (identifier) @name
    value: [
      (arrow_function body: (_) @body)
      (function_expression body: (_) @body)
      (generator_function body: (_) @body)
    ]) @definition.function) @holder

; const Button = forwardRef((props, ref) => ...), memo(forwardRef(...)), connect(state)(...)
(lexical_declaration
  (variable_declarator
    name: (identifier) @name
    value: (call_expression
      function: (_) @_wrapper
      arguments: (arguments . [
        (arrow_function body: (_) @body)
        (function_expression body: (_) @body)
      ]))) @definition.function
  (#any-of? @_wrapper "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")) @holder
(lexical_declaration
  (variable_declarator
    name: (identifier) @name
    value: (call_expression
      function: (_) @_outer
      arguments: (arguments . (call_expression
        function: (_) @_wrapper
        arguments: (arguments . [
        (arrow_function body: (_) @body)
        (function_expression body: (_) @body)
      ]))))) @definition.function
  (#any-of? @_outer "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")
  (#any-of? @_wrapper "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")) @holder
(lexical_declaration
  (variable_declarator
    name: (identifier) @name
    value: (call_expression
      function: (call_expression function: (identifier) @_wrapper)
      arguments: (arguments . [
        (arrow_function body: (_) @body)
        (function_expression body: (_) @body)
      ]))) @definition.function
  (#any-of? @_wrapper "connect" "inject")) @holder

; const C = class { ... }
(lexical_declaration
  (variable_declarator
    name: (identifier) @name
    value: (class body: (_) @body)) @definition.class) @holder
(variable_declaration
  (variable_declarator
    name: (identifier) @name
    value: (class body: (_) @body)) @definition.class) @holder

; { key: function () ... } and { key: () => ... }
(pair
  key: (_) @name
  value: [
    (arrow_function body: (_) @body)
    (function_expression body: (_) @body)
    (generator_function body: (_) @body)
  ]) @definition.method

; exports.f = function ..., X.prototype.m = function ..., this.f = () => ...
(assignment_expression
  left: (member_expression property: (_) @name)
  right: [
    (arrow_function body: (_) @body)
    (function_expression body: (_) @body)
    (generator_function body: (_) @body)
  ]) @definition.method
(assignment_expression
  left: (member_expression property: (_) @name)
  right: (class body: (_) @body)) @definition.class

; this.x = ...; the rules keep those of constructors.
(assignment_expression
  left: (member_expression object: (this) property: (_) @name)) @definition.field

; export default () => ..., export default class { ... }
(export_statement
  value: [
    (arrow_function body: (_) @body)
    (function_expression body: (_) @body)
    (generator_function body: (_) @body)
  ]) @definition.function
(export_statement value: (class body: (_) @body)) @definition.class

; export default memo(() => ...), memo(forwardRef(...)), connect(state)(...)
(export_statement
  value: (call_expression
    function: (_) @_wrapper
    arguments: (arguments . [
      (arrow_function body: (_) @body)
      (function_expression body: (_) @body)
    ]))
  (#any-of? @_wrapper "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")) @definition.function
(export_statement
  value: (call_expression
    function: (_) @_outer
    arguments: (arguments . (call_expression
      function: (_) @_wrapper
      arguments: (arguments . [
      (arrow_function body: (_) @body)
      (function_expression body: (_) @body)
    ]))))
  (#any-of? @_outer "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")
  (#any-of? @_wrapper "memo" "React.memo" "forwardRef" "React.forwardRef" "observer" "withRouter")) @definition.function
(export_statement
  value: (call_expression
    function: (call_expression function: (identifier) @_wrapper)
    arguments: (arguments . [
      (arrow_function body: (_) @body)
      (function_expression body: (_) @body)
    ]))
  (#any-of? @_wrapper "connect" "inject")) @definition.function

; A class expression anywhere else.
(class name: (_)? @name body: (_) @body) @definition.class

; Variables of the module.
(program
  [(lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
   (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)]
  @holder)
(program
  (export_statement
    declaration: [
      (lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
      (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)
    ] @holder))
(program
  (export_statement
    declaration: (lexical_declaration
      (variable_declarator
        name: (object_pattern [
          (shorthand_property_identifier_pattern) @name
          (pair_pattern value: (identifier) @name)
        ])) @definition.variable) @holder))

(export_statement declaration: (_) @wrapped) @wrapper

; Exported elsewhere than where they are defined.
(export_statement !source (export_clause (export_specifier name: (_) @export)))
(export_statement value: (identifier) @export)
(assignment_expression
  left: (member_expression) @_exports
  right: [
    (identifier) @export
    (object [
      (shorthand_property_identifier) @export
      (pair key: (_) @export)
      (pair value: (identifier) @export)
      (method_definition name: (_) @export)
    ])
  ]
  (#eq? @_exports "module.exports"))
(assignment_expression
  left: (member_expression object: (_) @_exports)
  right: (identifier) @export
  (#any-of? @_exports "exports" "module.exports"))

(decorator) @attribute
(comment) @comment
(expression_statement) @statement

; What is frequent and, when small, has nothing of the above in it.
(arguments) @small
(array) @small
(binary_expression) @small
(call_expression) @small
(import_statement) @small
(member_expression) @small
(parenthesized_expression) @small
(string) @small
(subscript_expression) @small
(unary_expression) @small
