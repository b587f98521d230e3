//! The model: the tag table as plain maps, and the dice that choose what is asked of both.
//!
//! It may not know how the catalog keeps anything.

use catalog::{Catalog, Error, LabelCondition, TagFilter};
use std::collections::{BTreeMap, BTreeSet};
use types::{Compression, Kind, Kinds, Limits, Tag, TagDefinition, TagId, Timestamp};
use world::{Clock, SeededRandom, Simulation};

/// Random choices from a seed.
pub struct Dice(SeededRandom);

/// A call.
#[derive(Clone, Debug)]
pub enum Step {
    Create(Vec<TagDefinition>),
    Change(Vec<(TagId, TagDefinition)>),
    Delete(Vec<TagId>),
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// By ordinal; a deleted tag leaves its kind.
    tags: Vec<Result<Tag, Kind>>,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(SeededRandom::new(seed ^ 0x5EED))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next() % bound }
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    fn name(&mut self) -> String {
        match self.below(12) {
            0 => "电压".repeat(1 + self.below(3) as usize),
            1 => "x".repeat(1 + self.below(300) as usize),
            _ => format!("grid.{}.{}", self.below(4), self.below(150)),
        }
    }

    pub fn definition(&mut self, name: String) -> TagDefinition {
        let kind = self.pick(&Kind::ALL);
        self.definition_of(name, kind)
    }

    fn definition_of(&mut self, name: String, kind: Kind) -> TagDefinition {
        let number = |dice: &mut Dice| if dice.below(4) == 0 { None } else { Some(dice.below(3) as f64) };
        let mut limits = Limits::default();
        if self.below(3) == 0 {
            let low = number(self);
            limits = Limits { low_low: None, low, high: number(self).map(|high| high + 5.0), high_high: Some(9.5) };
        }
        let states = if kind == Kind::State { (0..self.below(4)).map(|i| format!("state {i}")).collect() } else { Vec::new() };
        let mut labels: Vec<(String, String)> = Vec::new();
        for key in ["area", "type", "zone"] {
            if self.below(2) == 0 {
                labels.push((key.to_owned(), self.pick(&["", "a", "b", "c"]).to_owned()));
            }
        }
        let deviation = if matches!(kind, Kind::Bool | Kind::State) { 0.0 } else { self.below(3) as f64 / 2.0 };
        let deadband = Compression::Deadband { deviation, span_us: 5 };
        let door = Compression::SwingingDoor { deviation, span_us: 0 };
        TagDefinition {
            description: if self.below(2) == 0 { String::new() } else { "d".repeat(self.below(200) as usize) },
            unit: self.pick(&["", "kV", "°C"]).to_owned(),
            states,
            labels,
            limits,
            cadence_us: self.pick(&[0, 1_000_000]),
            compression: Some(self.pick(&[Compression::Lossless, deadband, door]))
                .filter(|compression| compression.thins(kind))
                .unwrap_or_default(),
            ..TagDefinition::new(name, kind)
        }
    }
}

/// The model among these that a catalog matches.
pub fn matching(catalog: &Catalog, possible: Vec<Model>) -> Option<Model> {
    let rows = catalog.page(TagId(0), usize::MAX);
    for Tag { id, definition, .. } in &rows {
        assert_eq!(catalog.compression(*id), definition.compression);
        assert_eq!(catalog.is_thinned(*id), definition.compression.thins(definition.kind));
    }
    possible.into_iter().find(|model| {
        // When a tag was created or changed is told by the clock alone, and the model reads the same one.
        model.tags.len() as u64 == catalog.ordinals() && model.live().eq(rows.iter())
    })
}

impl Model {
    /// Ordinals given so far.
    pub fn ordinals(&self) -> u64 {
        self.tags.len() as u64
    }

    fn live(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().flatten()
    }

    fn live_id(&self, dice: &mut Dice) -> TagId {
        TagId(dice.below(self.tags.len() as u64 + 1))
    }

