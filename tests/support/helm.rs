//! As much of Helm's templates as `charts/caapc` uses: no helm is needed to know what it renders.
//!
//! Actions: `if`/`else`/`end`, `with`, `range`, and pipelines of the functions in [`call`]. What is
//! missing in the values is an error here, where Helm would print nothing. Start at [`render`].

use base64::Engine;
use serde_json::Value;

/// Renders one template with `.Values`, `.Release` and `.Chart`.
pub(crate) fn render(template: &str, root: &Value) -> Result<String, String> {
    let mut parser = Parser { pieces: pieces(template)?, at: 0 };
    let nodes = parser.nodes()?;
    if parser.at < parser.pieces.len() {
        return Err("an `end` too many".to_owned());
    }
    let mut out = String::new();
    write(&nodes, root, root, &mut out)?;
    Ok(out)
}

/// Text, or what stands between the braces.
enum Piece {
    Text(String),
    Action(String),
}

enum Node {
    Text(String),
    Print(String),
    If(String, Vec<Node>, Vec<Node>),
    With(String, Vec<Node>),
    Range(String, Vec<Node>),
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let (mut all, mut rest, mut trim) = (Vec::new(), template, false);
    while let Some(open) = rest.find("{{") {
        let (text, tail) = rest.split_at(open);
        let tail = &tail[2..];
        let close = tail.find("}}").ok_or("an action without `}}`")?;
        let (action, after) = (&tail[..close], &tail[close + 2..]);
        let mut text = if trim { text.trim_start() } else { text };
        if action.starts_with("- ") {
            text = text.trim_end();
        }
        trim = action.ends_with(" -");
        let action = action.strip_prefix('-').unwrap_or(action);
        let action = action.strip_suffix('-').unwrap_or(action).trim();
        all.push(Piece::Text(text.to_owned()));
        if !action.starts_with("/*") {
            all.push(Piece::Action(action.to_owned()));
        }
        rest = after;
    }
    let text = if trim { rest.trim_start() } else { rest };
    all.push(Piece::Text(text.to_owned()));
    Ok(all)
}

struct Parser {
    pieces: Vec<Piece>,
    at: usize,
}

impl Parser {
    /// Nodes up to an `else`, an `end` or the end of the template.
    fn nodes(&mut self) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    self.at += 1;
                    continue;
                }
                Piece::Action(action) => action.clone(),
            };
            if action == "end" || action == "else" {
                return Ok(nodes);
            }
            self.at += 1;
            let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
            nodes.push(match word {
                "if" => {
                    let then = self.nodes()?;
                    let mut otherwise = Vec::new();
                    if self.is("else") {
                        self.at += 1;
                        otherwise = self.nodes()?;
                    }
                    self.end()?;
                    Node::If(rest.to_owned(), then, otherwise)
                }
                "with" => {
                    let body = self.nodes()?;
                    self.end()?;
                    Node::With(rest.to_owned(), body)
                }
                "range" => {
                    let body = self.nodes()?;
                    self.end()?;
                    Node::Range(rest.to_owned(), body)
                }
                _ => Node::Print(action.clone()),
            });
        }
        Ok(nodes)
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.pieces.get(self.at), Some(Piece::Action(action)) if action == word)
    }

    fn end(&mut self) -> Result<(), String> {
        if !self.is("end") {
            return Err("a block without `end`".to_owned());
        }
        self.at += 1;
        Ok(())
    }
}

