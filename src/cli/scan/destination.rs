//! Where objects go that a command made: standard output, a folder, or the cluster.
//!
//! Nothing is written before everything could be made, and a file is replaced whole. Start at
//! [`Destination::put`].

use std::fmt::Debug;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::cluster::{ClusterArgs, block_on};
use crate::cli::io::{Failure, Out, path_name, tell_part, write_file};
use crate::install::cluster::chain;

/// Who owns the fields of scans and exceptions in the cluster, whichever command writes them.
const FIELD_MANAGER: &str = "caapc";
/// How often another writer may get between reading and writing.
const TRIES_MAX: usize = 8;

/// Where to.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Where to")]
pub struct Destination {
    /// How objects are written.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Form>,

    /// Write each object to a file of its own in this folder, for local mode and `--scans`.
    #[arg(long, value_name = "DIR", conflicts_with = "apply")]
    to: Option<PathBuf>,

    /// Store the objects in the cluster, as the user of the kubeconfig.
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

/// YAML or JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One document each.
    #[default]
    Yaml,
    /// One object, or a List of several.
    Json,
}

/// An object that can be put somewhere.
pub trait Put:
    kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<T> Put for T where
    T: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// What is to be stored of an object where another is already; `None` if that stays.
pub type Over<'o, T> = dyn Fn(T, &T) -> Option<T> + 'o;

impl Destination {
    /// Puts the objects there. Each must have another name.
    ///
    /// # Errors
    /// [`Failure::Environment`] if a file cannot be written or the cluster refuses.
    pub fn put<T: Put>(
        &self,
        objects: Vec<T>,
        over: &Over<'_, T>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        match &self.to {
            Some(folder) => self.to_folder(folder, objects, over, out),
            None if self.apply => block_on(self.to_cluster(objects, over, out)),
            None => print(&objects, self.output.unwrap_or_default(), out),
        }
    }

    /// Whether the objects themselves are the output.
    pub fn prints(&self) -> bool {
        self.to.is_none() && !self.apply
    }

    fn to_folder<T: Put>(
        &self,
        folder: &Path,
        objects: Vec<T>,
        over: &Over<'_, T>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::Environment(format!("{}: cannot be made: {error}", path_name(folder)))
        })?;
        // JSON is read much faster, which counts from some thousand files on.
        let form = self.output.unwrap_or(Form::Json);
        let (ending, other) = match form {
            Form::Json => ("json", "yaml"),
            Form::Yaml => ("yaml", "json"),
        };
        for object in objects {
            let name = name(&object);
            let at = |ending: &str| folder.join(format!("{name}.{ending}"));
            let mut present = vec![at(ending), at(other)];
            present.retain(|path| path.exists());
            let mut object = Some(object);
            for path in &present {
                let stored = stored::<T>(path)?;
                object = object.and_then(|object| over(object, &stored));
            }
            let Some(object) = object else {
                out.line(&format!("{} unchanged", path_name(&at(ending))))?;
                continue;
            };
            let done = if present.is_empty() { "created" } else { "replaced" };
            write_file(&at(ending), text(&[object], form)?.as_bytes())?;
            for old in present.iter().filter(|path| **path != at(ending)) {
                // Left behind it would be a second, older source.
                std::fs::remove_file(old).map_err(|error| {
                    Failure::Environment(format!("{}: {error}", path_name(old)))
                })?;
            }
            out.line(&format!("{} {done}", path_name(&at(ending))))?;
        }
        Ok(())
    }

    async fn to_cluster<T: Put>(
        &self,
        objects: Vec<T>,
        over: &Over<'_, T>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let api: Api<T> = Api::all(self.cluster.client().await?);
        let kind = T::kind(&()).to_ascii_lowercase();
        let total = objects.len();
        for (at, object) in objects.into_iter().enumerate() {
            let name = name(&object);
            let done = apply(&api, &name, object, over).await?;
            out.line(&format!("{kind}/{name} {done}"))?;
            progress(at + 1, total);
        }
        Ok(())
    }
}

/// Stores one object, unless what is stored is to stay. What is read and what is written are the
/// same version, also where nothing is stored: if another writer was in between, it is read again.
async fn apply<T: Put>(
    api: &Api<T>,
    name: &str,
    object: T,
    over: &Over<'_, T>,
) -> Result<&'static str, Failure> {
    let refused = |error: kube::Error| {
        let kind = T::kind(&());
        Failure::Environment(match &error {
            kube::Error::Api(status) if status.code == 404 => format!(
                "the cluster has no kind `{kind}`; install it: `caapc crds | kubectl apply \
                 --server-side -f -`"
            ),
            _ => format!("{kind} `{name}`: {}", chain(&error)),
        })
    };
    for _ in 0..TRIES_MAX {
        let stored = api.get_opt(name).await.map_err(refused)?;
        let mut wanted = match &stored {
            None => object.clone(),
            Some(stored) => match over(object.clone(), stored) {
                None => return Ok("unchanged"),
                Some(wanted) => wanted,
            },
        };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let result = match &stored {
            // Fails if there is one by now; a server-side apply would put this in its place unseen.
            None => api.create(&params, &wanted).await,
            Some(stored) => {
                // Labels and annotations of others stay, and the resourceVersion is the one read.
                let own = std::mem::replace(wanted.meta_mut(), stored.meta().clone());
                wanted.labels_mut().extend(own.labels.unwrap_or_default());
                wanted.annotations_mut().extend(own.annotations.unwrap_or_default());
                wanted.meta_mut().managed_fields = None;
                api.replace(name, &params, &wanted).await
            }
        };
        match result {
            Ok(_) => return Ok(if stored.is_some() { "configured" } else { "created" }),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Failure::Environment(format!(
        "{} `{name}`: others kept writing it; try again",
        T::kind(&())
    )))
}

fn name<T: Put>(object: &T) -> String {
    object.meta().name.clone().unwrap_or_default()
}

fn stored<T: Put>(path: &Path) -> Result<T, Failure> {
    let text = crate::cli::io::read_text(path)?;
    let wrong = |why: String| {
        Failure::Input(format!("{}: what is there is no {}: {why}", path_name(path), T::kind(&())))
    };
    if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
    } else {
        serde_saphyr::from_str(&text)
            .map_err(|error| wrong(error.to_string().lines().next().unwrap_or_default().to_owned()))
    }
}

fn print<T: Put>(objects: &[T], form: Form, out: &mut Out) -> Result<(), Failure> {
    out.text(&text(objects, form)?)
}

fn text<T: Serialize>(objects: &[T], form: Form) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Environment(format!("cannot write the object: {error}"))
    };
    let mut text = match (form, objects) {
        (Form::Yaml, [one]) => serde_saphyr::to_string(one).map_err(|error| failed(&error))?,
        (Form::Yaml, several) => {
            let mut all = String::new();
            for object in several {
                all.push_str("---\n");
                all.push_str(&serde_saphyr::to_string(object).map_err(|error| failed(&error))?);
            }
            all
        }
        (Form::Json, [one]) => serde_json::to_string_pretty(one).map_err(|error| failed(&error))?,
        (Form::Json, several) => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": several});
            serde_json::to_string_pretty(&list).map_err(|error| failed(&error))?
        }
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A count on standard error, if someone is looking and it takes long enough to look.
fn progress(done: usize, of: usize) {
    if of >= 50 && (done.is_multiple_of(10) || done == of) && std::io::stderr().is_terminal() {
        tell_part(format_args!("\r{done} of {of}{}", if done == of { "\n" } else { "" }));
    }
}