    /// A call that may be good.
    pub fn step(&self, dice: &mut Dice) -> Step {
        match dice.below(10) {
            0..=4 => {
                let many = if dice.below(150) == 0 { 5_000 } else { 12 };
                let start = self.tags.len();
                let definitions = (0..dice.below(many)).map(|i| {
                    let name = if i > 12 { format!("bulk.{start}.{i}") } else { dice.name() };
                    dice.definition(name)
                });
                Step::Create(definitions.collect())
            }
            5..=7 => {
                let count = 1 + dice.below(5);
                let mut changes: Vec<(TagId, TagDefinition)> = Vec::new();
                for _ in 0..count {
                    let id = self.live_id(dice);
                    let old = self.tags.get(id.0 as usize).and_then(|tag| tag.as_ref().ok());
                    let name = match (dice.below(3), changes.last(), old) {
                        // Names that move in a ring.
                        (0, Some((before, _)), _) => self
                            .tags
                            .get(before.0 as usize)
                            .and_then(|tag| tag.as_ref().ok())
                            .map(|tag| tag.definition.name.clone()),
                        (1, _, Some(old)) => Some(old.definition.name.clone()),
                        _ => None,
                    };
                    let name = name.unwrap_or_else(|| dice.name());
                    let definition = match old {
                        Some(old) if dice.below(20) > 0 => dice.definition_of(name, old.definition.kind),
                        _ => dice.definition(name),
                    };
                    changes.push((id, definition));
                }
                if dice.below(3) == 0
                    && changes.len() > 1
                    && let Some(first) = self.tags.get(changes[changes.len() - 1].0.0 as usize).and_then(|tag| tag.as_ref().ok())
                {
                    changes[0].1.name = first.definition.name.clone();
                }
                Step::Change(changes)
            }
            _ => Step::Delete((0..=dice.below(4)).map(|_| self.live_id(dice)).collect()),
        }
    }

    /// Whether the rules allow it, or the error.
    pub fn verdict(&self, step: &Step) -> Result<(), Error> {
        let names: BTreeMap<&str, TagId> = self.live().map(|tag| (tag.definition.name.as_str(), tag.id)).collect();
        let live = |id: &TagId| self.tags.get(id.0 as usize).and_then(|tag| tag.as_ref().ok()).ok_or(Error::Unknown(*id));
        match step {
            Step::Create(definitions) => {
                let mut seen = BTreeSet::new();
                for definition in definitions {
                    if names.contains_key(definition.name.as_str()) || !seen.insert(definition.name.as_str()) {
                        return Err(Error::Exists(definition.name.clone()));
                    }
                }
                Ok(())
            }
            Step::Change(changes) => {
                // Only good or not: which of several errors is told first is not the model's matter.
                let mut after = names.clone();
                let mut seen = BTreeSet::new();
                for (id, definition) in changes {
                    let tag = live(id)?;
                    if tag.definition.kind != definition.kind || !seen.insert(*id) {
                        return Err(Error::Invalid { name: String::new(), problem: String::new() });
                    }
                    after.remove(tag.definition.name.as_str());
                }
                for (id, definition) in changes {
                    if after.insert(definition.name.as_str(), *id).is_some() {
                        return Err(Error::Exists(definition.name.clone()));
                    }
                }
                Ok(())
            }
            Step::Delete(tags) => {
                let mut seen = BTreeSet::new();
                for id in tags {
                    live(id)?;
                    if !seen.insert(*id) {
                        return Err(Error::Invalid { name: String::new(), problem: String::new() });
                    }
                }
                Ok(())
            }
        }
    }

    /// The table after a step; itself where the step is not allowed.
    pub fn after(&self, step: &Step, simulation: &Simulation) -> Model {
        let mut after = self.clone();
        if self.verdict(step).is_err() {
            return after;
        }
        let now = Timestamp(simulation.clock.wall_us());
        match step {
            Step::Create(definitions) => {
                for definition in definitions {
                    let id = TagId(after.tags.len() as u64);
                    after.tags.push(Ok(Tag { id, definition: definition.clone(), created: now, changed: now }));
                }
            }
            Step::Change(changes) => {
                for (id, definition) in changes {
                    if let Ok(tag) = &mut after.tags[id.0 as usize] {
                        tag.definition = definition.clone();
                        tag.changed = now;
                    }
                }
            }
            Step::Delete(tags) => {
                for id in tags {
                    if let Ok(tag) = &after.tags[id.0 as usize] {
                        after.tags[id.0 as usize] = Err(tag.definition.kind);
                    }
                }
            }
        }
        after
    }

