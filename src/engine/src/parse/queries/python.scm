; Definitions of Python. Functions in a class become methods, constructors and properties, and
; assignments in functions are none (languages/python.rs).

(class_definition name: (identifier) @name) @definition.class
(function_definition name: (identifier) @name) @definition.function

(assignment left: (identifier) @name) @definition.variable
(assignment left: [
  (pattern_list (identifier) @name)
  (tuple_pattern (identifier) @name)
]) @definition.variable
(type_alias_statement left: (type) @name) @definition.type_alias

; self.x = ... in __init__; the rules look at which object and where.
(assignment left: (attribute object: (identifier) attribute: (identifier) @name)) @definition.field
(assignment left: [
  (pattern_list (attribute object: (identifier) attribute: (identifier) @name))
  (tuple_pattern (attribute object: (identifier) attribute: (identifier) @name))
]) @definition.field

(decorated_definition definition: (_) @wrapped) @wrapper
(decorator) @attribute
(comment) @comment
(yield) @yield

; What is frequent and, when small, has nothing of the above in it.
(argument_list) @small
(attribute) @small
(call) @small
(comparison_operator) @small
(dotted_name) @small
(keyword_argument) @small
(parameters) @small
(string) @small
(subscript) @small
