//! The object under review: its outline first, its labels and owners when they are needed.
//!
//! Where its pod spec is and what is in it are `workload`'s and `image`'s. Start at
//! [`Object::read`].

use bumpalo::Bump;

use super::fault::{Fault, Place, Problem};
use super::fields::{Fields, enter_list};
use super::json::{Cursor, Json};
use super::limits::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, OWNERS_MAX};

/// What an object under review says of itself, before its labels, owners or pod spec are read.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// `object` or `oldObject`, for faults.
    pub root: &'static str,
    /// `metadata.name`, else `metadata.generateName`.
    pub name: &'a str,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleted: bool,
    /// `spec`, not read yet.
    pub spec: Option<Json<'a>>,
    labels: Option<Json<'a>>,
    owners: Option<Json<'a>>,
}

/// One of an object's `metadata.ownerReferences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Owner<'a> {
    /// Group and version.
    pub api_version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Name.
    pub name: &'a str,
    /// Identity.
    pub uid: &'a str,
    /// Whether it is the managing controller.
    pub controller: bool,
}

impl<'a> Object<'a> {
    /// Reads the outline of an object.
    ///
    /// # Errors
    /// A field of another kind than expected, or given twice.
    pub fn read(root: &'static str, json: Json<'a>, arena: &'a Bump) -> Result<Self, Fault<'a>> {
        let place = Place::at(root, &[]);
        let mut object =
            Self { root, name: "", deleted: false, spec: None, labels: None, owners: None };
        let cursor = &mut Cursor::new(json);
        let mut fields = Fields::open(cursor, arena, &place)?;
        while let Some(key) = fields.key() {
            match key {
                "metadata" => {
                    fields.once(0, key)?;
                    object.metadata(fields.cursor, arena)?;
                }
                "spec" => {
                    fields.once(1, key)?;
                    object.spec = fields.present();
                }
                _ => fields.pass(),
            }
        }
        Ok(object)
    }

    fn metadata(&mut self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<(), Fault<'a>> {
        let place = Place::at(self.root, &["metadata"]);
        let (mut name, mut generate_name) = ("", "");
        let mut fields = Fields::open(cursor, arena, &place)?;
        while let Some(key) = fields.key() {
            let bit = match key {
                "name" => {
                    name = fields.string("name", usize::MAX)?;
                    0
                }
                "generateName" => {
                    generate_name = fields.string("generateName", usize::MAX)?;
                    1
                }
                "labels" => {
                    self.labels = fields.present();
                    2
                }
                "ownerReferences" => {
                    self.owners = fields.present();
                    3
                }
                "deletionTimestamp" => {
                    self.deleted = fields.present().is_some();
                    4
                }
                _ => {
                    fields.pass();
                    continue;
                }
            };
            fields.once(bit, key)?;
        }
        self.name = if name.is_empty() { generate_name } else { name };
        Ok(())
    }

    /// `metadata.labels`, sorted by key.
    ///
    /// # Errors
    /// A fault of shape, a limit, or a key given twice.
    pub fn labels(&self, arena: &'a Bump) -> Result<&'a [(&'a str, &'a str)], Fault<'a>> {
        let place = Place::at(self.root, &["metadata", "labels"]);
        let Some(json) = self.labels else { return Ok(&[]) };
        let cursor = &mut Cursor::new(json);
        let mut labels = bumpalo::collections::Vec::new_in(arena);
        let mut fields = Fields::open(cursor, arena, &place)?;
        while let Some(key) = fields.key() {
            if labels.len() == LABELS_MAX {
                return Err(Fault::new(place, Problem::TooMany("labels", LABELS_MAX)));
            }
            if key.len() > LABEL_KEY_BYTES_MAX {
                return Err(Fault::new(place, Problem::TooLong(key.len(), LABEL_KEY_BYTES_MAX)));
            }
            labels.push((key, fields.string("", LABEL_VALUE_BYTES_MAX)?));
        }
        // PERF: the API server sends them sorted; one pass tells that, and that no key is twice.
        if labels.is_sorted_by(|one, two| one.0 < two.0) {
            return Ok(labels.into_bump_slice());
        }
        labels.sort_unstable();
        let twice = labels.windows(2).find_map(|pair| match pair {
            [one, two] if one.0 == two.0 => Some(one.0),
            _ => None,
        });
        if let Some(key) = twice {
            return Err(Fault::new(place, Problem::Twice(key)));
        }
        Ok(labels.into_bump_slice())
    }

    /// `metadata.ownerReferences`, in their order.
    ///
    /// # Errors
    /// A fault of shape, or a limit.
    pub fn owners(&self, arena: &'a Bump) -> Result<&'a [Owner<'a>], Fault<'a>> {
        const LIST: &str = "ownerReferences";
        let place = Place::at(self.root, &["metadata"]);
        let Some(json) = self.owners else { return Ok(&[]) };
        let cursor = &mut Cursor::new(json);
        let mut owners = bumpalo::collections::Vec::new_in(arena);
        enter_list(cursor, &place, LIST)?;
        while cursor.item() {
            if owners.len() == OWNERS_MAX {
                let problem = Problem::TooMany("owner references", OWNERS_MAX);
                return Err(Fault::new(place.field(LIST), problem));
            }
            owners.push(read_owner(cursor, &place.item(LIST, owners.len()), arena)?);
        }
        Ok(owners.into_bump_slice())
    }
}

fn read_owner<'a>(
    cursor: &mut Cursor<'a>,
    place: &Place,
    arena: &'a Bump,
) -> Result<Owner<'a>, Fault<'a>> {
    let mut owner = Owner::default();
    let mut fields = Fields::open(cursor, arena, place)?;
    while let Some(key) = fields.key() {
        let bit = match key {
            "apiVersion" => {
                owner.api_version = fields.string("apiVersion", usize::MAX)?;
                0
            }
            "kind" => {
                owner.kind = fields.string("kind", usize::MAX)?;
                1
            }
            "name" => {
                owner.name = fields.string("name", usize::MAX)?;
                2
            }
            "uid" => {
                owner.uid = fields.string("uid", usize::MAX)?;
                3
            }
            "controller" => {
                owner.controller = fields.truth("controller")?;
                4
            }
            _ => {
                fields.pass();
                continue;
            }
        };
        fields.once(bit, key)?;
    }
    Ok(owner)
}
