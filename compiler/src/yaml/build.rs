//! Builds the tree from the events of the YAML parser, within the limits.
//!
//! No recursion here: open lists and mappings stand on a stack of [`Frame`]s. Start at
//! [`documents`].

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span as Place, StrInput, Tag,
};

use super::fault::{bad_tag, over, syntax_help, too_deep};
use super::frame::{Build, Frame, Measure, Open, OpenMapping, key_of, leaf, merge_sources};
use super::{Document, Fault, FaultKind, Limits, Node, Pair, Scalar, Span, Style, Value};

/// The documents of a text, in order. A document that is not well-formed is skipped, and the next
/// one is read; a limit ends the reading.
pub fn documents<'t>(text: &'t str, limits: &Limits) -> Documents<'t> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = limits.depth_max.into();
    options.block_nesting_limit = limits.depth_max.into();
    let too_large = text.len() > limits.bytes_max as usize;
    let parsed = if too_large { "" } else { text };
    Documents {
        text: parsed,
        limits: *limits,
        parser: Parser::new_from_str_with_options(parsed, options),
        nodes: 0,
        alias_nodes: 0,
        faults: 0,
        first: too_large.then(|| {
            over(
                Span::default(),
                format!("the text is larger than {} bytes, the limit", limits.bytes_max),
                "split it into several files",
            )
        }),
        done: false,
    }
}

/// The iterator that [`documents`] returns.
pub struct Documents<'t> {
    text: &'t str,
    limits: Limits,
    parser: Parser<'t, StrInput<'t>>,
    nodes: u32,
    alias_nodes: u32,
    faults: u16,
    /// A fault of the text as a whole, reported first.
    first: Option<Fault>,
    done: bool,
}

/// What ends a document early.
enum Stop {
    /// The next document can be read.
    Document(Fault),
    /// Nothing more can be read.
    Text(Fault),
}

impl<'t> Iterator for Documents<'t> {
    type Item = Document<'t>;

    fn next(&mut self) -> Option<Document<'t>> {
        if let Some(fault) = self.first.take() {
            self.done = true;
            return Some(Document { root: None, span: fault.span, faults: vec![fault] });
        }
        loop {
            if self.done {
                return None;
            }
            let event = self.parser.next_event();
            let start = match event {
                None => return None,
                Some(Ok((Event::DocumentStart(..), place))) => self.span(place).end,
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    let fault = self.syntax(&error);
                    self.recover();
                    return Some(self.failed(fault));
                }
            };
            let mut build = Build {
                frames: Vec::new(),
                root: None,
                anchors: HashMap::new(),
                faults: Vec::new(),
            };
            let end = self.fill(&mut build);
            match end {
                Ok(end) => return Some(self.document(build, start, end)),
                Err(stop) => {
                    let fault = match stop {
                        Stop::Document(fault) => {
                            self.recover();
                            fault
                        }
                        Stop::Text(fault) => {
                            self.done = true;
                            fault
                        }
                    };
                    let mut document = self.failed(fault);
                    document.span.start = start;
                    document.faults.splice(0..0, build.faults);
                    return Some(document);
                }
            }
        }
    }
}

impl<'t> Documents<'t> {
    fn document(&mut self, build: Build<'t>, start: u32, end: u32) -> Document<'t> {
        self.count_faults(build.faults.len());
        Document { root: build.root, faults: build.faults, span: Span { start, end } }
    }

    fn failed(&mut self, fault: Fault) -> Document<'t> {
        self.count_faults(1);
        Document { root: None, span: fault.span, faults: vec![fault] }
    }

    fn count_faults(&mut self, count: usize) {
        self.faults = self.faults.saturating_add(u16::try_from(count).unwrap_or(u16::MAX));
        self.done |= self.faults >= self.limits.faults_max;
    }

    fn recover(&mut self) {
        if !matches!(self.parser.proceed_next_document(), Ok(true)) {
            self.done = true;
        }
    }

