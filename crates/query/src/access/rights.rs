//! What a role may do, at one moment: tables, groups of tags, acting functions.
//!
//! This is the one place that decides. Whoever reads or writes asks a `Rights` of the statement at hand:
//! [`Rights::reach`] before all tags of a table are read, [`Rights::has_tag`] for one tag, [`Rights::admit_tag`] before a tag is
//! written, [`Rights::may_create`] before one is made.
//!
//! Promises: what a role may not see is told neither by rows nor by errors: of a tag that it may not write, and that it could not
//! see either, it hears the same whether or not it is there (`Missing`).
//!
//! Shared state: the tags that the groups of a privilege name, as of the newest version of the tag table that was asked for, in one
//! mutex that is held while they are gathered. A change of any role makes new `Rights`.

use super::condition::TagCondition;
use super::privilege::{Privileges, denied, opened_by_groups};
use super::role::{BOOTSTRAP_ID, RoleId};
use crate::error::{Error, raise};
use catalog::Catalog;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{Kind, TagDefinition, TagId};

/// Which tags of a table may be reached.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// All of them; `labels`: whether their labels may be known as well.
    All { labels: bool },
    /// These, rising.
    Tags(Arc<[TagId]>),
}

impl Reach {
    /// The tags, where not all are meant.
    pub(crate) fn tags(&self) -> Option<&Arc<[TagId]>> {
        match self {
            Reach::All { .. } => None,
            Reach::Tags(tags) => Some(tags),
        }
    }

    /// Whether labels of those tags may be asked of the tag table: whoever reads a group's samples reads its labels too.
    pub(crate) fn tells_labels(&self) -> bool {
        matches!(self, Reach::All { labels: true } | Reach::Tags(_))
    }

    /// Whether a tag is within reach.
    pub(crate) fn has(&self, tag: TagId) -> bool {
        self.tags().is_none_or(|tags| tags.binary_search(&tag).is_ok())
    }
}

/// The tags of groups, as of a version of the tag table.
type Gathered = BTreeMap<u8, (u64, Arc<[TagId]>)>;

/// What a role may do.
#[derive(Debug)]
pub struct Rights {
    /// The role's name.
    pub(crate) role: Arc<str>,
    pub(crate) superuser: bool,
    /// The roles whose rights these are, its own among them.
    pub(crate) roles: BTreeSet<RoleId>,
    /// Whether it may read what the server says of itself.
    pub(crate) monitors: bool,
    /// Whether it may call functions that act.
    pub(crate) operates: bool,
    /// Whether it may cancel statements of others.
    pub(crate) signals: bool,
    pub(crate) checkpoints: bool,
    /// Whether there is such a role.
    pub(crate) exists: bool,
    tables: BTreeMap<String, Privileges>,
    groups: Vec<(Privileges, Arc<TagCondition>)>,
    gathered: Mutex<Gathered>,
}

impl Rights {
    /// A role's, before anything was granted.
    pub(crate) fn of(role: &Arc<str>, superuser: bool, roles: BTreeSet<RoleId>) -> Rights {
        Rights {
            role: Arc::clone(role),
            superuser,
            roles,
            monitors: false,
            operates: false,
            signals: false,
            checkpoints: false,
            exists: true,
            tables: BTreeMap::new(),
            groups: Vec::new(),
            gathered: Mutex::default(),
        }
    }

    /// Those of somebody who is believed, since nobody else is known.
    pub(crate) fn unbound(name: &Arc<str>) -> Rights {
        Rights::of(name, true, BTreeSet::new())
    }

    /// Those of a name that is no role's.
    pub(crate) fn nobodys(name: &Arc<str>) -> Rights {
        Rights { exists: false, ..Rights::of(name, false, BTreeSet::new()) }
    }

    pub(crate) fn allow_table(&mut self, table: &str, privileges: Privileges) {
        let known = self.tables.entry(table.to_owned()).or_default();
        *known = known.with(privileges);
    }

    pub(crate) fn allow_tags(&mut self, condition: &Arc<TagCondition>, privileges: Privileges) {
        self.groups.push((privileges, Arc::clone(condition)));
    }

    /// Whether everything is allowed.
    #[must_use]
    pub fn is_unbound(&self) -> bool {
        self.superuser
    }

    /// Whether these are also a role's rights; a superuser has those of all.
    pub(crate) fn holds(&self, role: RoleId) -> bool {
        self.superuser || self.roles.contains(&role)
    }

