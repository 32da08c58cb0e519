//! Every container image of a pod spec, in the order in which they are decided:
//! `initContainers`, `containers`, `ephemeralContainers`, image volumes
//! (spec: policy, "Evaluation", 4).
//!
//! What an image string means is `reference`'s; here it is text. Start at [`read`].

use bumpalo::Bump;
use bumpalo::collections::Vec;

use super::fault::{Fault, Place, Problem};
use super::fields::{Fields, enter_list};
use super::json::{Cursor, Json, Kind};
use super::limits::{IMAGE_BYTES_MAX, IMAGES_MAX, NAME_BYTES_MAX};
use super::object::Object;
use super::workload::Workload;

/// The list of the pod spec that holds a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// `initContainers`
    Init,
    /// `containers`
    Container,
    /// `ephemeralContainers`
    Ephemeral,
    /// `volumes` with an `image`
    Volume,
}

impl List {
    /// What one item is called in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Init => "init container",
            Self::Container => "container",
            Self::Ephemeral => "ephemeral container",
            Self::Volume => "image volume",
        }
    }
}

/// One image and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerImage<'a> {
    /// The list.
    pub list: List,
    /// The container's or volume's name.
    pub name: &'a str,
    /// The image string as written.
    pub image: &'a str,
}

/// The images of a workload's pod spec.
///
/// # Errors
/// A pod spec that is absent or of another shape, or beyond a limit.
pub fn read<'a>(
    object: &Object<'a>,
    workload: Workload,
    arena: &'a Bump,
) -> Result<&'a [ContainerImage<'a>], Fault<'a>> {
    let place = Place::at(object.root, workload.pod_spec_path());
    let spec = pod_spec(object, workload, arena)?.ok_or(Fault::new(place, Problem::Missing))?;
    let mut lists =
        [Vec::new_in(arena), Vec::new_in(arena), Vec::new_in(arena), Vec::new_in(arena)];
    let [init, containers, ephemeral, volumes] = &mut lists;
    let cursor = &mut Cursor::new(spec);
    let mut fields = Fields::open(cursor, arena, &place)?;
    while let Some(key) = fields.key() {
        let (bit, field, list, into) = match key {
            "initContainers" => (0, "initContainers", List::Init, &mut *init),
            "containers" => (1, "containers", List::Container, &mut *containers),
            "ephemeralContainers" => (2, "ephemeralContainers", List::Ephemeral, &mut *ephemeral),
            "volumes" => (3, "volumes", List::Volume, &mut *volumes),
            _ => {
                fields.pass();
                continue;
            }
        };
        fields.once(bit, key)?;
        read_list(fields.cursor, arena, &place, field, list, into)?;
    }
    let count = lists.iter().map(Vec::len).sum();
    if count > IMAGES_MAX {
        return Err(Fault::new(place, too_many()));
    }
    let mut all = Vec::with_capacity_in(count, arena);
    for list in &lists {
        all.extend_from_slice(list);
    }
    Ok(all.into_bump_slice())
}

/// Walks from `spec` down to the pod spec.
fn pod_spec<'a>(
    object: &Object<'a>,
    workload: Workload,
    arena: &'a Bump,
) -> Result<Option<Json<'a>>, Fault<'a>> {
    let path = workload.pod_spec_path();
    let mut here = object.spec;
    for depth in 1..path.len() {
        let (Some(json), Some((above, [name, ..]))) = (here, path.split_at_checked(depth)) else {
            return Ok(None);
        };
        let place = Place::at(object.root, above);
        let cursor = &mut Cursor::new(json);
        let mut fields = Fields::open(cursor, arena, &place)?;
        here = None;
        while let Some(key) = fields.key() {
            if key == *name {
                fields.once(0, key)?;
                here = fields.present();
            } else {
                fields.pass();
            }
        }
    }
    Ok(here)
}

fn read_list<'a>(
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    place: &Place,
    field: &'static str,
    list: List,
    into: &mut Vec<'a, ContainerImage<'a>>,
) -> Result<(), Fault<'a>> {
    if cursor.kind() == Kind::Null {
        cursor.pass();
        return Ok(());
    }
    enter_list(cursor, place, field)?;
    let mut index = 0;
    while cursor.item() {
        let place = place.item(field, index);
        index += 1;
        if cursor.kind() == Kind::Null {
            return Err(Fault::new(place, Problem::Expected(Kind::Object, Kind::Null)));
        }
        let image = if list == List::Volume {
            read_volume(cursor, arena, &place)?
        } else {
            Some(read_container(cursor, arena, &place, list)?)
        };
        if into.len() == IMAGES_MAX && image.is_some() {
            return Err(Fault::new(Place { item: None, ..place }, too_many()));
        }
        into.extend(image);
    }
    Ok(())
}

fn read_container<'a>(
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    place: &Place,
    list: List,
) -> Result<ContainerImage<'a>, Fault<'a>> {
    let (mut name, mut image) = ("", "");
    let mut fields = Fields::open(cursor, arena, place)?;
    while let Some(key) = fields.key() {
        match key {
            "name" => {
                fields.once(0, key)?;
                name = fields.string("name", NAME_BYTES_MAX)?;
            }
            "image" => {
                fields.once(1, key)?;
                image = fields.string("image", IMAGE_BYTES_MAX)?;
            }
            _ => fields.pass(),
        }
    }
    Ok(ContainerImage { list, name, image })
}