    /// Asks the catalog everything there is to ask.
    pub fn compare(&self, catalog: &Catalog, dice: &mut Dice) {
        assert_eq!(catalog.ordinals(), self.tags.len() as u64);
        assert_eq!(catalog.len(), self.live().count() as u64);
        assert_eq!(catalog.kind(TagId(self.tags.len() as u64)), None);
        for _ in 0..8 {
            let id = self.live_id(dice);
            let tag = self.tags.get(id.0 as usize);
            assert_eq!(catalog.get(id), tag.and_then(|tag| tag.as_ref().ok()).cloned());
            let kind = tag.map(|tag| tag.as_ref().map_or_else(|kind| *kind, |tag| tag.definition.kind));
            assert_eq!(catalog.kind(id), kind);
            let name = tag.and_then(|tag| tag.as_ref().ok()).map_or_else(|| dice.name(), |tag| tag.definition.name.clone());
            let expect = self.live().find(|tag| tag.definition.name == name).map(|tag| tag.id);
            assert_eq!(catalog.find(&name), expect, "{name}");
            assert_eq!(catalog.find_many(&[&name, "absent"]), [expect, None]);
        }
        let ids: Vec<TagId> = (0..20).map(|_| self.live_id(dice)).collect();
        let mut names = Vec::new();
        catalog.names(&ids, |name| names.push(name.map(str::to_owned)));
        let name =
            |id: &TagId| self.tags.get(id.0 as usize).and_then(|tag| tag.as_ref().ok()).map(|tag| tag.definition.name.clone());
        assert_eq!(names, ids.iter().map(name).collect::<Vec<_>>());
        let from = self.live_id(dice);
        let page: Vec<Tag> = self.live().filter(|tag| tag.id >= from).take(7).cloned().collect();
        assert_eq!(catalog.page(from, 7), page);
        self.compare_selection(catalog, dice);
    }

    fn compare_selection(&self, catalog: &Catalog, dice: &mut Dice) {
        let value = |dice: &mut Dice| dice.pick(&["", "a", "b", "unheard of"]).to_owned();
        let mut filter = TagFilter::default();
        if dice.below(3) == 0 {
            filter.names = Some((0..3).map(|_| dice.name()).collect());
        }
        if dice.below(3) == 0 {
            filter.prefix = Some(dice.pick(&["grid.1", "g", "x", "nothing"]).to_owned());
        }
        if dice.below(3) == 0 {
            filter.pattern = Some(regex::Regex::new("[0-4]\\.[1-3]+$|压").expect("it parses"));
        }
        if dice.below(3) == 0 {
            filter.conditions.push(LabelCondition::OneOf("area".to_owned(), vec![value(dice)]));
        }
        if dice.below(2) == 0 {
            let key = dice.pick(&["type", "zone", "no such key"]).to_owned();
            filter.conditions.push(match dice.below(4) {
                0 => LabelCondition::Present(key),
                1 => LabelCondition::Absent(key),
                2 => LabelCondition::OneOf(key, vec![value(dice), value(dice)]),
                _ => LabelCondition::NotOneOf(key, vec![value(dice), value(dice)]),
            });
        }
        let expect: Vec<TagId> = self.live().filter(|tag| fits(&tag.definition, &filter)).map(|tag| tag.id).collect();
        assert_eq!(catalog.select(&filter), expect, "{filter:?}");
    }
}

fn fits(definition: &TagDefinition, filter: &TagFilter) -> bool {
    let label = |key: &str| definition.labels.iter().find(|(other, _)| other == key).map(|(_, value)| value);
    let condition = |condition: &LabelCondition| match condition {
        LabelCondition::Present(key) => label(key).is_some(),
        LabelCondition::Absent(key) => label(key).is_none(),
        LabelCondition::OneOf(key, values) => label(key).is_some_and(|value| values.contains(value)),
        LabelCondition::NotOneOf(key, values) => label(key).is_some_and(|value| !values.contains(value)),
    };
    filter.names.as_ref().is_none_or(|names| names.contains(&definition.name))
        && filter.prefix.as_ref().is_none_or(|prefix| definition.name.starts_with(prefix.as_str()))
        && filter.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&definition.name))
        && filter.conditions.iter().all(condition)
}
