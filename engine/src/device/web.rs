//! What a browser needs otherwise than a system: its event loop must be let run, and it must be asked for what wgpu does not ask for.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Proxy, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::MessageChannel;

/// A channel to ourselves: a message through it is a task of its own, and unlike a timer's it comes at once.
struct Channel {
    ends: MessageChannel,
    /// Who waits, in order.
    waiting: Rc<RefCell<VecDeque<Function>>>,
    _called: Closure<dyn FnMut()>,
}

impl Channel {
    fn new() -> Result<Channel, JsValue> {
        let ends = MessageChannel::new()?;
        let waiting: Rc<RefCell<VecDeque<Function>>> = Rc::default();
        let first = waiting.clone();
        let called = Closure::new(move || {
            let resolve = first.borrow_mut().pop_front();
            // What it wakes may throw; that is not ours to tell.
            let _ = resolve.map(|resolve| resolve.call0(&JsValue::NULL));
        });
        ends.port1().set_onmessage(Some(called.as_ref().unchecked_ref()));
        Ok(Channel { ends, waiting, _called: called })
    }
}

thread_local! {
    static CHANNEL: RefCell<Option<Channel>> = const { RefCell::new(None) };
}

/// Resolves in a task of its own, after those that wait.
pub(super) async fn macrotask() {
    let turn = Promise::new(&mut |resolve: Function, _| {
        let sent = CHANNEL.with_borrow_mut(|channel| {
            let channel = match channel {
                Some(channel) => channel,
                None => channel.insert(Channel::new()?),
            };
            channel.waiting.borrow_mut().push_back(resolve.clone());
            channel.ends.port2().post_message(&JsValue::NULL)
        });
        if sent.is_err() {
            // Without a channel there is no other task to wait for.
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    // It never rejects.
    let _ = JsFuture::from(turn).await;
}

/// Resolves after about so many milliseconds; browsers take 4 at least where timers follow each other.
pub(super) async fn sleep(milliseconds: u32) {
    let turn = Promise::new(&mut |resolve: Function, _| {
        // Windows and workers have it, each in an interface of its own.
        let set = Reflect::get(&js_sys::global(), &"setTimeout".into()).and_then(|f| f.dyn_into::<Function>());
        let set = set.and_then(|set| set.call2(&js_sys::global(), &resolve, &milliseconds.into()));
        if set.is_err() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    });
    let _ = JsFuture::from(turn).await;
}

const SUBGROUPS: &str = "subgroups";
const REQUEST: &str = "requestDevice";

/// Requests a device that has subgroups as well, if its adapter has them; and whether it has. wgpu 30 does not know this feature of browsers, and
/// keeps the adapter to itself, so `GPUAdapter.requestDevice` is another while `request` runs, which calls it at once.
pub(super) fn with_subgroups<T>(request: impl FnOnce() -> T) -> (T, bool) {
    let added = Rc::new(Cell::new(false));
    let tell = added.clone();
    let called = Closure::<dyn FnMut(Function, JsValue, Array) -> Result<JsValue, JsValue>>::new(
        move |original: Function, adapter: JsValue, arguments: Array| {
            tell.set(add_subgroups(&adapter, &arguments).unwrap_or(false));
            original.apply(&adapter, &arguments)
        },
    );
    let replaced = replace_request(called.as_ref());
    let requested = request();
    if let Ok((adapters, original)) = replaced {
        // It could be set a moment ago.
        let _ = Reflect::set(&adapters, &REQUEST.into(), &original);
    }
    (requested, added.get())
}

/// Has `called` called for `requestDevice`, with the original, its `this` and its arguments; gives the object that was changed and the original.
fn replace_request(called: &JsValue) -> Result<(JsValue, JsValue), JsValue> {
    let adapters = Reflect::get(&Reflect::get(&js_sys::global(), &"GPUAdapter".into())?, &"prototype".into())?;
    let original = Reflect::get(&adapters, &REQUEST.into())?;
    let handler = Object::new();
    Reflect::set(&handler, &"apply".into(), called)?;
    Reflect::set(&adapters, &REQUEST.into(), &Proxy::new(&original, &handler))?;
    Ok((adapters, original))
}

/// Adds subgroups to the features that a request's arguments name; whether the adapter has them.
fn add_subgroups(adapter: &JsValue, arguments: &Array) -> Result<bool, JsValue> {
    let features = Reflect::get(adapter, &"features".into())?;
    let has: Function = Reflect::get(&features, &"has".into())?.dyn_into()?;
    if !has.call1(&features, &SUBGROUPS.into())?.is_truthy() {
        return Ok(false);
    }
    let required: Array = Reflect::get(&arguments.get(0), &"requiredFeatures".into())?.dyn_into()?;
    required.push(&SUBGROUPS.into());
    Ok(true)
}
