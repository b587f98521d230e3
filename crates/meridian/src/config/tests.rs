//! Configuration: precedence, suggestions, ranges, and that everything made from the table agrees.

use super::sources::{Origin, parse_file};
use super::values::Value;
use super::*;
use std::collections::HashMap;
use std::path::Path;

fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_text(file: &str, env: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Loaded, String> {
    let path =
        std::env::temp_dir().join(format!("meridian-config-{}-{:?}.toml", std::process::id(), std::thread::current().id()));
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(&path, file).unwrap();
    let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let loaded = load(Some(&path), &environment(env), &flags).map_err(|error| error.to_string());
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::remove_file(&path).unwrap();
    loaded
}

#[test]
fn flags_over_environment_over_file_over_default() {
    let file = "log_level = \"a\"\nconnections_max = 7\nlog_bytes_max = \"1GiB\"";
    let env = [("MERIDIAN_LOG_LEVEL", "b"), ("MERIDIAN_CONNECTIONS_MAX", "8")];
    let loaded = load_text(file, &env, &[("log_level", "c")]).unwrap();
    assert_eq!(loaded.config.log_level, "c");
    assert_eq!(loaded.origins["log_level"], Origin::Flag("log-level".into()));
    assert_eq!(loaded.config.connections_max, 8);
    assert_eq!(loaded.origins["connections_max"], Origin::Environment("MERIDIAN_CONNECTIONS_MAX".into()));
    assert_eq!(loaded.config.log_bytes_max.bytes(), 1 << 30);
    assert!(matches!(loaded.origins["log_bytes_max"], Origin::File(_)));
    assert_eq!(loaded.origins["period"], Origin::Default);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let rows: &[Row<'_>] = &[
        ("memory_byte = \"1GiB\"", &[], &["no setting \"memory_byte\"", "did you mean \"memory_bytes\""]),
        ("[memory]\nbytes = 1", &[], &["no setting \"memory\"", "did you mean"]),
        ("zzzzzzzzzzzzzz = 1", &[], &["--print-config"]),
        ("a = = 1", &[], &["is not TOML"]),
        ("pg = \"5432\"", &[], &["setting pg", "HOST:PORT", "from file"]),
        ("connections_max = 0", &[], &["out of its range, 1 to 100000"]),
        ("dir = [1]", &[], &["array"]),
        ("", &[("MERIDIAN_DURABILITY", "sometimes")], &["neither commit nor a duration", "from environment MERIDIAN_DURABILITY"]),
        ("memory_bytes = \"1GiB\"\nbuffer_bytes_max = \"900MiB\"", &[], &["more than memory_bytes"]),
        (
            "segment_bytes = \"9MiB\"\nlog_bytes_max = \"64MiB\"",
            &[],
            &["setting segment_bytes", "9MiB is more than an eighth of log_bytes_max (64MiB)", "at most 8MiB"],
        ),
        ("segment_bytes = \"1GiB\"", &[], &["an eighth of log_bytes_max (4GiB)"]),
        ("rule_w1 = 0", &[], &["not both 0"]),
    ];
    for (file, env, expected) in rows {
        let error = load_text(file, env, &[]).expect_err(file);
        for part in *expected {
            assert!(error.contains(part), "{file:?}: {error:?} lacks {part:?}");
        }
    }
}

#[test]
fn shares_of_memory_stay_within_the_budget() {
    for memory in ["128MiB", "1GiB", "64TiB"] {
        let config = load_text("", &[("MERIDIAN_MEMORY_BYTES", memory)], &[]).unwrap().config;
        let sum = config.buffer_bytes_max.bytes() + config.cache_bytes_max.bytes() + config.query_bytes_max.bytes();
        assert!(sum <= config.memory_bytes.bytes(), "{memory}");
        assert_eq!(config.kernel().memory_bytes, config.memory_bytes.bytes());
    }
}

#[test]
fn a_log_has_eight_segments_at_least() {
    for (log, segment) in [("64MiB", 8 << 20), ("1GiB", 128 << 20), ("4GiB", 256 << 20), ("16TiB", 256 << 20)] {
        let config = load_text("", &[("MERIDIAN_LOG_BYTES_MAX", log)], &[]).unwrap().config;
        assert_eq!(config.kernel().segment_bytes, segment, "{log}");
    }
    // A store of which no directory is named yet may have all of it.
    assert_eq!(load_text("", &[], &[]).unwrap().config.kernel().log_bytes_max, 4 << 30);
    let config = load_text("segment_bytes = \"8MiB\"\nlog_bytes_max = \"64MiB\"", &[], &[]).unwrap().config;
    assert_eq!(config.kernel().segment_bytes, 8 << 20);
}

#[test]
fn unknown_variables_are_told_and_do_no_harm() {
    let loaded = load_text("", &[("MERIDIAN_PORT", "tcp://10.0.0.1"), ("MERIDIAN_CONFIG", "x"), ("PATH", "y")], &[]).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("MERIDIAN_PORT"));
}