    /// Refuses whoever is no role.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        if self.exists {
            return Ok(());
        }
        Err(raise(Error::InvalidRole, format!("role \"{}\" does not exist", self.role))
            .with_hint("connect as a role that there is; a superuser makes one: CREATE ROLE .. LOGIN"))
    }

    /// What may be done with a whole table: `public.samples`.
    pub(crate) fn table(&self, table: &str) -> Privileges {
        if self.superuser || self.roles.contains(&BOOTSTRAP_ID) {
            return Privileges::ALL;
        }
        let told = if self.monitors && table.starts_with("meridian.") { Privileges::SELECT } else { Privileges::NONE };
        self.tables.get(table).copied().unwrap_or_default().with(told)
    }

    /// Whether a privilege on a table is there at all: for the whole of it, or for a group of tags.
    pub(crate) fn touches(&self, table: &str, privilege: Privileges) -> bool {
        self.table(table).has(privilege)
            || (opened_by_groups(privilege).contains(&table) && self.groups.iter().any(|(of, _)| of.has(privilege)))
    }

    /// Whether a table is shown among those that there are.
    pub(crate) fn knows(&self, table: &str) -> bool {
        !self.table(table).is_empty() || Privileges::ALL.each().any(|one| self.touches(table, one))
    }

    /// Refuses whoever has the privilege neither on the table nor on any group of its tags.
    pub(crate) fn admit(&self, table: &str, privilege: Privileges) -> Result<(), Error> {
        if self.touches(table, privilege) { Ok(()) } else { Err(denied(table, privilege)) }
    }

    /// Which tags of a table a privilege reaches.
    pub(crate) fn reach(&self, catalog: &Catalog, table: &str, privilege: Privileges) -> Result<Reach, Error> {
        if self.table(table).has(privilege) {
            return Ok(Reach::All { labels: self.table("public.tags").has(Privileges::SELECT) });
        }
        self.admit(table, privilege)?;
        Ok(Reach::Tags(self.of_groups(catalog, privilege)))
    }

    /// The tags of all groups that a privilege was granted on.
    fn of_groups(&self, catalog: &Catalog, privilege: Privileges) -> Arc<[TagId]> {
        let mut gathered = self.gathered.lock();
        // Read before the tags: what is changed meanwhile is gathered again.
        let version = catalog.version();
        if let Some((known, tags)) = gathered.get(&privilege.bits())
            && *known == version
        {
            return Arc::clone(tags);
        }
        let groups = self.groups.iter().filter(|(of, _)| of.has(privilege));
        let mut tags: Vec<TagId> = groups.flat_map(|(_, condition)| condition.select(catalog)).collect();
        tags.sort_unstable();
        tags.dedup();
        let tags: Arc<[TagId]> = tags.into();
        gathered.insert(privilege.bits(), (version, Arc::clone(&tags)));
        tags
    }

    /// Whether a group reaches a tag.
    fn in_group(&self, catalog: &Catalog, privilege: Privileges, tag: TagId, name: &str) -> bool {
        self.groups.iter().any(|(of, condition)| of.has(privilege) && condition.holds_of(catalog, tag, name))
    }

    /// Whether a privilege on a table reaches a tag, whose name is known.
    pub(crate) fn has_tag(&self, catalog: &Catalog, table: &str, privilege: Privileges, tag: TagId, name: &str) -> bool {
        self.table(table).has(privilege)
            || (opened_by_groups(privilege).contains(&table) && self.in_group(catalog, privilege, tag, name))
    }

    /// The same of a tag that is not there yet.
    pub(crate) fn has_definition(&self, table: &str, privilege: Privileges, tag: &TagDefinition) -> bool {
        let group =
            |(of, condition): &(Privileges, Arc<TagCondition>)| of.has(privilege) && condition.holds(&tag.name, &tag.labels);
        self.table(table).has(privilege) || (opened_by_groups(privilege).contains(&table) && self.groups.iter().any(group))
    }

    /// Whether the samples of a tag of that kind may be read.
    pub(crate) fn reads_kind(&self, catalog: &Catalog, kind: Kind, tag: TagId, name: &str) -> bool {
        let tables: &[&str] = if kind.is_text() {
            &["public.events"]
        } else if kind.is_integer() {
            &["public.samples", "public.integers"]
        } else {
            &["public.samples"]
        };
        tables.iter().any(|table| self.table(table).has(Privileges::SELECT))
            || self.in_group(catalog, Privileges::SELECT, tag, name)
    }

    /// Refuses to write to a tag that the privilege on the table does not reach.
    pub(crate) fn admit_tag(
        &self,
        catalog: &Catalog,
        table: &str,
        privilege: Privileges,
        tag: TagId,
        name: &str,
    ) -> Result<(), Error> {
        if self.superuser || self.has_tag(catalog, table, privilege, tag, name) { Ok(()) } else { Err(refused(name)) }
    }

    /// What is told of a tag that is not there: that it is not, or, where it could not be written either, the same as of one that
    /// may not be.
    pub(crate) fn missing(&self, table: &str, privilege: Privileges, name: &str) -> Missing {
        let of_group =
            |(of, condition): &(Privileges, Arc<TagCondition>)| of.has(privilege) && condition.of_name(name) == Some(true);
        if self.superuser || self.table(table).has(privilege) || self.groups.iter().any(of_group) {
            Missing::Said
        } else {
            Missing::Refused(refused(name))
        }
    }

    /// Refuses whoever may make no tag at all.
    pub(crate) fn admit_making(&self) -> Result<(), Error> {
        self.alive()?;
        self.admit("public.tags", Privileges::INSERT)
    }

    /// Refuses to make a tag that nothing allows to be made.
    pub(crate) fn may_create(&self, definition: &TagDefinition) -> Result<(), Error> {
        let group = |(of, condition): &(Privileges, Arc<TagCondition>)| {
            of.has(Privileges::INSERT) && condition.holds(&definition.name, &definition.labels)
        };
        if self.table("public.tags").has(Privileges::INSERT) || self.groups.iter().any(group) {
            return Ok(());
        }
        self.admit("public.tags", Privileges::INSERT)?;
        Err(refused(&definition.name).with_detail("its name and labels meet no condition of GRANT INSERT ON TAGS WHERE .."))
    }

    /// Refuses to change a tag that may not be changed, or into one that may not.
    pub(crate) fn may_change(&self, before: &TagDefinition, after: &TagDefinition) -> Result<(), Error> {
        if self.table("public.tags").has(Privileges::UPDATE) {
            return Ok(());
        }
        let group = |tag: &TagDefinition| {
            let of = |(of, condition): &(Privileges, Arc<TagCondition>)| {
                of.has(Privileges::UPDATE) && condition.holds(&tag.name, &tag.labels)
            };
            self.groups.iter().any(of)
        };
        if !group(before) {
            return Err(refused(&before.name));
        }
        if group(after) {
            return Ok(());
        }
        Err(refused(&after.name).with_detail("what the tag would be meets no condition of GRANT UPDATE ON TAGS WHERE .."))
    }

    /// Refuses whoever may not call a function that acts.
    pub(crate) fn admit_acting(&self, function: &str) -> Result<(), Error> {
        if self.superuser || self.operates {
            return Ok(());
        }
        Err(raise(Error::Forbidden, format!("permission denied for function {function}"))
            .with_hint("members of meridian_operator may call it"))
    }
}

