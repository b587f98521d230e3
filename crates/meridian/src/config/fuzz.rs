//! A bounded fuzz of the configuration reader: files made of right and wrong lines, and files that
//! were cut and flipped, never make it panic; an unknown key is always named.

use super::sources::parse_file;
use super::*;
use std::collections::HashMap;
use std::path::Path;

const ROUNDS: u64 = 3000;

/// SplitMix64: a seed is enough to see a failure again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const VALUES: [&str; 16] = [
    "1",
    "-1",
    "0",
    "9223372036854775807",
    "1.5",
    "nan",
    "true",
    "\"1GiB\"",
    "\"200ms\"",
    "\"auto\"",
    "\"none\"",
    "\"\"",
    "\"\\u00e9\"",
    "\"127.0.0.1:0\"",
    "[1, 2]",
    "{ a = 1 }",
];
const STRANGERS: [&str; 6] = ["memory", "pgg", "a-b", "\"quoted key\"", "x", "rule_w9"];

#[test]
fn no_file_makes_it_panic_and_unknown_keys_are_named() {
    let mut outcomes = [0_u32; 2];
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let mut file = String::new();
        let mut stranger = None;
        let mut names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        for _ in 0..dice.below(4) {
            let name = names.swap_remove(dice.below(names.len()));
            file.push_str(&format!("{name} = {}\n", dice.pick(&VALUES)));
        }
        if dice.below(4) == 0 {
            let name = dice.pick(&STRANGERS);
            file.push_str(&format!("{name} = 1\n"));
            stranger = Some(name.trim_matches('"'));
        }
        match parse_file(Path::new("f"), &file) {
            Err(ConfigError::UnknownKey { key, .. }) => assert_eq!(Some(key.as_str()), stranger, "seed {seed}: {file}"),
            // A value that can't stand is found where the file is read, before or after the stranger.
            Err(ConfigError::Value { name, .. }) => assert!(file.contains(name), "seed {seed}: {file}"),
            Err(error) => panic!("seed {seed}: {error}\n{file}"),
            Ok(found) => {
                assert_eq!(stranger, None, "seed {seed}: {file}");
                let flags: HashMap<&'static str, String> = found.into_iter().collect();
                outcomes[usize::from(load(None, &HashMap::new(), &flags).is_ok())] += 1;
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 50), "both refused and taken files were tried: {outcomes:?}");
}

#[test]
fn no_bytes_make_it_panic() {
    let whole = print_config(&load(None, &HashMap::new(), &HashMap::new()).unwrap());
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(3) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = dice.below(256) as u8,
                _ => {
                    let to = (at + dice.below(40)).min(bytes.len());
                    bytes.drain(at..to);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if let Ok(found) = parse_file(Path::new("f"), &text) {
            let flags: HashMap<&'static str, String> = found.into_iter().collect();
            // Refused or taken: either is well, as long as it is one of the two.
            let _ = load(None, &HashMap::new(), &flags);
        }
    }
}

#[test]
fn no_variable_makes_it_panic() {
    for seed in 0..ROUNDS {
        let mut dice = Dice(seed);
        let setting = &SETTINGS[dice.below(SETTINGS.len())];
        let mut value: String = dice.pick(&VALUES).trim_matches('"').to_owned();
        for _ in 0..dice.below(3) {
            let at = dice.below(value.chars().count() + 1);
            let at = value.char_indices().nth(at).map_or(value.len(), |(at, _)| at);
            value.insert(at, char::from_u32(dice.below(0x300) as u32).unwrap_or('x'));
        }
        let environment = HashMap::from([(setting.variable(), value.clone())]);
        if let Err(error) = load(None, &environment, &HashMap::new()) {
            let said = error.to_string();
            assert!(
                said.contains(setting.name) || said.contains("memory_bytes") || said.contains("rule_"),
                "{}={value}: {said}",
                setting.name
            );
        }
    }
}
