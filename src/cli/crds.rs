//! `caapc crds`: the custom resource definitions.

use super::io::{Exit, Failure, Out};
use crate::api;

/// Print the custom resource definitions of all four kinds.
///
/// Example: `caapc crds | kubectl apply --server-side -f -`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As YAML documents or as one JSON List.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Output,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    Yaml,
    Json,
}

/// Runs `caapc crds`.
pub fn run(args: Args, out: &mut Out) -> Result<Exit, Failure> {
    let crds = api::crds();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Environment(format!("cannot write the definitions: {error}"))
    };
    match args.output {
        Output::Yaml => {
            for crd in crds {
                out.text("---\n")?;
                out.text(&serde_saphyr::to_string(&crd).map_err(|error| failed(&error))?)?;
            }
        }
        Output::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": crds});
            out.line(&serde_json::to_string_pretty(&list).map_err(|error| failed(&error))?)?;
        }
    }
    Ok(Exit::Fine)
}
