//! What roles may do, said once more and plainly: the roles of the tests, the statements that grant it to them, and what must follow.

use std::collections::BTreeSet;

/// A tag: name, kind, site.
pub struct Tag {
    pub name: &'static str,
    pub kind: &'static str,
    pub site: Option<&'static str>,
}

const fn tag(name: &'static str, kind: &'static str, site: Option<&'static str>) -> Tag {
    Tag { name, kind, site }
}

/// The tags of the tests; each has a sample at second 1 and one at second 2.
pub static TAGS: [Tag; 8] = [
    tag("plant.a", "f64", Some("north")),
    tag("plant.b", "i64", Some("south")),
    tag("plant.t", "text", Some("north")),
    tag("plants", "f64", None),
    tag("other.a", "f64", Some("north")),
    tag("other.i", "i64", Some("south")),
    tag("other.t", "text", None),
    tag("secret", "f64", Some("south")),
];

/// Which tags are of a group, and a letter for each privilege.
type Group = (fn(&Tag) -> bool, &'static str);

/// A role of the tests: what it is granted, by SQL and as a model.
pub struct RoleModel {
    pub name: &'static str,
    pub grants: &'static [&'static str],
    /// Tables, with a letter for each privilege.
    tables: &'static [(&'static str, &'static str)],
    /// Groups of tags, likewise.
    groups: &'static [Group],
}

fn is_plant(tag: &Tag) -> bool {
    tag.name.starts_with("plant.")
}

fn is_north(tag: &Tag) -> bool {
    tag.site == Some("north")
}

fn is_neither(tag: &Tag) -> bool {
    !is_plant(tag) && tag.site != Some("south") && tag.site.is_some()
}

/// The roles. `both` is a member of `plant` and `north`.
pub static ROLES: [RoleModel; 8] = [
    RoleModel { name: "nobody", grants: &[], tables: &[], groups: &[] },
    RoleModel {
        name: "reader",
        grants: &["GRANT SELECT ON TABLE samples, integers, events, latest, public.tags TO reader"],
        tables: &[("samples", "r"), ("integers", "r"), ("events", "r"), ("latest", "r"), ("tags", "r")],
        groups: &[],
    },
    RoleModel {
        name: "narrow",
        grants: &["GRANT SELECT, DELETE ON samples TO narrow"],
        tables: &[("samples", "rd")],
        groups: &[],
    },
    RoleModel {
        name: "writer",
        grants: &["GRANT INSERT ON samples, events, tags TO writer"],
        tables: &[("samples", "a"), ("events", "a"), ("tags", "a")],
        groups: &[],
    },
    RoleModel {
        name: "plant",
        grants: &["GRANT ALL ON TAGS WHERE name LIKE 'plant.%' TO plant"],
        tables: &[],
        groups: &[(is_plant, "rawd")],
    },
    RoleModel {
        name: "north",
        grants: &["GRANT SELECT, INSERT ON TAGS WHERE labels['site'] = 'north' TO north"],
        tables: &[],
        groups: &[(is_north, "ra")],
    },
    RoleModel {
        name: "both",
        grants: &["GRANT plant, north TO both"],
        tables: &[],
        groups: &[(is_plant, "rawd"), (is_north, "ra")],
    },
    RoleModel {
        name: "odd",
        grants: &["GRANT SELECT ON TAGS WHERE NOT (name ~ '^plant[.]' OR labels ->> 'site' = 'south') TO odd"],
        tables: &[],
        groups: &[(is_neither, "r")],
    },
];

/// Whether a table has rows of a tag.
pub fn holds(table: &str, tag: &Tag) -> bool {
    match table {
        "samples" => tag.kind != "text",
        "integers" => tag.kind == "i64",
        "events" => tag.kind == "text",
        _ => true,
    }
}

fn opens(table: &str, letter: char) -> bool {
    match letter {
        'r' => true,
        'a' => table != "latest",
        'd' => ["samples", "integers", "events"].contains(&table),
        _ => table == "tags",
    }
}

impl RoleModel {
    /// Whether a statement that needs the privilege on a table is run at all.
    pub fn touches(&self, table: &str, letter: char) -> bool {
        self.has_table(table, letter) || (opens(table, letter) && self.groups.iter().any(|(_, letters)| letters.contains(letter)))
    }

    fn has_table(&self, table: &str, letter: char) -> bool {
        self.tables.iter().any(|(name, letters)| *name == table && letters.contains(letter))
    }

    /// Whether the privilege reaches a tag's rows of a table.
    pub fn reaches(&self, table: &str, letter: char, tag: &Tag) -> bool {
        self.has_table(table, letter)
            || (opens(table, letter) && self.groups.iter().any(|(of, letters)| letters.contains(letter) && of(tag)))
    }

    /// The tags whose rows a read of a table shows; None where it is refused.
    pub fn sees(&self, table: &str) -> Option<BTreeSet<String>> {
        let seen = TAGS.iter().filter(|tag| holds(table, tag) && self.reaches(table, 'r', tag)).map(|tag| tag.name.to_owned());
        self.touches(table, 'r').then(|| seen.collect())
    }

    /// The tags that `values_at` has values of; None where it is refused.
    pub fn sees_values(&self) -> Option<BTreeSet<String>> {
        let reads =
            |tag: &&Tag| ["samples", "integers", "events"].iter().any(|table| holds(table, tag) && self.reaches(table, 'r', tag));
        let may = self.touches("samples", 'r') || self.touches("events", 'r');
        may.then(|| TAGS.iter().filter(reads).map(|tag| tag.name.to_owned()).collect())
    }
}