    /// Reads events up to the end of the document; where that is.
    fn fill(&mut self, build: &mut Build<'t>) -> Result<u32, Stop> {
        loop {
            let (event, place) = match self.parser.next_event() {
                None => return Ok(self.text.len() as u32),
                Some(Ok(next)) => next,
                Some(Err(error)) => return Err(Stop::Document(self.syntax(&error))),
            };
            let span = self.span(place);
            match event {
                Event::DocumentEnd => return Ok(span.start),
                Event::StreamEnd => return Ok(self.text.len() as u32),
                Event::Scalar(text, style, anchor, tag) => {
                    let style = style_of(style, tag.as_deref(), span, build);
                    let node = leaf(Scalar { text: text.into(), style }, span);
                    self.spend(node.weight, 0, span)?;
                    self.finished(build, node, anchor)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.open(build, span, anchor, tag.as_deref(), Open::Sequence(Vec::new()))?;
                }
                Event::MappingStart(_, anchor, tag) => {
                    let open = Open::Mapping(Box::default());
                    self.open(build, span, anchor, tag.as_deref(), open)?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(frame) = build.frames.pop() else { continue };
                    let anchor = frame.anchor;
                    let node = self.close(build, frame, span)?;
                    self.finished(build, node, anchor)?;
                }
                Event::Alias(anchor) => {
                    let Some(target) = build.anchors.get(&anchor) else {
                        return Err(Stop::Document(Fault {
                            kind: FaultKind::Unsupported,
                            span,
                            message: "this alias stands for a value that contains it".to_owned(),
                            help: Some("write the value out".to_owned()),
                        }));
                    };
                    let node = Node { span, ..target.clone() };
                    self.spend(node.weight, node.weight, span)?;
                    self.finished(build, node, 0)?;
                }
                // Stream and document starts, and metadata that was not asked for.
                _ => {}
            }
        }
    }

    fn open(
        &mut self,
        build: &mut Build<'t>,
        span: Span,
        anchor: usize,
        tag: Option<&Tag>,
        open: Open<'t>,
    ) -> Result<(), Stop> {
        let expected = match open {
            Open::Sequence(_) => "seq",
            Open::Mapping(_) => "map",
        };
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(expected)
        {
            build.faults.push(bad_tag(tag, span));
        }
        self.spend(1, 0, span)?;
        if build.frames.len() >= usize::from(self.limits.depth_max) {
            return Err(Stop::Text(too_deep(&self.limits, span)));
        }
        build.frames.push(Frame { span, anchor, open });
        Ok(())
    }

