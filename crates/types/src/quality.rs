//! Quality: the OPC quality byte and its names in SQL.
//!
//! The byte is kept as it came, all 256 values; names are only another way to write it.
//! Source: OPC Data Access 3.0, section 6.8 (quality flags QQSSSSLL).

use std::fmt;

/// The OPC quality byte. 192 (good) is the usual one, and costs nothing where it is the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Quality(pub u8);

impl Default for Quality {
    fn default() -> Self {
        Quality::GOOD
    }
}

const NAMES: &[(u8, &str)] = &[
    (0, "bad"),
    (4, "bad_configuration_error"),
    (8, "bad_not_connected"),
    (12, "bad_device_failure"),
    (16, "bad_sensor_failure"),
    (20, "bad_last_known_value"),
    (24, "bad_comm_failure"),
    (28, "bad_out_of_service"),
    (32, "bad_waiting_for_initial_data"),
    (64, "uncertain"),
    (68, "uncertain_last_usable_value"),
    (80, "uncertain_sensor_not_accurate"),
    (84, "uncertain_units_exceeded"),
    (88, "uncertain_sub_normal"),
    (192, "good"),
    (216, "good_local_override"),
];

impl Quality {
    /// Good, non-specific.
    pub const GOOD: Quality = Quality(192);
    /// Bad, non-specific.
    pub const BAD: Quality = Quality(0);
    /// Uncertain, non-specific.
    pub const UNCERTAIN: Quality = Quality(64);

    /// Whether the two highest bits say good.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.0 & 0xC0 == 0xC0
    }

    /// The byte's name, where the standard gives one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(byte, _)| *byte == self.0).map(|(_, name)| *name)
    }

    /// The quality that a name or a decimal number (0 to 255) stands for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Quality> {
        let text = text.trim();
        if let Ok(byte) = text.parse::<u8>() {
            return Some(Quality(byte));
        }
        NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(byte, _)| Quality(*byte))
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => self.0.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_reads_back_from_its_text() {
        for byte in 0..=u8::MAX {
            assert_eq!(Quality::parse(&Quality(byte).to_string()), Some(Quality(byte)));
        }
        assert_eq!(Quality::parse("GOOD"), Some(Quality::GOOD));
        assert_eq!(Quality::parse("256"), None);
        assert!(Quality(216).is_good() && !Quality(64).is_good() && !Quality(0).is_good());
    }
}
