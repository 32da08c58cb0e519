//! What is known of images: from files if any are named, else from the cluster.

use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::facts::{ScanFiles, Thresholds};
use crate::api::{ImageAssuranceSettings, ImageScan, SETTINGS_NAME, VulnerabilityException};
use crate::cli::cluster::{ClusterArgs, block_on};
use crate::cli::io::{Failure, shown, tell};
use crate::install::cluster::chain;
use crate::scan::ScanStore;

use caapc_vm::facts::Timestamp;

/// Objects are fetched in pages of this many.
const PAGE: u32 = 500;

/// A store of what the files say, or the cluster if no file is named.
///
/// # Errors
/// [`Failure::Input`] for files, [`Failure::Environment`] for the cluster.
pub(in crate::cli) fn store(
    files: &ScanFiles,
    cluster: &ClusterArgs,
    thresholds: Thresholds,
    now: Timestamp,
) -> Result<ScanStore, Failure> {
    if !files.is_empty() {
        return files.store(thresholds, now);
    }
    let given = files.given(thresholds)?;
    block_on(async {
        let client = cluster.client().await?;
        let mut store = ScanStore::new();
        let settings: Api<ImageAssuranceSettings> = Api::all(client.clone());
        let settings = settings.get_opt(SETTINGS_NAME).await;
        let spec = settings.map_err(refused::<ImageAssuranceSettings>)?.map(|one| one.spec);
        let settings = given.over(&spec.unwrap_or_default()).map_err(Failure::Input)?;
        store.set_settings(settings);
        each::<VulnerabilityException>(client.clone(), |name, one| {
            store.apply_exception(name, &one.spec)
        })
        .await?;
        each::<ImageScan>(client, |name, one| store.apply_scan(name, &one.spec)).await?;
        Ok(store)
    })
}

/// Every object of a kind; one that cannot be used is told of and passed over, as the controller
/// does.
///
/// # Errors
/// [`Failure::Environment`] if the cluster refuses.
pub(in crate::cli) async fn each<T>(
    client: kube::Client,
    mut take: impl FnMut(&str, &T) -> Result<(), String>,
) -> Result<(), Failure>
where
    T: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<T> = Api::all(client);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(refused::<T>)?;
        for object in &page.items {
            let name = object.meta().name.as_deref().unwrap_or_default();
            if let Err(why) = take(name, object) {
                let kind = T::kind(&());
                tell(format_args!(
                    "caapc: {kind} `{}` does not count: {}",
                    shown(name),
                    shown(&why)
                ));
            }
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}

fn refused<T: kube::Resource<DynamicType = ()>>(error: kube::Error) -> Failure {
    let kind = T::kind(&());
    Failure::Environment(match &error {
        kube::Error::Api(status) if status.code == 404 => format!(
            "the cluster has no kind `{kind}`; install it: `caapc crds | kubectl apply \
             --server-side -f -`, or name files with --scans"
        ),
        _ => format!("cannot list {kind}s: {}; or name files with --scans", chain(&error)),
    })
}
