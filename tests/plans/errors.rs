//! Wrong shapes: refused while the graph is built, by an error that says where, by whom, and what was given.

use fastweight::graph::Graph;
use fastweight::kernels::{Case, KERNELS};
use fastweight::tensor::{Axis, DType, Desc};

/// For each kernel, the inputs that it refuses when only they are changed so.
struct Refused {
    kernel: &'static str,
    /// One column more.
    wider: &'static [usize],
    /// Another element type.
    dtype: &'static [usize],
    /// One row more.
    longer: &'static [usize],
    /// Rows that are no tokens or sequences any more.
    fixed: &'static [usize],
}

const REFUSED: &[Refused] = &[
    Refused { kernel: "add", wider: &[0, 1], dtype: &[0, 1], longer: &[0, 1], fixed: &[0, 1] },
    Refused { kernel: "add_bias", wider: &[0, 1], dtype: &[0, 1], longer: &[], fixed: &[] },
    Refused { kernel: "append", wider: &[0, 1, 2, 3], dtype: &[0, 1, 2, 3], longer: &[0, 1, 2, 3], fixed: &[0, 1] },
    Refused { kernel: "attend", wider: &[0, 1, 2], dtype: &[0, 1, 2], longer: &[1, 2], fixed: &[0] },
    Refused { kernel: "attend_append", wider: &[1, 2, 3], dtype: &[0, 1, 2, 3], longer: &[1, 2, 3], fixed: &[0] },
    Refused { kernel: "attend_combine", wider: &[0], dtype: &[0], longer: &[], fixed: &[0] },
    Refused { kernel: "attend_decode", wider: &[0, 1, 2], dtype: &[0, 1, 2], longer: &[1, 2], fixed: &[0] },
    Refused { kernel: "causal_conv", wider: &[0, 1, 2, 3, 4], dtype: &[0, 1, 2, 3, 4], longer: &[1, 2, 4], fixed: &[0, 4] },
    Refused { kernel: "copy", wider: &[], dtype: &[0], longer: &[], fixed: &[] },
    Refused { kernel: "cross_entropy", wider: &[1], dtype: &[0, 1], longer: &[0, 1], fixed: &[0, 1] },
    Refused { kernel: "embed", wider: &[0], dtype: &[0, 1], longer: &[], fixed: &[] },
    Refused { kernel: "gelu_gate", wider: &[0, 1], dtype: &[0, 1], longer: &[0, 1], fixed: &[0, 1] },
    Refused { kernel: "group_rms_norm", wider: &[0, 1], dtype: &[0, 1], longer: &[], fixed: &[] },
    Refused { kernel: "last_row", wider: &[], dtype: &[0], longer: &[], fixed: &[0] },
    Refused { kernel: "layer_norm", wider: &[0, 1, 2, 3], dtype: &[0, 1, 2, 3], longer: &[0, 3], fixed: &[0, 3] },
    Refused { kernel: "lr_gate", wider: &[0, 1], dtype: &[0, 1], longer: &[], fixed: &[0] },
    Refused { kernel: "matmul", wider: &[0, 1, 2], dtype: &[0, 1, 2], longer: &[0, 1, 2], fixed: &[0, 2] },
    Refused {
        kernel: "matvec",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 4, 5],
        fixed: &[0, 4, 5],
    },
    Refused { kernel: "multiply_add", wider: &[1], dtype: &[0, 1], longer: &[1], fixed: &[] },
    Refused { kernel: "norm_conv", wider: &[0, 1, 2, 3, 4], dtype: &[0, 1, 2, 3, 4], longer: &[1, 2, 3], fixed: &[0] },
    Refused { kernel: "random", wider: &[0, 1], dtype: &[0, 1], longer: &[0], fixed: &[] },
    Refused { kernel: "remember", wider: &[0, 1], dtype: &[0, 1], longer: &[], fixed: &[] },
    Refused { kernel: "repetition", wider: &[1], dtype: &[0, 1], longer: &[], fixed: &[0] },
    Refused { kernel: "rms_norm", wider: &[0, 1], dtype: &[0, 1], longer: &[], fixed: &[] },
    Refused { kernel: "rope", wider: &[0, 1], dtype: &[0, 1], longer: &[1], fixed: &[0] },
    Refused { kernel: "sample", wider: &[1], dtype: &[0, 1], longer: &[], fixed: &[0] },
    Refused {
        kernel: "selective_scan",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 2, 4, 5],
        fixed: &[0, 1, 2, 5],
    },
    Refused {
        kernel: "ssd",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 2, 4, 5],
        fixed: &[0, 1, 2, 5],
    },
    Refused { kernel: "stream_copy", wider: &[0], dtype: &[0], longer: &[], fixed: &[] },
    Refused { kernel: "stream_read", wider: &[0], dtype: &[0], longer: &[], fixed: &[] },
    Refused { kernel: "swiglu", wider: &[0, 1], dtype: &[0, 1], longer: &[0, 1], fixed: &[0, 1] },
    Refused {
        kernel: "ttt_linear",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 2, 4, 5],
        fixed: &[0, 1, 2],
    },
    Refused {
        kernel: "ttt_linear_outputs",
        wider: &[0, 1, 2, 3, 4],
        dtype: &[0, 1, 2, 3, 4],
        longer: &[0, 1, 2, 4],
        fixed: &[0, 2],
    },
    Refused {
        kernel: "ttt_linear_states",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 2, 4, 5],
        fixed: &[0, 1, 2],
    },
    Refused {
        kernel: "ttt_mlp",
        wider: &[0, 1, 2, 3, 4, 5],
        dtype: &[0, 1, 2, 3, 4, 5],
        longer: &[0, 1, 2, 4, 5],
        fixed: &[0, 1, 2],
    },
];

