//! Languages whose references are not resolved yet: nothing is known.

use onyx_protocol::code::{Import, Pool, Within};

use super::{Rules, Special};
use crate::resolve::context::{Context, Place};
use crate::resolve::ty::{Def, Found, Module, Space, Ty};
use crate::resolve::workspace::File;

pub(super) struct Other;

impl Rules for Other {
    fn family(&self) -> u8 {
        0
    }

    fn index(&self, _file: &File, _add: &mut dyn FnMut(Special<'_>)) {}

    fn import(&self, _: &Context<'_>, _: u32, _: &Pool, _: &Import) -> Vec<Found> {
        Vec::new()
    }

    fn glob(
        &self,
        _: &Context<'_>,
        _: &Pool,
        _: &Import,
        _: &Found,
        _: &str,
        _: Space,
    ) -> Vec<Found> {
        Vec::new()
    }

    fn module_member(&self, _: &Context<'_>, _: &Module, _: &str, _: Space) -> Vec<Found> {
        Vec::new()
    }

    fn beyond(&self, _: &Context<'_>, _: Place<'_>, _: Within, _: &str, _: Space) -> Vec<Found> {
        Vec::new()
    }

    fn is_builtin(&self, _: &str) -> bool {
        false
    }

    fn type_scope(&self, _: bool) -> bool {
        false
    }

    fn members(&self, _: &Context<'_>, _: Def, _: &str, _: Space, _: bool) -> Vec<Found> {
        Vec::new()
    }

    fn receiver(&self, _: &Context<'_>, _: Def) -> Option<Ty> {
        None
    }

    fn self_of(&self, _: &Context<'_>, _: Def) -> Option<Ty> {
        None
    }

    fn array(&self, _: &Context<'_>, _: Ty) -> Ty {
        Ty::Unknown
    }
}
