//! The types of the settings of traces: where they go, and how many.
//!
//! Promises: as all types of settings.

use super::values::Value;

/// Where spans are told, or "none".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector(pub Option<String>);

impl Value for Collector {
    const UNIT: &'static str = "URL or none";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(Collector(None));
        }
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let is_url =
            host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains(char::is_whitespace));
        if is_url {
            Ok(Collector(Some(text.to_owned())))
        } else {
            Err(format!("\"{text}\" is no place of a collector; write http://HOST:PORT or https://HOST:PORT, or none"))
        }
    }

    fn show(&self) -> String {
        self.0.clone().unwrap_or_else(|| "none".to_owned())
    }
}

/// How a collector is spoken to, in the words of OpenTelemetry's own variable OTEL_EXPORTER_OTLP_PROTOCOL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

impl Value for OtlpProtocol {
    const UNIT: &'static str = "http/protobuf or grpc";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "http/protobuf" => Ok(OtlpProtocol::Http),
            "grpc" => Ok(OtlpProtocol::Grpc),
            _ => Err(format!("\"{text}\" is no protocol of a collector that is spoken here; there are http/protobuf and grpc")),
        }
    }

    fn show(&self) -> String {
        match self {
            OtlpProtocol::Http => "http/protobuf",
            OtlpProtocol::Grpc => "grpc",
        }
        .to_owned()
    }
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

impl Value for Share {
    const UNIT: &'static str = "number from 0 to 1";

    fn parse(text: &str) -> Result<Self, String> {
        let share = text.trim().parse::<f64>().ok().filter(|share| share.is_finite());
        share.map(Share).ok_or_else(|| format!("\"{text}\" is no number such as 0.01"))
    }

    fn show(&self) -> String {
        self.0.to_string()
    }

    fn measure(&self) -> Option<f64> {
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_shares_are_read_as_they_are_shown() {
        for text in ["none", "http://127.0.0.1:4318", "https://collector.example/otlp"] {
            assert_eq!(Collector::parse(text).expect("it is one").show(), text);
        }
        for text in ["127.0.0.1:4318", "http://", "http://:4318", "grpc://c:4317", "http://a b"] {
            assert!(Collector::parse(text).is_err(), "{text}");
        }
        for text in ["http/protobuf", "grpc"] {
            assert_eq!(OtlpProtocol::parse(text).expect("it is one").show(), text);
        }
        assert!(OtlpProtocol::parse("http/json").is_err());
        for text in ["0", "0.25", "1"] {
            assert_eq!(Share::parse(text).expect("it is one").show(), text);
        }
        assert!(Share::parse("NaN").is_err() && Share::parse("half").is_err());
    }
}
