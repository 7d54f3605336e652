//! Sessions of one model on several threads at once.

use super::*;

/// The program has one pool of threads and a model one set of buffers, for all of them.
#[test]
fn threads_draw_from_one_model_at_once_what_each_would_draw_alone() {
    let model = block_on(Model::open(shipped(), &Device::cpu())).expect("the shipped model");
    let drawn = &|first: u32| -> Vec<u32> {
        let mut session = session(&model);
        session.set_sampling(Sampling { temperature: 0.0, ..Sampling::default() }).expect("greedy");
        block_on(session.prefill(&[first, 17, 400, 3])).expect("prefill");
        (0..24).map(|_| block_on(session.next()).expect("a token").id).collect()
    };
    let alone: Vec<Vec<u32>> = (0..4).map(|i| drawn(100 + i)).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || drawn(100 + i))).collect();
        for (thread, alone) in threads.into_iter().zip(&alone) {
            assert_eq!(&thread.join().expect("it ends"), alone);
        }
    });
}
