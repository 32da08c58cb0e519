//! Sets of characters by Unicode property, and case folding, as of the Unicode version of Go.
//!
//! The data are those of `regex-syntax`, which is at a later version of Unicode than Go 1.26
//! (15.0.0). A character that was not assigned then has no property here, and the few that were
//! changed since are put back by name. A test compares every class and every fold with what
//! Go answers.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// The characters that are the same as one of `set` but for their case, and `set` itself.
pub(super) fn fold(set: &ClassUnicode) -> ClassUnicode {
    // PERF: only characters with a case are given to the folding, which looks at each of them.
    let mut cased = set.clone();
    cased.intersect(cased_characters());
    if cased.ranges().is_empty() {
        return cased_or(set, cased);
    }
    // It fails only if the library was built without its tables; a test folds every character.
    if cased.try_case_fold_simple().is_err() {
        return set.clone();
    }
    cased.intersect(cased_characters());
    cased_or(set, cased)
}

fn cased_or(set: &ClassUnicode, mut folded: ClassUnicode) -> ClassUnicode {
    folded.union(set);
    folded
}

fn cased_characters() -> &'static ClassUnicode {
    static CASED: OnceLock<ClassUnicode> = OnceLock::new();
    CASED.get_or_init(|| {
        let mut set = property("Changes_When_Casemapped");
        set.intersect(assigned());
        // Unicode 15.1 made each of these the case of another of them.
        let later = ['\u{390}', '\u{3b0}', '\u{1fd3}', '\u{1fe3}', '\u{fb05}', '\u{fb06}'];
        set.difference(&ClassUnicode::new(later.map(|c| ClassUnicodeRange::new(c, c))));
        set
    })
}

/// The set Go calls by this name, with its case variants if `fold`.
pub(super) fn named_folded(name: &str) -> Option<ClassUnicode> {
    let mut set = fold(&named(name)?);
    if matches!(canonical(name).as_str(), "lc" | "casedletter") {
        // Go's table of variants of the cased letters leaves out the only one that is no letter.
        set.difference(&range('\u{345}', '\u{345}'));
    }
    Some(set)
}

/// Every character that is not in the set.
pub(super) fn complement(set: &ClassUnicode) -> ClassUnicode {
    // NOTE: `ClassUnicode::negate` takes the surrogates between two ranges for characters.
    let mut gaps = Vec::with_capacity(set.ranges().len() + 1);
    let mut from = Some('\0');
    for range in set.ranges() {
        if let Some(from) = from.filter(|&from| from < range.start()) {
            gaps.extend((from..range.start()).next_back().map(|to| (from, to)));
        }
        from = (range.end()..=char::MAX).nth(1);
    }
    gaps.extend(from.map(|from| (from, char::MAX)));
    ClassUnicode::new(gaps.into_iter().map(|(from, to)| ClassUnicodeRange::new(from, to)))
}

/// Every character assigned in the Unicode version of Go.
fn assigned() -> &'static ClassUnicode {
    static ASSIGNED: OnceLock<ClassUnicode> = OnceLock::new();
    ASSIGNED.get_or_init(|| {
        let mut set = property("Age=15.0");
        set.difference(&property("gc=Unassigned"));
        set
    })
}

/// The set Go calls by this name, written between the braces of `\p{..}`; blanks, `_`, `-` and
/// case do not matter.
pub(super) fn named(name: &str) -> Option<ClassUnicode> {
    let name = canonical(name);
    match name.as_str() {
        "any" => return Some(range('\0', char::MAX)),
        "ascii" => return Some(range('\0', '\x7f')),
        "assigned" => return Some(assigned().clone()),
        _ => {}
    }
    if let Some(&(_, category)) =
        CATEGORIES.iter().find(|(long, short)| *long == name || short.eq_ignore_ascii_case(&name))
    {
        return Some(self::category(category));
    }
    SCRIPTS.iter().find(|script| script.eq_ignore_ascii_case(&name)).map(|script| {
        let mut set = property(&format!("sc={script}"));
        set.intersect(assigned());
        set
    })
}

/// A script of several words, which Go does not find, as a class of its ranges, if they are few.
pub(super) fn script_class(name: &str) -> Option<String> {
    let word = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ');
    let set = if name.chars().all(word) && canonical(name) != name.to_ascii_lowercase() {
        property(&format!("sc={name}"))
    } else {
        return None;
    };
    let ranges = set.ranges().iter().map(|range| {
        format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(range.start()), u32::from(range.end()))
    });
    (1..=8).contains(&ranges.len()).then(|| format!("[{}]", ranges.collect::<String>()))
}

fn canonical(name: &str) -> String {
    let mut name: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    name.make_ascii_lowercase();
    name
}

fn category(name: &str) -> ClassUnicode {
    match name {
        // No text has surrogates.
        "Cs" => ClassUnicode::empty(),
        "Cn" => complement(assigned()),
        "C" => {
            let mut set = complement(assigned());
            ["Cc", "Cf", "Co"].iter().for_each(|part| set.union(&category(part)));
            set
        }
        _ => {
            let mut set = property(&format!("gc={name}"));
            set.intersect(assigned());
            // Unicode 16 changed the category of this one.
            match name {
                "Mn" => set.union(&range(CHANGED, CHANGED)),
                "Mc" => set.difference(&range(CHANGED, CHANGED)),
                _ => {}
            }
            set
        }
    }
}