/// An image volume; `None` for a volume of another type.
fn read_volume<'a>(
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    place: &Place,
) -> Result<Option<ContainerImage<'a>>, Fault<'a>> {
    let (mut name, mut source) = ("", None);
    let mut fields = Fields::open(cursor, arena, place)?;
    while let Some(key) = fields.key() {
        match key {
            "name" => {
                fields.once(0, key)?;
                name = fields.string("name", NAME_BYTES_MAX)?;
            }
            "image" => {
                fields.once(1, key)?;
                source = fields.present();
            }
            _ => fields.pass(),
        }
    }
    let Some(source) = source else { return Ok(None) };
    let cursor = &mut Cursor::new(source);
    let mut image = "";
    let place = place.field("image");
    let mut fields = Fields::open(cursor, arena, &place)?;
    while let Some(key) = fields.key() {
        if key == "reference" {
            fields.once(0, key)?;
            image = fields.string("image.reference", IMAGE_BYTES_MAX)?;
        } else {
            fields.pass();
        }
    }
    Ok(Some(ContainerImage { list: List::Volume, name, image }))
}

fn too_many() -> Problem<'static> {
    Problem::TooMany("container images", IMAGES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::json;

    #[track_caller]
    fn images(workload: Workload, json: &str) -> Result<String, String> {
        let arena = Bump::new();
        let object = Object::read("object", json::check(json, &arena).unwrap(), &arena).unwrap();
        let result = read(&object, workload, &arena);
        let show = |image: &ContainerImage<'_>| {
            format!("{} {}={}", image.list.word(), image.name, image.image)
        };
        result
            .map(|images| images.iter().map(show).collect::<std::vec::Vec<_>>().join(", "))
            .map_err(|fault| fault.to_string())
    }

    const POD: &str = r#"{"volumes":[{"name":"v","image":{"reference":"d:4"}},{"name":"e","emptyDir":{}}],
        "ephemeralContainers":[{"name":"e","image":"c:3"}],"containers":[{"image":"b:2","name":"b"}],
        "initContainers":[{"name":"i","image":"a:1"}],"nodeName":null}"#;

    #[test]
    fn every_kind_and_every_list_in_the_order_of_the_contract() {
        for workload in Workload::ALL {
            let mut object = POD.to_owned();
            for name in workload.pod_spec_path().iter().rev() {
                object = format!("{{\"{name}\":{object}}}");
            }
            assert_eq!(
                images(workload, &object).unwrap(),
                "init container i=a:1, container b=b:2, ephemeral container e=c:3, image volume v=d:4"
            );
        }
    }

    #[test]
    fn a_pod_spec_that_does_not_decode_is_a_fault_with_its_place() {
        let pod = |spec: &str| images(Workload::Pod, &format!("{{\"spec\":{spec}}}"));
        assert_eq!(pod(r#"{"containers":null}"#).unwrap(), "");
        assert_eq!(pod(r#"{"containers":[{"name":"a"}]}"#).unwrap(), "container a=");
        let fault = |spec| pod(spec).unwrap_err();
        assert_eq!(fault("null"), "object.spec: is missing");
        assert_eq!(fault("[]"), "object.spec: expected an object, found a list");
        assert_eq!(
            fault(r#"{"containers":{}}"#),
            "object.spec.containers: expected a list, found an object"
        );
        assert_eq!(
            fault(r#"{"containers":[null]}"#),
            "object.spec.containers[0]: expected an object, found null"
        );
        assert_eq!(
            fault(r#"{"initContainers":[{},{"image":5}]}"#),
            "object.spec.initContainers[1].image: expected a string, found a number"
        );
        assert_eq!(
            fault(r#"{"volumes":[{"image":{"reference":[]}}]}"#),
            "object.spec.volumes[0].image.reference: expected a string, found a list"
        );
        assert_eq!(
            fault(r#"{"containers":[],"containers":[]}"#),
            "object.spec: the key `containers` is given twice"
        );
        assert_eq!(
            fault(r#"{"containers":[{"image":"good","\u0069mage":"bad"}]}"#),
            "object.spec.containers[0]: the key `image` is given twice"
        );
        let cron = |json| images(Workload::CronJob, json).unwrap_err();
        assert_eq!(cron("{}"), "object.spec.jobTemplate.spec.template.spec: is missing");
        assert_eq!(
            cron(r#"{"spec":{"jobTemplate":{"spec":"x"}}}"#),
            "object.spec.jobTemplate.spec: expected an object, found a string"
        );
    }

    #[test]
    fn images_are_bounded_in_number_and_length() {
        let pod = |list: &str, count: usize| {
            let items = vec![r#"{"image":"a"}"#; count].join(",");
            images(
                Workload::Pod,
                &format!("{{\"spec\":{{\"containers\":[{{}}],\"{list}\":[{items}]}}}}"),
            )
        };
        assert!(pod("initContainers", IMAGES_MAX - 1).is_ok());
        let message = "more than 1000 container images, the limit";
        assert_eq!(
            pod("initContainers", IMAGES_MAX).unwrap_err(),
            format!("object.spec: {message}")
        );
        assert_eq!(
            pod("initContainers", IMAGES_MAX + 1).unwrap_err(),
            format!("object.spec.initContainers: {message}").replace(".initContainers", "")
        );
        let long = "a".repeat(IMAGE_BYTES_MAX + 1);
        assert_eq!(
            images(
                Workload::Pod,
                &format!(r#"{{"spec":{{"containers":[{{"image":"{long}"}}]}}}}"#)
            )
            .unwrap_err(),
            "object.spec.containers[0].image: 4097 bytes long, the limit is 4096"
        );
    }
}
