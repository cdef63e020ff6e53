; Definitions of Rust. A capture's name is the kind; functions and constants become methods and
; associated items by their owner (languages/rust.rs).

(mod_item name: (identifier) @name) @definition.module
(struct_item name: (type_identifier) @name) @definition.struct
(union_item name: (type_identifier) @name) @definition.union
(enum_item name: (type_identifier) @name) @definition.enum
(enum_variant name: (identifier) @name) @definition.enum_member
(trait_item name: (type_identifier) @name) @definition.trait
(impl_item type: (_) @name) @definition.impl
(type_item name: (type_identifier) @name) @definition.type_alias
(associated_type name: (type_identifier) @name) @definition.type_alias
(function_item name: (identifier) @name) @definition.function
(function_signature_item name: (identifier) @name) @definition.function
(const_item name: (identifier) @name) @definition.constant
(static_item name: (identifier) @name) @definition.constant
(macro_definition name: (identifier) @name) @definition.macro
(field_declaration name: (field_identifier) @name) @definition.field

(attribute_item) @attribute
(line_comment) @comment
(block_comment) @comment

; What is frequent and, when small, has nothing of the above in it.
(arguments) @small
(call_expression) @small
(field_expression) @small
(generic_type) @small
(index_expression) @small
(parameters) @small
(reference_type) @small
(scoped_identifier) @small
(scoped_type_identifier) @small
(string_literal) @small
(type_arguments) @small
(use_declaration) @small
