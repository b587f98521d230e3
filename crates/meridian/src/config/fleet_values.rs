//! The types of a fleet's settings: what a process does, where what is agreed is kept, where it stands.
//!
//! Promises: what is shown can be read again.

use super::values::Value;
use cluster::fleet::Roles;
use protocol::Mode;

/// What a process does; None = alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleSetting(pub Option<Roles>);

impl Value for RoleSetting {
    const UNIT: &'static str = "alone, or of manager, scheduler, data with commas";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("alone") {
            return Ok(RoleSetting(None));
        }
        let mut roles = Roles::default();
        for word in text.split([',', '+']).map(|word| word.trim().to_ascii_lowercase()) {
            match word.as_str() {
                "manager" => roles.manager = true,
                "scheduler" => roles.scheduler = true,
                "data" => roles.data = true,
                _ => return Err(format!("\"{word}\" is none of alone, manager, scheduler, data")),
            }
        }
        Ok(RoleSetting(Some(roles)))
    }

    fn show(&self) -> String {
        let Some(roles) = self.0 else { return "alone".to_owned() };
        let words = [(roles.manager, "manager"), (roles.scheduler, "scheduler"), (roles.data, "data")];
        words.iter().filter(|(plays, _)| *plays).map(|(_, word)| *word).collect::<Vec<_>>().join(",")
    }
}

/// Where what is agreed is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinSetting {
    /// In this process.
    Own,
    /// In a lone manager: `https://HOST:PORT`.
    Manager(Vec<String>),
    /// In an etcd: `HOST:PORT` of its members.
    Etcd(Vec<String>),
}

impl Value for JoinSetting {
    const UNIT: &'static str = "self, https://HOST:PORT or etcd://HOST:PORT,..";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("self") {
            return Ok(JoinSetting::Own);
        }
        let places = |rest: &str| -> Result<Vec<String>, String> {
            let places: Vec<String> = rest.split(',').map(|place| place.trim().trim_end_matches('/').to_owned()).collect();
            match places
                .iter()
                .find(|place| !place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()))
            {
                Some(wrong) => Err(format!("\"{wrong}\" is not HOST:PORT")),
                None => Ok(places),
            }
        };
        if let Some(rest) = text.strip_prefix("etcd://") {
            return places(rest).map(JoinSetting::Etcd);
        }
        if let Some(rest) = text.strip_prefix("https://") {
            let places = places(&rest.replace("https://", ""))?;
            return Ok(JoinSetting::Manager(places.into_iter().map(|place| format!("https://{place}")).collect()));
        }
        Err(format!("\"{text}\" is neither self, nor an address that begins with https:// or etcd://"))
    }

    fn show(&self) -> String {
        match self {
            JoinSetting::Own => "self".to_owned(),
            JoinSetting::Manager(places) => places.join(","),
            JoinSetting::Etcd(places) => format!("etcd://{}", places.join(",")),
        }
    }
}

/// The setting as text.
#[must_use]
pub fn shown(join: &JoinSetting) -> String {
    join.show()
}

/// Where a process stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    /// Its region; may be empty.
    pub region: String,
    /// Its zone, or rack; may be empty.
    pub zone: String,
}

impl Value for Locality {
    const UNIT: &'static str = "region=NAME,zone=NAME or none";

    fn parse(text: &str) -> Result<Self, String> {
        let mut locality = Locality::default();
        if text.trim().is_empty() || text.trim() == "none" {
            return Ok(locality);
        }
        for part in text.split(',') {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim().to_owned())) {
                Some(("region", value)) => locality.region = value,
                Some(("zone" | "rack", value)) => locality.zone = value,
                _ => return Err(format!("\"{part}\" is neither region=NAME nor zone=NAME")),
            }
        }
        Ok(locality)
    }

    fn show(&self) -> String {
        let named = [("region", &self.region), ("zone", &self.zone)];
        let parts: Vec<String> =
            named.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}")).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(",") }
    }
}

/// How slices are replicated: sync, or by how many records copies may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationSetting(pub Option<u64>);

impl ReplicationSetting {
    /// When a write is answered, as text says it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn mode_of(text: &str) -> Result<Mode, String> {
        ReplicationSetting::parse(text).map(ReplicationSetting::mode)
    }

    /// When a write is answered.
    #[must_use]
    pub fn mode(self) -> Mode {
        self.0.map_or(Mode::Sync, |lag_records_max| Mode::Async { lag_records_max })
    }
}

impl Value for ReplicationSetting {
    const UNIT: &'static str = "sync, or a number of records";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("sync") {
            return Ok(ReplicationSetting(None));
        }
        match text.trim().parse::<u64>() {
            Ok(lag) if (1..=1_000_000_000).contains(&lag) => Ok(ReplicationSetting(Some(lag))),
            _ => Err(format!("\"{text}\" is neither sync nor a number of records from 1 to 1000000000")),
        }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "sync".to_owned(), |lag| lag.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again<T: Value + PartialEq + std::fmt::Debug>(text: &str) -> String {
        let value = T::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        let shown = value.show();
        assert_eq!(T::parse(&shown), Ok(value));
        shown
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        assert_eq!(again::<RoleSetting>(" data, Manager"), "manager,data");
        assert_eq!(again::<RoleSetting>("alone"), "alone");
        assert_eq!(again::<JoinSetting>("self"), "self");
        assert_eq!(again::<JoinSetting>("https://m1:7400/"), "https://m1:7400");
        assert_eq!(again::<JoinSetting>("https://m1:7400, https://m2:7400"), "https://m1:7400,https://m2:7400");
        assert_eq!(again::<JoinSetting>("etcd://a:2379,b:2379"), "etcd://a:2379,b:2379");
        assert_eq!(again::<Locality>("zone=r7, region=north"), "region=north,zone=r7");
        assert_eq!(again::<Locality>("none"), "none");
        assert_eq!(again::<ReplicationSetting>("sync"), "sync");
        assert_eq!(again::<ReplicationSetting>("5000"), "5000");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(RoleSetting::parse("worker").is_err() && RoleSetting::parse("").is_err());
        for wrong in ["m1:7400", "https://m1", "etcd://", "etcd://a:b", "http://m1:1"] {
            assert!(JoinSetting::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Locality::parse("north").is_err() && Locality::parse("shelf=2").is_err());
        assert!(ReplicationSetting::parse("async").is_err() && ReplicationSetting::parse("0").is_err());
    }
}
