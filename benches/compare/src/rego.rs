//! Rego by regorus, compiled for its own machine, with its cache of patterns large enough for all.

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Rc, Value};

use crate::rules::{SAMPLE_PATTERN, STATUS, quoted, rules};
use crate::{Ask, workload};

pub fn engine(policies: usize) -> Ask {
    let text = if policies == 1 { sample() } else { text(policies) };
    regorus::cache::configure(regorus::cache::Config {
        regex: regorus::cache::Config::MAX_CAPACITY,
        ..Default::default()
    });
    let entry: Rc<str> = "data.admission.decides".into();
    let mut engine = Engine::new();
    engine.add_policy("policies.rego".to_owned(), text).expect("Rego");
    let compiled = engine.compile_with_entrypoint(&entry).expect("policies that compile");
    let program = Compiler::compile_from_policy(&compiled, &[&entry]).expect("a program");
    let mut machine = RegoVM::new();
    machine.load_program(program);
    let inputs: Vec<Value> = workload::images(policies).iter().map(|path| input(path)).collect();
    Box::new(move |image| {
        machine.set_input(inputs[image].clone());
        let decides = machine.execute().expect("a verdict");
        let first = decides.as_set().expect("a set").first()?;
        first.as_u64().ok().map(|rule| rule as usize)
    })
}

fn input(path: &str) -> Value {
    let scanned = workload::SCANNED_SECS;
    Value::from(serde_json::json!({"path": path, "status": STATUS, "scanned": scanned}))
}

/// The numbers of the rules that hold; the lowest decides.
fn text(policies: usize) -> String {
    let mut text = String::from("package admission\nimport rego.v1\n");
    for (nth, rule) in rules(policies).iter().enumerate() {
        let patterns = rule.patterns.iter().map(|pattern| format!("`{pattern}`"));
        text.push_str(&format!(
            "decides contains {nth} if {{\n  input.status in {{{}}}\n  input.scanned > {}\n  \
             some pattern in [{}]\n  regex.match(pattern, input.path)\n}}\n",
            quoted(rule.statuses),
            rule.after_secs,
            patterns.collect::<Vec<_>>().join(", "),
        ));
    }
    text
}

fn sample() -> String {
    format!(
        "package admission\nimport rego.v1\n\
         company if regex.match(`{SAMPLE_PATTERN}`, input.path)\n\
         decides contains 0 if not company\n\
         decides contains 1 if input.status in {{\"Pass\", \"Warn\"}}\n\
         decides contains 2\n"
    )
}