#[test]
fn the_values_in_force_can_be_used_as_a_file() {
    let loaded = load_text("retention = \"30d\"\nperiod = \"1h\"\nthreads = 3", &[], &[("pg", "[::1]:0")]).unwrap();
    let printed = print_config(&loaded);
    let again: HashMap<_, _> = parse_file(Path::new("printed"), &printed).unwrap().into_iter().collect();
    for (name, value) in loaded.config.shown() {
        assert_eq!(again[name], value, "{name}");
    }
    assert!(printed.contains("# flag --pg") && printed.contains("# default auto"), "{printed}");
}

#[test]
fn a_secret_is_never_shown() {
    let loaded = load_text("password = \"hunter2\"", &[], &[]).unwrap();
    assert_eq!(loaded.config.password.0.as_deref(), Some("hunter2"));
    assert!(!print_config(&loaded).contains("hunter2") && !format!("{loaded:?}").contains("hunter2"));
    assert!(print_config(&loaded).contains("# password = (hidden)"));
}

#[test]
fn every_default_is_in_its_range_and_every_range_can_be_read() {
    let loaded = load(None, &HashMap::new(), &HashMap::new()).unwrap();
    assert_eq!(loaded.config.shown().len(), SETTINGS.len());
    for setting in SETTINGS {
        for end in setting.range.iter().flat_map(|(low, high)| [low, high]) {
            let flags = HashMap::from([(setting.name, (*end).to_owned())]);
            if let Err(error) = load(None, &HashMap::new(), &flags) {
                // An end of a range may clash with another setting, but is never unreadable itself.
                let clash =
                    matches!(error, ConfigError::Budget { .. }) || error.to_string().contains("an eighth of log_bytes_max");
                assert!(clash || setting.name.starts_with("rule_"), "{}: {error}", setting.name);
            }
        }
        assert!(!setting.paragraph().is_empty());
    }
}

#[test]
fn addresses_and_words_are_read() {
    assert_eq!(Listen::parse("none"), Ok(Listen(None)));
    assert_eq!(Listen::parse(" 0.0.0.0:0 "), Ok(Listen(Some("0.0.0.0:0".into()))));
    for wrong in ["localhost", ":5432", "::1:5432", "a:70000", "a:b"] {
        assert!(Listen::parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(bool::parse("on"), Ok(true));
    assert!(LogFormat::parse("xml").is_err());
}

#[test]
fn the_docs_page_is_the_one_that_is_made() {
    let page = include_str!("../../../../docs/configuration.md");
    assert!(page == docs_page(), "docs/configuration.md is stale: write it with `meridian config-docs > docs/configuration.md`");
}

#[test]
fn the_file_to_begin_with_has_every_setting_with_its_default() {
    let example = example_file();
    let in_force = parse_file(Path::new("example"), &example).unwrap();
    assert_eq!(in_force, [("dir", "/var/lib/meridian".to_owned())]);
    // Prose begins with "# ", a setting that is commented out with "#" alone.
    fn setting(line: &str) -> Option<&str> {
        line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_ascii_lowercase()))
    }
    let bare: Vec<&str> = example.lines().filter_map(setting).collect();
    let all: HashMap<_, _> = parse_file(Path::new("all"), &bare.join("\n")).unwrap().into_iter().collect();
    for known in SETTINGS.iter().filter(|known| known.name != "dir") {
        assert_eq!(all.get(known.name).map(String::as_str), Some(known.default), "{}", known.name);
        assert!(example.contains(known.section), "{}", known.section);
    }
    assert_eq!(all.len() + 1, SETTINGS.len());
    load(None, &HashMap::new(), &all).unwrap();
}
