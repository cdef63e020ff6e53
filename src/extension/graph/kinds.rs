//! Edge kinds, numbered as a call meets them.

use pgrx::pg_sys;

use super::rows::Text;

/// Number of an edge kind in [`Kinds`].
pub type KindId = u16;

struct Kind {
    name: String,
    datum: Text,
    wanted: bool,
}

/// Edge kinds met, numbered.
pub struct Kinds {
    all: Vec<Kind>,
    wanted: Option<Vec<String>>,
}

/// The kind that `nodes.parent_id` stands for.
pub const CONTAINS: &str = "contains";

impl Kinds {
    /// Of a call that wants these, or all.
    pub fn new(wanted: Option<Vec<String>>) -> Self {
        Self { all: Vec::new(), wanted }
    }

    /// A kind's number.
    pub fn id(&mut self, name: &[u8]) -> KindId {
        if let Some(known) = self.all.iter().position(|k| k.name.as_bytes() == name) {
            return known as KindId;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let wanted = self.wanted.as_ref().is_none_or(|all| all.contains(&name));
        self.all.push(Kind { datum: Text::new(&name), name, wanted });
        (self.all.len() - 1) as KindId
    }

    /// The number of a kind, unless it is not wanted.
    #[inline]
    pub fn admit(&mut self, name: &[u8]) -> Option<KindId> {
        let id = self.id(name);
        self.all[id as usize].wanted.then_some(id)
    }

    /// Its name.
    pub fn name(&self, id: KindId) -> &str {
        &self.all[id as usize].name
    }

    /// Its name as a datum.
    pub fn datum(&self, id: KindId) -> pg_sys::Datum {
        self.all[id as usize].datum.datum()
    }

    /// Whether any stored edge can be of a wanted kind.
    pub fn wants_links(&self) -> bool {
        self.wanted.as_ref().is_none_or(|all| all.iter().any(|k| k != CONTAINS))
    }

    /// Whether containment is wanted.
    pub fn wants_contains(&self) -> bool {
        self.wanted.as_ref().is_none_or(|all| all.iter().any(|k| k == CONTAINS))
    }
}
