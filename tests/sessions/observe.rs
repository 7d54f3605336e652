//! Watching a session learn: observing changes nothing, and what is seen is what there is.

use fastweight::device::{Device, DeviceError};
use fastweight::error::Error;
use fastweight::generate::{FastWeights, InnerLoss, LoadOptions, MiniBatch, Model, Session};
use fastweight_tests::fixtures::{self, shipped};
use fastweight_tests::{Random, devices, fresh_software, software};
use pollster::block_on;

use super::{load, open_shipped, session, split_fixtures};

/// Reads tokens and returns the bits of their losses, and the mini-batches that were seen.
fn observe(session: &mut Session, tokens: &[u32]) -> (Vec<Option<u32>>, Vec<MiniBatch>) {
    let mut seen = Vec::new();
    let losses = block_on(session.read_observed(tokens, &mut |m: &MiniBatch| seen.push(m.clone()))).expect("losses");
    (bits(&losses), seen)
}

fn bits(losses: &[Option<f32>]) -> Vec<Option<u32>> {
    losses.iter().map(|loss| loss.map(f32::to_bits)).collect()
}

fn read(session: &mut Session, tokens: &[u32]) -> Vec<Option<u32>> {
    bits(&block_on(session.read(tokens)).expect("losses"))
}

fn snapshot(session: &mut Session) -> Vec<u8> {
    block_on(session.snapshot()).expect("a state")
}

/// Tokens after which a model is observed.
fn window(model: &Model) -> usize {
    if model.architecture().learns() { model.architecture().chunk() } else { 16 }
}

