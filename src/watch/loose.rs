//! An object as it came: its metadata, and the text of all of it.
//!
//! Whatever the API server stores can be read as this, so that one malformed object never stops
//! a stream nor hides its own deletion. What the text means is decided by the shelf it is for.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One object of any kind.
#[derive(Clone, Debug)]
pub struct Loose {
    /// What is needed of `metadata`.
    pub meta: Meta,
    /// The whole object as JSON.
    pub raw: Box<RawValue>,
}

/// What is needed of `metadata`; a field that is missing or of a wrong type is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty for what is cluster-scoped.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
}

impl Meta {
    /// What the object is known by within its kind.
    pub fn key(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let meta = meta_of(&raw);
        Ok(Self { meta, raw })
    }
}

fn meta_of(raw: &RawValue) -> Meta {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        metadata: Option<&'a RawValue>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Fields {
        name: serde_json::Value,
        namespace: serde_json::Value,
        uid: serde_json::Value,
        resource_version: serde_json::Value,
        generation: serde_json::Value,
        labels: serde_json::Value,
    }
    let metadata = serde_json::from_str::<Head<'_>>(raw.get()).ok().and_then(|head| head.metadata);
    let fields: Fields =
        metadata.and_then(|metadata| serde_json::from_str(metadata.get()).ok()).unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        _ => String::new(),
    };
    let labels = match fields.labels {
        serde_json::Value::Object(labels) => {
            labels.into_iter().map(|(key, value)| (key, text(value))).collect()
        }
        _ => BTreeMap::new(),
    };
    Meta {
        name: text(fields.name),
        namespace: text(fields.namespace),
        uid: text(fields.uid),
        resource_version: text(fields.resource_version),
        generation: fields.generation.as_i64().unwrap_or(0),
        labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_can_be_read() {
        let read = |text: &str| serde_json::from_str::<Loose>(text).expect("any JSON").meta;
        assert_eq!(read("5"), Meta::default());
        assert_eq!(read(r#"{"metadata":[1]}"#), Meta::default());
        let meta =
            read(r#"{"metadata":{"name":"a","resourceVersion":7,"labels":{"k":"v","n":1}}}"#);
        assert_eq!(meta.name, "a");
        assert_eq!(meta.resource_version, "");
        assert_eq!(meta.labels.get("k").map(String::as_str), Some("v"));
        let meta = read(r#"{"metadata":{"name":"a","namespace":"b","generation":3},"spec":null}"#);
        assert_eq!((meta.key().as_str(), meta.generation), ("b/a", 3));
    }
}
