//! Reads the fields of a YAML mapping: each known field once, unknown ones refused, every fault
//! with its place and what to write instead. It knows no format. Start at [`Form`].

use caapc_compiler::diagnostic::{one_of, quote};
use caapc_compiler::yaml::{Lines, Node, Value};

/// Faults of one file, each as `file:line:column: field: what is wrong`.
pub struct Faults<'t> {
    /// The file, as a user knows it.
    pub file: String,
    /// Where its lines are.
    pub lines: Lines<'t>,
    /// What was found, with its offset.
    pub found: Vec<(u32, String)>,
}

impl Faults<'_> {
    /// Notes one fault.
    pub fn note(&mut self, at: u32, path: &str, what: &str) {
        let position = self.lines.position(at);
        let colon = if path.is_empty() { "" } else { ": " };
        let (file, line, column) = (&self.file, position.line, position.column);
        self.found.push((at, format!("{file}:{line}:{column}: {path}{colon}{what}")));
    }

    /// What was found, in the order of the text.
    pub fn sorted(mut self) -> Vec<String> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, fault)| fault).collect()
    }
}

/// A mapping that is being read.
pub struct Form<'n, 't> {
    node: &'n Node<'t>,
    path: String,
}

impl<'n, 't> Form<'n, 't> {
    /// Takes a mapping with these fields and no others; `None` if it is no mapping.
    pub fn new(
        node: &'n Node<'t>,
        path: &str,
        known: &[&str],
        faults: &mut Faults<'_>,
    ) -> Option<Self> {
        let Some(pairs) = node.pairs() else {
            let what = format!("expected a mapping, found {}", node.describe());
            faults.note(node.span.start, path, &what);
            return None;
        };
        let form = Self { node, path: path.to_owned() };
        for pair in pairs.iter().filter(|pair| !known.contains(&&*pair.key)) {
            let key = quote(&pair.key);
            let what = format!("unknown field {key}; {}", one_of(&pair.key, known));
            faults.note(pair.key_span.start, &form.path, &what);
        }
        Some(form)
    }

    /// Where the mapping begins.
    pub fn start(&self) -> u32 {
        self.node.span.start
    }

    /// A field's value, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&'n Node<'t>> {
        self.node.get(name).filter(|node| !node.is_null())
    }

    /// The path of a field, such as `results[0].decision`.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A string; a plain number counts as its text, as in `name: 7`.
    pub fn text(&self, name: &str, faults: &mut Faults<'_>) -> Option<String> {
        let node = self.get(name)?;
        match node.scalar() {
            Some(scalar) => Some(scalar.text.to_string()),
            None => self.wrong(node, name, "a string", faults),
        }
    }

    /// A string that must be there.
    pub fn required(&self, name: &str, faults: &mut Faults<'_>) -> String {
        if self.get(name).is_none() {
            faults.note(self.start(), &self.path(name), "is missing");
        }
        self.text(name, faults).unwrap_or_default()
    }

    /// One of some words, through what reads them.
    pub fn word<T>(
        &self,
        name: &str,
        known: &[&str],
        read: impl Fn(&str) -> Option<T>,
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let text = self.text(name, faults)?;
        let value = read(&text);
        if value.is_none() {
            let at = self.get(name).map_or(0, |node| node.span.start);
            let what = format!("unknown word {}; {}", quote(&text), one_of(&text, known));
            faults.note(at, &self.path(name), &what);
        }
        value
    }

    /// A whole number from zero.
    pub fn number(&self, name: &str, faults: &mut Faults<'_>) -> Option<u32> {
        let node = self.get(name)?;
        match node.scalar().and_then(|scalar| scalar.text.parse().ok()) {
            Some(number) => Some(number),
            None => self.wrong(node, name, "a whole number from 0", faults),
        }
    }

    /// `true` or `false`.
    pub fn truth(&self, name: &str, faults: &mut Faults<'_>) -> Option<bool> {
        let node = self.get(name)?;
        match node.scalar().map(|scalar| &*scalar.text) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.wrong(node, name, "`true` or `false`", faults),
        }
    }

    /// The items of a list; one item may stand without its list.
    pub fn items(&self, name: &str) -> Vec<(&'n Node<'t>, String)> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let path = self.path(name);
        match &node.value {
            Value::Sequence(items) => {
                let path = |nth| format!("{path}[{nth}]");
                items.iter().enumerate().map(|(nth, item)| (item, path(nth))).collect()
            }
            Value::Scalar(_) | Value::Mapping(_) => vec![(node, path)],
        }
    }

    /// A list of strings.
    pub fn texts(&self, name: &str, faults: &mut Faults<'_>) -> Vec<String> {
        let mut texts = Vec::new();
        for (node, path) in self.items(name) {
            match node.scalar() {
                Some(scalar) => texts.push(scalar.text.to_string()),
                None => {
                    let what = format!("expected a string, found {}", node.describe());
                    faults.note(node.span.start, &path, &what);
                }
            }
        }
        texts
    }

    fn wrong<T>(
        &self,
        node: &Node<'_>,
        name: &str,
        expected: &str,
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let what = format!("expected {expected}, found {}", node.describe());
        faults.note(node.span.start, &self.path(name), &what);
        None
    }
}
