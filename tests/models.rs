//! Whole models against numbers that independent implementations computed in f64.

use fastweight::device::Device;
use fastweight::generate::{LoadOptions, Model, Session};
use fastweight::tensor::DType;
use fastweight_tests::fixtures::{self, Fixture};
use fastweight_tests::{devices, software};
use pollster::block_on;

#[path = "models/mamba.rs"]
mod mamba;

fn load(fixture: &Fixture, device: &Device) -> Model {
    let opened = fixture.opened(DType::F32);
    block_on(Model::load(opened, device, LoadOptions::default())).unwrap_or_else(|e| panic!("{}: {e}", fixture.name))
}

fn session(model: &Model) -> Session {
    block_on(model.session()).expect("a session")
}

fn expect_logits(fixture: &Fixture, device: &str, found: &[f32]) {
    let worst = fixture.worst(found);
    println!("{} on {device}: {worst:e}", fixture.name);
    assert!(worst <= fixture.bound, "{} on {device}: {worst} over {}", fixture.name, fixture.bound);
}

#[test]
fn golden_logits_on_every_device() {
    for (name, device) in devices() {
        for fixture in fixtures::golden().into_iter().chain(fixtures::llama()).chain([fixtures::golden_mamba()]) {
            let logits = block_on(session(&load(&fixture, &device)).logits(&fixture.ids)).expect("logits");
            expect_logits(&fixture, name, &logits);
        }
    }
}

#[test]
fn made_logits_on_the_cpu_device() {
    for fixture in fixtures::made_cases() {
        let logits = block_on(session(&load(&fixture, &Device::cpu())).logits(&fixture.ids)).expect("logits");
        expect_logits(&fixture, "cpu", &logits);
    }
}

#[test]
fn made_logits_on_the_software_gpu() {
    for fixture in fixtures::made_cases() {
        let logits = block_on(session(&load(&fixture, &software())).logits(&fixture.ids)).expect("logits");
        expect_logits(&fixture, "software GPU", &logits);
    }
}