/// The largest difference between two lists of losses.
fn apart(a: &[Option<u32>], b: &[Option<u32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let loss = |bits: &Option<u32>| bits.map_or(-1.0, f32::from_bits);
    a.iter().zip(b).map(|(a, b)| (loss(a) - loss(b)).abs()).fold(0.0, f32::max)
}

#[test]
fn observing_gives_the_losses_and_the_state_of_reading() {
    let mut random = Random::new();
    for (name, device) in [("cpu", Device::cpu()), ("software GPU", software())] {
        for fixture in split_fixtures() {
            let model = load(&fixture, &device);
            let (ids, b) = (&fixture.ids, window(&model));
            // In one go, cut where mini-batches end, and cut anywhere.
            for round in 0..if device.is_cpu() { 6 } else { 3 } {
                let about = format!("{} on {name}, round {round}", fixture.name);
                // Observing cuts runs where mini-batches end. How a run is cut is a matter of rounding on the CPU device, where one token is
                // multiplied otherwise than several, and to the scans of a state space.
                let exact = (round < 2 && b > 1) || (!device.is_cpu() && model.architecture().learns());
                let (mut watched, mut plain) = (session(&model), session(&model));
                let (mut all, mut at) = (0, 0);
                while at < ids.len() {
                    let left = ids.len() - at;
                    let count = match round {
                        0 => left,
                        1 => left.min(random.within(1, 3) * b + usize::from(at == 0)),
                        _ => random.within(1, left),
                    };
                    let (losses, seen) = observe(&mut watched, &ids[at..at + count]);
                    let wanted = read(&mut plain, &ids[at..at + count]);
                    match exact {
                        true => {
                            assert_eq!(losses, wanted, "{about}");
                            assert!(
                                snapshot(&mut watched) == snapshot(&mut plain),
                                "{about}: the states differ after {} tokens",
                                at + count
                            );
                        }
                        false => assert!(apart(&losses, &wanted) < 1e-3, "{about}: {losses:?}, wanted {wanted:?}"),
                    }
                    // The pending token of the call before is taken in by this one, whose last is left pending.
                    let (first, end) = (at.saturating_sub(1), at + count - 1);
                    let indices: Vec<usize> = seen.iter().map(|m| m.index).collect();
                    assert_eq!(indices, (first / b..end / b).collect::<Vec<_>>(), "{about}: {first} to {end}");
                    for m in &seen {
                        let range = m.first..m.first + m.losses.len();
                        assert_eq!(range, first.max(m.index * b)..(m.index + 1) * b, "{about}");
                        let known = |position| if position == first { None } else { losses[position - at] };
                        assert_eq!(bits(&m.losses), range.map(known).collect::<Vec<_>>(), "{about}");
                        assert_eq!(
                            (m.inner.is_empty(), m.moved.is_empty()),
                            (!model.architecture().learns(), m.inner.is_empty())
                        );
                    }
                    all += seen.len();
                    at += count;
                }
                assert_eq!(all, (ids.len() - 1) / b, "{about}: each mini-batch is seen once");
            }
        }
    }
}

/// The inner losses and the ways of some mini-batches, end to end.
fn numbers(seen: &[MiniBatch]) -> Vec<f32> {
    let inner = seen.iter().flat_map(|m| m.inner.iter().flatten()).flat_map(|InnerLoss { before, after }| [*before, *after]);
    inner.chain(seen.iter().flat_map(|m| m.moved.iter().flatten().copied())).collect()
}

#[test]
fn devices_see_the_same_learning() {
    for fixture in split_fixtures() {
        let mut wanted: Option<Vec<f32>> = None;
        for (name, device) in devices() {
            let model = load(&fixture, &device);
            let Some(shape) = model.architecture().fast() else { continue };
            let mut session = session(&model);
            // A run that begins inside a mini-batch tells of its own tokens.
            let cut = fixture.ids.len() / 2;
            let mut seen = observe(&mut session, &fixture.ids[..cut]).1;
            seen.extend(observe(&mut session, &fixture.ids[cut..]).1);
            assert!(seen.iter().all(|m| m.inner.len() == shape.layers && m.inner.iter().all(|heads| heads.len() == shape.heads)));
            assert!(seen.iter().all(|m| m.moved.len() == shape.layers && m.moved.iter().all(|heads| heads.len() == shape.heads)));
            let found = numbers(&seen);
            let wanted = wanted.get_or_insert(found.clone());
            for (found, wanted) in found.iter().zip(wanted) {
                let error = (found - *wanted).abs() / wanted.max(1.0);
                assert!(error <= fixture.bound && *found > 0.0, "{} on {name}: {found}, wanted {wanted}", fixture.name);
            }
        }
    }
}

/// ‖now − start‖ / ‖start‖ over all matrices.
fn way(weights: &FastWeights) -> f64 {
    let sum = |of: &dyn Fn(f64, f64) -> f64| {
        let pairs = weights.matrices.iter().flat_map(|m| m.now.iter().zip(&m.start));
        pairs.map(|(now, start)| of(f64::from(*now), f64::from(*start)).powi(2)).sum::<f64>()
    };
    (sum(&|now, start| now - start) / sum(&|_, start| start)).sqrt()
}

#[test]
fn fast_weights_start_at_the_checkpoint_and_move_as_told() {
    for (name, device) in devices() {
        for fixture in &fixtures::golden() {
            let model = load(fixture, &device);
            let shape = model.architecture().fast().expect("a model that learns");
            let mut session = session(&model);
            let each = || (0..shape.layers).flat_map(|layer| (0..shape.heads).map(move |head| (layer, head)));
            let weights =
                |session: &mut Session, (layer, head)| block_on(session.fast_weights(layer, head)).expect("fast weights");
            for (layer, head) in each() {
                let fresh = weights(&mut session, (layer, head));
                assert_eq!(way(&fresh), 0.0, "{name}: a fresh session has not moved");
                let names: Vec<_> = fresh.matrices.iter().map(|m| (m.name, m.rows, m.columns)).collect();
                assert_eq!(names, shape.matrices);
                for m in &fresh.matrices {
                    let tensor = format!("model.layers.{layer}.seq_modeling_block.{}", m.name);
                    let wanted = &fixture.tensors[&tensor].1[head * m.rows * m.columns..][..m.rows * m.columns];
                    assert_eq!(m.start, wanted, "{name} {}: {tensor} of head {head}", fixture.name);
                    assert_eq!(m.now, m.start);
                }
            }
            // What is pending is not learned on yet: 33 tokens make two mini-batches.
            let (_, seen) = observe(&mut session, &fixture.ids[..33]);
            assert_eq!(seen.len(), 2);
            for (layer, head) in each() {
                let (found, wanted) = (seen[1].moved[layer][head], way(&weights(&mut session, (layer, head))));
                assert!((f64::from(found) - wanted).abs() <= 1e-6 * wanted && wanted > 0.0, "{name}: {found}, wanted {wanted}");
            }
            block_on(session.reset()).expect("a reset");
            assert!(each().all(|at| way(&weights(&mut session, at)) == 0.0), "{name}: a reset returns to the start");
        }
    }
}

#[test]
fn what_has_no_fast_weights_is_named() {
    let message = |model: &Model, layer, head| {
        let error = block_on(session(model).fast_weights(layer, head)).expect_err("there are none");
        assert!(matches!(&error, Error::NoFastWeights { layer: l, head: h, .. } if (*l, *h) == (layer, head)));
        error.to_string()
    };
    let shipped = open_shipped();
    let wanted = "no fast weights in layer 6, head 0: the model has layers 0 to 5 with heads 0 to 3";
    assert_eq!(message(&shipped, 6, 0), wanted);
    assert_eq!(message(&shipped, 0, 4), wanted.replace("6, head 0", "0, head 4"));
    let transformer = load(&fixtures::llama()[0], &Device::cpu());
    let wanted = "no fast weights in layer 0, head 0: the model has none: it does not learn while it reads";
    assert_eq!(message(&transformer, 0, 0), wanted);
}

#[test]
fn the_shipped_model_learns_what_it_reads() {
    let small = Device::cpu().with_caps(|caps| caps.binding_bytes = 64 << 10);
    for (name, device) in [("cpu", Device::cpu()), ("cpu with small bindings", small), ("software GPU", software())] {
        let model = block_on(Model::open(shipped(), &device)).expect("the shipped model");
        let text = "Once upon a time there was a king who had three sons. The eldest was proud, the second was sly, and the \
                    youngest was so simple that nobody asked him anything. One day the king fell ill, and called his three sons, \
                    and said to them, “Whoever brings me the water of life shall have my kingdom.”";
        let ids = model.tokenizer().and_then(|t| t.encode(text)).expect("ids");
        let (_, seen) = observe(&mut session(&model), &ids);
        assert!(seen.len() >= 4, "{} tokens", ids.len());
        let inner: Vec<&InnerLoss> = seen.iter().flat_map(|m| m.inner.iter().flatten()).collect();
        let mean = |of: fn(&InnerLoss) -> f32| inner.iter().map(|i| of(i)).sum::<f32>() / inner.len() as f32;
        let (before, after) = (mean(|i| i.before), mean(|i| i.after));
        println!("{name}: inner loss {before} before, {after} after; moved {:?}", seen.last().map(|m| &m.moved));
        assert!(after < before, "{name}: {after} after, {before} before");
    }
}

#[test]
fn an_observed_reading_can_be_cancelled_and_gone_on_with() {
    for (name, device) in devices() {
        let fixture = &fixtures::golden()[1];
        let model = load(fixture, &device);
        let mut session = session(&model);
        let cancel = session.cancel_handle();
        let cancelled = block_on(session.read_observed(&fixture.ids, &mut |_| cancel.cancel()));
        assert!(matches!(cancelled, Err(Error::Cancelled { taken: 16 })), "{name}: {cancelled:?}");
        // The token after those that were taken is pending.
        assert_eq!(session.len(), 17, "{name}");
        cancel.clear();
        let found = read(&mut session, &fixture.ids[17..]);
        let mut whole = self::session(&model);
        let wanted = read(&mut whole, &fixture.ids);
        assert!(apart(&found, &wanted[17..]) < 1e-3, "{name}");
    }
}

#[test]
fn a_device_lost_while_observing_loses_nothing() {
    let ids: Vec<u32> = (0..50).map(|i| i * 97 % 4096).collect();
    let wanted = read(&mut session(&open_shipped()), &ids);
    let model = block_on(Model::open(shipped(), &fresh_software())).expect("the shipped model");
    let mut session = session(&model);
    let mut found = read(&mut session, &ids[..9]);
    let lose = || model.device().wgpu().expect("a GPU, which can be lost").0.destroy();
    let lost = block_on(session.read_observed(&ids[9..], &mut |_| lose()));
    assert!(matches!(lost, Err(Error::Device(DeviceError::Lost(_)))), "{lost:?}");
    let opened = block_on(fastweight::load::open_path(&shipped())).expect("the shipped model");
    block_on(model.move_to(opened, &fresh_software(), LoadOptions::default())).expect("another device");
    // As if the call had not been made.
    let (losses, seen) = observe(&mut session, &ids[9..]);
    assert_eq!(seen.iter().map(|m| m.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(seen[0].moved.iter().flatten().all(|moved| *moved > 0.0));
    found.extend(losses);
    assert!(apart(&found, &wanted) < 1e-3);
}
