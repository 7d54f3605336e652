//! What the head of each kernel's file says of its operands, against what naga finds in the linked source.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;

use fastweight::step::{MAX_SEQUENCES, Part, Sequence, StepHead};
use naga::{AddressSpace, ArraySize, Module, StorageAccess, TypeInner};

use super::naga_checks::parse;
use super::{Access, Compiler, Launched, expect_none, launches, link, plain_places};

/// One line of a header: `name  [shape]  read|read_write  note`.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    name: &'a str,
    access: Access,
    /// Whether only some fillings of the kernel's holes bind it.
    optional: bool,
}

/// The operands that the head of a file lists.
fn header(text: &str) -> Vec<Line<'_>> {
    text.lines().map_while(|line| line.strip_prefix("//")).filter_map(operand).collect()
}

fn operand(line: &str) -> Option<Line<'_>> {
    let (name, rest) = line.strip_prefix("   ")?.split_once(' ')?;
    let (_, rest) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    let (access, note) = rest.trim_start().split_once(' ').unwrap_or((rest.trim(), ""));
    let access = match access {
        "read" => Access::Read,
        "read_write" => Access::ReadWrite,
        _ => return None,
    };
    Some(Line { name, access, optional: note.trim_end().ends_with(" only") })
}

/// Name and access of each storage buffer of a module whose operands lie in group 0, in binding order.
fn operands(module: &Module) -> Vec<(String, Access)> {
    let mut found = BTreeMap::new();
    for (_, variable) in module.global_variables.iter() {
        let (AddressSpace::Storage { access }, Some(binding)) = (variable.space, variable.binding) else { continue };
        let access = if access.contains(StorageAccess::STORE) { Access::ReadWrite } else { Access::Read };
        found.insert((binding.group, binding.binding), (variable.name.clone().unwrap_or_default(), access));
    }
    found.into_values().collect()
}

/// What differs between a launch, its header and its source.
fn differences(launch: &fastweight::kernels::Launch) -> Result<Vec<String>, String> {
    let linked = link(launch, &plain_places(launch.bindings.len()), Compiler::Naga).map_err(|e| e.to_string())?;
    let (module, _) = parse(&linked.source, &launch.enables)?;
    let mut differences = Vec::new();
    let mut expect = |what: &str, found: String, wanted: String| {
        if found != wanted {
            differences.push(format!("{what}: {found}, wanted {wanted}"));
        }
    };

    let text = fastweight_shaders::source(launch.file).ok_or("no such file")?;
    let lines = header(text).into_iter().filter(|l| !l.optional || launch.bindings.contains(&l.name));
    let promised: Vec<_> = lines.map(|l| (l.name.to_string(), l.access)).collect();
    let found = operands(&module);
    expect("the header's operands", format!("{promised:?}"), format!("{found:?}"));
    let named: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    expect("the launch's operands", format!("{:?}", launch.bindings), format!("{named:?}"));
    let access: Vec<Access> = found.iter().map(|(_, access)| *access).collect();
    expect("the linker's accesses", format!("{:?}", linked.access), format!("{access:?}"));

    let declared: BTreeSet<_> = module.overrides.iter().filter_map(|(_, o)| o.name.as_deref()).collect();
    let set: BTreeSet<_> = launch.overrides.iter().map(|(name, _)| *name).collect();
    expect("the launch's overrides", format!("{set:?}"), format!("{declared:?}"));
    for name in set.into_iter().chain(launch.consts.iter().map(|(name, _)| *name)) {
        let words = linked.source.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.filter(|word| *word == name).count() < 2 {
            differences.push(format!("{name} is declared and never used"));
        }
    }
    Ok(differences)
}

#[test]
fn headers_and_launches_agree_with_the_source() {
    let mut failures = BTreeSet::new();
    let (mut seen, mut bound) = (BTreeSet::new(), BTreeSet::new());
    for Launched { about, launch, .. } in launches() {
        bound.extend(launch.bindings.iter().map(|name| (launch.file, *name)));
        let overrides: Vec<_> = launch.overrides.iter().map(|(name, _)| *name).collect();
        if !seen.insert((launch.name(), launch.bindings.clone(), overrides)) {
            continue;
        }
        match differences(&launch) {
            Ok(differences) => failures.extend(differences.into_iter().map(|d| format!("{about}: {d}"))),
            Err(problem) => drop(failures.insert(format!("{about}: {problem}"))),
        }
    }
    for (file, text) in fastweight_shaders::SOURCES.iter().filter(|(file, _)| !file.starts_with("parts/")) {
        let lines = header(text);
        if lines.is_empty() {
            failures.insert(format!("{file}: the header lists no operand"));
        }
        let never = lines.iter().filter(|l| !bound.contains(&(*file, l.name)));
        failures.extend(never.map(|l| format!("{file}: the header lists {}, which no launch binds", l.name)));
    }
    expect_none(&failures.into_iter().collect::<Vec<_>>());
}

#[test]
fn operand_lines_are_recognised() {
    let line = |name, access, optional| Some(Line { name, access, optional });
    for (text, wanted) in [
        ("   x  [rows, K]  read", line("x", Access::Read, false)),
        ("   gate  [rows]  read        with the gate only", line("gate", Access::Read, true)),
        ("   record  [sequences, 4]   read_write   id, kept", line("record", Access::ReadWrite, false)),
        ("   z = k W + b,  h = lr", None),
        (" One workgroup of [256] a row.", None),
        ("   x  [rows, K]  write", None),
    ] {
        assert_eq!(operand(text), wanted, "{text}");
    }
}

/// The members of a struct in the step values: name and offset.
fn members(module: &Module, name: &str) -> Vec<(String, usize)> {
    let (_, found) =
        module.types.iter().find(|(_, t)| t.name.as_deref() == Some(name)).unwrap_or_else(|| panic!("no struct {name}"));
    let TypeInner::Struct { members, .. } = &found.inner else { panic!("{name} is no struct") };
    members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize)).collect()
}

#[test]
fn step_values_are_the_same_bytes_in_rust_and_wgsl() {
    let Launched { launch, .. } = launches().swap_remove(0);
    let linked = link(&launch, &plain_places(launch.bindings.len()), Compiler::Naga).expect("it links");
    let (module, _) = parse(&linked.source, &launch.enables).expect("it is valid");
    macro_rules! fields {
        ($of:ty: $($field:ident)*) => { vec![$((stringify!($field).to_string(), offset_of!($of, $field)),)*] };
    }
    let sequence =
        fields!(Sequence: position count first_row learning seed sharpness top_k top_p min_p_drop penalty inverse_penalty last_n);
    let mut head = fields!(StepHead: rows sequences longest context);
    head.push(("sequence".into(), size_of::<StepHead>()));
    assert_eq!(members(&module, "Sequence"), sequence);
    assert_eq!(members(&module, "Step"), head);
    assert_eq!(members(&module, "Part"), fields!(Part: first count));
    assert_eq!(sequence.len() * 4, size_of::<Sequence>(), "every field of the record is compared");

    let table = module.types.iter().find_map(|(_, t)| match t.inner {
        TypeInner::Array { base, size: ArraySize::Constant(n), stride }
            if module.types[base].name.as_deref() == Some("Sequence") =>
        {
            Some((n.get() as usize, stride as usize))
        }
        _ => None,
    });
    assert_eq!(table, Some((MAX_SEQUENCES, size_of::<Sequence>())));
}