/// AHOM CONSONANT SIGN MEDIAL RA: `Mn` until Unicode 16, then `Mc`.
const CHANGED: char = '\u{1171e}';

fn range(start: char, end: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(start, end)])
}

/// A set by its property in the terms of `regex-syntax`; empty for an unknown one, and a test
/// asks for each of them.
fn property(query: &str) -> ClassUnicode {
    match regex_syntax::parse(&format!(r"\p{{{query}}}")).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(set))) => set,
        // A set of one comes as its text.
        Ok(HirKind::Literal(one)) => {
            let text = std::str::from_utf8(&one.0).unwrap_or_default();
            ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c)))
        }
        _ => ClassUnicode::empty(),
    }
}

/// Long names of general categories in canonical form, and the short ones.
const CATEGORIES: [(&str, &str); 42] = [
    ("casedletter", "LC"),
    ("closepunctuation", "Pe"),
    ("combiningmark", "M"),
    ("connectorpunctuation", "Pc"),
    ("control", "Cc"),
    ("cntrl", "Cc"),
    ("currencysymbol", "Sc"),
    ("dashpunctuation", "Pd"),
    ("decimalnumber", "Nd"),
    ("digit", "Nd"),
    ("enclosingmark", "Me"),
    ("finalpunctuation", "Pf"),
    ("format", "Cf"),
    ("initialpunctuation", "Pi"),
    ("letter", "L"),
    ("letternumber", "Nl"),
    ("lineseparator", "Zl"),
    ("lowercaseletter", "Ll"),
    ("mark", "M"),
    ("mathsymbol", "Sm"),
    ("modifierletter", "Lm"),
    ("modifiersymbol", "Sk"),
    ("nonspacingmark", "Mn"),
    ("number", "N"),
    ("openpunctuation", "Ps"),
    ("other", "C"),
    ("otherletter", "Lo"),
    ("othernumber", "No"),
    ("otherpunctuation", "Po"),
    ("othersymbol", "So"),
    ("paragraphseparator", "Zp"),
    ("privateuse", "Co"),
    ("punctuation", "P"),
    ("punct", "P"),
    ("separator", "Z"),
    ("spaceseparator", "Zs"),
    ("spacingmark", "Mc"),
    ("surrogate", "Cs"),
    ("symbol", "S"),
    ("titlecaseletter", "Lt"),
    ("unassigned", "Cn"),
    ("uppercaseletter", "Lu"),
];

/// The scripts Go finds: those whose name is one word, since it compares the name without its
/// blanks with a table that has them.
const SCRIPTS: &[&str] = &[
    "Adlam",
    "Ahom",
    "Arabic",
    "Armenian",
    "Avestan",
    "Balinese",
    "Bamum",
    "Batak",
    "Bengali",
    "Bhaiksuki",
    "Bopomofo",
    "Brahmi",
    "Braille",
    "Buginese",
    "Buhid",
    "Carian",
    "Chakma",
    "Cham",
    "Cherokee",
    "Chorasmian",
    "Common",
    "Coptic",
    "Cuneiform",
    "Cypriot",
    "Cyrillic",
    "Deseret",
    "Devanagari",
    "Dogra",
    "Duployan",
    "Elbasan",
    "Elymaic",
    "Ethiopic",
    "Georgian",
    "Glagolitic",
    "Gothic",
    "Grantha",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hanunoo",
    "Hatran",
    "Hebrew",
    "Hiragana",
    "Inherited",
    "Javanese",
    "Kaithi",
    "Kannada",
    "Katakana",
    "Kawi",
    "Kharoshthi",
    "Khmer",
    "Khojki",
    "Khudawadi",
    "Lao",
    "Latin",
    "Lepcha",
    "Limbu",
    "Lisu",
    "Lycian",
    "Lydian",
    "Mahajani",
    "Makasar",
    "Malayalam",
    "Mandaic",
    "Manichaean",
    "Marchen",
    "Medefaidrin",
    "Miao",
    "Modi",
    "Mongolian",
    "Mro",
    "Multani",
    "Myanmar",
    "Nabataean",
    "Nandinagari",
    "Newa",
    "Nko",
    "Nushu",
    "Ogham",
    "Oriya",
    "Osage",
    "Osmanya",
    "Palmyrene",
    "Phoenician",
    "Rejang",
    "Runic",
    "Samaritan",
    "Saurashtra",
    "Sharada",
    "Shavian",
    "Siddham",
    "Sinhala",
    "Sogdian",
    "Soyombo",
    "Sundanese",
    "Syriac",
    "Tagalog",
    "Tagbanwa",
    "Takri",
    "Tamil",
    "Tangsa",
    "Tangut",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
    "Tirhuta",
    "Toto",
    "Ugaritic",
    "Vai",
    "Vithkuqi",
    "Wancho",
    "Yezidi",
    "Yi",
];