    /// Turns a finished frame into a node.
    fn close(
        &mut self,
        build: &mut Build<'t>,
        frame: Frame<'t>,
        end: Span,
    ) -> Result<Node<'t>, Stop> {
        let span = Span { start: frame.span.start, end: end.end.max(frame.span.end) };
        let (value, children): (Value<'t>, Measure) = match frame.open {
            Open::Sequence(items) => {
                let measure = Measure::of(items.iter());
                (Value::Sequence(items.into()), measure)
            }
            Open::Mapping(open) => {
                let pairs = self.merge(build, *open)?;
                let measure = Measure::of(pairs.iter().map(|pair| &pair.node));
                // Each key is a node, too.
                let weight = measure.weight.saturating_add(pairs.len() as u32);
                (Value::Mapping(pairs.into()), Measure { weight, ..measure })
            }
        };
        let span = trim_end(self.text, span);
        Ok(Node {
            span,
            value,
            weight: children.weight.saturating_add(1),
            depth: children.depth.saturating_add(1),
        })
    }

    /// Puts a finished node where it belongs.
    fn finished(
        &mut self,
        build: &mut Build<'t>,
        node: Node<'t>,
        anchor: usize,
    ) -> Result<(), Stop> {
        if build.frames.len() + usize::from(node.depth) > usize::from(self.limits.depth_max) {
            return Err(Stop::Text(too_deep(&self.limits, node.span)));
        }
        if anchor != 0 {
            build.anchors.insert(anchor, node.clone());
        }
        match build.frames.last_mut() {
            None => build.root = Some(node),
            Some(Frame { open: Open::Sequence(items), .. }) => items.push(node),
            Some(Frame { open: Open::Mapping(open), .. }) => match open.key.take() {
                None => open.key = Some(key_of(node, &mut build.faults)),
                Some(key) => open.pair(key, node, &mut build.faults),
            },
        }
        if build.faults.len() >= usize::from(self.limits.faults_max)
            && let Some(last) = build.faults.pop()
        {
            return Err(Stop::Text(last));
        }
        Ok(())
    }

    /// Adds what merge keys bring: keys that the mapping itself does not have.
    fn merge(
        &mut self,
        build: &mut Build<'t>,
        open: OpenMapping<'t>,
    ) -> Result<Vec<Pair<'t>>, Stop> {
        let OpenMapping { mut pairs, merges, .. } = open;
        if merges.is_empty() {
            return Ok(pairs);
        }
        let own: HashMap<Rc<str>, usize> =
            pairs.iter().enumerate().map(|(at, pair)| (Rc::from(&*pair.key), at)).collect();
        let mut brought: HashSet<Rc<str>> = HashSet::new();
        for (at, node) in &merges {
            let Some(sources) = merge_sources(node) else {
                build.faults.push(Fault {
                    kind: FaultKind::Unsupported,
                    span: node.span,
                    message: format!(
                        "`<<` merges a mapping or a list of mappings, not {}",
                        node.describe()
                    ),
                    help: Some("write `<<: *name`, where `&name` marks a mapping".to_owned()),
                });
                continue;
            };
            for pair in sources.iter().filter_map(|source| source.pairs()).flatten() {
                let weight = pair.node.weight.saturating_add(1);
                self.spend(weight, weight, node.span)?;
                let key: Rc<str> = Rc::from(&*pair.key);
                match own.get(&key) {
                    // Readers disagree here: some let the merged value win.
                    Some(&own) if own < *at => build.faults.push(Fault {
                        kind: FaultKind::DuplicateKey,
                        span: node.span,
                        message: format!(
                            "the key `{key}` stands before the `<<` that also brings it"
                        ),
                        help: Some("put `<<` first; keys after it win".to_owned()),
                    }),
                    Some(_) => {}
                    None if brought.insert(key) => pairs.push(pair.clone()),
                    None => {}
                }
            }
        }
        Ok(pairs)
    }

    fn spend(&mut self, nodes: u32, alias_nodes: u32, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.alias_nodes = self.alias_nodes.saturating_add(alias_nodes);
        if self.alias_nodes > self.limits.alias_nodes_max {
            return Err(Stop::Text(over(
                span,
                format!(
                    "the aliases (`*name`) up to here stand for more than {} values, the limit",
                    self.limits.alias_nodes_max
                ),
                "write the values out, or use fewer aliases of aliases",
            )));
        }
        if self.nodes > self.limits.nodes_max {
            return Err(Stop::Text(over(
                span,
                format!("more than {} keys and values, the limit", self.limits.nodes_max),
                "split the text into several files",
            )));
        }
        Ok(())
    }

    fn syntax(&mut self, error: &ScanError) -> Fault {
        let at = error.marker().byte_offset().unwrap_or(0).min(self.text.len());
        let at = (0..=at).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0);
        let end = self.text[at..].chars().next().map_or(at, |char| match char {
            '\n' | '\r' => at,
            char => at + char.len_utf8(),
        });
        let span = Span::from(at..end);
        if *error.kind() == ErrorKind::RecursionLimitExceeded {
            self.done = true;
            return too_deep(&self.limits, span);
        }
        Fault {
            kind: FaultKind::Syntax,
            span,
            message: format!("this is not well-formed YAML: {}", error.info()),
            help: syntax_help(error.kind()).map(str::to_owned),
        }
    }

    fn span(&self, place: Place) -> Span {
        let range = place.byte_range().unwrap_or(0..0);
        let end = range.end.min(self.text.len());
        Span::from(range.start.min(end)..end)
    }
}

fn style_of(style: ScalarStyle, tag: Option<&Tag>, span: Span, build: &mut Build<'_>) -> Style {
    let written = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    };
    let Some(tag) = tag else { return written };
    let (handle, suffix) = tag.original_parts();
    match tag.core_suffix() {
        Some("str") => Style::Tagged,
        Some("int" | "float" | "bool" | "null" | "timestamp") => Style::Plain,
        _ if handle == "!" && suffix.is_empty() || handle.is_empty() && suffix == "!" => {
            Style::Tagged
        }
        _ => {
            build.faults.push(bad_tag(tag, span));
            written
        }
    }
}

/// A block mapping ends where the next token begins; it is shown up to its own last character.
fn trim_end(text: &str, span: Span) -> Span {
    let range = span.range();
    let trimmed = text.get(range.clone()).map_or(range.len(), |text| text.trim_end().len());
    Span::from(range.start..range.start + trimmed)
}
