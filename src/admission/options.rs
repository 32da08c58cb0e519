//! The switches of the request road, with the contract's defaults.
//!
//! The words users write for them are here too, so that the command line, the configuration and
//! the messages spell them alike. Start at [`Options`].

/// What a decision depends on besides the shelves and the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which string `imagePath` sees.
    pub image_path: ImagePath,
    /// When an object with an owner is not evaluated.
    pub owner_skip: OwnerSkip,
    /// What happens to an update that leaves all images as they are.
    pub unchanged_updates: UnchangedUpdates,
    /// What happens to a kind that is not known here.
    pub on_unknown_kind: OnUnknownKind,
    /// A denial's message is its first sentence alone.
    pub compat_messages: bool,
    /// What a rejection does.
    pub mode: Mode,
    /// The namespace label whose value, if it is a mode, overrides [`Self::mode`].
    pub mode_label: Option<Box<str>>,
    /// What happens when a namespace is not on the shelf.
    pub missing_namespace: MissingNamespace,
}

/// Declares a switch: its values and their words, the first one being the default.
macro_rules! switch {
    ($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident = $first_word:literal, $($(#[$value_doc:meta])* $value:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[$first_doc])*
            #[default]
            $first,
            $($(#[$value_doc])* $value),+
        }

        impl $name {
            /// Every value, the default first.
            pub const ALL: &[Self] = &[Self::$first, $(Self::$value),+];

            /// As users write it.
            pub const fn word(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$value => $word),+
                }
            }

            /// Reads the word, exactly.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

switch! {
    /// Which string `imagePath` patterns are matched against (spec: image-path, "String").
    ImagePath {
        /// The `image` field as written.
        Raw = "raw",
        /// Docker's canonical form.
        Normalized = "normalized",
        /// A Reject rule matches if either form does, an Allow rule only if both do.
        Both = "both",
    }
}

switch! {
    /// Which owned objects are left alone (spec: webhook, "Which objects are evaluated").
    OwnerSkip {
        /// Those that a built-in controller created for an owner that was evaluated.
        Strict = "strict",
        /// Those with any controller owner, whoever created them.
        Compat = "compat",
    }
}

switch! {
    /// Updates of a top-level object whose images stay the same.
    UnchangedUpdates {
        /// They are decided like new ones.
        Evaluate = "evaluate",
        /// They are allowed.
        Allow = "allow",
    }
}

switch! {
    /// Objects of a kind whose pod template is not known here.
    OnUnknownKind {
        /// Allowed with a warning.
        Allow = "allow",
        /// Denied.
        Deny = "deny",
    }
}

switch! {
    /// What a rejection does.
    Mode {
        /// The request is denied.
        Enforce = "enforce",
        /// The request is allowed, with the rejection as a warning.
        Warn = "warn",
        /// The request is allowed; only the audit annotations tell.
        Audit = "audit",
    }
}

switch! {
    /// A namespace that is not on the shelf (spec: webhook, "Namespace labels").
    MissingNamespace {
        /// The answer is an error, so that `failurePolicy` decides.
        Error = "error",
        /// It counts with its name labels alone, and a warning says so: without a cluster.
        NameOnly = "name-only",
    }
}
