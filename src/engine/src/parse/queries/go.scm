; Definitions of Go. Where patterns match the same name, the first one counts.

(function_declaration name: (identifier) @name) @definition.function
(method_declaration name: (field_identifier) @name) @definition.method

(type_declaration
  (type_spec name: (type_identifier) @name type: (struct_type)) @definition.struct) @holder
(type_declaration
  (type_spec name: (type_identifier) @name type: (interface_type)) @definition.interface) @holder
(type_declaration (type_spec name: (type_identifier) @name) @definition.type_alias) @holder
(type_declaration (type_alias name: (type_identifier) @name) @definition.type_alias) @holder

(method_elem name: (field_identifier) @name) @definition.method
(field_declaration name: (field_identifier) @name) @definition.field
; An embedded type is a field named after it.
(field_declaration !name type: (_) @name) @definition.field

; Function literals with a name.
(source_file
  (var_declaration
    (var_spec
      name: (identifier) @name
      value: (expression_list . (func_literal body: (_) @body) .)) @definition.function) @holder)
(short_var_declaration
  left: (expression_list . (identifier) @name .)
  right: (expression_list . (func_literal body: (_) @body) .)) @definition.function

; Constants and variables of the package.
(source_file
  (const_declaration (const_spec (identifier) @name) @definition.constant) @holder)
(source_file
  (var_declaration [
    (var_spec name: (identifier) @name) @definition.variable
    (var_spec_list (var_spec name: (identifier) @name) @definition.variable)
  ]) @holder)

(package_clause (package_identifier) @package)
(comment) @comment

; What is frequent and, when small, has nothing of the above in it.
(argument_list) @small
(binary_expression) @small
(call_expression) @small
(import_spec) @small
(index_expression) @small
(interpreted_string_literal) @small
(literal_element) @small
(pointer_type) @small
(selector_expression) @small
