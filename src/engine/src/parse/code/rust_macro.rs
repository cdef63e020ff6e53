//! What can be seen in a macro's arguments: paths, members and calls among their tokens.

use onyx_protocol::code::{Expr, ExprId, ReferenceKind};
use tree_sitter::Node;

use super::Builder;

/// Deepest nesting of brackets looked into.
const MAX_DEPTH: u8 = 64;

/// A path or chain of members as far as it was read.
struct Chain<'t> {
    expr: ExprId,
    /// Its last name.
    at: Node<'t>,
    /// What stood behind it: `.` or `::`.
    joint: Option<&'static str>,
    called: bool,
}

/// References in the tokens of a macro's argument.
pub(super) fn tokens<'t>(b: &mut Builder<'_, 't>, tree: Node<'t>, depth: u8) {
    if depth > MAX_DEPTH {
        return;
    }
    let mut cursor = tree.walk();
    let mut chain: Option<Chain<'t>> = None;
    let mut more = cursor.goto_first_child();
    while more {
        let node = cursor.node();
        match node.kind() {
            "identifier" | "self" | "crate" | "super" | "integer_literal" | "primitive_type"
            | "type_identifier" => {
                let text = b.text(node);
                let name = b.own.name(text);
                chain = match chain.take() {
                    Some(Chain { expr, joint: Some(joint), .. }) => {
                        let shape = if joint == "." {
                            Expr::Member(expr, name)
                        } else {
                            Expr::Path(expr, name)
                        };
                        let expr = b.own.expr(shape);
                        Some(Chain { expr, at: node, joint: None, called: false })
                    }
                    before => {
                        end(b, before);
                        if node.kind() == "integer_literal" || is_keyword(text) {
                            None
                        } else {
                            let shape = match text {
                                "self" => Expr::SelfRef,
                                _ => Expr::Name(name),
                            };
                            let expr = b.own.expr(shape);
                            Some(Chain { expr, at: node, joint: None, called: false })
                        }
                    }
                };
            }
            "." | "::" => {
                if let Some(chain) = &mut chain {
                    chain.joint = Some(if node.kind() == "." { "." } else { "::" });
                    // `self::name`
                    if node.kind() == "::" && b.own.get(chain.expr) == &Expr::SelfRef {
                        chain.expr = b.own.named_expr("self");
                    }
                }
            }
            "?" => {
                if let Some(chain) = &mut chain {
                    chain.expr = b.own.expr(Expr::Try(chain.expr));
                }
            }
            "!" => {
                // A macro in the macro.
                if let Some(Chain { at, joint: None, called: false, .. }) = chain.take() {
                    let text = b.text(at);
                    let callee = b.own.named_expr(format!("{text}!"));
                    let target = b.own.expr(Expr::Call(callee, 0));
                    if cursor.node().next_sibling().is_some_and(|n| n.kind() == "token_tree") {
                        b.refer(ReferenceKind::Call, target, at);
                    }
                }
            }
            "token_tree" => {
                let is_call = b.text(node).starts_with('(');
                match &mut chain {
                    Some(open) if is_call && open.joint.is_none() && !open.called => {
                        open.expr = b.own.expr(Expr::Call(open.expr, 0));
                        b.refer(ReferenceKind::Call, open.expr, open.at);
                        open.called = true;
                    }
                    _ => {
                        end(b, chain.take());
                    }
                }
                tokens(b, node, depth + 1);
            }
            _ => end(b, chain.take()),
        }
        more = cursor.goto_next_sibling();
    }
    end(b, chain);
}

fn end(b: &mut Builder<'_, '_>, chain: Option<Chain<'_>>) {
    if let Some(Chain { expr, at, joint: None, called: false }) = chain {
        b.refer(ReferenceKind::Read, expr, at);
    }
}

fn is_keyword(text: &str) -> bool {
    matches!(
        text,
        "as" | "async"
            | "await"
            | "const"
            | "dyn"
            | "else"
            | "enum"
            | "fn"
            | "for"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "match"
            | "mod"
            | "move"
            | "mut"
            | "pub"
            | "ref"
            | "return"
            | "static"
            | "struct"
            | "trait"
            | "type"
            | "unsafe"
            | "use"
            | "where"
            | "while"
            | "break"
            | "continue"
    )
}
