//! The instruction set: the one table from which everything else about an instruction follows.
//!
//! The enum, the decoder, the operand checks of [`crate::verify`], the listing, the assembler, the
//! reference page `golden/isa.md` and the coverage demand of the golden suite all read this table.
//! Written by hand for a new instruction: its row here, its arm in `run/`.
//!
//! ```text
//!  byte 0     1      2..4    4..8      8..12     12..16
//! ┌──────┬────────┬───────┬─────────┬─────────┬─────────┐
//! │opcode│ sense  │   0   │    a    │    b    │   to    │  little-endian, so `pc` is an index
//! └──────┴────────┴───────┴─────────┴─────────┴─────────┘
//! ```
//!
//! `sense` 1: branch to `to` when the test holds (`jt`); 0: when it does not (`jf`).
//!
//! ```text
//! ns_label_eq
//! └┬┘└─┬─┘ └┬┘
//!  │   │    └─ the comparison: has, eq, in, prefix, suffix, contains, match, after, before ...
//!  │   └────── what is read: label, path, status, scan
//!  └────────── whose: nothing = the resource or image, ns = its namespace, keep = all rules at once
//! ```

/// Bytes of one instruction.
pub const INST_BYTES: usize = 16;

/// Where an instruction may stand, and what it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A step of `linked`: works on the rules of all policies at once, as bits.
    Step,
    /// The end of `linked`.
    StepEnd,
    /// A test in a policy's `select`: falls through or branches forward.
    SelectTest,
    /// An end of `select`.
    SelectEnd,
    /// A test in a policy's rules.
    RuleTest,
    /// An end of a policy's rules.
    RuleEnd,
}

impl Class {
    /// Whether it branches.
    pub const fn is_test(self) -> bool {
        matches!(self, Self::SelectTest | Self::RuleTest)
    }

    /// Whether a section ends there.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::StepEnd | Self::SelectEnd | Self::RuleEnd)
    }
}

/// What an operand refers to. [`crate::verify`] checks that each is inside its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No operand: zero.
    None,
    /// A label key or value, or a piece of one: a string of the label pool.
    Label,
    /// A sorted set of label values.
    Set,
    /// The patterns of one rule.
    Path,
    /// A mask of scan statuses.
    Mask,
    /// A calendar span before now.
    Span,
    /// A fixed point in time.
    Instant,
    /// A rule, numbered over all policies in order.
    Rule,
}

/// What the table says of one instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The instruction.
    pub op: Op,
    /// Its name in listings.
    pub mnemonic: &'static str,
    /// Where it may stand.
    pub class: Class,
    /// The kind of operand `a`.
    pub a: Kind,
    /// The kind of operand `b`.
    pub b: Kind,
    /// What it does.
    pub doc: &'static str,
}

