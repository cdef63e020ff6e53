; Definitions of Java. Static final fields become constants (languages/java.rs).

(class_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.interface
(enum_declaration name: (identifier) @name) @definition.enum
(record_declaration name: (identifier) @name) @definition.record
(annotation_type_declaration name: (identifier) @name) @definition.annotation

(enum_constant name: (identifier) @name) @definition.enum_member
(method_declaration name: (identifier) @name) @definition.method
(annotation_type_element_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.constructor
(compact_constructor_declaration name: (identifier) @name) @definition.constructor

(field_declaration
  declarator: (variable_declarator name: (identifier) @name) @definition.field) @holder
(constant_declaration
  declarator: (variable_declarator name: (identifier) @name) @definition.constant) @holder
(record_declaration
  parameters: (formal_parameters (formal_parameter name: (identifier) @name) @definition.field))

; new Runnable() { ... }
(object_creation_expression type: (_) @name (class_body) @body) @definition.class

(package_declaration [(scoped_identifier) (identifier)] @package)
(modifiers [(marker_annotation) (annotation)] @attribute)
(line_comment) @comment
(block_comment) @comment

; What is frequent and, when small, has nothing of the above in it.
(argument_list) @small
(array_access) @small
(array_type) @small
(field_access) @small
(generic_type) @small
(import_declaration) @small
(method_invocation) @small
(parenthesized_expression) @small
(scoped_identifier) @small
(string_literal) @small