/// The inputs of `case` with one of them changed.
fn changed(case: &Case, input: usize, change: impl Fn(&mut Desc)) -> Vec<Desc> {
    let mut descs: Vec<Desc> = case.inputs.iter().map(|i| i.desc.clone()).collect();
    change(&mut descs[input]);
    descs
}

/// What is wrong with the error that these inputs give, if anything.
fn complaint(case: &Case, descs: &[Desc], refused: Option<usize>) -> Option<String> {
    let mut g = Graph::new();
    let inputs: Vec<_> = descs.iter().enumerate().map(|(i, desc)| g.input(format!("value {i}"), desc.clone())).collect();
    let label = "model.layers.7.part";
    let Err(error) = g.nodes(label, case.op.clone(), &inputs) else { return Some("accepted".into()) };
    let text = error.to_string();
    let mut wanted = vec![label.to_string(), format!(" {}: ", case.op.name())];
    wanted.extend(descs.iter().map(Desc::to_string));
    wanted.extend(refused.map(|input| format!("input {input} is {}", descs[input])));
    let missing: Vec<_> = wanted.into_iter().filter(|part| !text.contains(part.as_str())).collect();
    (!missing.is_empty()).then(|| format!("{text:?} lacks {missing:?}"))
}

/// Another element type than the input's, which the kernel does not take.
fn other(kernel: &str, dtype: DType) -> DType {
    match (kernel, dtype) {
        ("copy", _) => DType::F16,
        (_, DType::U32) => DType::F32,
        _ => DType::U32,
    }
}

#[test]
fn wrong_inputs_are_refused_by_name() {
    let mut failures = Vec::new();
    for (kernel, cases) in KERNELS {
        let Some(refused) = REFUSED.iter().find(|r| r.kernel == *kernel) else {
            failures.push(format!("{kernel}: not in the table"));
            continue;
        };
        // The form that takes the most inputs.
        let case = cases().into_iter().max_by_key(|c| c.inputs.len()).expect("every kernel has a case");
        let all: Vec<Desc> = case.inputs.iter().map(|i| i.desc.clone()).collect();
        let mut extra = all.clone();
        extra.push(Desc::tokens(3, 4));
        let mut tried = vec![("none", Vec::new(), None), ("one less", all[1..].to_vec(), None), ("one more", extra, None)];
        tried.extend(refused.wider.iter().map(|i| {
            let wider = |d: &mut Desc| *d.shape.last_mut().expect("a shape") += 1;
            ("wider", changed(&case, *i, wider), None)
        }));
        tried.extend(refused.longer.iter().map(|i| ("longer", changed(&case, *i, |d| d.shape[0] += 1), None)));
        tried.extend(refused.fixed.iter().map(|i| ("fixed", changed(&case, *i, |d| d.axis = Axis::Fixed), None)));
        tried.extend(refused.dtype.iter().map(|i| ("dtype", changed(&case, *i, |d| d.dtype = other(kernel, d.dtype)), Some(*i))));
        for (what, descs, input) in tried {
            let problem = complaint(&case, &descs, input);
            failures.extend(
                problem.map(|p| format!("{kernel} {what} {}: {p}", descs.iter().map(|d| format!("{d} ")).collect::<String>())),
            );
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