macro_rules! instructions {
    ($( $(#[doc = $doc:literal])+ $class:ident $code:literal $mnemonic:ident = $op:ident { a: $a:ident, b: $b:ident } )+) => {
        /// An instruction's operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Op { $( $(#[doc = $doc])+ $op = $code ),+ }

        impl Op {
            /// Every operation, in the order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$op),+];

            /// The operation of a code.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $( $code => Some(Self::$op), )+ _ => None }
            }

            /// The operation of a mnemonic.
            pub fn from_mnemonic(word: &str) -> Option<Self> {
                $( if word == stringify!($mnemonic) { return Some(Self::$op); } )+
                None
            }

            /// What the table says of it.
            pub const fn row(self) -> Row {
                match self { $( Self::$op => Row {
                    op: self, mnemonic: stringify!($mnemonic), class: Class::$class,
                    a: Kind::$a, b: Kind::$b, doc: concat!($($doc),+),
                }, )+ }
            }
        }
    };
}

instructions! {
    /// Marks, in one pass over the image path, every rule of which a pattern matches.
    Step 0x01 mark = Mark { a: None, b: None }
    /// Keeps the rules whose `imagePath` holds: a marked `IsOneOf`, an unmarked `IsNoneOf`, and every rule without one.
    Step 0x02 keep_path = KeepPath { a: None, b: None }
    /// Keeps the rules whose `imageScanStatus` admits the status of the image, and every rule without one.
    Step 0x03 keep_status = KeepStatus { a: None, b: None }
    /// Drops the rules that ask for `scan_after a` unless it holds.
    Step 0x04 keep_after = KeepAfter { a: Span, b: None }
    /// Drops the rules that ask for `scan_before a` unless it holds.
    Step 0x05 keep_before = KeepBefore { a: Span, b: None }
    /// Drops the rules that ask for `scan_since a` unless it holds.
    Step 0x06 keep_since = KeepSince { a: Instant, b: None }
    /// Drops the rules that ask for `scan_until a` unless it holds.
    Step 0x07 keep_until = KeepUntil { a: Instant, b: None }
    /// Ends the run: the first rule that is left decides; where none is, the image passes. A rule whose age test no `keep` covered is asked for it here.
    StepEnd 0x08 first = First { a: None, b: None }
    /// Ends the selection: the policy applies to the request.
    SelectEnd 0x10 apply = Apply { a: None, b: None }
    /// Ends the selection: the policy does not apply.
    SelectEnd 0x11 skip = Skip { a: None, b: None }
    /// Holds when the resource has label `a`, whatever its value.
    SelectTest 0x20 label_has = LabelHas { a: Label, b: None }
    /// Holds when label `a` of the resource is exactly `b`.
    SelectTest 0x21 label_eq = LabelEq { a: Label, b: Label }
    /// Holds when label `a` of the resource is one of the set `b`.
    SelectTest 0x22 label_in = LabelIn { a: Label, b: Set }
    /// Holds when label `a` of the resource starts with `b`.
    SelectTest 0x23 label_prefix = LabelPrefix { a: Label, b: Label }
    /// Holds when label `a` of the resource ends with `b`.
    SelectTest 0x24 label_suffix = LabelSuffix { a: Label, b: Label }
    /// Holds when label `a` of the resource contains `b`.
    SelectTest 0x25 label_contains = LabelContains { a: Label, b: Label }
    /// Holds when the namespace has label `a`, whatever its value.
    SelectTest 0x28 ns_label_has = NsLabelHas { a: Label, b: None }
    /// Holds when label `a` of the namespace is exactly `b`.
    SelectTest 0x29 ns_label_eq = NsLabelEq { a: Label, b: Label }
    /// Holds when label `a` of the namespace is one of the set `b`.
    SelectTest 0x2a ns_label_in = NsLabelIn { a: Label, b: Set }
    /// Holds when label `a` of the namespace starts with `b`.
    SelectTest 0x2b ns_label_prefix = NsLabelPrefix { a: Label, b: Label }
    /// Holds when label `a` of the namespace ends with `b`.
    SelectTest 0x2c ns_label_suffix = NsLabelSuffix { a: Label, b: Label }
    /// Holds when label `a` of the namespace contains `b`.
    SelectTest 0x2d ns_label_contains = NsLabelContains { a: Label, b: Label }
    /// Ends the rules: the image is admitted by rule `a`.
    RuleEnd 0x30 allow = Allow { a: Rule, b: None }
    /// Ends the rules: the image is rejected by rule `a`.
    RuleEnd 0x31 reject = Reject { a: Rule, b: None }
    /// Ends the rules: none of this policy matched, so the next policy in order is asked.
    RuleEnd 0x32 pass = Pass { a: None, b: None }
    /// Holds when one of the patterns `a` matches the image path.
    RuleTest 0x40 path_match = PathMatch { a: Path, b: None }
    /// Holds when the scan status of the image is in the mask `a`.
    RuleTest 0x41 status_in = StatusIn { a: Mask, b: None }
    /// Holds when the image was scanned after now less the span `a`, and not later than now plus the skew. An image never scanned was not.
    RuleTest 0x42 scan_after = ScanAfter { a: Span, b: None }
    /// Holds when the image was scanned before now less the span `a`, or never.
    RuleTest 0x43 scan_before = ScanBefore { a: Span, b: None }
    /// Holds when the image was scanned after the instant `a`.
    RuleTest 0x44 scan_since = ScanSince { a: Instant, b: None }
    /// Holds when the image was scanned before the instant `a`, or never.
    RuleTest 0x45 scan_until = ScanUntil { a: Instant, b: None }
}

impl Op {
    /// The age test that a `keep` stands for, for all rules at once.
    pub const fn kept(self) -> Option<Self> {
        match self {
            Self::KeepAfter => Some(Self::ScanAfter),
            Self::KeepBefore => Some(Self::ScanBefore),
            Self::KeepSince => Some(Self::ScanSince),
            Self::KeepUntil => Some(Self::ScanUntil),
            _ => None,
        }
    }

    /// The `keep` that stands for an age test.
    pub const fn keeper(self) -> Option<Self> {
        match self {
            Self::ScanAfter => Some(Self::KeepAfter),
            Self::ScanBefore => Some(Self::KeepBefore),
            Self::ScanSince => Some(Self::KeepSince),
            Self::ScanUntil => Some(Self::KeepUntil),
            _ => None,
        }
    }

    /// The same test on the namespace's labels, for a test on the resource's.
    pub const fn on_namespace(self) -> Self {
        match self {
            Self::LabelHas => Self::NsLabelHas,
            Self::LabelEq => Self::NsLabelEq,
            Self::LabelIn => Self::NsLabelIn,
            Self::LabelPrefix => Self::NsLabelPrefix,
            Self::LabelSuffix => Self::NsLabelSuffix,
            Self::LabelContains => Self::NsLabelContains,
            other => other,
        }
    }
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inst {
    /// What it does.
    pub op: Op,
    /// For a test: branch when it holds (`true`) or when it does not.
    pub sense: bool,
    /// First operand.
    pub a: u32,
    /// Second operand.
    pub b: u32,
    /// For a test: where it branches to. INVARIANT (forward): greater than its own pc.
    pub to: u32,
}

const _: () = assert!(size_of::<Inst>() == INST_BYTES);

impl Inst {
    /// An instruction that does not branch.
    pub const fn plain(op: Op, a: u32) -> Self {
        Self { op, sense: false, a, b: 0, to: 0 }
    }

    /// Its bytes.
    pub const fn to_bytes(self) -> [u8; INST_BYTES] {
        let (a, b, to) = (self.a.to_le_bytes(), self.b.to_le_bytes(), self.to.to_le_bytes());
        [
            self.op as u8,
            self.sense as u8,
            0,
            0,
            a[0],
            a[1],
            a[2],
            a[3],
            b[0],
            b[1],
            b[2],
            b[3],
            to[0],
            to[1],
            to[2],
            to[3],
        ]
    }
}

/// The reference page of the instruction set, kept as `golden/isa.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Instructions\n\nGenerated from the table in `vm/src/isa.rs`. A test either falls through or \
         branches forward (`jt`: when it holds, `jf`: when it does not).\n\n\
         | code | mnemonic | operands | stands in | holds when / does |\n|---|---|---|---|---|\n",
    );
    for op in Op::ALL {
        let Row { mnemonic, class, a, b, doc, .. } = op.row();
        let place = match class {
            Class::Step => "linked",
            Class::StepEnd => "linked, end",
            Class::SelectTest => "select",
            Class::SelectEnd => "select, end",
            Class::RuleTest => "rules",
            Class::RuleEnd => "rules, end",
        };
        let operands: Vec<String> = [("a", a), ("b", b)]
            .into_iter()
            .filter(|(_, kind)| *kind != Kind::None)
            .map(|(name, kind)| format!("{name}: {}", format!("{kind:?}").to_lowercase()))
            .collect();
        page.push_str(&format!(
            "| `{:02x}` | `{mnemonic}` | {} | {place} |{doc} |\n",
            *op as u8,
            operands.join(", ")
        ));
    }
    page
}
