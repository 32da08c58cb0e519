//! The switches of a decision, shared by every subcommand that decides: same names, same
//! defaults, same words. Start at [`Switches`].

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::admission::options::{
    ImagePath, Mode, OnUnknownKind, Options, OwnerSkip, UnchangedUpdates,
};

/// What a decision depends on besides policies, scans and namespaces.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Switches")]
pub struct Switches {
    /// Which string `imagePath` sees.
    ///
    /// `raw`: the `image` field as written. `normalized`: Docker's canonical form, so `nginx` is
    /// `docker.io/library/nginx:latest`. `both`: a Reject rule matches if either form does, an
    /// Allow rule only if both do.
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub image_path: ImagePath,

    /// Which objects with an owner are not evaluated again.
    ///
    /// `strict`: those that a built-in controller created for an owner that was evaluated.
    /// `compat`: those with any controller owner, whoever created them; anyone can claim one.
    #[arg(long, value_enum, default_value_t, value_name = "RULE")]
    pub owner_skip: OwnerSkip,

    /// What happens to an UPDATE of a top-level object whose images stay the same.
    #[arg(long, value_enum, default_value_t, value_name = "DO")]
    pub unchanged_updates: UnchangedUpdates,

    /// What happens to a kind that caapc does not know, such as `jobs.batch.volcano.sh`.
    #[arg(long, value_enum, default_value_t, value_name = "DO")]
    pub on_unknown_kind: OnUnknownKind,

    /// A denial says its first sentence alone, as the original did.
    #[arg(long)]
    pub compat_messages: bool,
}

impl Switches {
    /// The switches as the request road takes them; all else has its default.
    pub fn options(&self) -> Options {
        let Self { image_path, owner_skip, unchanged_updates, on_unknown_kind, compat_messages } =
            *self;
        Options {
            image_path,
            owner_skip,
            unchanged_updates,
            on_unknown_kind,
            compat_messages,
            ..Options::default()
        }
    }
}

/// Lets clap read the words of a switch.
macro_rules! words {
    ($($name:ident),+) => {
        $(impl ValueEnum for $name {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.word()))
            }
        })+
    };
}

words!(ImagePath, OwnerSkip, UnchangedUpdates, OnUnknownKind, Mode);