/// For the doors that write without SQL.
impl Rights {
    /// Refuses whoever may neither read tags nor write to any.
    ///
    /// # Errors
    /// `Error::Forbidden`, `Error::InvalidRole`.
    pub fn may_resolve(&self) -> Result<(), Error> {
        self.alive()?;
        self.admit("public.tags", Privileges::SELECT).or_else(|error| {
            let writes = ["public.samples", "public.events"].iter().any(|table| self.touches(table, Privileges::INSERT));
            if writes { Ok(()) } else { Err(error) }
        })
    }

    /// Whether a tag's ordinal is told: of those that may be read or written.
    #[must_use]
    pub fn resolves(&self, catalog: &Catalog, tag: TagId, name: &str) -> bool {
        let writes = |table| self.has_tag(catalog, table, Privileges::INSERT, tag, name);
        self.is_unbound()
            || self.has_tag(catalog, "public.tags", Privileges::SELECT, tag, name)
            || writes("public.samples")
            || writes("public.events")
    }

    /// The table that batches are for which name none: of texts, or of numbers.
    #[must_use]
    pub fn table_of(texts: bool) -> &'static str {
        if texts { "public.events" } else { "public.samples" }
    }

    /// Refuses whoever may write to no tag of a table at all, by its whole name.
    ///
    /// # Errors
    /// `Error::Forbidden`, `Error::InvalidRole`.
    pub fn may_write(&self, table: &str) -> Result<(), Error> {
        self.alive()?;
        self.admit(table, Privileges::INSERT)
    }

    /// Whether all tags of a table may be written to.
    #[must_use]
    pub fn writes_all(&self, table: &str) -> bool {
        self.table(table).has(Privileges::INSERT)
    }

    /// The first row whose tag may not be written to, of a batch for a table; ordinals that no tag has are none.
    ///
    /// # Errors
    /// `Error::Forbidden` where nothing of the table may be written.
    pub fn first_refused(&self, catalog: &Catalog, table: &str, tags: &[TagId]) -> Result<Option<usize>, Error> {
        let reach = self.reach(catalog, table, Privileges::INSERT)?;
        let mut last = None;
        Ok(tags.iter().position(|tag| {
            // Neighbours are mostly of one tag.
            let refused = last != Some(*tag) && !reach.has(*tag);
            last = Some(*tag);
            refused
        }))
    }

    /// Refuses tags that may not be made; the number of the first one with the reason.
    ///
    /// # Errors
    /// `Error::Forbidden`, `Error::InvalidRole`.
    pub fn may_make(&self, definitions: &[TagDefinition]) -> Result<(), (usize, Error)> {
        self.alive().map_err(|error| (0, error))?;
        let checked = |(row, definition): (usize, &TagDefinition)| self.may_create(definition).map_err(|error| (row, error));
        definitions.iter().enumerate().try_for_each(checked)
    }
}

/// What is told of a tag that is not there.
pub(crate) enum Missing {
    /// That it is not.
    Said,
    /// What would be told if it were.
    Refused(Error),
}

/// What is told of a tag that may not be written.
pub(crate) fn refused(name: &str) -> Error {
    let shown: String = name.chars().take(128).collect();
    raise(Error::Forbidden, format!("permission denied for tag \"{shown}\""))
}
