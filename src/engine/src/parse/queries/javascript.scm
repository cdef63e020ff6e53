
; JavaScript alone.

(field_definition
  property: (_) @name
  value: [
    (arrow_function body: (_) @body)
    (function_expression body: (_) @body)
  ]) @definition.method
(field_definition property: (_) @name) @definition.field

(jsx_attribute) @small
(jsx_closing_element) @small