fn write(nodes: &[Node], root: &Value, dot: &Value, out: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(expression) => out.push_str(&print(&evaluate(expression, root, dot)?)),
            Node::If(condition, then, otherwise) => {
                let holds = is_true(&evaluate(condition, root, dot)?);
                write(if holds { then } else { otherwise }, root, dot, out)?;
            }
            Node::With(expression, body) => {
                let value = evaluate(expression, root, dot)?;
                if is_true(&value) {
                    write(body, root, &value, out)?;
                }
            }
            Node::Range(expression, body) => {
                let value = evaluate(expression, root, dot)?;
                let items = value.as_array().ok_or_else(|| format!("{expression}: not a list"))?;
                for item in items {
                    write(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

fn print(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As Go's templates see it: empty is false.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A pipeline: what stands left is the last argument of what stands right.
fn evaluate(expression: &str, root: &Value, dot: &Value) -> Result<Value, String> {
    let words = words(expression)?;
    let mut piped: Option<Value> = None;
    for command in words.split(|word| word == "|") {
        let (first, rest) = command.split_first().ok_or_else(|| format!("{expression}: empty"))?;
        let mut arguments: Vec<Value> =
            rest.iter().map(|word| operand(word, root, dot)).collect::<Result<_, _>>()?;
        arguments.extend(piped.take());
        let is_operand = first.starts_with(['.', '"', '(', '$']) || first.parse::<i64>().is_ok();
        piped =
            Some(if is_operand { operand(first, root, dot)? } else { call(first, &arguments)? });
    }
    piped.ok_or_else(|| format!("{expression}: empty"))
}

/// Splits at blanks, but not within quotes or parentheses.
fn words(expression: &str) -> Result<Vec<String>, String> {
    let (mut all, mut word, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for c in expression.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if c == ' ' && !quoted && depth == 0 {
            if !word.is_empty() {
                all.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if quoted || depth != 0 {
        return Err(format!("{expression}: a quote or parenthesis is open"));
    }
    if !word.is_empty() {
        all.push(word);
    }
    Ok(all)
}

fn operand(word: &str, root: &Value, dot: &Value) -> Result<Value, String> {
    if let Some(inner) = word.strip_prefix('(').and_then(|word| word.strip_suffix(')')) {
        return evaluate(inner, root, dot);
    }
    if let Some(text) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        return Ok(Value::String(text.to_owned()));
    }
    if let Ok(number) = word.parse::<i64>() {
        return Ok(Value::from(number));
    }
    let (from, path) = match word.strip_prefix('$') {
        Some(path) => (root, path),
        None => (dot, word),
    };
    let path = path.strip_prefix('.').ok_or_else(|| format!("{word}: not understood"))?;
    path.split('.').filter(|part| !part.is_empty()).try_fold(from.clone(), |value, part| {
        value.get(part).cloned().ok_or_else(|| format!("{word}: there is no `{part}`"))
    })
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = |value: &Value| print(value);
    Ok(match (name, arguments) {
        ("quote", [value]) => Value::String(Value::String(text(value)).to_string()),
        ("toYaml", [value]) => {
            let yaml = caapc::install::print::yaml(std::slice::from_ref(value));
            Value::String(yaml.trim_end().to_owned())
        }
        ("nindent", [width, value]) => {
            let pad = " ".repeat(usize::try_from(width.as_u64().unwrap_or(0)).unwrap_or(0));
            let lines =
                text(value).lines().map(|line| format!("\n{pad}{line}")).collect::<String>();
            Value::String(lines)
        }
        ("default", [fallback, value]) => {
            if is_true(value) {
                value.clone()
            } else {
                fallback.clone()
            }
        }
        ("b64enc", [value]) => {
            Value::String(base64::engine::general_purpose::STANDARD.encode(text(value)))
        }
        ("eq", [a, b]) => Value::Bool(a == b),
        ("not", [value]) => Value::Bool(!is_true(value)),
        ("fail", [message]) => return Err(text(message)),
        ("required", [message, value]) => {
            if matches!(value, Value::Null) || value == "" {
                return Err(text(message));
            }
            value.clone()
        }
        ("printf", [format, rest @ ..]) => {
            let mut parts = format.as_str().unwrap_or_default().split("%s");
            let mut out = parts.next().unwrap_or_default().to_owned();
            for (part, value) in parts.zip(rest) {
                out.push_str(&text(value));
                out.push_str(part);
            }
            Value::String(out)
        }
        _ => {
            return Err(format!(
                "{name} with {} arguments is not used in this chart",
                arguments.len()
            ));
        }
    })
}
