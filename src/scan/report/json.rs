//! Reading JSON piece by piece: arrays whose elements are handled one at a time, and objects of
//! which only some fields are looked at.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::scan::beginning;

/// Hands each element of an array to a function; `null` is an empty array. Whether there was an
/// array at all is the answer.
pub(super) struct Each<F, T>(F, PhantomData<T>);

impl<F, T> Each<F, T> {
    pub(super) fn new(f: F) -> Self {
        Self(f, PhantomData)
    }
}

impl<'de, F, T> DeserializeSeed<'de> for Each<F, T>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), String>,
{
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F, T> Visitor<'de> for Each<F, T>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), String>,
{
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(element) = seq.next_element()? {
            (self.0)(element).map_err(A::Error::custom)?;
        }
        Ok(true)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// Reads the fields of an object in the order they come; see [`fields`].
pub(super) trait Fields<'de> {
    /// What the object is, for messages: "a Trivy result".
    const WHAT: &'static str;

    /// Reads the value of one field, with one call on `map`.
    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// Is called behind the last field.
    fn end(&mut self) {}
}

/// Fields of one object; scanners write a few dozen.
const FIELDS_MAX: usize = 10_000;

/// Reads an object into something that takes fields as they come; `null` has none.
pub(super) struct Object<'o, T>(pub(super) &'o mut T);

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                let name = beginning(&name);
                return Err(A::Error::custom(format!("the key `{name}` is given twice")));
            }
            if seen.len() == FIELDS_MAX {
                return Err(A::Error::custom(format!("more than {FIELDS_MAX} keys in one object")));
            }
            self.0.field(&name, &mut map)?;
            seen.insert(name);
        }
        self.0.end();
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A map none of whose keys is given twice; `null` is an empty one.
#[derive(Debug)]
pub struct Unique<T>(pub BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Entries(BTreeMap::new());
        deserializer.deserialize_any(Object(&mut entries))?;
        Ok(Self(entries.0))
    }
}

struct Entries<T>(BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Fields<'de> for Entries<T> {
    const WHAT: &'static str = "an object";

    fn field<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.0.insert(name.to_owned(), map.next_value()?);
        Ok(())
    }
}

/// Passes over the value of a field.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<serde::de::IgnoredAny>().map(drop)
}

/// An array of objects, each read into the same thing; `null` is an empty one.
pub(super) struct Objects<'o, T>(pub(super) &'o mut T);

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Objects<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Objects<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Object(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}
