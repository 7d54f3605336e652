//! Mamba and Mamba-2: the layouts of their checkpoints, what is refused of them, and what one token costs.

use std::collections::BTreeMap;

use fastweight::device::Device;
use fastweight::generate::{LoadOptions, Model, Purpose};
use fastweight::models;
use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture};
use pollster::block_on;
use serde_json::{Value, json};

use super::{expect_logits, load, session};

fn fixture(name: &str) -> Fixture {
    fixtures::made_cases().into_iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no fixture {name}"))
}

/// The fixture as the original code would have saved it, with this config.
fn original(name: &str, config: Value) -> Fixture {
    let mut fixture = fixture(name);
    let renamed = |name: String| name.replace("backbone.embeddings.weight", "backbone.embedding.weight");
    fixture.tensors = fixture.tensors.into_iter().map(|(name, tensor)| (renamed(name), tensor)).collect();
    fixture.config = config;
    fixture
}

fn expect_fixture(fixture: &Fixture) {
    let logits = block_on(session(&load(fixture, &Device::cpu())).logits(&fixture.ids)).expect("logits");
    expect_logits(fixture, "cpu", &logits);
}

#[test]
fn the_original_layout_is_the_same_model() {
    let mamba = json!({
        "d_model": 32, "n_layer": 2, "vocab_size": 37, "ssm_cfg": {}, "rms_norm": true, "residual_in_fp32": true,
        "fused_add_norm": true, "pad_vocab_size_multiple": 8
    });
    expect_fixture(&original("mamba-state16", mamba));
    let mamba2 = json!({
        "d_model": 48, "d_intermediate": 0, "n_layer": 2, "vocab_size": 40, "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true,
        "ssm_cfg": {"layer": "Mamba2", "d_state": 16, "headdim": 16, "dt_limit": [0.0, "Infinity"]},
        "pad_vocab_size_multiple": 8, "tie_embeddings": false
    });
    expect_fixture(&original("mamba2-groups1", mamba2));
    // Without any config the tensors tell the family and all sizes but the number of groups, which is then one.
    let mut bare = fixture("mamba2-groups1").opened(DType::F32);
    bare.config = None;
    let model = block_on(Model::load(bare, &Device::cpu(), LoadOptions::default())).expect("it loads");
    assert_eq!(model.architecture().family(), "mamba2");
}

#[test]
fn a_folder_opens_with_what_python_wrote_into_its_config() {
    let folder = tempfile::tempdir().expect("a folder");
    let golden = fixtures::path("mamba/golden");
    std::fs::copy(golden.join("model.safetensors"), folder.path().join("model.safetensors")).expect("a copy");
    let config = std::fs::read_to_string(golden.join("config.json")).expect("the config");
    let config = config.replacen('{', "{\"time_step_limit\": [0.0, Infinity],", 1);
    std::fs::write(folder.path().join("config.json"), config).expect("the config");
    let model = block_on(Model::open(folder.path(), &Device::cpu())).expect("it opens");
    let fixture = fixtures::golden_mamba();
    let logits = block_on(session(&model).logits(&fixture.ids)).expect("logits");
    expect_logits(&fixture, "cpu, from a folder", &logits);
}

#[test]
fn a_token_takes_few_dispatches_a_layer() {
    let device = Device::cpu();
    for (name, wanted) in [("mamba-state16", 6), ("mamba2-groups1", 4), ("mamba2-groups2", 5)] {
        let model = load(&fixture(name), &device);
        let plan = model.plan(Purpose::Decode, 1).expect("a plan");
        let found = plan.steps.iter().filter(|s| s.label.starts_with("backbone.layers.0.")).count();
        assert_eq!(found, wanted, "{name}:\n{plan}");
    }
}

#[test]
fn learning_leaves_a_state_space_alone() {
    for fixture in [fixtures::golden_mamba(), fixture("mamba2-groups1")] {
        let model = load(&fixture, &Device::cpu());
        let logits = |learning| {
            let mut session = session(&model);
            session.set_learning(learning).expect("in range");
            block_on(session.logits(&fixture.ids)).expect("logits")
        };
        assert_eq!(logits(1.0), logits(0.0), "{}", fixture.name);
    }
}

