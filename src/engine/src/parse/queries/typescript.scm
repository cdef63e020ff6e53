
; TypeScript alone, with and without JSX.

(abstract_class_declaration name: (_) @name) @definition.class
(interface_declaration name: (_) @name) @definition.interface
(type_alias_declaration name: (_) @name) @definition.type_alias
(enum_declaration name: (_) @name) @definition.enum
(enum_assignment name: (_) @name) @definition.enum_member
(enum_body name: (_) @name @definition.enum_member)
(internal_module name: (_) @name) @definition.module
(module name: (_) @name) @definition.module

(function_signature name: (_) @name) @definition.function
(method_signature name: (_) @name) @definition.method
(abstract_method_signature name: (_) @name) @definition.method

(public_field_definition
  name: (_) @name
  value: [
    (arrow_function body: (_) @body)
    (function_expression body: (_) @body)
  ]) @definition.method
(public_field_definition name: (_) @name) @definition.field
(interface_body (property_signature name: (_) @name) @definition.field)
(type_alias_declaration
  value: (object_type (property_signature name: (_) @name) @definition.field))

; constructor(private x: number)
(method_definition
  parameters: (formal_parameters [
    (required_parameter
      [(accessibility_modifier) (override_modifier) "readonly"]
      pattern: (identifier) @name) @definition.field
    (optional_parameter
      [(accessibility_modifier) (override_modifier) "readonly"]
      pattern: (identifier) @name) @definition.field
  ]))

; Variables of a namespace, and declared ones.
(internal_module
  body: (statement_block
    [(lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
     (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)]
    @holder))
(internal_module
  body: (statement_block
    (export_statement
      declaration: [
        (lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
        (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)
      ] @holder)))
(module
  body: (statement_block
    [(lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
     (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)]
    @holder))
(ambient_declaration
  [(lexical_declaration (variable_declarator name: (identifier) @name) @definition.variable)
   (variable_declaration (variable_declarator name: (identifier) @name) @definition.variable)]
  @holder)

(ambient_declaration (_) @wrapped) @wrapper

(generic_type) @small
(type_annotation) @small
(type_arguments) @small