/// What opening the fixture with one change says.
fn refusal(mut fixture: Fixture, change: impl Fn(&mut Value, &mut Tensors)) -> String {
    change(&mut fixture.config, &mut fixture.tensors);
    let opened = fixture.opened(DType::F32);
    match models::open(&opened.checkpoint, opened.config.as_ref()) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

#[test]
fn a_config_that_contradicts_its_tensors_is_refused_by_field() {
    const BOTH: &[(&str, &str, &str)] = &[
        ("vocab_size", "41", "vocab_size is 41, wanted 40"),
        ("hidden_size", "8", "hidden_size is 8, wanted "),
        ("num_hidden_layers", "7", "num_hidden_layers is 7, wanted "),
        ("num_hidden_layers", "-1", "num_hidden_layers is -1, wanted an integer"),
        ("expand", "5", "expand * hidden_size is "),
        ("conv_kernel", "16", "conv_kernel is 16, wanted "),
        ("state_size", "77", "state_size is 77, wanted "),
        ("use_bias", "\"yes\"", "use_bias is \"yes\", wanted true or false"),
        ("hidden_act", "\"gelu\"", "hidden_act is \"gelu\", wanted \"silu\""),
        ("layer_norm_epsilon", "-1e-5", "layer_norm_epsilon is -0.00001, wanted a positive number"),
        ("rms_norm", "false", "rms_norm is false, wanted true"),
        ("attn_layer_idx", "[3]", "attn_layer_idx is [3], wanted []"),
        ("model_type", "\"falcon_mamba\"", "falcon_mamba is not supported; supported: mamba, mamba2, ttt"),
    ];
    const MAMBA: &[(&str, &str, &str)] = &[
        ("use_bias", "true", "use_bias is true, wanted false"),
        ("use_conv_bias", "false", "use_conv_bias is false, wanted true"),
        ("time_step_rank", "3", "time_step_rank is 3, wanted 2"),
        ("intermediate_size", "65", "intermediate_size is 65, wanted 64"),
        ("tie_word_embeddings", "false", "no tensor lm_head.weight"),
        ("model_type", "\"mamba2\"", "no tensor backbone.layers.0.mixer.dt_bias"),
    ];
    const MAMBA2: &[(&str, &str, &str)] = &[
        ("num_heads", "5", "num_heads is 5, wanted 10"),
        ("head_dim", "24", "head_dim is 24, wanted 12"),
        ("n_groups", "3", "the number of groups is 3, wanted a divisor of the 10 heads"),
        ("n_groups", "5", "the width of B and C is 76, wanted a multiple of 2 times 5 groups"),
        ("n_groups", "0", "n_groups is 0, wanted an integer"),
        ("time_step_limit", "[0.5]", "time_step_limit is [0.5], wanted two numbers"),
        ("time_step_limit", "[0.5, 0.1]", "time_step_limit is [0.5,0.1], wanted two numbers"),
        ("time_step_limit", "[-1, 1]", "time_step_limit is [-1,1], wanted two numbers"),
        ("time_step_limit", "[0, \"NaN\"]", "wanted two numbers"),
        ("norm_before_gate", "true", "norm_before_gate is true, wanted false"),
    ];
    let mut failures = Vec::new();
    for (name, tables) in [("mamba-state16", [BOTH, MAMBA]), ("mamba2-odd-groups2-bias-tied-limit", [BOTH, MAMBA2])] {
        let untouched = refusal(fixture(name), |_, _| ());
        assert_eq!(untouched, "accepted", "{name}");
        for (field, value, wanted) in tables.concat() {
            let value: Value = serde_json::from_str(value).expect("JSON");
            let said = refusal(fixture(name), |config, _| config[field] = value.clone());
            if !said.contains(wanted) {
                failures.push(format!("{name}, {field} {value}: {said:?} lacks {wanted:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_tensor_is_looked_for_and_measured() {
    for name in ["mamba-odd-bias-untied", "mamba2-odd-groups2-bias-tied-limit"] {
        let whole = fixture(name);
        for tensor in whole.tensors.keys() {
            // The first layer tells whether there are biases, and there may be no output matrix.
            let optional = ["layers.0.mixer.in_proj.bias", "layers.0.mixer.conv1d.bias", "lm_head.weight"];
            let optional = optional.iter().any(|name| tensor.ends_with(name));
            let said = refusal(whole.clone(), |config, tensors| {
                tensors.remove(tensor);
                for field in ["use_bias", "use_conv_bias", "tie_word_embeddings"] {
                    config[field] = Value::Null;
                }
            });
            assert!(said.contains("no tensor") || optional, "{name} without {tensor}: {said}");
            let said = refusal(whole.clone(), |_, tensors| {
                let (shape, _) = tensors.get_mut(tensor).expect("it is there");
                shape.insert(0, 1);
                shape.push(1);
            });
            assert!(said.contains(&format!("the shape of {tensor}")), "{name} with another shape of {tensor}: {said}");
        }
    }
}
